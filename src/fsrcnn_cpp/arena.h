// Carves one block into aligned pieces. The same code first measures (over no memory) and then carves, so a size
// and a layout cannot disagree.
#pragma once

#include <cstddef>
#include <limits>

#include "aligned_buffer.h"
#include "common.h"

namespace fsrcnn {

class Arena {
 public:
  /// Over `base`, or, when it is null, only counting: every piece is then null too.
  explicit Arena(float* base) : base_(base) {}

  /// A piece of `count` floats that starts on a cache line. Under AddressSanitizer nothing between pieces may be
  /// touched.
  float* take(std::ptrdiff_t count) {
    const std::ptrdiff_t size = round_up(count, kCacheLineFloats) + kGap;
    float* piece = base_ ? base_ + used_ : nullptr;
    if (piece) {
      unpoison(piece, static_cast<std::size_t>(count));
      poison(piece + count, static_cast<std::size_t>(size - count));
    }
    used_ += size;
    return piece;
  }

  std::size_t used() const { return static_cast<std::size_t>(used_); }

 private:
  static constexpr std::ptrdiff_t kGap = kAddressSanitizer ? kCacheLineFloats : 0;

  float* base_;
  std::ptrdiff_t used_ = 0;
};

/// Memory that a worker keeps from call to call and that grows to what a call needs.
class Scratch {
 public:
  /// Has `carve(arena)` take its pieces. What is in them is left over from other calls, finite if those left it so.
  /// Debug builds write `leftover` to them: it may not be seen in a result.
  template <typename Carve>
  void fit(const Carve& carve, [[maybe_unused]] float leftover = std::numeric_limits<float>::quiet_NaN()) {
    Arena count(nullptr);
    carve(count);
    if (memory_.size() < count.used()) memory_ = AlignedBuffer(count.used());
#if !defined(NDEBUG)
    memory_.fill(leftover);
#endif
    Arena arena(memory_.data());
    carve(arena);
  }

 private:
  AlignedBuffer memory_;
};

}  // namespace fsrcnn
