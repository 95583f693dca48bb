// What a vector of cells is: floats, or pairs of int16. The only intrinsics of the kernels are here: products of pairs,
// packing with saturation, and the rounded product of int16, for which vector extensions have no operator.
#pragma once

#include "kernels.h"
#include "simd-inl.h"

#if defined(FSRCNN_FIXED) && defined(__SSE2__)
#include <immintrin.h>
#endif

namespace fsrcnn {
namespace {

#if !defined(FSRCNN_FIXED)

struct Real {
  static constexpr int kChannels = 1, kSlope = 1;  // channels of a cell; cells of a plane's slope
  using Sum = Vec;

  static Vec start(const float* bias) { return broadcast(*bias); }
  static Vec load(const float* p) { return fsrcnn::load(p); }
  static Vec add(Vec sum, Vec v, const float* w) { return sum + v * *w; }
  template <int M>
  static void finish(const Vec (*acc)[M], const float* slope, float* dst) {
    const float factor = *slope;
    FSRCNN_UNROLL
    for (int m = 0; m < M; ++m) store(dst + m * kLanes, prelu(acc[0][m], factor));
  }
};

#else

typedef int32_t Ints __attribute__((vector_size(kLanes * sizeof(int32_t))));
typedef int32_t UnalignedInts __attribute__((vector_size(kLanes * sizeof(int32_t)), aligned(1), may_alias));

inline Ints load_cells(const float* p) { return *reinterpret_cast<const UnalignedInts*>(p); }
inline void store_cells(float* p, Ints v) { *reinterpret_cast<UnalignedInts*>(p) = v; }
// The halves of cells, each for itself.
typedef int16_t Halves __attribute__((vector_size(kLanes * sizeof(int32_t))));
typedef int16_t UnalignedHalves __attribute__((vector_size(kLanes * sizeof(int32_t)), aligned(1), may_alias));

inline Halves load_halves(const float* p) { return *reinterpret_cast<const UnalignedHalves*>(p); }
inline void store_halves(float* p, Halves v) { *reinterpret_cast<UnalignedHalves*>(p) = v; }
/// The bits of a cell, for all lanes.
inline Ints broadcast_cell(const float* p) {
  int32_t bits;
  __builtin_memcpy(&bits, p, sizeof bits);
  return Ints{} + bits;
}

/// The same value, of which the compiler no longer knows that it is in memory: it would read it there again for every
/// product, where loads are scarce.
FSRCNN_INLINE Ints in_register(Ints v) {
#if defined(__x86_64__)
  __asm__("" : "+v"(v));
#endif
  return v;
}

// ---- what has no operator: of x86, and in plain vectors of 32 bits for every other processor -----------------------
//
// dot: sum + a.low * b.low + a.high * b.high in each lane.
// shift: down by as many bits as a cell says, rounded down.
// pack_cells: columns of two channels, saturated to int16, to cells.
// activate: each half times the factor for its sign, in 1/32768, rounded half up.

#if defined(__SSE2__)
inline __m128i load_count(const float* p) { return _mm_castps_si128(_mm_load_ss(p)); }
#endif

#if defined(__AVX512BW__)

inline Ints dot(Ints sum, Ints a, Ints b) {
#if defined(__AVX512VNNI__)
  return (Ints)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#else
  return sum + (Ints)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#endif
}
inline Ints shift(Ints v, const float* bits) { return (Ints)_mm512_maskz_sra_epi32(0xffff, (__m512i)v, load_count(bits)); }
typedef __m512i Register;
inline Register pack32(Register a, Register b) { return _mm512_packs_epi32(a, b); }
inline Register interleave_low(Register a, Register b) { return _mm512_unpacklo_epi16(a, b); }
inline Register interleave_high(Register a, Register b) { return _mm512_unpackhi_epi16(a, b); }
inline Ints activate(Ints v, Ints positive, Ints negative) {
  const __mmask32 above = _mm512_cmpgt_epi16_mask((__m512i)v, _mm512_setzero_si512());
  return (Ints)_mm512_mulhrs_epi16((__m512i)v, _mm512_mask_blend_epi16(above, (__m512i)negative, (__m512i)positive));
}

#elif defined(__AVX2__)

inline Ints dot(Ints sum, Ints a, Ints b) { return sum + (Ints)_mm256_madd_epi16((__m256i)a, (__m256i)b); }
inline Ints shift(Ints v, const float* bits) { return (Ints)_mm256_sra_epi32((__m256i)v, load_count(bits)); }
typedef __m256i Register;
inline Register pack32(Register a, Register b) { return _mm256_packs_epi32(a, b); }
inline Register interleave_low(Register a, Register b) { return _mm256_unpacklo_epi16(a, b); }
inline Register interleave_high(Register a, Register b) { return _mm256_unpackhi_epi16(a, b); }
inline Ints activate(Ints v, Ints positive, Ints negative) {
  const __m256i above = _mm256_cmpgt_epi16((__m256i)v, _mm256_setzero_si256());
  return (Ints)_mm256_mulhrs_epi16((__m256i)v, _mm256_blendv_epi8((__m256i)negative, (__m256i)positive, above));
}

#elif defined(__SSE2__)

inline Ints dot(Ints sum, Ints a, Ints b) { return sum + (Ints)_mm_madd_epi16((__m128i)a, (__m128i)b); }
inline Ints shift(Ints v, const float* bits) { return (Ints)_mm_sra_epi32((__m128i)v, load_count(bits)); }
typedef __m128i Register;
inline Register pack32(Register a, Register b) { return _mm_packs_epi32(a, b); }
inline Register interleave_low(Register a, Register b) { return _mm_unpacklo_epi16(a, b); }
inline Register interleave_high(Register a, Register b) { return _mm_unpackhi_epi16(a, b); }
inline Ints activate(Ints v, Ints positive, Ints negative) {
  const __m128i above = _mm_cmpgt_epi16((__m128i)v, _mm_setzero_si128());
  const __m128i factor = _mm_or_si128(_mm_and_si128(above, (__m128i)positive), _mm_andnot_si128(above, (__m128i)negative));
  // The rounded product came with SSSE3. Of the 32 bits of high and low, bits 15 to 30, rounded by bit 14.
  const __m128i high = _mm_mulhi_epi16((__m128i)v, factor), low = _mm_mullo_epi16((__m128i)v, factor);
  const __m128i carry = _mm_avg_epu16(_mm_srli_epi16(low, 14), _mm_setzero_si128());
  return (Ints)_mm_add_epi16(_mm_add_epi16(high, high), carry);
}

#else

inline Ints shift(Ints v, const float* bits) { return v >> broadcast_cell(bits); }
inline Ints low_half(Ints v) { return v << 16 >> 16; }
inline Ints high_half(Ints v) { return v >> 16; }
inline Ints dot(Ints sum, Ints a, Ints b) { return sum + low_half(a) * low_half(b) + high_half(a) * high_half(b); }
inline Ints saturate(Ints v) {
  const Ints raised = v < -32768 ? Ints{} - 32768 : v;
  return raised > 32767 ? Ints{} + 32767 : raised;
}
inline Ints pack_cells(Ints even, Ints odd) { return (saturate(even) & 0xffff) | saturate(odd) << 16; }
inline Ints scaled(Ints v, Ints positive, Ints negative) {
  return (v * (v > 0 ? positive : negative) + 16384) >> 15;
}
inline Ints activate(Ints v, Ints positive, Ints negative) {
  return (scaled(low_half(v), low_half(positive), low_half(negative)) & 0xffff) |
         scaled(high_half(v), high_half(positive), high_half(negative)) << 16;
}

#endif

#if defined(__SSE2__)
// Packing and interleaving stay within 128 bits each, and undo each other's order. Two vectors at a time share both.
inline Ints pack_cells(Ints even, Ints odd) {
  return (Ints)interleave_low(pack32((Register)even, (Register)even), pack32((Register)odd, (Register)odd));
}
FSRCNN_INLINE void pack_cells(const Ints* even, const Ints* odd, Ints* cells) {
  const Register evens = pack32((Register)even[0], (Register)even[1]), odds = pack32((Register)odd[0], (Register)odd[1]);
  cells[0] = (Ints)interleave_low(evens, odds);
  cells[1] = (Ints)interleave_high(evens, odds);
}
#else
FSRCNN_INLINE void pack_cells(const Ints* even, const Ints* odd, Ints* cells) {
  for (int i = 0; i < 2; ++i) cells[i] = pack_cells(even[i], odd[i]);
}
#endif

/// Sums of pairs.
struct Pairs {
  using Sum = Ints;

  static Ints start(const float* bias) { return broadcast_cell(bias); }
  static Ints load(const float* p) { return load_cells(p); }
  static Ints add(Ints sum, Ints v, const float* w) { return dot(sum, v, broadcast_cell(w)); }
};

/// That become activations, two channels a cell.
struct Fixed : Pairs {
  static constexpr int kChannels = 2, kSlope = kFixedActivationCells;

  template <int M>
  static void finish(const Ints (*acc)[M], const float* slope, float* dst) {
    const Ints positive = broadcast_cell(slope + 2), negative = broadcast_cell(slope + 3);
    Ints even[M], odd[M];
    FSRCNN_UNROLL
    for (int m = 0; m < M; ++m) even[m] = shift(acc[0][m], slope), odd[m] = shift(acc[1][m], slope + 1);
    FSRCNN_UNROLL
    for (int m = 0; m + 1 < M; m += 2) {
      Ints cells[2];
      pack_cells(even + m, odd + m, cells);
      FSRCNN_UNROLL
      for (int i = 0; i < 2; ++i) store_cells(dst + (m + i) * kLanes, activate(cells[i], positive, negative));
    }
    if constexpr (M % 2 == 1) {
      store_cells(dst + (M - 1) * kLanes, activate(pack_cells(even[M - 1], odd[M - 1]), positive, negative));
    }
  }
};

/// That become floats.
struct FixedPlanes : Pairs {
  static constexpr int kChannels = 1, kSlope = 1;

  template <int M>
  static void finish(const Ints (*acc)[M], const float* slope, float* dst) {
    const float factor = *slope;
    FSRCNN_UNROLL
    for (int m = 0; m < M; ++m) store(dst + m * kLanes, __builtin_convertvector(acc[0][m], Vec) * factor);
  }
};

void to_cells(const float* src, ptrdiff_t n, float* cells) {
  // Counted from the lowest, so that cutting off what follows the point rounds down.
  const Vec least = broadcast(-kFixedMost), most = broadcast(kFixedMost);
  const auto fixed = [&](const float* p) {
    const Vec scaled = fsrcnn::load(p) * static_cast<float>(kFixedLuma);
    const Vec raised = scaled > least ? scaled : least;
    const Vec cut = raised > most ? most : raised;
    return __builtin_convertvector(cut + (kFixedMost + 0.5f), Ints) - kFixedMost;
  };
  for (ptrdiff_t x = 0; x < n; x += kLanes) {
    store_cells(cells + x, (fixed(src + x) & 0xffff) | fixed(src + x + 1) << 16);
  }
}

#endif

}  // namespace
}  // namespace fsrcnn
