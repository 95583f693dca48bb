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
  const Vec most = broadcast(__builtin_inff());
  for (ptrdiff_t x = 0; x < n; x += kLanes) {
    const Vec smallest = smaller(load(l0 + x), smaller(load(l1 + x), smaller(load(l2 + x), most)));
    const Vec largest = larger(load(h0 + x), larger(load(h1 + x), larger(load(h2 + x), -most)));
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
  const Vec zero{}, one = broadcast(1);
  const float *luma[3], *chroma[3];
  for (int j = 0; j < 3; ++j) luma[j] = args.luma[j], chroma[j] = args.chroma[j];
  const float *luma_lo = args.luma_lo, *luma_hi = args.luma_hi, *chroma_lo = args.chroma_lo,
              *chroma_hi = args.chroma_hi;
  float* const dst = args.dst;
  const ptrdiff_t n = args.n;
  for (ptrdiff_t x = 0; x < n; x += kLanes) {
    // Differences to the pixel itself: sums of squares then cancel little.
    const Vec y = load(luma[1] + x), c = load(chroma[1] + x);
    Vec sum_y{}, sum_c{}, sum_yy{}, sum_cc{}, sum_yc{};
    FSRCNN_UNROLL
    for (int k = 0; k < 9; ++k) {
      const Vec dy = load(luma[k / 3] + x + k % 3 - 1) - y, dc = load(chroma[k / 3] + x + k % 3 - 1) - c;
      sum_y += dy;
      sum_c += dc;
      sum_yy += dy * dy;
      sum_cc += dc * dc;
      sum_yc += dy * dc;
    }
    const Vec mean_y = sum_y * kNinth, mean_c = sum_c * kNinth;
    const Vec variance_y = sum_yy * kNinth - mean_y * mean_y, variance_c = sum_cc * kNinth - mean_c * mean_c;
    const Vec covariance = sum_yc * kNinth - mean_y * mean_c;
    const Vec spread_y = larger(zero, variance_y), spread_c = larger(zero, variance_c);
    const Vec fit = smaller(one, covariance * covariance / (spread_y * spread_c + kSlopeTiny));
    const Vec steep = covariance / (spread_y + kSlopeNoise) * (fit * fit);
    const Vec limit =
        (load(chroma_hi + x) - load(chroma_lo + x)) / (load(luma_hi + x) - load(luma_lo + x) + kSlopeSlack);
    const Vec bounded = steep > limit ? limit : steep;
    store(dst + x, bounded < -limit ? -limit : bounded);
  }
}

void guide(const float* luma, const float* soft, const float* slope, ptrdiff_t n, float* chroma) {
  for (ptrdiff_t x = 0; x < n; ++x) chroma[x] += slope[x] * (luma[x] - soft[x]);
}

}  // namespace
}  // namespace fsrcnn
