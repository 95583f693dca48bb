// The vector type of the ISA this file is compiled for. GCC and Clang vector extensions: the compiler contracts
// a * b + c into an FMA where the ISA has one. No intrinsics were needed: docs/notebook.md has the measured comparison.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Helpers that take tiles of vectors by pointer: out of line, the tile would pass through memory.
#define FSRCNN_INLINE inline __attribute__((always_inline))
// Loops over register tiles are unrolled completely, so that the tile lives in registers.
#define FSRCNN_UNROLL _Pragma("GCC unroll 32")
// A loop whose sums stay in registers. V8 keeps what lives on behind a loop in memory and writes it there in each turn:
// for it, the loop is a function of its own.
#if defined(__wasm__)
#define FSRCNN_LOOP __attribute__((noinline))
#else
#define FSRCNN_LOOP FSRCNN_INLINE
#endif

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
#elif defined(__wasm__)
constexpr int kLanes = 4;
constexpr int kRegisters = 14;  // of 16: V8 has one for itself, and makes no sum of products without another
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
/// The same of what the compiler shall not know: with a constant that it knows, it makes a comparison and a selection
/// of what is one instruction, the smaller or the larger of two.
inline Vec hidden(float value) {
  const volatile float opaque = value;
  return broadcast(opaque);
}

#if defined(__AVX2__)
/// As it is defined, of the number's bits as integers, which have its sign. Minimum and maximum of integers, unlike a
/// selection, take no time of the units that multiply (AMD); NaN stays in one of the two.
inline Vec prelu(Vec x, float slope) {
  typedef int32_t Bits __attribute__((vector_size(sizeof(Vec))));
  const Bits bits = (Bits)x, zero{};
  const Vec positive = (Vec)(bits > zero ? bits : zero), negative = (Vec)(bits < zero ? bits : zero);
  return positive + negative * slope;
}
#else
inline Vec prelu(Vec x, float slope) {
  const Vec scaled = x * slope;
  return x > 0.0f ? x : scaled;
}
#endif

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

/// Half H of a0 b0 a1 b1 ..., `Unit` lanes at a time.
template <int H, int Unit = 1>
struct Interleave {
  static constexpr int kUnits = kLanes / Unit;
  static constexpr int of(int i) {
    const int unit = H * kUnits + i / Unit;
    return unit / 2 * Unit + i % Unit + unit % 2 * kLanes;
  }
};
/// Third T of a0 b0 c0 a1 b1 c1 ..., in two steps: a with b (c's lanes are free), then that with c.
template <int T, int Unit>
struct InterleaveAB {
  static constexpr int of(int i) {
    const int unit = T * (kLanes / Unit) + i / Unit;
    return unit / 3 * Unit + i % Unit + (unit % 3 == 1 ? kLanes : 0);
  }
};
template <int T, int Unit>
struct InterleaveC {
  static constexpr int of(int i) {
    const int unit = T * (kLanes / Unit) + i / Unit;
    return unit % 3 == 2 ? kLanes + unit / 3 * Unit + i % Unit : i;
  }
};

/// Half H of a0 b0 a1 b1 a2 b2 a3 b3 of each quad of lanes.
template <int H>
struct QuadInterleave {
  static constexpr int of(int i) { return i / 4 * 4 + H * 2 + i % 4 / 2 + i % 2 * kLanes; }
};

/// Transposes, in each quad of lanes, the 4x4 matrix that four vectors have there. Lanes stay in their quads: what
/// crosses them takes three instructions for one (AVX2).
FSRCNN_INLINE void transpose_quads(Vec (&v)[4]) {
  const Vec low02 = shuffle<QuadInterleave<0>>(v[0], v[2]), high02 = shuffle<QuadInterleave<1>>(v[0], v[2]);
  const Vec low13 = shuffle<QuadInterleave<0>>(v[1], v[3]), high13 = shuffle<QuadInterleave<1>>(v[1], v[3]);
  v[0] = shuffle<QuadInterleave<0>>(low02, low13);
  v[1] = shuffle<QuadInterleave<1>>(low02, low13);
  v[2] = shuffle<QuadInterleave<0>>(high02, high13);
  v[3] = shuffle<QuadInterleave<1>>(high02, high13);
}

/// Merges N vectors, `Unit` lanes at a time: v0[0] v1[0] .. v0[1] v1[1] ..
template <int N, int Unit = 1>
FSRCNN_INLINE void interleave(const Vec* v, Vec* merged) {
  static_assert(N >= 1 && N <= 4);
  if constexpr (N == 1) {
    merged[0] = v[0];
  } else if constexpr (N == 2) {
    merged[0] = shuffle<Interleave<0, Unit>>(v[0], v[1]);
    merged[1] = shuffle<Interleave<1, Unit>>(v[0], v[1]);
  } else if constexpr (N == 3) {
    merged[0] = shuffle<InterleaveC<0, Unit>>(shuffle<InterleaveAB<0, Unit>>(v[0], v[1]), v[2]);
    merged[1] = shuffle<InterleaveC<1, Unit>>(shuffle<InterleaveAB<1, Unit>>(v[0], v[1]), v[2]);
    merged[2] = shuffle<InterleaveC<2, Unit>>(shuffle<InterleaveAB<2, Unit>>(v[0], v[1]), v[2]);
  } else {
    const Vec low02 = shuffle<Interleave<0, Unit>>(v[0], v[2]), high02 = shuffle<Interleave<1, Unit>>(v[0], v[2]);
    const Vec low13 = shuffle<Interleave<0, Unit>>(v[1], v[3]), high13 = shuffle<Interleave<1, Unit>>(v[1], v[3]);
    merged[0] = shuffle<Interleave<0, Unit>>(low02, low13);
    merged[1] = shuffle<Interleave<1, Unit>>(low02, low13);
    merged[2] = shuffle<Interleave<0, Unit>>(high02, high13);
    merged[3] = shuffle<Interleave<1, Unit>>(high02, high13);
  }
}

/// Stores N vectors merged lane by lane.
template <int N>
FSRCNN_INLINE void store_interleaved(float* dst, const Vec* v) {
  Vec merged[N];
  interleave<N>(v, merged);
  FSRCNN_UNROLL
  for (int i = 0; i < N; ++i) store(dst + i * kLanes, merged[i]);
}

}  // namespace
}  // namespace fsrcnn
