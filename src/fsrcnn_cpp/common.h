// Small helpers that every room may use. No project includes.
#pragma once

#include <cstddef>

namespace fsrcnn {

inline constexpr std::ptrdiff_t kCacheLineFloats = 16;

constexpr std::ptrdiff_t round_up(std::ptrdiff_t value, std::ptrdiff_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

constexpr std::ptrdiff_t ceil_div(std::ptrdiff_t value, std::ptrdiff_t divisor) {
  return (value + divisor - 1) / divisor;
}

}  // namespace fsrcnn
