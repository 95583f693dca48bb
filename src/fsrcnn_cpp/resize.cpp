#include "resize.h"

#include <algorithm>
#include <cmath>

#include "common.h"

namespace fsrcnn {

void AxisFilter::make(std::ptrdiff_t src, std::ptrdiff_t dst, double src_length, double dst_length, double siting) {
  if (src == src_ && dst == dst_ && src_length == src_length_ && dst_length == dst_length_ && siting == siting_) return;
  src_ = src, dst_ = dst, src_length_ = src_length, dst_length_ = dst_length, siting_ = siting;
  const double stretch = std::max(1.0, src_length / dst_length);
  const int all_taps = static_cast<int>(std::ceil(4 * stretch));
  taps = static_cast<int>(std::min<std::ptrdiff_t>(all_taps, src));
  first.resize(static_cast<std::size_t>(dst));
  weights.assign(static_cast<std::size_t>(dst * taps), 0.0f);
  double sums[kMaxTaps];
  for (std::ptrdiff_t i = 0; i < dst; ++i) {
    const double centre = (static_cast<double>(i) + siting) * src_length / dst_length - siting;
    const std::ptrdiff_t begin = static_cast<std::ptrdiff_t>(std::floor(centre - 2 * stretch)) + 1;
    const std::ptrdiff_t start = std::clamp<std::ptrdiff_t>(begin, 0, src - taps);
    std::fill(sums, sums + taps, 0.0);
    double total = 0;
    for (int t = 0; t < all_taps; ++t) {
      const double weight = keys((centre - static_cast<double>(begin + t)) / stretch);
      sums[std::clamp<std::ptrdiff_t>(begin + t, 0, src - 1) - start] += weight;
      total += weight;
    }
    first[static_cast<std::size_t>(i)] = start;
    for (int t = 0; t < taps; ++t)
      weights[static_cast<std::size_t>(i * taps + t)] = static_cast<float>(sums[t] / total);
  }
}

void ResizeSink::carve(Arena& arena, std::ptrdiff_t width, std::ptrdiff_t down_width, std::ptrdiff_t extra_width) {
  // Rows that are read side by side: an odd number of cache lines between them spreads them over the cache.
  const auto stride = [](std::ptrdiff_t floats) {
    return (ceil_div(floats + kMaxLanes, kCacheLineFloats) | 1) * kCacheLineFloats;
  };
  down_stride_ = stride(std::max(down_width, extra_width));
  along_stride_ = stride(width);
  extra_stride_ = stride(extra_width);
  source_.carve(arena, extra_width);
  extra_rows_ = arena.take(filters_.extra_y.taps * src_.extras() * extra_stride_);
  down_ = arena.take(planes() * kResampleRows * down_stride_);
  along_ = arena.take(planes() * kResampleRows * along_stride_);
  scratchpad_ = arena.take(resample_scratchpad(std::max(filters_.down_x.taps, filters_.extra_x.taps)));
}

void ResizeSink::begin(const Tile& tile) {
  tile_ = tile;
  y_ = tile.y0;
  waiting_ = 0;
  if (src_.extras() > 0) next_extra_ = filters_.extra_y.first_of(tile.y0);
}

void ResizeSink::load_extras_until(std::ptrdiff_t end) {
  const std::ptrdiff_t x = filters_.extra_x.first_of(tile_.x0);
  for (; next_extra_ < end; ++next_extra_) {
    float* const rows = extra_rows_ + next_extra_ % filters_.extra_y.taps * src_.extras() * extra_stride_;
    source_.load_extras(next_extra_, x, filters_.extra_x.end(tile_.x1 - 1) - x, rows, extra_stride_);
  }
}

void ResizeSink::add(const float* const* luma) {
  const std::ptrdiff_t y = y_ + waiting_;
  const AxisFilter& down = filters_.down_y;
  const std::ptrdiff_t luma_width = filters_.down_x.end(tile_.x1 - 1) - filters_.down_x.first_of(tile_.x0);
  kernels_.blend(luma, down.weights_of(y), down.taps, luma_width, row(down_, down_stride_, 0, waiting_));
  if (src_.extras() > 0) {
    const AxisFilter& extra = filters_.extra_y;
    const std::ptrdiff_t width = filters_.extra_x.end(tile_.x1 - 1) - filters_.extra_x.first_of(tile_.x0);
    load_extras_until(extra.end(y));
    for (int e = 0; e < src_.extras(); ++e) {
      const float* taps[kMaxTaps];
      for (int t = 0; t < extra.taps; ++t) {
        taps[t] = extra_rows_ + ((extra.first_of(y) + t) % extra.taps * src_.extras() + e) * extra_stride_;
      }
      kernels_.blend(taps, extra.weights_of(y), extra.taps, width, row(down_, down_stride_, 1 + e, waiting_));
    }
  }
  if (++waiting_ == kResampleRows) finish();
}

void ResizeSink::finish() {
  if (waiting_ == 0) return;
  const std::ptrdiff_t width = tile_.x1 - tile_.x0;
  for (int plane = 0; plane < planes(); ++plane) {
    const AxisFilter& filter = plane == 0 ? filters_.down_x : filters_.extra_x;
    const float* src_rows[kResampleRows];
    float* dst_rows[kResampleRows];
    for (int r = 0; r < kResampleRows; ++r) {
      src_rows[r] = row(down_, down_stride_, plane, std::min(r, waiting_ - 1));
      dst_rows[r] = row(along_, along_stride_, plane, r);
    }
    kernels_.resample({src_rows, filter.first_of(tile_.x0), filter.first.data() + tile_.x0, filter.weights_of(tile_.x0),
                       filter.taps, width, dst_rows, scratchpad_});
  }
  for (int r = 0; r < waiting_; ++r) {
    const float* rows[4];
    for (int plane = 0; plane < planes(); ++plane) rows[plane] = row(along_, along_stride_, plane, r);
    if (dst_.has_colour()) {
      kernels_.ycbcr_to_rgb(row(along_, along_stride_, 0, r), row(along_, along_stride_, 1, r),
                            row(along_, along_stride_, 2, r), width);
    }
    kernels_.store[static_cast<int>(dst_.type)]({rows, 1, planes(), width,
                                                 dst_.row(y_ + r) + tile_.x0 * dst_.pixel_stride, dst_.pixel_stride,
                                                 dst_.channel_stride, dst_.range});
  }
  y_ += waiting_;
  waiting_ = 0;
}

}  // namespace fsrcnn
