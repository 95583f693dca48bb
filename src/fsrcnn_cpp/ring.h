// Rows in memory: rings of them, and where a strip's columns lie in them.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arena.h"
#include "common.h"

namespace fsrcnn {

/// Columns begin .. end - 1 of a picture.
struct Range {
  std::ptrdiff_t begin, end;

  std::ptrdiff_t size() const { return end - begin; }
};

/// Rows y0 .. y1 - 1 of some columns.
struct Tile {
  Range columns;
  std::ptrdiff_t y0, y1;
};

/// The row or column in whose place x beyond an edge is seen where a picture is mirrored, the edge itself included. It
/// is at most two beyond: of a single one, all are that one.
inline std::ptrdiff_t mirrored(std::ptrdiff_t x, std::ptrdiff_t size) {
  return std::clamp<std::ptrdiff_t>(x < 0 ? -1 - x : x < size ? x : 2 * size - 1 - x, 0, size - 1);
}

/// A strip of a picture. Rows of it are known by where its first column lies: column x is at index offset(x), those
/// left of the strip are before it.
struct StripView {
  std::ptrdiff_t height, width;  // of the picture
  Range columns{0, 0};

  std::ptrdiff_t offset(std::ptrdiff_t x) const { return x - columns.begin; }
  /// The columns and so many around them, as far as there is a picture.
  Range around(std::ptrdiff_t before, std::ptrdiff_t after) const {
    return {std::max<std::ptrdiff_t>(0, columns.begin - before), std::min(width, columns.end + after)};
  }
  /// Writes `reach` columns beyond the edges of the picture, where `range` touches them: the nearest `replicated` ones
  /// are that of the edge, the others 0.
  void pad(float* row, Range range, int reach, int replicated) const {
    for (int i = 1; i <= reach; ++i) {
      if (range.begin == 0) row[offset(-i)] = i <= replicated ? row[offset(0)] : 0.0f;
      if (range.end == width) row[offset(width - 1 + i)] = i <= replicated ? row[offset(width - 1)] : 0.0f;
    }
  }
  /// The same, mirrored; of the columns inside, `range` has those two.
  void mirror(float* row, Range range, int reach) const {
    for (int i = 1; i <= reach; ++i) {
      if (range.begin == 0) row[offset(-i)] = row[offset(mirrored(-i, width))];
      if (range.end == width) row[offset(width - 1 + i)] = row[offset(mirrored(width - 1 + i, width))];
    }
  }
};

/// Floats between rows that are read side by side: an odd number of cache lines, as a power of two would map all of
/// them to a few cache sets.
constexpr std::ptrdiff_t spread(std::ptrdiff_t floats) {
  return (ceil_div(floats, kCacheLineFloats) | 1) * kCacheLineFloats;
}

/// The last few rows of something, each with its channels one after another; row y lies in slot y % rows.
struct Ring {
  float* data = nullptr;
  std::ptrdiff_t channels = 0, rows = 0;
  std::ptrdiff_t margin = 0, stride = 0;  // floats of a channel before a strip's first column, and of all of it

  void carve(Arena& arena) { data = arena.take(channels * rows * stride); }
  /// The strip's first column of row y, channel 0.
  float* row(std::ptrdiff_t y) const { return data + y % rows * channels * stride + margin; }
};

/// Where the rows of a picture come from, in ascending order: one plane of them, or several.
class Rows {
 public:
  virtual ~Rows() = default;
  /// Columns range.begin .. range.end - 1 of row y; planes are `stride` floats apart.
  virtual void read(std::ptrdiff_t y, Range range, float* dst, std::ptrdiff_t stride) = 0;
};

}  // namespace fsrcnn
