// The vector type of the ISA this file is compiled for. GCC and Clang vector extensions: the compiler contracts
// a * b + c into an FMA where the ISA has one. No intrinsics were needed: see HACKING.md for the measured comparison.
#pragma once

#include <stddef.h>

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
typedef float UnalignedVec __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));

inline Vec load(const float* p) { return *reinterpret_cast<const UnalignedVec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }
inline Vec broadcast(float value) { return Vec{} + value; }
inline Vec prelu(Vec x, float slope) {
  const Vec scaled = x * slope;
  return x > 0.0f ? x : scaled;
}

// Lane shuffles, as index lists of the two operands.
#if defined(__AVX512F__)
#define FSRCNN_EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define FSRCNN_ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define FSRCNN_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define FSRCNN_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define FSRCNN_AFTER_FIRST 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#elif defined(__AVX__)
#define FSRCNN_EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define FSRCNN_ODD 1, 3, 5, 7, 9, 11, 13, 15
#define FSRCNN_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define FSRCNN_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#define FSRCNN_AFTER_FIRST 1, 2, 3, 4, 5, 6, 7
#else
#define FSRCNN_EVEN 0, 2, 4, 6
#define FSRCNN_ODD 1, 3, 5, 7
#define FSRCNN_LOW 0, 4, 1, 5
#define FSRCNN_HIGH 2, 6, 3, 7
#define FSRCNN_AFTER_FIRST 1, 2, 3
#endif

/// a0 b0 a1 b1 ... of the lower half, of the upper half; and the way back.
inline Vec interleave_low(Vec a, Vec b) { return __builtin_shufflevector(a, b, FSRCNN_LOW); }
inline Vec interleave_high(Vec a, Vec b) { return __builtin_shufflevector(a, b, FSRCNN_HIGH); }
inline Vec even_lanes(Vec a, Vec b) { return __builtin_shufflevector(a, b, FSRCNN_EVEN); }
inline Vec odd_lanes(Vec a, Vec b) { return __builtin_shufflevector(a, b, FSRCNN_ODD); }
/// a1 a2 ... and lane `Lane` of b at the end.
template <int Lane>
inline Vec shift_in(Vec a, Vec b) { return __builtin_shufflevector(a, b, FSRCNN_AFTER_FIRST, kLanes + Lane); }

}  // namespace
}  // namespace fsrcnn

// Loops over register tiles are unrolled completely, so that the tile lives in registers.
#define FSRCNN_UNROLL _Pragma("GCC unroll 32")
