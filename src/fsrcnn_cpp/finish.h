// What follows the network: how much of what it adds is taken, how far that may go, and what luma tells the chroma.
#pragma once

#include <cstddef>

#include "arena.h"
#include "kernels/kernels.h"
#include "pixel_io.h"

namespace fsrcnn {

struct Finish {
  /// Luma is bicubic, plus so much of what the network adds to that.
  float strength = 1;
  /// Luma is kept within the range of the 5x5 input pixels around, widened by kGuardPart of it and kGuardSlack.
  bool guard = true;
  /// Chroma is bicubic, plus what luma adds to bicubic times the slope of chroma over luma around.
  bool guided = true;
};

/// The bicubic filter overshoots by up to 0.262 of the range of its 16 pixels (x4; 0.247 at x3, 0.206 at x2), and the
/// guard lets that pass.
inline constexpr float kGuardPart = 0.27f, kGuardSlack = 0.01f;

/// Measures the surroundings of a row of pixels. Of every plane there are kWindowRows rows, of which the middle one is
/// that row: column x lies at index x, and kBicubicReach columns on either side are readable, as are kMaxLanes more.
class Survey {
 public:
  explicit Survey(const KernelTable& kernels) : kernels_(kernels) {}

  /// Carves room for rows of up to `width` columns.
  void carve(Arena& arena, std::ptrdiff_t width);
  /// Smallest and largest of the window of each of n pixels. Rows of kMaxLanes more floats.
  void range(const float* const* rows, std::ptrdiff_t n, float* low, float* high) const;
  /// Slopes of both chroma planes over luma, whose range is `low` to `high`; SlopeArgs says how.
  void slopes(const float* const* luma, const float* low, const float* high, const float* const* const* chroma,
              std::ptrdiff_t n, float* const* dst) const;

 private:
  const KernelTable& kernels_;
  float *down_low_ = nullptr, *down_high_ = nullptr;  // of the columns of the window
  float *chroma_low_[2] = {}, *chroma_high_[2] = {};  // of the window
};

}  // namespace fsrcnn
