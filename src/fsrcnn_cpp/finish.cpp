#include "finish.h"

namespace fsrcnn {

void Survey::carve(Arena& arena, std::ptrdiff_t width) {
  down_low_ = arena.take(width + 2 * kBicubicReach + 2 * kMaxLanes);
  down_high_ = arena.take(width + 2 * kBicubicReach + 2 * kMaxLanes);
  for (float** rows : {chroma_low_, chroma_high_}) {
    for (int c = 0; c < 2; ++c) rows[c] = arena.take(width + kMaxLanes);
  }
}

void Survey::range(const float* const* rows, std::ptrdiff_t n, float* low, float* high) const {
  const float* first[kWindowRows];
  for (int i = 0; i < kWindowRows; ++i) first[i] = rows[i] - kBicubicReach;
  kernels_.range5(first, first, n + 2 * kBicubicReach, down_low_, down_high_);
  const float *lows[kWindowRows], *highs[kWindowRows];
  for (int i = 0; i < kWindowRows; ++i) lows[i] = down_low_ + i, highs[i] = down_high_ + i;
  kernels_.range5(lows, highs, n, low, high);
}

void Survey::slopes(const float* const* luma, const float* low, const float* high, const float* const* const* chroma,
                    std::ptrdiff_t n, float* const* dst) const {
  for (int c = 0; c < 2; ++c) range(chroma[c], n, chroma_low_[c], chroma_high_[c]);
  constexpr int kFirst = kBicubicReach - 1;  // of the three rows
  kernels_.slope({.luma = luma + kFirst,
                  .chroma = {chroma[0] + kFirst, chroma[1] + kFirst},
                  .luma_lo = low,
                  .luma_hi = high,
                  .chroma_lo = {chroma_low_[0], chroma_low_[1]},
                  .chroma_hi = {chroma_high_[0], chroma_high_[1]},
                  .n = n,
                  .dst = {dst[0], dst[1]}});
}

}  // namespace fsrcnn
