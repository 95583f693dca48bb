// The vector type of the ISA this file is compiled for. GCC and Clang vector extensions: the compiler contracts
// a * b + c into an FMA where the ISA has one. No intrinsics were needed: docs/notebook.md has the measured comparison.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Helpers that take tiles of vectors by pointer: out of line, the tile would pass through memory.
#define FSRCNN_INLINE inline __attribute__((always_inline))

namespace fsrcnn {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr int kRegisters = 32;
#elif defined(__AVX__)
constexpr int kLanes = 8;
constexpr int kRegisters = 16;
#elif defined(__aarch64__)
constexpr int kLanes = 4;
constexpr int kRegisters = 32;
#else
constexpr int kLanes = 4;
constexpr int kRegisters = 16;
#endif

typedef float Vec __attribute__((vector_size(kLanes * sizeof(float))));
// Of no alignment at all, as the planes of a caller may have none.
typedef float UnalignedVec __attribute__((vector_size(kLanes * sizeof(float)), aligned(1), may_alias));

inline Vec load(const float* p) { return *reinterpret_cast<const UnalignedVec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }
/// Less zero, which changes no number: zero less the number, or plus it, would be computed.
inline Vec broadcast(float value) { return value - Vec{}; }
/// As it is defined. Its parts are those of the bits as integers, whose sign is that of the number: minimum and maximum
/// of integers, unlike a selection, take no time of the multipliers (AMD), and NaN stays in one of the parts.
inline Vec prelu(Vec x, float slope) {
  typedef int32_t Bits __attribute__((vector_size(sizeof(Vec))));
  const Bits bits = (Bits)x, zero{};
  const Vec positive = (Vec)(bits > zero ? bits : zero), negative = (Vec)(bits < zero ? bits : zero);
  return positive + negative * slope;
}

// ---- shuffles: lane i of the result is lane index(i) of a, or index(i) - kLanes of b ------------------------------

template <int... I>
struct Lanes {};
template <int N, int... I>
struct FirstLanes : FirstLanes<N - 1, N - 1, I...> {};
template <int... I>
struct FirstLanes<0, I...> {
  using type = Lanes<I...>;
};

template <typename Index, int... I>
inline Vec shuffle_lanes(Vec a, Vec b, Lanes<I...>) {
  return __builtin_shufflevector(a, b, Index::of(I)...);
}
template <typename Index>
inline Vec shuffle(Vec a, Vec b) {
  return shuffle_lanes<Index>(a, b, typename FirstLanes<kLanes>::type{});
}

struct EvenLanes {
  static constexpr int of(int i) { return 2 * i; }
};
struct OddLanes {
  static constexpr int of(int i) { return 2 * i + 1; }
};
/// Half H of a0 b0 a1 b1 ...
template <int H>
struct Interleave {
  static constexpr int of(int i) { return (H * kLanes + i) / 2 + (i % 2) * kLanes; }
};
/// a1 a2 ... and lane `Lane` of b at the end.
template <int Lane>
struct ShiftIn {
  static constexpr int of(int i) { return i + 1 < kLanes ? i + 1 : kLanes + Lane; }
};
/// Third T of a0 b0 c0 a1 b1 c1 ..., in two steps: a with b (c's lanes are free), then that with c.
template <int T>
struct InterleaveAB {
  static constexpr int of(int i) { return (T * kLanes + i) / 3 + ((T * kLanes + i) % 3 == 1 ? kLanes : 0); }
};
template <int T>
struct InterleaveC {
  static constexpr int of(int i) { return (T * kLanes + i) % 3 == 2 ? kLanes + (T * kLanes + i) / 3 : i; }
};

/// Stores N vectors merged lane by lane: v0[0] v1[0] .. v0[1] v1[1] ..
template <int N>
FSRCNN_INLINE void store_interleaved(float* dst, const Vec* v) {
  static_assert(N >= 1 && N <= 4);
  if constexpr (N == 1) {
    store(dst, v[0]);
  } else if constexpr (N == 2) {
    store(dst, shuffle<Interleave<0>>(v[0], v[1]));
    store(dst + kLanes, shuffle<Interleave<1>>(v[0], v[1]));
  } else if constexpr (N == 3) {
    store(dst, shuffle<InterleaveC<0>>(shuffle<InterleaveAB<0>>(v[0], v[1]), v[2]));
    store(dst + kLanes, shuffle<InterleaveC<1>>(shuffle<InterleaveAB<1>>(v[0], v[1]), v[2]));
    store(dst + 2 * kLanes, shuffle<InterleaveC<2>>(shuffle<InterleaveAB<2>>(v[0], v[1]), v[2]));
  } else {
    const Vec low02 = shuffle<Interleave<0>>(v[0], v[2]), high02 = shuffle<Interleave<1>>(v[0], v[2]);
    const Vec low13 = shuffle<Interleave<0>>(v[1], v[3]), high13 = shuffle<Interleave<1>>(v[1], v[3]);
    store(dst, shuffle<Interleave<0>>(low02, low13));
    store(dst + kLanes, shuffle<Interleave<1>>(low02, low13));
    store(dst + 2 * kLanes, shuffle<Interleave<0>>(high02, high13));
    store(dst + 3 * kLanes, shuffle<Interleave<1>>(high02, high13));
  }
}

}  // namespace
}  // namespace fsrcnn

// Loops over register tiles are unrolled completely, so that the tile lives in registers.
#define FSRCNN_UNROLL _Pragma("GCC unroll 32")
