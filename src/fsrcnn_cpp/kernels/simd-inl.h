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

}  // namespace
}  // namespace fsrcnn

// Loops over register tiles are unrolled completely, so that the tile lives in registers.
#define FSRCNN_UNROLL _Pragma("GCC unroll 32")
