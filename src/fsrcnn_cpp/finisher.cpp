#include "finisher.h"

#include <algorithm>

namespace fsrcnn {

void Finisher::prepare(Phases& phases, const PackedNetwork& network, const Finish& finish, const RowSource* picture,
                       std::ptrdiff_t extras, int most_scale, std::ptrdiff_t strip_width) {
  phases_ = &phases;
  kernels_ = &network.kernels;
  plus_bicubic_ = network.plus_bicubic;
  mirrors_ = network.has_bicubic();
  finish_ = finish;
  picture_ = picture;
  extras_ = extras;
  colours_ = plane_count(network.colour);
  most_scale_ = most_scale;
  strip_width_ = strip_width;
  survey_.emplace(network.kernels);
  rows_.channels = extras_ + (reads_source() ? colours_ : 0);
  rows_.rows = 2 * kBicubicReach + kBlock;
  rows_.margin = round_up(kBicubicReach, kCacheLineFloats);
  rows_.stride = spread(rows_.margin + strip_width + kBicubicReach + 2 * kMaxLanes);
}

void Finisher::carve(Arena& arena) {
  const std::ptrdiff_t stride = phases_->stride();
  rows_.carve(arena);
  if (reads_source()) {
    survey_->carve(arena, strip_width_);
    for (float** rows : {&low_, &high_}) *rows = arena.take(kBlock * colours_ * stride);
    for (float*& rows : slopes_) rows = finish_.guided ? arena.take(kBlock * stride) : nullptr;
  }
  if (reads_soft()) {
    soft_ = arena.take(static_cast<std::ptrdiff_t>(most_scale_) * most_scale_ * stride);
    column_filtered_ = arena.take(strip_width_ + 2 * kBicubicReach + kMaxLanes);
  }
}

void Finisher::begin(std::ptrdiff_t y0) { next_row_ = std::max<std::ptrdiff_t>(0, y0 - kBicubicReach); }

/// One row of what bypasses the network. Its edges are replicated, or those of the colours mirrored: of five columns
/// around one, the range is the same.
void Finisher::load(std::ptrdiff_t y) {
  const Range range = view().around(kBicubicReach, kBicubicReach);
  const std::ptrdiff_t stride = rows_.stride;
  float* const row = rows_.row(y);
  if (extras_ > 0) {
    picture_->load_extras(y, range.begin, range.size(), row + view().offset(range.begin), stride);
  }
  if (reads_source()) {
    const float* const source = phases_->source_row(y) + view().offset(range.begin);
    for (std::ptrdiff_t c = 0; c < colours_; ++c) {
      std::copy_n(source + c * phases_->source_stride(), range.size(),
                  row + (extras_ + c) * stride + view().offset(range.begin));
    }
  }
  for (std::ptrdiff_t p = 0; p < rows_.channels; ++p) {
    if (is_mirrored(p)) {
      view().mirror(row + p * stride, range, kBicubicReach);
    } else {
      view().pad(row + p * stride, range, kBicubicReach, kBicubicReach);
    }
  }
}

/// The first column of the strip in rows y - kBicubicReach .. y + kBicubicReach of one plane.
void Finisher::window(std::ptrdiff_t y, std::ptrdiff_t plane, const float** rows) const {
  for (int i = 0; i < kWindowRows; ++i) {
    const std::ptrdiff_t row = y + i - kBicubicReach, last = view().height - 1;
    const std::ptrdiff_t seen = is_mirrored(plane) ? mirrored(row, last + 1) : std::clamp<std::ptrdiff_t>(row, 0, last);
    rows[i] = rows_.row(seen) + plane * rows_.stride;
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
    const float *source[kWindowRows], *cb[kWindowRows], *cr[kWindowRows];
    for (std::ptrdiff_t c = 0; c < colours_; ++c) {
      window(y, extras_ + c, source);
      survey_->range(source, width, low_ + slot(y, c), high_ + slot(y, c));
    }
    if (!finish_.guided) continue;
    window(y, 0, cb);
    window(y, 1, cr);
    const float* const* const chroma[] = {cb, cr};
    float* const slopes[] = {slopes_[0] + slot(y, 0), slopes_[1] + slot(y, 0)};
    survey_->slopes(source, low_ + slot(y, 0), high_ + slot(y, 0), chroma, width, slopes);
  }
}

/// planes = weight * planes + soft_weight * soft
void Finisher::mix(float weight, float* planes, float soft_weight, int count) const {
  const std::ptrdiff_t stride = phases_->stride();
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const float* const sources[] = {planes + i * stride, soft_ + i * stride};
    const float weights[] = {weight, soft_weight};
    kernels_->blend(sources, weights, 2, view().columns.size(), planes + i * stride);
  }
}

/// Strength comes first, so that the guard has the last word.
void Finisher::finish(std::ptrdiff_t y, int scale, float* planes) {
  const std::ptrdiff_t width = view().columns.size(), stride = phases_->stride();
  const int phases = scale * scale;
  for (std::ptrdiff_t c = 0; c < colours_; ++c, planes += phases * stride) {
    if (reads_soft()) {
      const float* rows[kWindowRows];
      window(y, extras_ + c, rows);
      for (int phase_y = 0; phase_y < scale; ++phase_y) {
        float* soft[kMaxStride];
        for (int i = 0; i < scale; ++i) soft[i] = soft_ + (phase_y * scale + i) * stride;
        enlarge_row(*kernels_, rows, centred(scale), phase_y, width, column_filtered_, soft);
      }
    }
    if (plus_bicubic_) mix(1, planes, 1, phases);
    if (has_strength()) mix(finish_.strength, planes, 1 - finish_.strength, phases);
    if (finish_.guard) {
      kernels_->clamp({.lo = low_ + slot(y, c),
                       .hi = high_ + slot(y, c),
                       .part = kGuardPart,
                       .slack = kGuardSlack,
                       .planes = planes,
                       .stride = stride,
                       .count = phases,
                       .n = width});
    }
  }
  if (extras_ > 0) window(y, 0, extra_rows_);
  if (finish_.guided) guide_ = {soft_, stride, {slopes_[0] + slot(y, 0), slopes_[1] + slot(y, 0)}};
}

}  // namespace fsrcnn
