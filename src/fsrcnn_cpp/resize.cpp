#include "resize.h"

#include <algorithm>

#include "common.h"

namespace fsrcnn {

void ResizeSink::Widths::cover(const Tiling& tiling, const ResizeFilters& filters) {
  for (std::ptrdiff_t strip = 0; strip < tiling.strips(); ++strip) {
    const Range columns = tiling.tile(strip).columns;
    tile = std::max(tile, columns.size());
    down = std::max(down, filters.down_x.reads(columns.begin, columns.end).size());
    if (filters.extra_x.taps == 0) continue;
    extra = std::max(extra, filters.extra_x.reads(columns.begin, columns.end).size());
  }
}

void ResizeSink::carve(Arena& arena, const Widths& widths) {
  // Rows that are read side by side: an odd number of cache lines between them spreads them over the cache.
  const auto stride = [](std::ptrdiff_t floats) {
    return (ceil_div(floats + kMaxLanes, kCacheLineFloats) | 1) * kCacheLineFloats;
  };
  down_stride_ = stride(std::max(widths.down, widths.extra));
  along_stride_ = stride(widths.tile);
  small_stride_ = stride(widths.extra + 2 * kBicubicReach + kMaxLanes);
  source_.carve(arena, widths.extra + 2 * kBicubicReach);
  small_ = arena.take(small_rows() * small_planes() * small_stride_);
  if (finish_.guided) {
    survey_.carve(arena, widths.extra);
    low_ = arena.take(widths.extra + kMaxLanes);
    high_ = arena.take(widths.extra + kMaxLanes);
  }
  down_ = arena.take(planes() * kResampleRows * down_stride_);
  along_ = arena.take(planes() * kResampleRows * along_stride_);
  scratchpad_ = arena.take(resample_scratchpad(std::max(filters_.down_x.taps, filters_.extra_x.taps)));
}

void ResizeSink::begin(const Tile& tile) {
  tile_ = tile;
  y_ = tile.y0;
  waiting_ = 0;
  if (small_planes() == 0) return;
  next_slopes_ = filters_.extra_y.first_of(tile.y0);
  next_small_ = std::max<std::ptrdiff_t>(0, next_slopes_ - kBicubicReach);
}

/// Rows of the source up to, not including, `end`; further down, as far as the slopes of those rows look.
void ResizeSink::load_small_until(std::ptrdiff_t end) {
  for (; next_small_ < std::min(src_.height, end + kBicubicReach); ++next_small_) load_small(next_small_);
  for (; finish_.guided && next_slopes_ < end; ++next_slopes_) find_slopes(next_slopes_);
}

void ResizeSink::load_small(std::ptrdiff_t y) {
  // Counted from the first column that the tile reads: what it reads and what surrounds that, as far as there is a
  // picture, and its edge beyond.
  const std::ptrdiff_t x = filters_.extra_x.first_of(tile_.columns.begin),
                       width = filters_.extra_x.end(tile_.columns.end - 1) - x;
  const std::ptrdiff_t begin = std::max(-x, static_cast<std::ptrdiff_t>(-kBicubicReach));
  const std::ptrdiff_t end = std::min(src_.width - x, width + kBicubicReach);
  if (extras() > 0) source_.load_extras(y, x + begin, end - begin, small_row(y, 0) + begin, small_stride_);
  if (reads_soft()) {
    source_.load_planes(y, x + begin, end - begin, small_row(y, soft_plane()) + begin, small_stride_);
  }
  for (int plane = 0; plane < extras() + soft_planes(); ++plane) {
    float* const row = small_row(y, plane);
    std::fill(row - kBicubicReach, row + begin, row[begin]);
    std::fill(row + end, row + width + kBicubicReach, row[end - 1]);
  }
}

void ResizeSink::find_slopes(std::ptrdiff_t y) {
  const std::ptrdiff_t width = filters_.extra_x.reads(tile_.columns.begin, tile_.columns.end).size();
  const auto window = [&](int plane, const float** rows) {
    for (int i = 0; i < kWindowRows; ++i) {
      rows[i] = small_row(std::clamp<std::ptrdiff_t>(y + i - kBicubicReach, 0, src_.height - 1), plane);
    }
  };
  const float *luma[kWindowRows], *cb[kWindowRows], *cr[kWindowRows];
  window(soft_plane(), luma);
  window(0, cb);
  window(1, cr);
  const float* const* const chroma[] = {cb, cr};
  float* const slopes[] = {small_row(y, slope_plane()), small_row(y, slope_plane() + 1)};
  survey_.range(luma, width, low_, high_);
  survey_.slopes(luma, low_, high_, chroma, width, slopes);
}

void ResizeSink::add(const float* const* made, std::ptrdiff_t stride) {
  const std::ptrdiff_t y = y_ + waiting_;
  const AxisFilter& down = filters_.down_y;
  const std::ptrdiff_t made_width = filters_.down_x.reads(tile_.columns.begin, tile_.columns.end).size();
  for (int plane = 0; plane < made_planes(); ++plane) {
    const float* taps[kMaxTaps];
    for (int t = 0; t < down.taps; ++t) taps[t] = made[t] + plane * stride;
    kernels_.blend(taps, down.weights_of(y), down.taps, made_width, row(down_, down_stride_, plane, waiting_));
  }
  if (small_planes() > 0) {
    const AxisFilter& extra = filters_.extra_y;
    const std::ptrdiff_t width = filters_.extra_x.reads(tile_.columns.begin, tile_.columns.end).size();
    load_small_until(extra.end(y));
    for (int plane = 0; plane < small_planes(); ++plane) {
      const float* taps[kMaxTaps];
      for (int t = 0; t < extra.taps; ++t) taps[t] = small_row(extra.first_of(y) + t, plane);
      kernels_.blend(taps, extra.weights_of(y), extra.taps, width,
                     row(down_, down_stride_, made_planes() + plane, waiting_));
    }
  }
  if (++waiting_ == kResampleRows) finish();
}

void ResizeSink::finish() {
  if (waiting_ == 0) return;
  const std::ptrdiff_t width = tile_.columns.size();
  for (int plane = 0; plane < planes(); ++plane) {
    const AxisFilter& filter = plane < made_planes() ? filters_.down_x : filters_.extra_x;
    const float* src_rows[kResampleRows];
    float* dst_rows[kResampleRows];
    for (int r = 0; r < kResampleRows; ++r) {
      src_rows[r] = row(down_, down_stride_, plane, std::min(r, waiting_ - 1));
      dst_rows[r] = row(along_, along_stride_, plane, r);
    }
    kernels_.resample({.src_rows = src_rows,
                       .origin = filter.first_of(tile_.columns.begin),
                       .first = filter.first.data() + tile_.columns.begin,
                       .weights = filter.weights_of(tile_.columns.begin),
                       .taps = filter.taps,
                       .width = width,
                       .dst_rows = dst_rows,
                       .scratchpad = scratchpad_});
  }
  for (int r = 0; r < waiting_; ++r) {
    const auto filtered = [&](int plane) { return row(along_, along_stride_, plane, r); };
    const auto small = [&](int plane) { return filtered(made_planes() + plane); };
    for (int plane = 0; has_strength() && plane < made_planes(); ++plane) {
      const float* const sources[] = {filtered(plane), small(soft_plane() + plane)};
      const float weights[] = {finish_.strength, 1 - finish_.strength};
      kernels_.blend(sources, weights, 2, width, filtered(plane));
    }
    float* rows[4];
    for (int plane = 0; plane < made_planes(); ++plane) rows[plane] = filtered(plane);
    if (made_planes() > 1) to_samples(kernels_, colour_, dst_.has_colour(), rows, width);
    float** const extra = rows + (dst_.has_colour() ? made_planes() : 1);
    for (int plane = 0; plane < extras(); ++plane) extra[plane] = small(plane);
    if (dst_.has_colour() && made_planes() == 1) {
      ColourArgs colour{rows[0], rows[1], rows[2], width};
      if (finish_.guided) {
        colour.soft = small(soft_plane());
        for (int c = 0; c < 2; ++c) colour.slopes[c] = small(slope_plane() + c);
      }
      kernels_.ycbcr_to_rgb(colour);
    }
    kernels_.store[static_cast<int>(dst_.type)]({.planes = rows,
                                                 .phases = 1,
                                                 .channels = dst_.channels,
                                                 .width = width,
                                                 .dst = dst_.row(y_ + r) + tile_.columns.begin * dst_.pixel_stride,
                                                 .pixel_stride = dst_.pixel_stride,
                                                 .channel_stride = dst_.channel_stride,
                                                 .range = dst_.range});
  }
  y_ += waiting_;
  waiting_ = 0;
}

}  // namespace fsrcnn
