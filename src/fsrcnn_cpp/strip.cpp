#include "strip.h"

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

void Strip::prepare(const PackedNetwork& network, const Finish& finish, const ImageView& src,
                    std::span<const Target> targets, std::ptrdiff_t width) {
  start_over(network, finish, src.height, src.width);
  finish_.guided = finish.guided && src.has_colour();
  source_.emplace(src, network.kernels);
  luma_plane_ = src.extras();
  for (const Target& target : targets) {
    add_output(network.head(target.scale));
    outputs_.back().sink.emplace(target.image, target.scale, network.kernels);
  }
  size_scratch(width, src.channels, src.type);
}

void Strip::prepare_luma(const PackedNetwork& network, const Finish& finish, const ImageView& src, Strip* before,
                         int scale, int keep, std::ptrdiff_t width) {
  const int enlarged = before ? before->outputs_.front().head->stride : 1;
  start_over(network, finish, before ? before->height_ * enlarged : src.height,
             before ? before->width_ * enlarged : src.width);
  finish_.guided = false;
  before_ = before;
  if (!before) source_.emplace(src, network.kernels);
  add_output(network.head(scale));
  keep_ = keep;
  size_scratch(width, before ? 0 : src.channels, src.type);
}

void Strip::start_over(const PackedNetwork& network, const Finish& finish, std::ptrdiff_t height,
                       std::ptrdiff_t width) {
  network_ = &network;
  finish_ = finish;
  survey_.emplace(network.kernels);
  height_ = height;
  width_ = width;
  source_.reset();
  before_ = nullptr;
  outputs_.clear();
  luma_plane_ = 0;
  reach_ = 0;
  pad_reach_ = 0;
  borders_differ_ = false;
  keep_ = 0;
}

void Strip::add_output(const PackedHead* head) {
  outputs_.push_back({head, std::nullopt});
  reach_ = std::max(reach_, head->reach());
  pad_reach_ = std::max(pad_reach_, head->conv.column_reach);
  borders_differ_ |= head->border != outputs_.front().head->border;
}

void Strip::size_scratch(std::ptrdiff_t width, std::ptrdiff_t channels, SampleType type) {
  const Extent& widest = network_->extents[0];
  margin_ = round_up(std::max(widest.before, kBicubicReach) + kWinogradTile, kCacheLineFloats);
  // An odd number of cache lines between channels: a power of two would map all of them to a few cache sets.
  stride_ = ceil_div(margin_ + width + std::max(widest.after, kBicubicReach) + kWinogradOverrun, kCacheLineFloats);
  stride_ = (stride_ | 1) * kCacheLineFloats;
  rings_.resize(network_->stages.size() + 1);
  next_.resize(rings_.size());

  Arena count(nullptr);
  carve(count, width);
  int scales = 0;
  for (const Output& output : outputs_) scales |= 1 << output.head->stride;
  const std::ptrdiff_t finish = 4 * has_strength() + 2 * finish_.guard + finish_.guided;
  const std::ptrdiff_t geometry[] = {width, channels, scales, static_cast<std::ptrdiff_t>(type), keep_, finish};
  if (count.used() > memory_.size()) {
    memory_ = AlignedBuffer(count.used());
  } else if (!std::equal(std::begin(geometry), std::end(geometry), geometry_)) {
    memory_.clear();  // what was a feature may now be a row of zeros
  }
  std::copy(std::begin(geometry), std::end(geometry), geometry_);
  Arena arena(memory_.data());
  carve(arena, width);
}

void Strip::carve(Arena& arena, std::ptrdiff_t width) {
  std::ptrdiff_t max_channels = 1;
  std::ptrdiff_t wide_channels = 0;
  std::ptrdiff_t scratchpad = 0;
  const auto need_scratchpad = [&](const PackedConv& conv) {
    scratchpad = std::max(scratchpad, conv.scratchpad);
  };
  for (int i = 0; i <= stage_count(); ++i) {
    const std::ptrdiff_t channels = i == 0 ? 1 : producer(i).oc();
    const bool read_in_blocks = i < stage_count() && consumer(i).in_blocks();
    std::ptrdiff_t rows = i == stage_count() ? kBlock + 2 * reach_ : consumer(i).rows_read;
    // Blocks end `late` rows after a staggered block stops reading; any other reader finds up to a block more.
    if (in_blocks(i)) rows += read_in_blocks ? network_->extents[i].late : kBlock - 1;
    // Luma is read again when the head runs, many rows later.
    if (i == 0) rows = std::max<std::ptrdiff_t>(rows, kBicubicReach + kBlock + network_->extents[0].after);
    rings_[i].carve(arena, channels, rows, stride_);
    max_channels = std::max(max_channels, channels);
    if (i > 0) {
      need_scratchpad(*producer(i).conv);
      if (producer(i).pointwise) wide_channels = std::max<std::ptrdiff_t>(wide_channels, producer(i).conv->oc);
    }
  }
  bypass_.carve(arena, luma_plane_ + reads_luma(), 2 * kBicubicReach + kBlock, stride_);
  if (source_) source_->carve(arena, stride_);
  std::ptrdiff_t max_phases = 0;
  for (Output& output : outputs_) {
    const std::ptrdiff_t phases = output.head->stride * output.head->stride;
    if (output.sink) {
      output.sink->carve(arena, width + kMaxLanes);
    } else {
      luma_.carve(arena, 1, keep_ + kBlock * output.head->stride, output.head->stride * width + kMaxLanes);
    }
    max_phases = std::max(max_phases, phases);
    need_scratchpad(output.head->conv);
  }
  if (reads_luma()) {
    survey_->carve(arena, width);
    for (float** rows : {&low_, &high_}) *rows = arena.take(kBlock * stride_);
    for (float*& rows : slopes_) rows = finish_.guided ? arena.take(kBlock * stride_) : nullptr;
  }
  if (reads_soft()) {
    soft_ = arena.take(max_phases * stride_);
    column_filtered_ = arena.take(width + 2 * kBicubicReach);
  }
  zero_row_ = arena.take(max_channels * stride_);
  spare_row_ = arena.take(max_channels * stride_);
  phases_ = arena.take(kBlock * max_phases * stride_);
  wide_ = arena.take(kBlock * wide_channels * kChunkStride);
  scratchpad_ = arena.take(scratchpad);
}

void Strip::begin(std::ptrdiff_t x0, std::ptrdiff_t x1, std::ptrdiff_t y0) {
  x0_ = x0;
  x1_ = x1;
  for (int i = 0; i <= stage_count(); ++i) {
    const Extent& extent = network_->extents[i];
    const std::ptrdiff_t first = std::max<std::ptrdiff_t>(0, y0 - extent.before);
    next_[i] = in_blocks(i) ? align_down(first, extent.anchor) : first;
  }
  next_bypass_ = std::max<std::ptrdiff_t>(0, y0 - kBicubicReach);
  next_block_ = y0;
}

void Strip::run(std::ptrdiff_t x0, std::ptrdiff_t x1, std::ptrdiff_t y0, std::ptrdiff_t y1) {
  begin(x0, x1, y0);
  for (std::ptrdiff_t y = y0; y < y1; y += kBlock) {
    produce_until(stage_count(), std::min(height_, y + kBlock + reach_));
    produce_bypass(y);
    survey(y);
    for (const Output& output : outputs_) {
      run_head(*output.head, y);
      store(output, y);
    }
  }
}

const float* Strip::luma_row(std::ptrdiff_t y) {
  const PackedHead& head = *outputs_.front().head;
  const std::ptrdiff_t scale = head.stride;
  for (; next_block_ * scale <= y; next_block_ += kBlock) {
    produce_until(stage_count(), std::min(height_, next_block_ + kBlock + reach_));
    produce_bypass(next_block_);
    survey(next_block_);
    run_head(head, next_block_);
    const std::ptrdiff_t end = std::min(height_, next_block_ + kBlock);
    for (std::ptrdiff_t r = 0; r < end - next_block_; ++r) finish_luma(head.stride, next_block_, r);
    for (std::ptrdiff_t row = next_block_ * scale; row < end * scale; ++row) {
      const float* planes[kMaxStride];
      for (std::ptrdiff_t i = 0; i < scale; ++i) {
        planes[i] = phases_ + ((row - next_block_ * scale) * scale + i) * stride_;
      }
      // To store floats is to merge phases; this is a row of ours.
      auto* const merged = reinterpret_cast<unsigned char*>(luma_.row(row));
      const StoreArgs args{planes, head.stride, 1, x1_ - x0_, merged, sizeof(float), sizeof(float), {1, 1}};
      network_->kernels.store[static_cast<int>(SampleType::f32)](args);
    }
  }
  return luma_.row(y);
}

void Strip::load_luma(std::ptrdiff_t y, Range range, float* dst) {
  if (!before_) return source_->load_luma(y, range.begin, range.end - range.begin, dst);
  const float* const row = before_->luma_row(y) + range.begin - before_->x0_ * before_->outputs_.front().head->stride;
  std::copy(row, row + (range.end - range.begin), dst);
}

/// Makes the rows of ring i up to, not including, `end`, and what they need of the rings before it.
void Strip::produce_until(int i, std::ptrdiff_t end) {
  while (next_[i] < end) {
    const std::ptrdiff_t y = next_[i];
    const std::ptrdiff_t rows = in_blocks(i) ? kBlock : 1;
    if (i == 0) {
      const Range range = columns(0);
      load_luma(y, range, rings_[0].row(y) + column(range.begin));
    } else {
      produce_until(i - 1, std::min(height_, y + rows + producer(i).conv->kernel / 2));
      produce(i, y);
    }
    for (std::ptrdiff_t r = std::max<std::ptrdiff_t>(0, y); r < std::min(height_, y + rows); ++r) finish_row(i, r);
    next_[i] += rows;
  }
}

/// One row of ring i, or one block of rows.
void Strip::produce(int i, std::ptrdiff_t y) {
  const Stage& stage = producer(i);
  const PackedConv& conv = *stage.conv;
  const Range range = columns(i);
  // The first tile may start left of the picture, and the last end right of it: their inputs there are padding.
  const std::ptrdiff_t first = in_blocks(i) ? align_down(range.begin, network_->extents[i].anchor) : range.begin;
  const float* src_rows[kMaxRowsRead];
  gather(rings_[i - 1], y - conv.kernel / 2, conv.rows_read, column(first) - conv.kernel / 2, Head::kFullBorder,
         src_rows);
  const std::ptrdiff_t rows = in_blocks(i) ? kBlock : 1;
  float* dst_rows[kBlock];
  for (std::ptrdiff_t r = 0; r < rows; ++r) {
    const bool inside = y + r >= 0 && y + r < height_;
    dst_rows[r] = (inside ? rings_[i].row(y + r) : spare_row_) + column(first);
  }
  if (!stage.pointwise) {
    return convolve(conv, src_rows, stride_, dst_rows, stride_, range.end - first, scratchpad_);
  }

  float* wide_rows[kBlock];
  for (std::ptrdiff_t r = 0; r < rows; ++r) wide_rows[r] = wide_ + r * conv.oc * kChunkStride;
  for (std::ptrdiff_t x = first; x < range.end; x += kChunkColumns) {
    const std::ptrdiff_t width = std::min(kChunkColumns, range.end - x);
    convolve(conv, src_rows, stride_, wide_rows, kChunkStride, width, scratchpad_);
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
      convolve(*stage.pointwise, wide_rows + r, kChunkStride, dst_rows + r, stride_, width, scratchpad_);
      dst_rows[r] += kChunkColumns;
    }
    for (int k = 0; k < conv.rows_read; ++k) src_rows[k] += kChunkColumns;
  }
}

/// Pads a fresh row as far as its reader looks beyond the picture.
void Strip::finish_row(int i, std::ptrdiff_t y) {
  if (i < stage_count()) {
    pad(rings_[i], y, columns(i), consumer(i).column_reach, Head::kFullBorder);
  } else if (!borders_differ_) {
    pad(rings_[i], y, columns(i), pad_reach_, outputs_.front().head->border);
  }
}

/// The rows that bypass the network, as far as the block at row y reads them; the edges are replicated.
void Strip::produce_bypass(std::ptrdiff_t y) {
  if (bypass_.channels == 0) return;
  const Range range{std::max<std::ptrdiff_t>(0, x0_ - kBicubicReach), std::min(width_, x1_ + kBicubicReach)};
  for (; next_bypass_ < std::min(height_, y + kBlock + kBicubicReach); ++next_bypass_) {
    float* const row = bypass_.row(next_bypass_);
    if (luma_plane_ > 0) {
      source_->load_extras(next_bypass_, range.begin, range.end - range.begin, row + column(range.begin), stride_);
    }
    if (reads_luma()) {
      produce_until(0, next_bypass_ + 1);
      const float* const luma = rings_[0].row(next_bypass_);
      std::copy(luma + column(range.begin), luma + column(range.end),
                row + luma_plane_ * stride_ + column(range.begin));
    }
    for (std::ptrdiff_t c = 0; c < bypass_.channels; ++c) {
      float* const plane = row + c * stride_;
      for (int i = 1; i <= kBicubicReach; ++i) {
        if (range.begin == 0) plane[column(-i)] = plane[column(0)];
        if (range.end == width_) plane[column(range.end - 1 + i)] = plane[column(range.end - 1)];
      }
    }
  }
}

/// Column x0 of rows y - kBicubicReach .. y + kBicubicReach of one plane of them.
void Strip::bypass_rows(std::ptrdiff_t y, int plane, const float** rows) const {
  for (int i = 0; i < kWindowRows; ++i) {
    const std::ptrdiff_t row = std::clamp<std::ptrdiff_t>(y + i - kBicubicReach, 0, height_ - 1);
    rows[i] = bypass_.row(row) + plane * stride_ + column(x0_);
  }
}

/// What surrounds the pixels of a block of rows, for all outputs.
void Strip::survey(std::ptrdiff_t y) {
  if (!finish_.guard && !finish_.guided) return;
  const std::ptrdiff_t width = x1_ - x0_;
  for (std::ptrdiff_t r = 0; r < std::min(kBlock, height_ - y); ++r) {
    float *const low = low_ + r * stride_, *const high = high_ + r * stride_;
    const float *luma[kWindowRows], *chroma[kWindowRows];
    bypass_rows(y + r, luma_plane_, luma);
    survey_->range(luma, width, low, high);
    for (int c = 0; finish_.guided && c < 2; ++c) {
      bypass_rows(y + r, c, chroma);
      survey_->slope(luma, low, high, chroma, width, slopes_[c] + r * stride_);
    }
  }
}

/// Where the columns of a row touch the edge of the picture, writes what the next layer sees beyond it.
void Strip::pad(const Ring& ring, std::ptrdiff_t y, Range range, int reach, int border) {
  if (range.begin > 0 && range.end < width_) return;
  const bool full = border == Head::kFullBorder;
  const int replicated = network_->padding == Padding::zeros ? 0 : full ? reach : std::min(border, reach);
  for (std::ptrdiff_t c = 0; c < ring.channels; ++c) {
    float* const plane = ring.row(y) + c * stride_;
    for (int i = 1; i <= reach; ++i) {
      if (range.begin == 0) plane[column(-i)] = i <= replicated ? plane[column(0)] : 0.0f;
      if (range.end == width_) plane[column(range.end - 1 + i)] = i <= replicated ? plane[column(range.end - 1)] : 0.0f;
    }
  }
}

/// Pointers to index `at` of rows first .. first + count - 1 of a ring, or of what stands for them outside the picture.
void Strip::gather(const Ring& ring, std::ptrdiff_t first, int count, std::ptrdiff_t at, int border,
                   const float** rows) {
  std::ptrdiff_t indices[kMaxRowsRead];
  gather_rows(first, count, height_, network_->padding, border, indices);
  for (int k = 0; k < count; ++k) rows[k] = (indices[k] == kZeroRow ? zero_row_ : ring.row(indices[k])) + at;
}

/// The phase planes of a block of rows.
void Strip::run_head(const PackedHead& head, std::ptrdiff_t y) {
  const Ring& features = rings_.back();
  const std::ptrdiff_t rows = std::min(kBlock, height_ - y);
  if (borders_differ_) {
    const std::ptrdiff_t last = std::min(height_, y + rows + reach_);
    for (std::ptrdiff_t r = std::max<std::ptrdiff_t>(0, y - reach_); r < last; ++r) {
      pad(features, r, columns(stage_count()), pad_reach_, head.border);
    }
  }
  const std::ptrdiff_t phases = head.stride * head.stride;
  const PackedConv& conv = head.conv;
  for (std::ptrdiff_t r = 0; r < rows; r += conv.rows_made) {
    const float* src_rows[kMaxRowsRead];
    gather(features, y + r - conv.before, conv.rows_read, column(x0_) - conv.before, head.border, src_rows);
    float* dst_rows[kBlock];
    for (int i = 0; i < conv.rows_made; ++i) dst_rows[i] = phases_ + (r + i) * phases * stride_;
    convolve(conv, src_rows, stride_, dst_rows, stride_, x1_ - x0_, scratchpad_);
  }
}

/// Makes of the phase planes of row y + r what is asked for: strength first, so that the guard has the last word.
void Strip::finish_luma(int scale, std::ptrdiff_t y, std::ptrdiff_t r) {
  const KernelTable& kernels = network_->kernels;
  const std::ptrdiff_t width = x1_ - x0_;
  const int phases = scale * scale;
  float* const luma = phases_ + r * phases * stride_;
  if (reads_soft()) {
    const float* rows[kWindowRows];
    bypass_rows(y + r, luma_plane_, rows);
    for (int phase_y = 0; phase_y < scale; ++phase_y) {
      float* planes[kMaxStride];
      for (int i = 0; i < scale; ++i) planes[i] = soft_ + (phase_y * scale + i) * stride_;
      enlarge_row(kernels, rows, scale, phase_y, width, column_filtered_, planes);
    }
  }
  for (std::ptrdiff_t i = 0; has_strength() && i < phases; ++i) {
    const float* const sources[] = {luma + i * stride_, soft_ + i * stride_};
    const float weights[] = {finish_.strength, 1 - finish_.strength};
    kernels.blend(sources, weights, 2, width, luma + i * stride_);
  }
  if (finish_.guard) {
    kernels.clamp({low_ + r * stride_, high_ + r * stride_, kGuardPart, kGuardSlack, luma, stride_, phases, width});
  }
}

/// Stores the phase planes of a block of rows, with what bypassed the network.
void Strip::store(const Output& output, std::ptrdiff_t y) {
  const int scale = output.head->stride;
  for (std::ptrdiff_t r = 0; r < std::min(kBlock, height_ - y); ++r) {
    finish_luma(scale, y, r);
    const float* rows[kWindowRows] = {};
    if (luma_plane_ > 0) bypass_rows(y + r, 0, rows);
    Guide guide{};
    if (finish_.guided) guide = {soft_, stride_, {slopes_[0] + r * stride_, slopes_[1] + r * stride_}};
    output.sink->store(y + r, x0_, x1_ - x0_, phases_ + r * scale * scale * stride_, stride_, rows, stride_,
                       finish_.guided ? &guide : nullptr);
  }
}

}  // namespace fsrcnn
