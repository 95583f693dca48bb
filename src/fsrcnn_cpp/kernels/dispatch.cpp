#include "dispatch.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <stdexcept>

namespace fsrcnn {

extern const KernelTable kReferenceTable, kReferenceFixedTable;
#if defined(__x86_64__)
extern const KernelTable kBaselineTable, kBaselineFixedTable;
extern const KernelTable kAvx2Table, kAvx2FixedTable, kAvxVnniFixedTable;
extern const KernelTable kAvx512Table, kAvx512FixedTable, kAvx512VnniFixedTable;
#elif defined(__aarch64__)
extern const KernelTable kNeonTable, kNeonFixedTable;
#elif defined(__wasm__)
extern const KernelTable kSimd128FixedTable;
#if defined(FSRCNN_WASM_FLOAT)
extern const KernelTable kSimd128Table;
#else
// Floats are a third of a module, and those who load it for pictures of 8 bits have no use for them.
static const KernelTable& kSimd128Table = kReferenceTable;
#endif
#endif

#if defined(__x86_64__)
namespace {

/// Clang 14 has no name for it.
bool supports_avxvnni() {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax >> 4 & 1);
}

}  // namespace
#endif

std::vector<KernelSet> available_sets() {
  std::vector<KernelSet> sets{{"reference", &kReferenceTable, &kReferenceFixedTable}};
#if defined(__x86_64__)
  // __builtin_cpu_supports also asks whether the operating system saves the registers. Each test names exactly the
  // flags its object file is compiled with.
  __builtin_cpu_init();
  sets.push_back({"baseline", &kBaselineTable, &kBaselineFixedTable});
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    sets.push_back({"avx2", &kAvx2Table, &kAvx2FixedTable});
    // With VNNI, fixed point alone has other kernels.
    if (supports_avxvnni()) sets.push_back({"avxvnni", &kAvx2Table, &kAvxVnniFixedTable});
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      sets.push_back({"avx512", &kAvx512Table, &kAvx512FixedTable});
      if (__builtin_cpu_supports("avx512vnni")) {
        sets.push_back({"avx512vnni", &kAvx512Table, &kAvx512VnniFixedTable});
      }
    }
  }
#elif defined(__aarch64__)
  sets.push_back({"neon", &kNeonTable, &kNeonFixedTable});
#elif defined(__wasm__)
  // A module with these instructions is not even loaded where they are missing.
  sets.push_back({"simd128", &kSimd128Table, &kSimd128FixedTable});
#endif
  return sets;
}

std::vector<const KernelTable*> available_tables(Precision precision) {
  std::vector<const KernelTable*> tables;
  for (const KernelSet& set : available_sets()) {
    if (tables.empty() || tables.back() != &set.of(precision)) tables.push_back(&set.of(precision));
  }
  return tables;
}

const KernelTable& table_by_name(const std::string& isa, Precision precision) {
  std::string names;
  for (const KernelSet& set : available_sets()) {
    if (isa == set.isa) return set.of(precision);
    names += (names.empty() ? "" : ", ") + std::string(set.isa);
  }
  throw std::invalid_argument("isa='" + isa + "' is not available on this processor (available: " + names + ")");
}

}  // namespace fsrcnn
