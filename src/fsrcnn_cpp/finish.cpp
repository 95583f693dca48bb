#include "finish.h"

namespace fsrcnn {

void Survey::carve(Arena& arena, std::ptrdiff_t width) {
  down_low_ = arena.take(width + 2 * kBicubicReach + 2 * kMaxLanes);
  down_high_ = arena.take(width + 2 * kBicubicReach + 2 * kMaxLanes);
  chroma_low_ = arena.take(width + kMaxLanes);
  chroma_high_ = arena.take(width + kMaxLanes);
}

void Survey::range(const float* const* rows, std::ptrdiff_t n, float* low, float* high) const {
  const float* first[kWindowRows];
  for (int i = 0; i < kWindowRows; ++i) first[i] = rows[i] - kBicubicReach;
  kernels_.range5(first, first, n + 2 * kBicubicReach, down_low_, down_high_);
  const float *lows[kWindowRows], *highs[kWindowRows];
  for (int i = 0; i < kWindowRows; ++i) lows[i] = down_low_ + i, highs[i] = down_high_ + i;
  kernels_.range5(lows, highs, n, low, high);
}

void Survey::slope(const float* const* luma, const float* low, const float* high, const float* const* chroma,
                   std::ptrdiff_t n, float* dst) const {
  range(chroma, n, chroma_low_, chroma_high_);
  kernels_.slope({luma + kBicubicReach - 1, chroma + kBicubicReach - 1, low, high, chroma_low_, chroma_high_, n, dst});
}

}  // namespace fsrcnn
