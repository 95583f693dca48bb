// What a vector of cells is: floats, or pairs of int16. The only intrinsics of the kernels are here: products of pairs,
// packing with saturation, and the rounded product of int16, for which vector extensions have no operator.
#pragma once

#include "kernels.h"
#include "simd-inl.h"

#if defined(FSRCNN_FIXED) && defined(__SSE2__)
#include <immintrin.h>
#elif defined(FSRCNN_FIXED) && defined(__aarch64__)
#include <arm_neon.h>
#elif defined(FSRCNN_FIXED) && defined(__wasm_simd128__)
#include <wasm_simd128.h>
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

// The first channel of a cell is the low half of its lane.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

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

// ---- what has no operator: of x86, NEON and WebAssembly, and in plain vectors of 32 bits for all else ---------------
//
// Operand: cells as `dot` takes them, and `operand` makes one.
// dot: sum + a.low * b.low + a.high * b.high in each lane. `b` is the same cell in all lanes.
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
inline Ints shift(Ints v, const float* bits) {
  return (Ints)_mm512_maskz_sra_epi32(0xffff, (__m512i)v, load_count(bits));
}
typedef __m512i Register;
inline Register pack32(Register a, Register b) { return _mm512_packs_epi32(a, b); }
inline Register interleave_low(Register a, Register b) { return _mm512_unpacklo_epi16(a, b); }
inline Register interleave_high(Register a, Register b) { return _mm512_unpackhi_epi16(a, b); }
inline Ints activate(Ints v, Ints positive, Ints negative) {
  const __mmask32 above = _mm512_cmpgt_epi16_mask((__m512i)v, _mm512_setzero_si512());
  return (Ints)_mm512_mulhrs_epi16((__m512i)v, _mm512_mask_blend_epi16(above, (__m512i)negative, (__m512i)positive));
}

#elif defined(__AVX2__)

inline Ints dot(Ints sum, Ints a, Ints b) {
#if defined(__AVXVNNI__)
  return (Ints)_mm256_dpwssd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)b);
#else
  return sum + (Ints)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#endif
}
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
  const __m128i factor =
      _mm_or_si128(_mm_and_si128(above, (__m128i)positive), _mm_andnot_si128(above, (__m128i)negative));
  // The rounded product came with SSSE3. Of the 32 bits of high and low, bits 15 to 30, rounded by bit 14.
  const __m128i high = _mm_mulhi_epi16((__m128i)v, factor), low = _mm_mullo_epi16((__m128i)v, factor);
  const __m128i carry = _mm_avg_epu16(_mm_srli_epi16(low, 14), _mm_setzero_si128());
  return (Ints)_mm_add_epi16(_mm_add_epi16(high, high), carry);
}

#elif defined(__aarch64__)

// No instruction adds the products of a pair; one adds products of halves of a register. So low halves of cells go to
// the lower half of a register and high halves to the upper one: once, for all channels that read them.
typedef int16x8_t Operand;
inline Operand operand(Ints cells) {
  const int32x4_t v = (int32x4_t)cells;
  return vshrn_high_n_s32(vmovn_s32(v), v, 16);
}
inline Ints dot(Ints sum, Operand a, Ints b) {
  const int16x4_t cell = vget_low_s16((int16x8_t)b);
  return (Ints)vmlal_high_lane_s16(vmlal_lane_s16((int32x4_t)sum, vget_low_s16(a), cell, 0), a, cell, 1);
}
inline Ints pack_cells(Ints even, Ints odd) {
  const int16x4_t evens = vqmovn_s32((int32x4_t)even), odds = vqmovn_s32((int32x4_t)odd);
  return (Ints)vzip1q_s16(vcombine_s16(evens, evens), vcombine_s16(odds, odds));
}
inline Ints activate(Ints v, Ints positive, Ints negative) {
  const int16x8_t halves = (int16x8_t)v;
  const int16x8_t factor = vbslq_s16(vcgtzq_s16(halves), (int16x8_t)positive, (int16x8_t)negative);
  // Of twice the product, the upper 16 bits, rounded by the highest of those below: as factors are small, it saturates
  // nothing.
  return (Ints)vqrdmulhq_s16(halves, factor);
}

#elif defined(__wasm_simd128__)

inline Ints dot(Ints sum, Ints a, Ints b) { return sum + (Ints)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b); }
inline Ints shift(Ints v, const float* bits) {
  int32_t count;
  __builtin_memcpy(&count, bits, sizeof count);
  return (Ints)wasm_i32x4_shr((v128_t)v, static_cast<uint32_t>(count));
}
typedef v128_t Register;
inline Register pack32(Register a, Register b) { return wasm_i16x8_narrow_i32x4(a, b); }
inline Register interleave_low(Register a, Register b) {
  return wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
inline Register interleave_high(Register a, Register b) {
  return wasm_i16x8_shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
inline Ints activate(Ints v, Ints positive, Ints negative) {
  const v128_t halves = (v128_t)v, above = wasm_i16x8_gt(halves, wasm_i16x8_const_splat(0));
  // As factors are small, it saturates nothing.
  return (Ints)wasm_i16x8_q15mulr_sat(halves, wasm_v128_bitselect((v128_t)positive, (v128_t)negative, above));
}

#else

inline Ints low_half(Ints v) { return v << 16 >> 16; }
inline Ints high_half(Ints v) { return v >> 16; }
inline Ints dot(Ints sum, Ints a, Ints b) { return sum + low_half(a) * low_half(b) + high_half(a) * high_half(b); }
inline Ints saturate(Ints v) {
  const Ints raised = v < -32768 ? Ints{} - 32768 : v;
  return raised > 32767 ? Ints{} + 32767 : raised;
}
inline Ints pack_cells(Ints even, Ints odd) { return (saturate(even) & 0xffff) | saturate(odd) << 16; }
inline Ints scaled(Ints v, Ints positive, Ints negative) { return (v * (v > 0 ? positive : negative) + 16384) >> 15; }
inline Ints activate(Ints v, Ints positive, Ints negative) {
  return (scaled(low_half(v), low_half(positive), low_half(negative)) & 0xffff) |
         scaled(high_half(v), high_half(positive), high_half(negative)) << 16;
}

#endif

#if !defined(__SSE2__) && !defined(__wasm_simd128__)
inline Ints shift(Ints v, const float* bits) { return v >> broadcast_cell(bits); }
#endif

#if !defined(__aarch64__)
typedef Ints Operand;
/// Kept in a register: the compiler would read it from memory anew for every product, where loads are scarce.
inline Operand operand(Ints cells) {
#if defined(__x86_64__)
  __asm__("" : "+v"(cells));
#endif
  return cells;
}
#endif

#if defined(__SSE2__) || defined(__wasm_simd128__)
// Packing and interleaving stay within 128 bits each, and undo each other's order. Two vectors at a time share both.
inline Ints pack_cells(Ints even, Ints odd) {
  return (Ints)interleave_low(pack32((Register)even, (Register)even), pack32((Register)odd, (Register)odd));
}
FSRCNN_INLINE void pack_cells(const Ints* even, const Ints* odd, Ints* cells) {
  const Register evens = pack32((Register)even[0], (Register)even[1]),
                 odds = pack32((Register)odd[0], (Register)odd[1]);
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
  static Operand load(const float* p) { return operand(load_cells(p)); }
  static Ints add(Ints sum, Operand v, const float* w) { return dot(sum, v, broadcast_cell(w)); }
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
