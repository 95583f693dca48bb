// Rows in memory: rings of them, and where a strip's columns lie in them.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arena.h"

namespace fsrcnn {

/// Columns begin .. end - 1 of a picture.
struct Range {
  std::ptrdiff_t begin, end;

  std::ptrdiff_t size() const { return end - begin; }
};

/// The last few rows of something, each with its channels one after another; row y lies in slot y % rows.
struct Ring {
  float* data = nullptr;
  std::ptrdiff_t channels = 0, rows = 0, stride = 0;

  void carve(Arena& arena, std::ptrdiff_t channel_count, std::ptrdiff_t row_count, std::ptrdiff_t channel_stride) {
    channels = channel_count;
    rows = row_count;
    stride = channel_stride;
    data = arena.take(channels * rows * stride);
  }
  float* row(std::ptrdiff_t y) const { return data + y % rows * channels * stride; }
};

/// A strip of a picture. Column x lies at index `column(x)` of every row, so all rows of a strip share one coordinate.
struct StripView {
  std::ptrdiff_t height, width;   // of the picture
  std::ptrdiff_t margin, stride;  // floats of a row before the strip's first column, and of a row
  Range columns{0, 0};

  std::ptrdiff_t column(std::ptrdiff_t x) const { return margin + x - columns.begin; }
  /// The columns and so many around them, as far as there is a picture.
  Range around(std::ptrdiff_t before, std::ptrdiff_t after) const {
    return {std::max<std::ptrdiff_t>(0, columns.begin - before), std::min(width, columns.end + after)};
  }
  /// Writes `reach` columns beyond the edges of the picture, where `range` touches them: the nearest `replicated` ones
  /// are that of the edge, the others 0.
  void pad(float* row, Range range, int reach, int replicated) const {
    for (int i = 1; i <= reach; ++i) {
      if (range.begin == 0) row[column(-i)] = i <= replicated ? row[column(0)] : 0.0f;
      if (range.end == width) row[column(width - 1 + i)] = i <= replicated ? row[column(width - 1)] : 0.0f;
    }
  }
};

/// Where the rows of a picture come from, in ascending order: one plane of them, or several.
class Rows {
 public:
  virtual ~Rows() = default;
  /// Columns range.begin .. range.end - 1 of row y; planes are `stride` floats apart.
  virtual void read(std::ptrdiff_t y, Range range, float* dst, std::ptrdiff_t stride) = 0;
};

}  // namespace fsrcnn
