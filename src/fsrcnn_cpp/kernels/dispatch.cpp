#include "dispatch.h"

#include <algorithm>
#include <initializer_list>
#include <stdexcept>

namespace fsrcnn {

extern const KernelTable kReferenceTable, kReferenceFixedTable;
#if defined(__x86_64__)
extern const KernelTable kBaselineTable, kBaselineFixedTable;
extern const KernelTable kAvx2Table, kAvx2FixedTable;
#if defined(FSRCNN_AVX512)
extern const KernelTable kAvxVnniFixedTable, kAvx512Table, kAvx512FixedTable, kAvx512VnniFixedTable;
#endif
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

struct Registers {
  unsigned eax, ebx, ecx, edx;
};

/// What CPUID says of a leaf; zeros where this processor has no such leaf. Not by <cpuid.h>, whose macros have the names
/// of functions in the headers of Microsoft's library.
Registers cpuid(unsigned leaf, unsigned subleaf = 0) {
  const auto ask = [](unsigned eax, unsigned ecx) {
    Registers r{};
    __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(eax), "c"(ecx));
    return r;
  };
  return leaf <= ask(0, 0).eax ? ask(leaf, subleaf) : Registers{};
}

/// Which registers the operating system saves (XCR0); those of an instruction set must be among them.
unsigned saved_registers() {
  constexpr unsigned kXgetbv = 27;
  if (!(cpuid(1).ecx >> kXgetbv & 1)) return 0;
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

/// Extensions of this processor that can be used. CPUID is asked directly: __builtin_cpu_supports says no to everything
/// where a compiler's own library is left out, and compilers know different names.
struct Extensions {
  bool avx2, avxvnni, avx512, avx512vnni;
};

Extensions extensions() {
  const auto has = [](unsigned word, std::initializer_list<int> bits) {
    return std::all_of(bits.begin(), bits.end(), [&](int bit) { return word >> bit & 1; });
  };
  constexpr unsigned kAvxSaved = 0x06, kAvx512Saved = 0xe6;  // XMM and YMM; and the masks and all of ZMM
  const unsigned saved = saved_registers();
  const Registers basic = cpuid(1), extended = cpuid(7), more = cpuid(7, 1);
  Extensions e{};
  e.avx2 = (saved & kAvxSaved) == kAvxSaved && has(basic.ecx, {12, 28}) && has(extended.ebx, {5});  // FMA, AVX; AVX2
  e.avxvnni = e.avx2 && extended.eax >= 1 && has(more.eax, {4});
  e.avx512 = e.avx2 && (saved & kAvx512Saved) == kAvx512Saved && has(extended.ebx, {16, 17, 30, 31});  // F, DQ, BW, VL
  e.avx512vnni = e.avx512 && has(extended.ecx, {11});
  return e;
}

}  // namespace
#endif

std::vector<KernelSet> available_sets() {
  std::vector<KernelSet> sets{{"reference", &kReferenceTable, &kReferenceFixedTable}};
#if defined(__x86_64__)
  // Each test names exactly the flags that its object file is compiled with.
  const Extensions has = extensions();
  sets.push_back({"baseline", &kBaselineTable, &kBaselineFixedTable});
  if (has.avx2) sets.push_back({"avx2", &kAvx2Table, &kAvx2FixedTable});
#if defined(FSRCNN_AVX512)
  // With VNNI, fixed point alone has other kernels.
  if (has.avxvnni) sets.push_back({"avxvnni", &kAvx2Table, &kAvxVnniFixedTable});
  if (has.avx512) sets.push_back({"avx512", &kAvx512Table, &kAvx512FixedTable});
  if (has.avx512vnni) sets.push_back({"avx512vnni", &kAvx512Table, &kAvx512VnniFixedTable});
#endif
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
