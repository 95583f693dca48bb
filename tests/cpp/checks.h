// What the checks of kernels share: numbers to compute with, memory that shows where a kernel strays, verdicts.
//
// Tolerances are bounds, not guesses: a sum of n terms is wrong by at most n roundings of the sum of their magnitudes.
// Most cases are small integers, or those times a power of two down to denormals, whose sums are exact in any order:
// they must agree to the bit. What a kernel may not touch around a row is a canary, NaN (which shows wherever it is
// read and used) or an inaccessible page.
#pragma once

#if defined(_WIN32)
#include <windows.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "aligned_buffer.h"
#include "kernels/dispatch.h"
#include "kernels/kernels.h"

namespace fsrcnn {

inline const KernelTable& reference() { return table_by_name("reference"); }
inline bool is_reference(const KernelTable& table) { return std::strcmp(table.isa, "reference") == 0; }

inline constexpr double kUnit = 0x1p-24;   // a rounding of x changes it by at most kUnit * |x| ...
inline constexpr double kTiny = 0x1p-149;  // ... or, among denormals, by a part of the smallest one
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// How far past the floats that matter a kernel may read and write; of Winograd's the contract says it.
inline constexpr std::ptrdiff_t kOverrun = kMaxLanes;

// ---- numbers --------------------------------------------------------------------------------------------------------

inline std::mt19937 g_random(1);

inline int random_int(int low, int high) {
  return low + static_cast<int>(g_random() % static_cast<unsigned>(high - low + 1));
}

/// What a case computes with. Sums of the first three are exact.
enum class Kind { integers, denormals, huge, mixed, special };
inline constexpr int kKinds = 5;
inline constexpr const char* kKindNames[] = {"integers", "denormals", "huge", "mixed", "special"};

inline bool exact(Kind kind) { return kind != Kind::mixed; }
inline float scale_of(Kind kind) { return kind == Kind::denormals ? 0x1p-149f : kind == Kind::huge ? 0x1p96f : 1.0f; }

/// Of widely different magnitudes, and now and then 0.
inline float mixed_sample() {
  if (random_int(0, 7) == 0) return 0.0f;
  return std::ldexp(static_cast<float>(random_int(-(1 << 23), 1 << 23)), random_int(-35, -11));
}

inline float sample(Kind kind, int magnitude) {
  if (kind == Kind::mixed) return mixed_sample();
  if (kind == Kind::special && random_int(0, 63) == 0) {
    const float values[] = {kInfinity, -kInfinity, kNan};
    return values[random_int(0, 2)];
  }
  return scale_of(kind) * static_cast<float>(random_int(-magnitude, magnitude));
}

/// A sum as it should be, and the sum of its terms' magnitudes, by which its rounding errors are bounded.
struct Sum {
  double value = 0, magnitude = 0;
  void add(double term) {
    value += term;
    magnitude += std::abs(term);
  }
};

inline std::vector<std::ptrdiff_t> widths() {
  std::vector<std::ptrdiff_t> list;
  for (int w = 1; w <= 2 * kMaxLanes + 1; ++w) list.push_back(w);
  // Whole register tiles are up to six vectors wide, and each number of vectors left over has code of its own.
  for (int vectors = 3; vectors <= 7; ++vectors) {
    for (int w = vectors * kMaxLanes - 1; w <= vectors * kMaxLanes + 1; ++w) list.push_back(w);
  }
  list.push_back(240);
  return list;
}

inline constexpr SampleType kTypes[] = {SampleType::u8, SampleType::u16, SampleType::f32};
inline constexpr const char* kTypeNames[] = {"u8", "u16", "f32"};

// ---- memory ---------------------------------------------------------------------------------------------------------

inline const float kCanary = std::bit_cast<float>(0x7fc5a5c5u);
inline bool is_canary(float value) { return std::bit_cast<unsigned>(value) == std::bit_cast<unsigned>(kCanary); }

/// Memory that ends at a page nobody may touch.
class Guarded {
 public:
  Guarded() {
#if defined(_WIN32)
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    const std::size_t page = system.dwPageSize;
    void* memory = VirtualAlloc(nullptr, kCapacity + page, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (!memory) std::abort();
    end_ = static_cast<unsigned char*>(memory) + kCapacity;
    DWORD before;
    if (!VirtualProtect(end_, page, PAGE_NOACCESS, &before)) std::abort();
#else
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    void* memory = mmap(nullptr, kCapacity + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    end_ = static_cast<unsigned char*>(memory) + kCapacity;
    if (mprotect(end_, page, PROT_NONE) != 0) std::abort();
#endif
  }
  /// The last `count` floats before that page, and some before those: all canaries.
  float* floats(std::ptrdiff_t count) {
    float* const end = reinterpret_cast<float*>(end_);
    std::fill(end - count - kBefore, end, kCanary);
    return end - count;
  }
  /// A copy of `values` that ends there.
  const float* copy(const AlignedBuffer& values) {
    float* const data = floats(static_cast<std::ptrdiff_t>(values.size()));
    std::copy(values.data(), values.data() + values.size(), data);
    return data;
  }
  /// The last `count` bytes.
  unsigned char* bytes(std::ptrdiff_t count) { return end_ - count; }

  static constexpr std::ptrdiff_t kBefore = 64;

 private:
  static constexpr std::size_t kCapacity = 4 << 20;
  unsigned char* end_;
};

struct Memory {
  Guarded src, dst, twin, twins[4], weights, bias, slope, scratchpad, a, b, c;
};
inline Memory& memory() {
  static Memory instance;
  return instance;
}

/// Planes of `width` floats that matter, `overrun` floats that a kernel may touch, and a gap that it may not. Bases are
/// aligned to nothing.
struct Planes {
  Planes(Guarded& guarded, std::ptrdiff_t plane_count, std::ptrdiff_t plane_width, std::ptrdiff_t plane_overrun)
      : count(plane_count),
        width(plane_width),
        used(plane_width + plane_overrun),
        stride(used + random_int(0, 20)),
        data(guarded.floats((count - 1) * stride + used)) {}

  float* plane(std::ptrdiff_t i) const { return data + i * stride; }

  /// Exact kinds are integers times `grain`, a power of two.
  void fill(Kind kind, int magnitude, float grain = 1) const {
    const Kind beyond = kind == Kind::special ? Kind::integers : kind;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      for (std::ptrdiff_t x = 0; x < used; ++x) plane(i)[x] = grain * sample(x < width ? kind : beyond, magnitude);
    }
  }

  std::ptrdiff_t count, width, used, stride;
  float* data;
};

// ---- verdicts -------------------------------------------------------------------------------------------------------

inline char g_case[200] = "start";  // what is running, for reports and for the handler of faults

template <typename... Values>
void describe(const char* format, Values... values) {
  std::snprintf(g_case, sizeof g_case, format, values...);
}

class Tally {
 public:
  Tally(const KernelTable& table, const char* kernel) : isa_(table.isa), kernel_(kernel) {}

  void next_case() { ++cases_; }

  void fail(const std::string& what) {
    if (failures_++ < 3) std::printf("  %s %s: %s: %s\n", isa_, kernel_, g_case, what.c_str());
  }

  void compare(float got, double want, double tolerance, std::ptrdiff_t plane, std::ptrdiff_t x) {
    if (std::isnan(want) ? std::isnan(got) : got == want) return;
    const double ratio = std::abs(got - want) / tolerance;
    worst_ = ratio > worst_ ? ratio : worst_;
    if (ratio <= 1) return;  // false for NaN too
    char text[160];
    std::snprintf(text, sizeof text, "plane %td, column %td: %.9g instead of %.9g, tolerance %.3g", plane, x,
                  static_cast<double>(got), want, tolerance);
    fail(text);
  }

  void expect(bool condition, const char* what) {
    if (!condition) fail(what);
  }

  void check_before(const float* data) {
    for (int k = 1; k <= Guarded::kBefore; ++k) expect(is_canary(data[-k]), "wrote before the first plane");
  }

  /// What lies around the results: canaries where nothing may be written, finite values in the overrun.
  void check_surroundings(const Planes& dst, bool finite_input) {
    check_before(dst.data);
    for (std::ptrdiff_t i = 0; i < dst.count; ++i) {
      const float* plane = dst.plane(i);
      for (std::ptrdiff_t x = dst.width; x < dst.used; ++x) {
        expect(!finite_input || is_canary(plane[x]) || std::isfinite(plane[x]), "left NaN or infinity past the width");
      }
      for (std::ptrdiff_t x = dst.used; i + 1 < dst.count && x < dst.stride; ++x) {
        expect(is_canary(plane[x]), "wrote further past the width than it may");
      }
    }
  }

  /// Prints the line; whether all was well.
  bool report() const {
    std::printf("%-9s  %-16s %6ld cases  worst error %.3f of the tolerance  %s\n", isa_, kernel_, cases_, worst_,
                failures_ ? "WRONG" : "ok");
    std::fflush(stdout);
    return failures_ == 0;
  }

 private:
  const char* isa_;
  const char* kernel_;
  long cases_ = 0, failures_ = 0;
  double worst_ = 0;
};

}  // namespace fsrcnn
