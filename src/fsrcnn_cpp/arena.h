// Carves one block into aligned pieces. The same code first measures (over no memory) and then carves, so a size
// and a layout cannot disagree.
#pragma once

#include <cstddef>

#include "common.h"

namespace fsrcnn {

class Arena {
 public:
  /// Over `base`, or, when it is null, only counting: every piece is then null too.
  explicit Arena(float* base) : base_(base) {}

  /// A piece of `count` floats that starts on a cache line.
  float* take(std::ptrdiff_t count) {
    float* piece = base_ ? base_ + used_ : nullptr;
    used_ += round_up(count, kCacheLineFloats);
    return piece;
  }

  std::size_t used() const { return static_cast<std::size_t>(used_); }

 private:
  float* base_;
  std::ptrdiff_t used_ = 0;
};

}  // namespace fsrcnn
