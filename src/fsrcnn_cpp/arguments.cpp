#include "arguments.h"

#include <cstdint>
#include <stdexcept>
#include <utility>

namespace fsrcnn {
namespace {

template <typename Byte>
std::string describe(const BasicImageView<Byte>& image) {
  const std::string size = std::to_string(image.height) + ", " + std::to_string(image.width);
  return image.channels == 1 ? "(" + size + ")" : "(" + size + ", " + std::to_string(image.channels) + ")";
}

template <typename Byte>
void check_image(const BasicImageView<Byte>& image, const std::string& name) {
  if (!image.data || image.height < 1 || image.width < 1 || image.channels < 1 || image.channels > 4) {
    refuse(name + ": shape " + describe(image) + " is not (height, width) or (height, width, 1..4), none of them 0");
  }
  const int bytes = sample_bytes(image.type);
  const auto aligned = [&](std::ptrdiff_t value) { return value % bytes == 0; };
  if (!(reinterpret_cast<std::uintptr_t>(image.data) % static_cast<std::uintptr_t>(bytes) == 0 &&
        (image.height == 1 || aligned(image.row_stride)) && (image.width == 1 || aligned(image.pixel_stride)) &&
        (image.channels == 1 || aligned(image.channel_stride)))) {
    refuse(name + " is not aligned for its dtype");
  }
  if (!(image.range.full > 0 && image.range.max >= 0)) refuse(name + ": its samples have no full scale");
}

/// First and last byte of an image.
template <typename Byte>
std::pair<const unsigned char*, const unsigned char*> extent(const BasicImageView<Byte>& image) {
  const unsigned char* low = image.data;
  const unsigned char* high = image.data + sample_bytes(image.type) - 1;
  const auto stretch = [&](std::ptrdiff_t count, std::ptrdiff_t stride) {
    (stride < 0 ? low : high) += (count - 1) * stride;
  };
  stretch(image.height, image.row_stride);
  stretch(image.width, image.pixel_stride);
  stretch(image.channels, image.channel_stride);
  return {low, high};
}

}  // namespace

void refuse(const std::string& message) { throw std::invalid_argument(message); }

void check_threads(int threads) {
  if (threads < 1) refuse("threads=" + std::to_string(threads) + " is not positive");
}

void check_strip_width(std::ptrdiff_t strip_width) {
  if (strip_width < 0) refuse("strip_width=" + std::to_string(strip_width) + " is negative");
}

void check_strength(const Finish& finish) {
  if (!(finish.strength >= 0 && finish.strength <= 1.5f)) {
    refuse("strength=" + std::to_string(finish.strength) + " is not 0 to 1.5");
  }
}

void check_parts(std::span<const Tile> parts, std::ptrdiff_t width, std::ptrdiff_t height, std::ptrdiff_t step) {
  const auto is_inside = [&](std::ptrdiff_t begin, std::ptrdiff_t end, std::ptrdiff_t size) {
    return begin >= 0 && begin < end && end <= size && begin % step == 0 && (end % step == 0 || end == size);
  };
  for (const Tile& part : parts) {
    if (is_inside(part.columns.begin, part.columns.end, width) && is_inside(part.y0, part.y1, height)) continue;
    refuse("parts has (" + std::to_string(part.columns.begin) + ", " + std::to_string(part.y0) + ", " +
           std::to_string(part.columns.end) + ", " + std::to_string(part.y1) + "), which is no part of " +
           std::to_string(width) + "x" + std::to_string(height) +
           (step > 1 ? " in blocks of " + std::to_string(step) : ""));
  }
}

void check_source(const ImageView& src) { check_image(src, "src"); }

void check_destination(const MutableImageView& dst, const std::string& name, const ImageView& src) {
  check_image(dst, name);
  if (dst.type != src.type) refuse(name + ": dtype is not that of src");
  if (dst.channels != src.channels) refuse_size(dst, name, src);
  const auto [src_low, src_high] = extent(src);
  const auto [low, high] = extent(dst);
  if (low <= src_high && src_low <= high) refuse(name + " overlaps src");
}

void refuse_size(const MutableImageView& dst, const std::string& name, const ImageView& src) {
  refuse(name + ": shape " + describe(dst) + " does not fit src " + describe(src));
}

}  // namespace fsrcnn
