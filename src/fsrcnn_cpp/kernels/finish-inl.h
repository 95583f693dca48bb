// What follows the network: the range of the pixels around, the clamp to it, and how chroma goes with luma.
#pragma once

#include "kernels.h"
#include "simd-inl.h"

namespace fsrcnn {
namespace {

// NaN in either gives `b`.
FSRCNN_INLINE Vec smaller(Vec a, Vec b) { return a < b ? a : b; }
FSRCNN_INLINE Vec larger(Vec a, Vec b) { return a > b ? a : b; }

void range5(const float* const* low, const float* const* high, ptrdiff_t n, float* lo, float* hi) {
  const float *l0 = low[0], *l1 = low[1], *l2 = low[2], *l3 = low[3], *l4 = low[4];
  const float *h0 = high[0], *h1 = high[1], *h2 = high[2], *h3 = high[3], *h4 = high[4];
  const Vec infinity = hidden(__builtin_inff()), least = -infinity;
  for (ptrdiff_t x = 0; x < n; x += kLanes) {
    const Vec smallest = smaller(load(l0 + x), smaller(load(l1 + x), smaller(load(l2 + x), infinity)));
    const Vec largest = larger(load(h0 + x), larger(load(h1 + x), larger(load(h2 + x), least)));
    store(lo + x, smaller(load(l4 + x), smaller(load(l3 + x), smallest)));
    store(hi + x, larger(load(h4 + x), larger(load(h3 + x), largest)));
  }
}

void clamp(const ClampArgs& args) {
  const float *lo = args.lo, *hi = args.hi;
  const Vec part = broadcast(args.part), slack = broadcast(args.slack);
  const ptrdiff_t n = args.n, stride = args.stride;
  const int count = args.count;
  for (ptrdiff_t x = 0; x < n; x += kLanes) {
    const Vec low = load(lo + x), high = load(hi + x);
    const Vec margin = part * (high - low) + slack;
    const Vec least = low - margin, most = high + margin;
    float* value = args.planes + x;
    for (int i = 0; i < count; ++i, value += stride) {
      const Vec v = load(value);
      const Vec raised = v < least ? least : v;
      store(value, raised > most ? most : raised);
    }
  }
}

void slope(const SlopeArgs& args) {
  constexpr float kNinth = 1.0f / 9;
  const Vec zero = hidden(0), one = hidden(1);
  const float *luma[3], *chroma[2][3];
  for (int j = 0; j < 3; ++j)
    luma[j] = args.luma[j], chroma[0][j] = args.chroma[0][j], chroma[1][j] = args.chroma[1][j];
  const float *luma_lo = args.luma_lo, *luma_hi = args.luma_hi;
  const ptrdiff_t n = args.n;
  for (ptrdiff_t x = 0; x < n; x += kLanes) {
    // Differences to the pixel itself: sums of squares then cancel little. The pixel's own would add nothing.
    const Vec y = load(luma[1] + x), c[2] = {load(chroma[0][1] + x), load(chroma[1][1] + x)};
    Vec sum_y{}, sum_yy{}, sum_c[2] = {}, sum_cc[2] = {}, sum_yc[2] = {};
    FSRCNN_UNROLL
    for (int k = 0; k < 9; ++k) {
      if (k == 4) continue;
      const ptrdiff_t at = x + k % 3 - 1;
      const Vec dy = load(luma[k / 3] + at) - y;
      sum_y += dy;
      sum_yy += dy * dy;
      FSRCNN_UNROLL
      for (int i = 0; i < 2; ++i) {
        const Vec dc = load(chroma[i][k / 3] + at) - c[i];
        sum_c[i] += dc;
        sum_cc[i] += dc * dc;
        sum_yc[i] += dy * dc;
      }
    }
    const Vec mean_y = sum_y * kNinth;
    const Vec variance_y = sum_yy * kNinth - mean_y * mean_y;
    const Vec spread_y = larger(zero, variance_y);
    const Vec range_y = load(luma_hi + x) - load(luma_lo + x) + kSlopeSlack;
    FSRCNN_UNROLL
    for (int i = 0; i < 2; ++i) {
      const Vec mean_c = sum_c[i] * kNinth;
      const Vec variance_c = sum_cc[i] * kNinth - mean_c * mean_c;
      const Vec covariance = sum_yc[i] * kNinth - mean_y * mean_c;
      const Vec spread_c = larger(zero, variance_c);
      const Vec fit = smaller(one, covariance * covariance / (spread_y * spread_c + kSlopeTiny));
      const Vec steep = covariance / (spread_y + kSlopeNoise) * (fit * fit);
      const Vec limit = (load(args.chroma_hi[i] + x) - load(args.chroma_lo[i] + x)) / range_y;
      const Vec bounded = steep > limit ? limit : steep;
      store(args.dst[i] + x, bounded < -limit ? -limit : bounded);
    }
  }
}

}  // namespace
}  // namespace fsrcnn
