// Pixel I/O: for the most part plain loops that the compiler vectorises for the ISA this file is compiled for.
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

template <bool First, typename A, typename B>
struct SelectType {
  using type = A;
};
template <typename A, typename B>
struct SelectType<false, A, B> {
  using type = B;
};
template <bool First, typename A, typename B>
using Select = typename SelectType<First, A, B>::type;

template <typename T>
T read_sample(const unsigned char* p) {
  T value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

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

template <typename T>
float from_sample(const unsigned char* src, float full) {
  const float value = static_cast<float>(read_sample<T>(src));
  // A division, not a product with a rounded reciprocal: full scale must load as exactly 1.
  return sizeof(T) == 4 ? value : value / full;
}

template <typename T>
void load_samples(const unsigned char* src, ptrdiff_t pixel_stride, ptrdiff_t n, float full, float* dst) {
  constexpr ptrdiff_t kDense = sizeof(T);
  if (pixel_stride == kDense) {
    for (ptrdiff_t x = 0; x < n; ++x) dst[x] = from_sample<T>(src + x * kDense, full);
  } else {
    for (ptrdiff_t x = 0; x < n; ++x) dst[x] = from_sample<T>(src + x * pixel_stride, full);
  }
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

/// Integers without gaps between them: whole pixels, or all phases of a grey pixel, are packed into one word
/// (vectorised). Words are stored in ascending order, each over the unused bytes of the one before, the last ones byte
/// by byte.
template <typename T>
void store_packed(const StoreArgs& args) {
  using Word = Select<sizeof(T) == 1, uint32_t, uint64_t>;
  constexpr ptrdiff_t kStretch = 64;
  const SampleRange range = args.range;
  const int words = args.channels == 1 ? 1 : args.phases;  // per LR pixel
  const int samples = args.phases * args.channels / words;
  const ptrdiff_t bytes = samples * static_cast<ptrdiff_t>(sizeof(T));
  Word staged[kMaxStride * kStretch];
  unsigned char* dst = args.dst;
  ptrdiff_t left = args.width * words * bytes;
  for (ptrdiff_t x0 = 0; x0 < args.width; x0 += kStretch) {
    const ptrdiff_t n = args.width - x0 < kStretch ? args.width - x0 : kStretch;
    for (int word = 0; word < words; ++word) {
      Word* const to = staged + word * kStretch;
      for (int i = 0; i < samples; ++i) {
        const float* plane = args.planes[word * samples + i] + x0;
        const int shift = i * 8 * static_cast<int>(sizeof(T));
        if (i == 0) {
          for (ptrdiff_t x = 0; x < n; ++x) to[x] = static_cast<Word>(quantise<T>(plane[x], range));
        } else {
          for (ptrdiff_t x = 0; x < n; ++x) to[x] |= static_cast<Word>(quantise<T>(plane[x], range)) << shift;
        }
      }
    }
    for (ptrdiff_t x = 0; x < n; ++x) {
      for (int word = 0; word < words; ++word, dst += bytes, left -= bytes) {
        const Word value = staged[word * kStretch + x];
        if (left >= static_cast<ptrdiff_t>(sizeof(Word))) {
          __builtin_memcpy(dst, &value, sizeof(Word));
        } else {
          __builtin_memcpy(dst, &value, static_cast<size_t>(bytes));
        }
      }
    }
  }
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

void ycbcr_to_rgb(float* y_r, float* cb_g, float* cr_b, ptrdiff_t n) {
  for (ptrdiff_t x = 0; x < n; ++x) {
    const float y = (y_r[x] - kYOffset) * kRgbY;
    const float cb = cb_g[x];
    const float cr = cr_b[x];
    y_r[x] = y + kRCr * cr;
    cb_g[x] = y + kGCb * cb + kGCr * cr;
    cr_b[x] = y + kBCb * cb;
  }
}

void blend4(const float* const* src, const float* weights, ptrdiff_t n, float* dst) {
  const float *a = src[0], *b = src[1], *c = src[2], *d = src[3];
  const float wa = weights[0], wb = weights[1], wc = weights[2], wd = weights[3];
  for (ptrdiff_t x = 0; x < n; ++x) dst[x] = wa * a[x] + wb * b[x] + wc * c[x] + wd * d[x];
}

}  // namespace
}  // namespace fsrcnn
