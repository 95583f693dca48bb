// What the drivers demand of their callers. A violated condition throws std::invalid_argument, which names the argument
// and its value.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "finish.h"
#include "pixel_io.h"
#include "ring.h"

namespace fsrcnn {

void check_threads(int threads);
void check_strip_width(std::ptrdiff_t strip_width);
void check_strength(const Finish& finish);
/// Parts of a picture of this size, none of them empty; where they begin, and end inside it, are multiples of `step`.
void check_parts(std::span<const Tile> parts, std::ptrdiff_t width, std::ptrdiff_t height, std::ptrdiff_t step);
/// A picture with 1 to 4 channels, whose samples lie at addresses that are multiples of their size.
void check_source(const ImageView& src);
/// A picture of the type and channels of a checked source, and apart from it.
void check_destination(const MutableImageView& dst, const std::string& name, const ImageView& src);
/// Refuses the size of a destination.
[[noreturn]] void refuse_size(const MutableImageView& dst, const std::string& name, const ImageView& src);
/// Throws. It is called behind a condition, so that a call that is right makes no message.
[[noreturn]] void refuse(const std::string& message);

}  // namespace fsrcnn
