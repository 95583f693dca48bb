#include "dispatch.h"

#include <stdexcept>

namespace fsrcnn {

extern const KernelTable kReferenceTable;
#if defined(__x86_64__)
extern const KernelTable kBaselineTable;
extern const KernelTable kAvx2Table;
extern const KernelTable kAvx512Table;
#elif defined(__aarch64__)
extern const KernelTable kNeonTable;
#endif

std::vector<const KernelTable*> available_tables() {
  std::vector<const KernelTable*> tables{&kReferenceTable};
#if defined(__x86_64__)
  // __builtin_cpu_supports also asks whether the operating system saves the registers. Each test names exactly the
  // flags its object file is compiled with.
  __builtin_cpu_init();
  tables.push_back(&kBaselineTable);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    tables.push_back(&kAvx2Table);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      tables.push_back(&kAvx512Table);
    }
  }
#elif defined(__aarch64__)
  tables.push_back(&kNeonTable);
#endif
  return tables;
}

const KernelTable& table_by_name(const std::string& isa) {
  std::string names;
  for (const KernelTable* table : available_tables()) {
    if (isa == table->isa) return *table;
    names += (names.empty() ? "" : ", ") + std::string(table->isa);
  }
  throw std::invalid_argument("isa='" + isa + "' is not available on this processor (available: " + names + ")");
}

}  // namespace fsrcnn
