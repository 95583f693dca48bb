#include "finisher.h"

#include <algorithm>

namespace fsrcnn {

void Finisher::prepare(Stream& stream, const PackedNetwork& network, const Finish& finish, const RowSource* picture,
                       std::ptrdiff_t extras, int most_scale, std::ptrdiff_t strip_width) {
  stream_ = &stream;
  kernels_ = &network.kernels;
  plus_bicubic_ = network.plus_bicubic;
  finish_ = finish;
  picture_ = picture;
  luma_plane_ = extras;
  most_scale_ = most_scale;
  strip_width_ = strip_width;
  survey_.emplace(network.kernels);
  rows_.channels = luma_plane_ + reads_luma();
  rows_.rows = 2 * kBicubicReach + kBlock;
  rows_.margin = round_up(kBicubicReach, kCacheLineFloats);
  rows_.stride = spread(rows_.margin + strip_width + kBicubicReach + 2 * kMaxLanes);
}

void Finisher::carve(Arena& arena) {
  const std::ptrdiff_t stride = stream_->stride();
  rows_.carve(arena);
  if (reads_luma()) {
    survey_->carve(arena, strip_width_);
    for (float** rows : {&low_, &high_}) *rows = arena.take(kBlock * stride);
    for (float*& rows : slopes_) rows = finish_.guided ? arena.take(kBlock * stride) : nullptr;
  }
  if (reads_soft()) {
    soft_ = arena.take(static_cast<std::ptrdiff_t>(most_scale_) * most_scale_ * stride);
    column_filtered_ = arena.take(strip_width_ + 2 * kBicubicReach + kMaxLanes);
  }
}

void Finisher::begin(std::ptrdiff_t y0) { next_row_ = std::max<std::ptrdiff_t>(0, y0 - kBicubicReach); }

/// One row of what bypasses the network; the edges are replicated.
void Finisher::load(std::ptrdiff_t y) {
  const Range range = view().around(kBicubicReach, kBicubicReach);
  const std::ptrdiff_t stride = rows_.stride;
  float* const row = rows_.row(y);
  if (luma_plane_ > 0) {
    picture_->load_extras(y, range.begin, range.size(), row + view().offset(range.begin), stride);
  }
  if (reads_luma()) {
    const float* const luma = stream_->source_row(y);
    std::copy(luma + view().offset(range.begin), luma + view().offset(range.end),
              row + luma_plane_ * stride + view().offset(range.begin));
  }
  for (std::ptrdiff_t c = 0; c < rows_.channels; ++c) view().pad(row + c * stride, range, kBicubicReach, kBicubicReach);
}

/// The first column of the strip in rows y - kBicubicReach .. y + kBicubicReach of one plane.
void Finisher::window(std::ptrdiff_t y, std::ptrdiff_t plane, const float** rows) const {
  for (int i = 0; i < kWindowRows; ++i) {
    const std::ptrdiff_t row = std::clamp<std::ptrdiff_t>(y + i - kBicubicReach, 0, view().height - 1);
    rows[i] = rows_.row(row) + plane * rows_.stride;
  }
}

void Finisher::survey(std::ptrdiff_t y) {
  const std::ptrdiff_t end = std::min(view().height, y + kBlock);
  if (rows_.channels > 0) {
    for (; next_row_ < std::min(view().height, end + kBicubicReach); ++next_row_) load(next_row_);
  }
  if (!finish_.guard && !finish_.guided) return;
  const std::ptrdiff_t width = view().columns.size();
  for (; y < end; ++y) {
    float *const low = low_ + slot(y), *const high = high_ + slot(y);
    const float *luma[kWindowRows], *chroma[kWindowRows];
    window(y, luma_plane_, luma);
    survey_->range(luma, width, low, high);
    for (int c = 0; finish_.guided && c < 2; ++c) {
      window(y, c, chroma);
      survey_->slope(luma, low, high, chroma, width, slopes_[c] + slot(y));
    }
  }
}

/// luma = weight * luma + soft_weight * soft
void Finisher::mix(float weight, float* luma, float soft_weight, int planes) const {
  const std::ptrdiff_t stride = stream_->stride();
  for (std::ptrdiff_t i = 0; i < planes; ++i) {
    const float* const sources[] = {luma + i * stride, soft_ + i * stride};
    const float weights[] = {weight, soft_weight};
    kernels_->blend(sources, weights, 2, view().columns.size(), luma + i * stride);
  }
}

/// Strength comes first, so that the guard has the last word.
void Finisher::finish(std::ptrdiff_t y, int scale, float* luma) {
  const std::ptrdiff_t width = view().columns.size(), stride = stream_->stride();
  const int phases = scale * scale;
  if (reads_soft()) {
    const float* rows[kWindowRows];
    window(y, luma_plane_, rows);
    for (int phase_y = 0; phase_y < scale; ++phase_y) {
      float* planes[kMaxStride];
      for (int i = 0; i < scale; ++i) planes[i] = soft_ + (phase_y * scale + i) * stride;
      enlarge_row(*kernels_, rows, scale, phase_y, {}, width, column_filtered_, planes);
    }
  }
  if (plus_bicubic_) mix(1, luma, 1, phases);
  if (has_strength()) mix(finish_.strength, luma, 1 - finish_.strength, phases);
  if (finish_.guard) {
    kernels_->clamp({.lo = low_ + slot(y),
                     .hi = high_ + slot(y),
                     .part = kGuardPart,
                     .slack = kGuardSlack,
                     .planes = luma,
                     .stride = stride,
                     .count = phases,
                     .n = width});
  }
  if (luma_plane_ > 0) window(y, 0, extra_rows_);
  if (finish_.guided) guide_ = {soft_, stride, {slopes_[0] + slot(y), slopes_[1] + slot(y)}};
}

}  // namespace fsrcnn
