#include "enlarged.h"

#include <algorithm>
#include <cassert>

#include "bicubic.h"
#include "common.h"

namespace fsrcnn {

std::unique_ptr<Phases> make_phases(const PackedNetwork& network) {
  if (network.enlarged) return std::make_unique<Enlarged>();
  return std::make_unique<Stream>();
}

void Enlarged::prepare(const PackedNetwork& network, std::span<const PackedHead* const> heads, std::ptrdiff_t height,
                       std::ptrdiff_t width, std::ptrdiff_t strip_width, int members) {
  assert(heads.size() == 1);
  network_ = &network;
  scale_ = heads.front()->scale;
  stream_.prepare(network, heads, height * scale_, width * scale_, strip_width * scale_, members);
  view_ = {.height = height, .width = width};
  stride_ = spread(strip_width + kMaxLanes);
  const Extent extent = network.extent(scale_);
  rows_.channels = plane_count(network.colour);
  // The network may be so far ahead of what follows it, and at the start so far behind.
  const std::ptrdiff_t ahead = std::max(kBlock, ceil_div(network.plan.span, scale_));
  rows_.rows = extent.before + ahead + extent.after + 2 * kBicubicReach;
  rows_.margin = round_up(extent.before + kBicubicReach, kCacheLineFloats);
  rows_.stride = spread(rows_.margin + strip_width + extent.after + kBicubicReach + kMaxLanes);
  source_stride_ = rows_.stride;
}

void Enlarged::carve(Arena& arena) {
  rows_.carve(arena);
  planes_ = arena.take(kBlock * row_planes() * stride_);
  column_filtered_ = arena.take(rows_.stride + 2 * kBicubicReach);
  for (int i = 0; i < scale_; ++i) phases_[i] = arena.take(rows_.stride);
  merged_ = arena.take(rows_.stride * scale_);
  stream_.carve(arena);
}

void Enlarged::begin(const Tile& tile, Rows& source, Team& team) {
  view_.columns = tile.columns;
  source_ = &source;
  next_row_ = std::max<std::ptrdiff_t>(0, tile.y0 - network_->extent(scale_).before);
  stream_.begin({{tile.columns.begin * scale_, tile.columns.end * scale_}, tile.y0 * scale_, tile.y1 * scale_}, *this,
                team);
}

const float* Enlarged::source_row(std::ptrdiff_t y) {
  const Extent extent = network_->extent(scale_);
  const Range range = view_.around(extent.before, extent.after);
  for (; next_row_ <= y; ++next_row_) {
    float* const row = rows_.row(next_row_);
    source_->read(next_row_, range, row + view_.offset(range.begin), rows_.stride);
    for (std::ptrdiff_t p = 0; p < rows_.channels; ++p) {
      view_.mirror(row + p * rows_.stride, range, kBicubicReach);
    }
  }
  assert(y > next_row_ - 1 - rows_.rows);
  return rows_.row(y);
}

void Enlarged::read(std::ptrdiff_t y, Range range, float* dst, std::ptrdiff_t stride) {
  const std::ptrdiff_t middle = y / scale_, first = range.begin / scale_, n = ceil_div(range.end, scale_) - first;
  source_row(std::min(view_.height - 1, middle + kBicubicReach));
  for (std::ptrdiff_t p = 0; p < rows_.channels; ++p) {
    const float* rows[kWindowRows];
    for (int i = 0; i < kWindowRows; ++i) {
      rows[i] = source_row(mirrored(middle + i - kBicubicReach, view_.height)) + p * rows_.stride + view_.offset(first);
    }
    enlarge_row(network_->kernels, rows, centred(scale_), static_cast<int>(y % scale_), n, column_filtered_, phases_);
    merge_phases(network_->kernels, phases_, scale_, n, merged_);
    const float* const from = merged_ + range.begin - first * scale_;
    std::copy(from, from + range.size(), dst + p * stride);
  }
}

void Enlarged::run_head(const PackedHead& head, std::ptrdiff_t y) {
  const std::ptrdiff_t begin = y * scale_, end = std::min(view_.height, y + kBlock) * scale_;
  const std::ptrdiff_t width = view_.columns.size();
  for (std::ptrdiff_t block = begin; block < end; block += kBlock) {
    stream_.advance(block);
    stream_.run_head(head, block);
    for (std::ptrdiff_t large = block; large < std::min(end, block + kBlock); ++large) {
      for (std::ptrdiff_t p = 0; p < rows_.channels; ++p) {
        const float* const from = stream_.planes(head, large - block) + p * stream_.stride();
        float* const to = planes(head, large / scale_ - y) + (p * scale_ + large % scale_) * scale_ * stride_;
        for (int phase = 0; phase < scale_; ++phase) {
          float* const plane = to + phase * stride_;
          for (std::ptrdiff_t x = 0; x < width; ++x) plane[x] = from[x * scale_ + phase];
        }
      }
    }
  }
}

}  // namespace fsrcnn
