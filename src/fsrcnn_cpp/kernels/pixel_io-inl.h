// Pixel I/O: integers without gaps by shuffles of bytes; the rest by plain loops that the compiler vectorises for the
// ISA this file is compiled for.
#pragma once

#include "kernels.h"
#include "simd-inl.h"

namespace fsrcnn {
namespace {

// ITU-R BT.601 with 8-bit studio swing, as MATLAB's rgb2ycbcr prints it; everything divided by 255.
constexpr float kYr = 65.481f / 255, kYg = 128.553f / 255, kYb = 24.966f / 255, kYOffset = 16.0f / 255;
constexpr float kCbR = -37.797f / 255, kCbG = -74.203f / 255, kCbB = 112.0f / 255;
constexpr float kCrR = 112.0f / 255, kCrG = -93.786f / 255, kCrB = -18.214f / 255;
// The exact inverse of the matrix above.
constexpr float kRgbY = 255.0f / 219;
constexpr float kRCr = 1.5960267f, kGCb = -0.3917623f, kGCr = -0.8129676f, kBCb = 2.0172321f;

template <typename T>
T read_sample(const unsigned char* p) {
  T value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

template <typename T>
FSRCNN_INLINE void write_sample(unsigned char* p, T value) {
  __builtin_memcpy(p, &value, sizeof value);
}

// ---- samples as vectors of words ------------------------------------------------------------------------------------

typedef int32_t Words __attribute__((vector_size(kLanes * sizeof(int32_t))));
typedef uint32_t UnsignedWords __attribute__((vector_size(kLanes * sizeof(uint32_t))));
typedef uint64_t WordPairs __attribute__((vector_size(kLanes * sizeof(uint32_t))));
typedef uint8_t Bytes __attribute__((vector_size(kLanes * sizeof(uint32_t))));
template <typename T>
struct NarrowLanes {
  typedef T type __attribute__((vector_size(kLanes * sizeof(T))));
};
template <typename T>
using Narrow = typename NarrowLanes<T>::type;  // a sample for each lane

// Few bytes become words, and words few bytes. Bytes move within sixteen and words anywhere: both steps are one
// instruction each, but for SSE2, which has no shuffle of bytes.
#if defined(__SSSE3__) || defined(__aarch64__)

template <int Stride, int... I>
FSRCNN_INLINE Words part_words(Words v, Lanes<I...>) {
  return __builtin_shufflevector(v, v, (I % 4 < Stride ? I / 4 * Stride + I % 4 : -1)...);
}
// No byte is left open (-1): to Clang, of a word with such a byte all others are as open.
template <int Stride, int... I>
FSRCNN_INLINE Bytes part_bytes(Bytes v, Lanes<I...>) {
  return __builtin_shufflevector(v, v, (I / 16 * 16 + I % 16 / 4 * Stride + (I % 4 < Stride ? I % 4 : 0))...);
}
template <int... I>
FSRCNN_INLINE Words join_words(Words v, Lanes<I...>) {
  return __builtin_shufflevector(v, v, (I < kLanes / 4 * 3 ? I / 3 * 4 + I % 3 : -1)...);
}
template <int Group, int... I>
FSRCNN_INLINE Bytes join_bytes(Bytes v, Lanes<I...>) {
  constexpr int kKept = Group / 4 * 3;
  return __builtin_shufflevector(v, v, (I % 16 < 12 ? I / 16 * 16 + I % 16 / kKept * Group + I % 16 % kKept : -1)...);
}

/// A word for each of what starts every `Stride` bytes; of what is shorter, its other bytes may be anything.
template <int Stride>
FSRCNN_INLINE Words widen(const unsigned char* src) {
  Words v = read_sample<Words>(src);
  if constexpr (Stride == 4) return v;
  if constexpr (kLanes > 4) v = part_words<Stride>(v, FirstLanes<kLanes>::type{});
  return (Words)part_bytes<Stride>((Bytes)v, FirstLanes<4 * kLanes>::type{});
}

/// Of every `Group` bytes, four or eight, the first three quarters, joined. Behind them is anything.
template <int Group>
FSRCNN_INLINE Words join_quarters(Words v) {
  v = (Words)join_bytes<Group>((Bytes)v, FirstLanes<4 * kLanes>::type{});
  if constexpr (kLanes > 4) v = join_words(v, FirstLanes<kLanes>::type{});
  return v;
}

#else

static_assert(kLanes == 4);

template <int Count, int... I>
FSRCNN_INLINE Bytes shift_bytes(Bytes v, Lanes<I...>) {
  return __builtin_shufflevector(v, Bytes{}, (I + Count)...);
}
template <int Unit, int... I>
FSRCNN_INLINE Bytes interleave_zeros(Bytes v, Lanes<I...>) {
  return __builtin_shufflevector(v, Bytes{}, (I / Unit / 2 * Unit + I % Unit + I / Unit % 2 * 16)...);
}

template <int Stride>
FSRCNN_INLINE Words widen(const unsigned char* src) {
  constexpr typename FirstLanes<16>::type kAll{};
  const Words v = read_sample<Words>(src);
  if constexpr (Stride == 4) return v;
  if constexpr (Stride == 1) return (Words)interleave_zeros<2>(interleave_zeros<1>((Bytes)v, kAll), kAll);
  if constexpr (Stride == 2) return (Words)interleave_zeros<2>((Bytes)v, kAll);
  const WordPairs pairs = {read_sample<uint64_t>(src), read_sample<uint64_t>(src + 6)};
  return (Words)((pairs & 0xffffff) | (pairs << 8 & 0xffffff00000000));
}

template <int Group>
FSRCNN_INLINE Words join_quarters(Words v) {
  WordPairs pairs = (WordPairs)v;
  if constexpr (Group == 4) pairs = (pairs & 0xffffff) | (pairs >> 8 & 0xffffff000000);
  const WordPairs low = {~uint64_t{0}, 0}, behind = {0xffffull << 48, ~uint64_t{0}};
  return (Words)((pairs & low) | ((WordPairs)shift_bytes<2>((Bytes)pairs, FirstLanes<16>::type{}) & behind));
}

#endif

// ---- loads ----------------------------------------------------------------------------------------------------------

template <typename T>
float from_sample(const unsigned char* src, float full) {
  const float value = static_cast<float>(read_sample<T>(src));
  // A division, not a product with a rounded reciprocal: full scale must load as exactly 1.
  return sizeof(T) == 4 ? value : value / full;
}

/// Integers over `full`, as a division rounds them. Of 8 bits, the reciprocal is the sum of two floats: products with
/// the first are exact, and what is wrong with those of the second is far less than what any such quotient lacks to a
/// tie.
template <typename T>
struct OverFull {
  float full, reciprocal, rest;

  explicit OverFull(float full) : full(full), reciprocal(1 / full) {
    uint32_t bits;
    __builtin_memcpy(&bits, &reciprocal, sizeof bits);
    bits &= ~0xffu;  // 16 bits are left
    __builtin_memcpy(&reciprocal, &bits, sizeof bits);
    rest = (1 - reciprocal * full) / full;
  }
  FSRCNN_INLINE Vec operator()(Words samples) const {
    const Vec value = __builtin_convertvector(samples, Vec);
    return sizeof(T) == 1 ? value * reciprocal + value * rest : value / full;
  }
};

/// Samples that start every `Stride` bytes.
template <typename T, int Stride>
void load_every(const unsigned char* src, ptrdiff_t n, float full, float* dst) {
  constexpr ptrdiff_t kReads = sizeof(Words);
  constexpr int kMost = (1 << 8 * sizeof(T)) - 1;
  const OverFull<T> over_full(full);
  ptrdiff_t left = (n - 1) * Stride + static_cast<ptrdiff_t>(sizeof(T));
  unsigned char last[2 * kReads] = {};  // that are left of the source, with room to read behind them
  for (ptrdiff_t x = 0; x < n; x += kLanes, src += kLanes * Stride, left -= kLanes * Stride) {
    if (left < kReads) {
      __builtin_memcpy(last, src, static_cast<size_t>(left));
      src = last;
      left = sizeof last;
    }
    store(dst + x, over_full(widen<Stride>(src) & kMost));
  }
}

template <typename T>
void load_samples(const unsigned char* src, ptrdiff_t pixel_stride, ptrdiff_t n, float full, float* dst) {
  constexpr ptrdiff_t kDense = sizeof(T);
  if constexpr (kDense == 1) {
    if (pixel_stride == 1) return load_every<T, 1>(src, n, full, dst);
    if (pixel_stride == 3) return load_every<T, 3>(src, n, full, dst);
  }
  if constexpr (kDense < 4) {
    if (pixel_stride == 2) return load_every<T, 2>(src, n, full, dst);
    if (pixel_stride == 4) return load_every<T, 4>(src, n, full, dst);
  }
  if (pixel_stride == kDense) {
    for (ptrdiff_t x = 0; x < n; ++x) dst[x] = from_sample<T>(src + x * kDense, full);
  } else {
    for (ptrdiff_t x = 0; x < n; ++x) dst[x] = from_sample<T>(src + x * pixel_stride, full);
  }
}

// ---- stores ---------------------------------------------------------------------------------------------------------

template <typename T>
T quantise(float value, SampleRange range) {
  if constexpr (sizeof(T) == 4) {
    return value;
  } else {
    float v = value * range.full + 0.5f;
    v = v > 0.0f ? v : 0.0f;
    v = v < range.max ? v : range.max;
    return static_cast<T>(static_cast<int>(v));
  }
}

/// The same of vectors.
FSRCNN_INLINE UnsignedWords quantise(Vec value, Vec full, Vec zero, Vec most) {
  const Vec v = value * full + 0.5f;
  const Vec raised = v > zero ? v : zero;
  return (UnsignedWords) __builtin_convertvector(raised < most ? raised : most, Words);
}

/// Any strides: quantises a stretch of each plane (vectorised), then scatters it.
template <typename T>
void store_strided(const StoreArgs& args) {
  constexpr ptrdiff_t kStretch = 64;
  const SampleRange range = args.range;
  T staged[kStretch];
  for (ptrdiff_t x0 = 0; x0 < args.width; x0 += kStretch) {
    const ptrdiff_t n = args.width - x0 < kStretch ? args.width - x0 : kStretch;
    for (int phase = 0; phase < args.phases; ++phase) {
      for (int c = 0; c < args.channels; ++c) {
        const float* plane = args.planes[phase * args.channels + c] + x0;
        for (ptrdiff_t x = 0; x < n; ++x) staged[x] = quantise<T>(plane[x], range);
        unsigned char* dst = args.dst + (x0 * args.phases + phase) * args.pixel_stride + c * args.channel_stride;
        const ptrdiff_t step = args.phases * args.pixel_stride;
        for (ptrdiff_t x = 0; x < n; ++x) __builtin_memcpy(dst + x * step, &staged[x], sizeof(T));
      }
    }
  }
}

/// Integers without gaps between them. `Count` planes give groups of bytes, in a word or two for each column: all
/// channels of a pixel, or all phases of a grey one. Groups of `Phases` pixels are merged, and what each leaves of its
/// words is closed up. Vectors overlap where they are stored.
template <typename T, int Count, int Phases>
void store_groups(const StoreArgs& args) {
  constexpr int kGroup = Count * sizeof(T), kWords = (kGroup + 3) / 4, kInWord = 4 / sizeof(T);
  constexpr ptrdiff_t kUsed = kLanes * kGroup / kWords, kStep = kUsed * kWords * Phases;  // bytes of a vector, of all
  constexpr ptrdiff_t kWritten = kStep + (kGroup % 3 == 0 ? static_cast<ptrdiff_t>(sizeof(Words)) - kUsed : 0);
  const float* planes[Phases][Count];
  for (int i = 0; i < Phases * Count; ++i) planes[i / Count][i % Count] = args.planes[i];
  const Vec full = broadcast(args.range.full), most = broadcast(args.range.max), zero = hidden(0);
  const ptrdiff_t width = args.width;
  unsigned char* dst = args.dst;
  unsigned char last[kWritten];
  for (ptrdiff_t x = 0; x < width; x += kLanes, dst += kStep) {
    Vec groups[kWords][Phases];  // words as floats, as whose lanes they are merged
    FSRCNN_UNROLL
    for (int phase = 0; phase < Phases; ++phase) {
      UnsignedWords words[kWords] = {};
      FSRCNN_UNROLL
      for (int i = 0; i < Count; ++i) {
        words[i / kInWord] |= quantise(load(planes[phase][i] + x), full, zero, most) << (i % kInWord * 8 * sizeof(T));
      }
      if constexpr (kWords == 1) {
        groups[0][phase] = (Vec)words[0];
      } else {
        groups[0][phase] = shuffle<Interleave<0>>((Vec)words[0], (Vec)words[1]);
        groups[1][phase] = shuffle<Interleave<1>>((Vec)words[0], (Vec)words[1]);
      }
    }
    const ptrdiff_t left = (width - x) * (kGroup * Phases);
    unsigned char* to = left >= kWritten ? dst : last;
    FSRCNN_UNROLL
    for (int w = 0; w < kWords; ++w) {
      Vec merged[Phases];
      interleave<Phases, kWords>(groups[w], merged);
      FSRCNN_UNROLL
      for (int i = 0; i < Phases; ++i, to += kUsed) {
        const Words words = (Words)merged[i];
        if constexpr (kGroup == 1) {
          write_sample(to, __builtin_convertvector(words, Narrow<uint8_t>));
        } else if constexpr (kGroup == 2) {
          write_sample(to, __builtin_convertvector(words, Narrow<uint16_t>));
        } else if constexpr (kGroup % 3 == 0) {
          write_sample(to, join_quarters<4 * kWords>(words));
        } else {
          write_sample(to, words);
        }
      }
    }
    if (left < kWritten) __builtin_memcpy(dst, last, static_cast<size_t>(left < kStep ? left : kStep));
  }
}

template <typename T>
void store_packed(const StoreArgs& args) {
  // What is grey has one group, of its phases.
  const int count = args.channels == 1 ? args.phases : args.channels, phases = args.channels == 1 ? 1 : args.phases;
  constexpr void (*kStores[][kMaxStride])(const StoreArgs&) = {
      {store_groups<T, 1, 1>},
      {store_groups<T, 2, 1>, store_groups<T, 2, 2>, store_groups<T, 2, 3>, store_groups<T, 2, 4>},
      {store_groups<T, 3, 1>, store_groups<T, 3, 2>, store_groups<T, 3, 3>, store_groups<T, 3, 4>},
      {store_groups<T, 4, 1>, store_groups<T, 4, 2>, store_groups<T, 4, 3>, store_groups<T, 4, 4>}};
  kStores[count - 1][phases - 1](args);
}

/// A float plane: phases merged in registers.
template <int N>
void store_merged(const StoreArgs& args) {
  float* dst = reinterpret_cast<float*>(args.dst);
  ptrdiff_t x = 0;
  for (; x + kLanes <= args.width; x += kLanes) {
    Vec v[N];
    FSRCNN_UNROLL
    for (int i = 0; i < N; ++i) v[i] = load(args.planes[i] + x);
    store_interleaved<N>(dst + x * N, v);
  }
  for (; x < args.width; ++x) {
    for (int i = 0; i < N; ++i) __builtin_memcpy(dst + x * N + i, args.planes[i] + x, sizeof(float));
  }
}

template <typename T>
void store_samples(const StoreArgs& args) {
  const bool dense = args.pixel_stride == args.channels * static_cast<ptrdiff_t>(sizeof(T)) &&
                     (args.channels == 1 || args.channel_stride == static_cast<ptrdiff_t>(sizeof(T)));
  if constexpr (sizeof(T) < 4) {
    return dense ? store_packed<T>(args) : store_strided<T>(args);
  } else if (dense && args.channels == 1) {
    switch (args.phases) {
      case 1: return store_merged<1>(args);
      case 2: return store_merged<2>(args);
      case 3: return store_merged<3>(args);
      case 4: return store_merged<4>(args);
    }
  }
  store_strided<T>(args);
}

void rgb_to_y(const float* r, const float* g, const float* b, ptrdiff_t n, float* y) {
  for (ptrdiff_t x = 0; x < n; ++x) y[x] = kYOffset + kYr * r[x] + kYg * g[x] + kYb * b[x];
}

void rgb_to_cbcr(const float* r, const float* g, const float* b, ptrdiff_t n, float* cb, float* cr) {
  for (ptrdiff_t x = 0; x < n; ++x) {
    cb[x] = kCbR * r[x] + kCbG * g[x] + kCbB * b[x];
    cr[x] = kCrR * r[x] + kCrG * g[x] + kCrB * b[x];
  }
}

template <bool Guided>
FSRCNN_INLINE void ycbcr_to_rgb(const ColourArgs& args) {
  float *y_r = args.y_r, *cb_g = args.cb_g, *cr_b = args.cr_b;
  const float *soft = args.soft, *cb_slope = args.slopes[0], *cr_slope = args.slopes[1];
  const ptrdiff_t n = args.n;
  for (ptrdiff_t x = 0; x < n; x += kLanes) {
    const Vec luma = load(y_r + x);
    Vec cb = load(cb_g + x), cr = load(cr_b + x);
    if constexpr (Guided) {
      const Vec gain = luma - load(soft + x);
      cb += load(cb_slope + x) * gain;
      cr += load(cr_slope + x) * gain;
    }
    const Vec y = (luma - kYOffset) * kRgbY;
    store(y_r + x, y + kRCr * cr);
    store(cb_g + x, y + kGCb * cb + kGCr * cr);
    store(cr_b + x, y + kBCb * cb);
  }
}

void ycbcr_to_rgb(const ColourArgs& args) { return args.soft ? ycbcr_to_rgb<true>(args) : ycbcr_to_rgb<false>(args); }

void blend4(const float* const* src, const float* weights, ptrdiff_t n, float* dst) {
  const float *a = src[0], *b = src[1], *c = src[2], *d = src[3];
  const float wa = weights[0], wb = weights[1], wc = weights[2], wd = weights[3];
  for (ptrdiff_t x = 0; x < n; ++x) dst[x] = wa * a[x] + wb * b[x] + wc * c[x] + wd * d[x];
}

}  // namespace
}  // namespace fsrcnn
