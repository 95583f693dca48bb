// Pixel I/O: plain loops that the compiler vectorises for the ISA this file is compiled for.
#pragma once

#include "kernels.h"

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
constexpr float kFullScale = sizeof(T) == 1 ? 255.0f : sizeof(T) == 2 ? 65535.0f : 1.0f;

template <typename T>
T read_sample(const unsigned char* p) {
  T value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

template <typename T>
T quantise(float value) {
  if constexpr (sizeof(T) == 4) {
    return value;
  } else {
    float v = value * kFullScale<T> + 0.5f;
    v = v > 0.0f ? v : 0.0f;
    v = v < kFullScale<T> ? v : kFullScale<T>;
    return static_cast<T>(static_cast<int>(v));
  }
}

template <typename T>
void load_samples(const unsigned char* src, ptrdiff_t pixel_stride, ptrdiff_t n, float* dst) {
  // A division, not a product with a rounded reciprocal: full scale must load as exactly 1.
  if (pixel_stride == static_cast<ptrdiff_t>(sizeof(T))) {
    for (ptrdiff_t x = 0; x < n; ++x) dst[x] = static_cast<float>(read_sample<T>(src + x * static_cast<ptrdiff_t>(sizeof(T)))) / kFullScale<T>;
  } else {
    for (ptrdiff_t x = 0; x < n; ++x) dst[x] = static_cast<float>(read_sample<T>(src + x * pixel_stride)) / kFullScale<T>;
  }
}

// Quantises a stretch of each plane (vectorised) and then interleaves it (scalar stores into a cached line).
template <typename T>
void store_samples(const StoreArgs& args) {
  constexpr ptrdiff_t kStretch = 64;
  T staged[kStretch];
  for (ptrdiff_t x0 = 0; x0 < args.width; x0 += kStretch) {
    const ptrdiff_t n = args.width - x0 < kStretch ? args.width - x0 : kStretch;
    for (int phase = 0; phase < args.phases; ++phase) {
      for (int c = 0; c < args.channels; ++c) {
        const float* plane = args.planes[phase * args.channels + c] + x0;
        for (ptrdiff_t x = 0; x < n; ++x) staged[x] = quantise<T>(plane[x]);
        unsigned char* dst = args.dst + (x0 * args.phases + phase) * args.pixel_stride + c * args.channel_stride;
        const ptrdiff_t step = args.phases * args.pixel_stride;
        for (ptrdiff_t x = 0; x < n; ++x) __builtin_memcpy(dst + x * step, &staged[x], sizeof(T));
      }
    }
  }
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
