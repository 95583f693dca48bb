#include "stream.h"

#include <algorithm>
#include <cassert>

#include "common.h"

namespace fsrcnn {
namespace {

// Columns that a convolution and the pointwise one after it compute at a time.
constexpr std::ptrdiff_t kChunkColumns = kWinogradChunkColumns;
constexpr std::ptrdiff_t kChunkStride = kChunkColumns + kWinogradOverrun;  // an odd number of cache lines

}  // namespace

void gather_rows(std::ptrdiff_t first, int count, std::ptrdiff_t height, Padding padding, int border,
                 std::ptrdiff_t* rows) {
  for (int i = 0; i < count; ++i) {
    const std::ptrdiff_t y = first + i;
    const std::ptrdiff_t nearest = std::clamp<std::ptrdiff_t>(y, 0, height - 1);
    const std::ptrdiff_t distance = y < nearest ? nearest - y : y - nearest;
    const bool inside = padding == Padding::replicate && (border == Head::kFullBorder || distance <= border);
    rows[i] = distance == 0 || inside ? nearest : kZeroRow;
  }
}

void Stream::prepare(const PackedNetwork& network, std::span<const PackedHead* const> heads, std::ptrdiff_t height,
                     std::ptrdiff_t width, std::ptrdiff_t strip_width) {
  network_ = &network;
  heads_.assign(heads.begin(), heads.end());
  reach_ = 0;
  pad_reach_ = 0;
  borders_differ_ = false;
  for (const PackedHead* head : heads_) {
    reach_ = std::max(reach_, head->reach());
    pad_reach_ = std::max(pad_reach_, head->conv.column_reach);
    borders_differ_ |= head->border != heads_.front()->border;
  }
  const Extent& widest = network.plan.rings[0].extent;
  std::ptrdiff_t channels = 1, column_reach = std::max<std::ptrdiff_t>(pad_reach_, kWinogradTile);
  for (const RingPlan& ring : network.plan.rings) {
    channels = std::max<std::ptrdiff_t>(channels, ring.channels);
    column_reach = std::max<std::ptrdiff_t>(column_reach, ring.column_reach);
  }
  view_ = {.height = height,
           .width = width,
           .margin = round_up(widest.before + column_reach, kCacheLineFloats),
           .stride = 0};
  // An odd number of cache lines between channels: a power of two would map all of them to a few cache sets.
  const std::ptrdiff_t floats = view_.margin + strip_width + widest.after + kWinogradOverrun;
  view_.stride = (ceil_div(floats, kCacheLineFloats) | 1) * kCacheLineFloats;
  rings_.resize(network.plan.rings.size());
  const auto zeros = static_cast<std::size_t>(channels * view_.stride);
  if (zeros_.size() < zeros) zeros_ = AlignedBuffer(zeros);
}

void Stream::carve(Arena& arena) {
  const Plan& plan = network_->plan;
  const std::vector<int>& rows = plan.rows(reach_);
  std::ptrdiff_t most_channels = 1, wide_channels = 0, scratchpad = 0, planes = 0;
  for (std::size_t i = 0; i < rings_.size(); ++i) {
    const std::ptrdiff_t channels = plan.rings[i].channels;
    rings_[i].carve(arena, channels, rows[i], view_.stride);
    most_channels = std::max(most_channels, channels);
  }
  for (const PackedConv& conv : network_->convs) scratchpad = std::max(scratchpad, conv.scratchpad);
  for (const Stage& stage : plan.stages) {
    if (stage.pointwise == Stage::kNone) continue;
    wide_channels = std::max<std::ptrdiff_t>(wide_channels, network_->convs[static_cast<std::size_t>(stage.node)].oc);
  }
  for (const PackedHead* head : heads_) {
    planes = std::max<std::ptrdiff_t>(planes, head->conv.oc);
    scratchpad = std::max(scratchpad, head->conv.scratchpad);
  }
  spare_row_ = arena.take(most_channels * view_.stride);
  planes_ = arena.take(kBlock * planes * view_.stride);
  wide_ = arena.take(kBlock * wide_channels * kChunkStride);
  scratchpad_ = arena.take(scratchpad);
}

void Stream::begin(Range columns, std::ptrdiff_t y0, Rows& source) {
  assert(columns.begin % kBlock == 0 && (columns.end % kBlock == 0 || columns.end == view_.width));
  assert(y0 % kBlock == 0);
  view_.columns = columns;
  source_ = &source;
  schedule_.begin(network_->plan, view_.height, y0);
}

void Stream::advance(std::ptrdiff_t y) { until(last_ring(), std::min(view_.height, y + kBlock + reach_)); }

const float* Stream::source_row(std::ptrdiff_t y) {
  until(0, y + 1);
  return ring(0).row(y);
}

void Stream::until(int ring, std::ptrdiff_t end) {
  schedule_.until(ring, end, [this](int made, std::ptrdiff_t y) { make(made, y); });
}

/// One row of a ring, or one block of rows, padded as far as their readers look beyond the picture.
void Stream::make(int ring, std::ptrdiff_t y) {
  if (ring == 0) {
    const Range range = columns(0);
    source_->read(y, range, this->ring(0).row(y) + view_.column(range.begin), view_.stride);
  } else {
    run_stage(ring, y);
  }
  const std::ptrdiff_t rows = ring == 0 ? 1 : stage_of(ring).rows();
  for (std::ptrdiff_t r = std::max<std::ptrdiff_t>(0, y); r < std::min(view_.height, y + rows); ++r) {
    if (ring < last_ring()) {
      pad(ring, r, network_->plan.rings[static_cast<std::size_t>(ring)].column_reach, Head::kFullBorder);
    } else if (!borders_differ_) {
      pad(ring, r, pad_reach_, heads_.front()->border);
    }
  }
}

void Stream::run_stage(int made, std::ptrdiff_t y) {
  const Stage& stage = stage_of(made);
  const PackedConv& conv = network_->convs[static_cast<std::size_t>(stage.node)];
  const std::ptrdiff_t rows = stage.rows(), stride = view_.stride;
  const Range range = columns(made);
  // The first tile may start left of the picture, and the last end right of it: their inputs there are padding.
  const Extent& extent = network_->plan.rings[static_cast<std::size_t>(made)].extent;
  const std::ptrdiff_t first = stage.in_blocks ? align_down(range.begin, extent.anchor) : range.begin;
  const std::ptrdiff_t at = view_.column(first);
  const float* src_rows[kMaxRowsRead];
  assert(conv.rows_read == stage.rows_read() && conv.before == stage.radius);
  gather(ring(stage.source.ring), y - stage.radius, stage.rows_read(), stage.source.first * stride + at - stage.radius,
         Head::kFullBorder, src_rows);
  float* dst_rows[kBlock];
  for (std::ptrdiff_t r = 0; r < rows; ++r) {
    const bool inside = y + r >= 0 && y + r < view_.height;
    dst_rows[r] = (inside ? ring(made).row(y + r) : spare_row_) + at;
  }
  if (stage.pointwise == Stage::kNone) {
    convolve(conv, src_rows, stride, dst_rows, stride, range.end - first, scratchpad_);
    return add(stage.adds, y, rows, at, dst_rows, stride, range.end - first);
  }

  const PackedConv& pointwise = network_->convs[static_cast<std::size_t>(stage.pointwise)];
  float* wide_rows[kBlock];
  for (std::ptrdiff_t r = 0; r < rows; ++r) wide_rows[r] = wide_ + r * conv.oc * kChunkStride;
  for (std::ptrdiff_t x = first; x < range.end; x += kChunkColumns) {
    const std::ptrdiff_t width = std::min(kChunkColumns, range.end - x);
    convolve(conv, src_rows, stride, wide_rows, kChunkStride, width, scratchpad_);
    add(stage.adds, y, rows, view_.column(x), wide_rows, kChunkStride, width);
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
      convolve(pointwise, wide_rows + r, kChunkStride, dst_rows + r, stride, width, scratchpad_);
    }
    add(stage.pointwise_adds, y, rows, view_.column(x), dst_rows, stride, width);
    for (std::ptrdiff_t r = 0; r < rows; ++r) dst_rows[r] += kChunkColumns;
    for (int k = 0; k < stage.rows_read(); ++k) src_rows[k] += kChunkColumns;
  }
}

/// Adds channel ranges side by side to rows y .. y + rows - 1, of which those outside the picture are nobody's. `at` is
/// the index of their first column.
void Stream::add(const std::vector<Slice>& adds, std::ptrdiff_t y, std::ptrdiff_t rows, std::ptrdiff_t at,
                 float* const* dst_rows, std::ptrdiff_t dst_stride, std::ptrdiff_t width) {
  static constexpr float kOnes[] = {1, 1};
  std::ptrdiff_t channel = 0;
  for (const Slice& slice : adds) {
    for (std::ptrdiff_t r = std::max<std::ptrdiff_t>(0, -y); r < std::min(rows, view_.height - y); ++r) {
      const float* const src = ring(slice.ring).row(y + r) + slice.first * view_.stride + at;
      float* const dst = dst_rows[r] + channel * dst_stride;
      for (std::ptrdiff_t c = 0; c < slice.count; ++c) {
        const float* const terms[] = {dst + c * dst_stride, src + c * view_.stride};
        network_->kernels.blend(terms, kOnes, 2, width, dst + c * dst_stride);
      }
    }
    channel += slice.count;
  }
}

/// Where the columns of a row touch the edge of the picture, writes what its readers see beyond it.
void Stream::pad(int index, std::ptrdiff_t y, int reach, int border) {
  const Range range = columns(index);
  if (range.begin > 0 && range.end < view_.width) return;
  const bool full = border == Head::kFullBorder;
  const int replicated = network_->padding == Padding::zeros ? 0 : full ? reach : std::min(border, reach);
  for (std::ptrdiff_t c = 0; c < ring(index).channels; ++c) {
    view_.pad(ring(index).row(y) + c * view_.stride, range, reach, replicated);
  }
}

/// Pointers to index `at` of rows first .. first + count - 1 of a ring, or of what stands for them outside the picture.
void Stream::gather(const Ring& ring, std::ptrdiff_t first, int count, std::ptrdiff_t at, int border,
                    const float** rows) {
  std::ptrdiff_t indices[kMaxRowsRead];
  gather_rows(first, count, view_.height, network_->padding, border, indices);
  for (int k = 0; k < count; ++k) rows[k] = (indices[k] == kZeroRow ? zeros_.data() : ring.row(indices[k])) + at;
}

void Stream::run_head(const PackedHead& head, std::ptrdiff_t y) {
  const Ring& features = rings_.back();
  const std::ptrdiff_t rows = std::min(kBlock, view_.height - y), stride = view_.stride;
  const std::ptrdiff_t at = view_.column(view_.columns.begin), width = view_.columns.size();
  if (borders_differ_) {
    const std::ptrdiff_t last = std::min(view_.height, y + rows + reach_);
    for (std::ptrdiff_t r = std::max<std::ptrdiff_t>(0, y - reach_); r < last; ++r) {
      pad(last_ring(), r, pad_reach_, head.border);
    }
  }
  const PackedConv& conv = head.conv;
  const float* src_rows[kMaxRowsRead];
  float* dst_rows[kBlock];
  for (std::ptrdiff_t r = 0; r < kBlock; ++r) dst_rows[r] = planes(head, r);
  for (std::ptrdiff_t r = 0; r < rows; r += conv.rows_made) {
    gather(features, y + r - conv.before, conv.rows_read, at - conv.before, head.border, src_rows);
    convolve(conv, src_rows, stride, dst_rows + r, stride, width, scratchpad_);
  }
}

}  // namespace fsrcnn
