#include "changes.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "arguments.h"
#include "common.h"
#include "plan.h"

namespace fsrcnn {
namespace {

// Codecs skip blocks of so many samples a side.
constexpr std::ptrdiff_t kCell = 16;
// How far a chunk of columns that kernels take at a time goes beyond a narrow part.
constexpr std::ptrdiff_t kMargin = 8;

bool is_packed(const ImageView& image) { return image.pixel_stride == sample_bytes(image.type); }

bool same_size(const ImageView& one, const ImageView& other) {
  return one.width == other.width && one.height == other.height;
}

bool is_equal(const ImageView& one, const ImageView& other, std::ptrdiff_t y, const Range& columns) {
  const unsigned char* a = one.row(y) + columns.begin * one.pixel_stride;
  const unsigned char* b = other.row(y) + columns.begin * other.pixel_stride;
  const auto bytes = static_cast<std::size_t>(sample_bytes(one.type));
  if (is_packed(one) && is_packed(other)) {
    return std::memcmp(a, b, static_cast<std::size_t>(columns.size()) * bytes) == 0;
  }
  for (std::ptrdiff_t x = 0; x < columns.size(); ++x, a += one.pixel_stride, b += other.pixel_stride) {
    if (std::memcmp(a, b, bytes) != 0) return false;
  }
  return true;
}

void copy(const ImageView& src, const MutableImageView& dst, std::ptrdiff_t y, const Range& columns) {
  const auto bytes = static_cast<std::size_t>(sample_bytes(src.type));
  const unsigned char* from = src.row(y) + columns.begin * src.pixel_stride;
  unsigned char* to = dst.row(y) + columns.begin * dst.pixel_stride;
  if (is_packed(src) && dst.pixel_stride == src.pixel_stride) {
    std::memcpy(to, from, static_cast<std::size_t>(columns.size()) * bytes);
    return;
  }
  for (std::ptrdiff_t x = 0; x < columns.size(); ++x, from += src.pixel_stride, to += dst.pixel_stride) {
    std::memcpy(to, from, bytes);
  }
}

/// A picture in cells, each marked or not.
struct Cells {
  Cells(std::ptrdiff_t width, std::ptrdiff_t height)
      : columns(ceil_div(width, kCell)),
        rows(ceil_div(height, kCell)),
        marks(static_cast<std::size_t>(columns * rows)) {}

  char* row(std::ptrdiff_t y) { return marks.data() + y * columns; }

  std::ptrdiff_t columns, rows;
  std::vector<char> marks;
};

Cells changed_cells(const ImageView& src, const ImageView& before) {
  Cells cells(src.width, src.height);
  for (std::ptrdiff_t y = 0; y < src.height; ++y) {
    char* const row = cells.row(y / kCell);
    std::ptrdiff_t unmarked = std::count(row, row + cells.columns, 0);
    if (unmarked == 0 || is_equal(src, before, y, {0, src.width})) continue;
    for (std::ptrdiff_t i = 0; i < cells.columns; ++i) {
      if (!row[i]) row[i] = !is_equal(src, before, y, {i * kCell, std::min(src.width, (i + 1) * kCell)});
    }
  }
  return cells;
}

/// Joins parts where that costs less than to compute what they both read.
class Joiner {
 public:
  explicit Joiner(std::ptrdiff_t reach) : around_(2 * (reach + kMargin)) {}

  /// Takes a part that lies below all before it, or to the right of the last one.
  void add(Tile part) {
    for (std::size_t i = open_; i < parts_.size();) {
      const Tile joined = join(parts_[i], part);
      if (cost(joined) > cost(parts_[i]) + cost(part)) {
        ++i;
        continue;
      }
      part = joined;
      parts_.erase(parts_.begin() + static_cast<std::ptrdiff_t>(i));
      i = open_;
    }
    parts_.push_back(part);
  }

  /// Says that all parts to come lie at row y or below: to compare them with those far above would be in vain.
  void go_to(std::ptrdiff_t y) {
    const auto is_far = [&](const Tile& part) { return part.y1 + around_ < y; };
    open_ = static_cast<std::size_t>(
        std::partition(parts_.begin() + static_cast<std::ptrdiff_t>(open_), parts_.end(), is_far) - parts_.begin());
  }

  std::ptrdiff_t total() const {
    std::ptrdiff_t sum = 0;
    for (const Tile& part : parts_) sum += cost(part);
    return sum;
  }

  std::ptrdiff_t cost(const Tile& part) const {
    return (part.columns.size() + around_) * (part.y1 - part.y0 + around_);
  }

  std::vector<Tile> take() { return std::move(parts_); }

 private:
  static Tile join(const Tile& one, const Tile& other) {
    return {{std::min(one.columns.begin, other.columns.begin), std::max(one.columns.end, other.columns.end)},
            std::min(one.y0, other.y0),
            std::max(one.y1, other.y1)};
  }

  const std::ptrdiff_t around_;
  std::vector<Tile> parts_;
  std::size_t open_ = 0;  // the first part that others may still be joined with
};

}  // namespace

std::vector<Tile> changed_parts(const ImageView& src, const ImageView& before, std::ptrdiff_t reach) {
  check_source(src);
  check_source(before);
  if (src.channels != 1 || before.channels != 1 || src.type != before.type || !same_size(src, before)) {
    refuse("src and before are not planes of one size and dtype");
  }
  if (reach < 0) refuse("reach=" + std::to_string(reach) + " is negative");
  reach = round_up(std::min(reach, std::max(src.width, src.height)), kBlock);
  Cells cells = changed_cells(src, before);
  Joiner joiner(reach);
  for (std::ptrdiff_t y = 0; y < cells.rows; ++y) {
    const char *const row = cells.row(y), *const end = row + cells.columns;
    const auto grown = [&](std::ptrdiff_t begin, std::ptrdiff_t end, std::ptrdiff_t size) {
      return Range{std::max<std::ptrdiff_t>(0, begin * kCell - reach), std::min(size, end * kCell + reach)};
    };
    const Range rows = grown(y, y + 1, src.height);
    joiner.go_to(rows.begin);
    for (const char* first = std::find(row, end, 1); first != end;) {
      const char* const last = std::find(first, end, 0);
      joiner.add({grown(first - row, last - row, src.width), rows.begin, rows.end});
      first = std::find(last, end, 1);
    }
  }
  const Tile whole{{0, src.width}, 0, src.height};
  if (joiner.total() >= joiner.cost(whole)) return {whole};
  return joiner.take();
}

std::ptrdiff_t copy_all_but(std::span<const Tile> parts, const ImageView& before, const MutableImageView& dst) {
  check_source(before);
  check_destination(dst, "dst", before);
  if (before.channels != 1 || !same_size(before, read_only(dst))) refuse_size(dst, "dst", before);
  check_parts(parts, dst.width, dst.height, 1);
  std::ptrdiff_t copied = 0;
  std::vector<Range> taken;
  for (std::ptrdiff_t y = 0, end = 0; y < dst.height; y = end) {
    // Up to `end` the rows lie in the same parts.
    taken.clear();
    end = dst.height;
    for (const Tile& part : parts) {
      if (part.y0 <= y && y < part.y1) taken.push_back(part.columns);
      for (const std::ptrdiff_t edge : {part.y0, part.y1}) {
        if (edge > y) end = std::min(end, edge);
      }
    }
    std::sort(taken.begin(), taken.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
    for (std::ptrdiff_t of = y; of < end; ++of) {
      std::ptrdiff_t x = 0;
      const auto copy_until = [&](std::ptrdiff_t end) {
        if (x >= end) return;
        copy(before, dst, of, {x, end});
        copied += end - x;
      };
      for (const Range& columns : taken) {
        copy_until(columns.begin);
        x = std::max(x, columns.end);
      }
      copy_until(dst.width);
    }
  }
  return copied;
}

}  // namespace fsrcnn
