// What follows the network: how much of what it adds is taken, how far that may go, and what luma tells the chroma.
#pragma once

#include <cstddef>
#include <optional>

#include "arena.h"
#include "kernels/kernels.h"
#include "pixel_io.h"
#include "stream.h"

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
  /// Slope of a chroma plane over luma, whose range is `low` to `high`; SlopeArgs says how.
  void slope(const float* const* luma, const float* low, const float* high, const float* const* chroma,
             std::ptrdiff_t n, float* dst) const;

 private:
  const KernelTable& kernels_;
  float *down_low_ = nullptr, *down_high_ = nullptr;      // of the columns of the window
  float *chroma_low_ = nullptr, *chroma_high_ = nullptr;  // of the window
};

/// Finishes the phase planes of a strip, block by block. Reads what went into the network once more, and of the picture
/// the planes that bypass it.
class Finisher {
 public:
  /// `picture`: where extra planes come from, `extras` of them; what is handed out as luma alone has none. `most_scale`:
  /// the largest of those that `finish` will be asked for. The stream is prepared, and outlives this.
  void prepare(Stream& stream, const PackedNetwork& network, const Finish& finish, const RowSource* picture,
               std::ptrdiff_t extras, int most_scale, std::ptrdiff_t strip_width);
  void carve(Arena& arena);
  /// Goes to where the stream has been taken.
  void begin(std::ptrdiff_t y0);
  /// Reads what surrounds the block of rows at y.
  void survey(std::ptrdiff_t y);
  /// Makes of the phase planes of row y of that block what is asked for.
  void finish(std::ptrdiff_t y, int scale, float* luma);

  /// Of the row that was finished last: the extra planes of the rows around it, and what guides its chroma, or null.
  const float* const* extra_rows() const { return extra_rows_; }
  std::ptrdiff_t extra_stride() const { return view().stride; }
  const Guide* guide() const { return finish_.guided ? &guide_ : nullptr; }

 private:
  bool has_strength() const { return finish_.strength != 1; }
  bool reads_soft() const { return has_strength() || finish_.guided || plus_bicubic_; }
  bool reads_luma() const { return reads_soft() || finish_.guard; }
  const StripView& view() const { return stream_->view(); }
  /// Where a row of the block in work has its surroundings.
  std::ptrdiff_t slot(std::ptrdiff_t y) const { return y % kBlock * view().stride; }
  void load(std::ptrdiff_t y);
  void window(std::ptrdiff_t y, std::ptrdiff_t plane, const float** rows) const;
  void mix(float weight, float* luma, float soft_weight, int planes) const;

  Stream* stream_ = nullptr;
  const KernelTable* kernels_ = nullptr;
  bool plus_bicubic_ = false;
  Finish finish_;  // guided only where there is colour to store
  const RowSource* picture_ = nullptr;
  std::ptrdiff_t luma_plane_ = 0;  // behind so many extra ones
  int most_scale_ = 0;
  std::ptrdiff_t strip_width_ = 0;

  Ring rows_;  // what outputs take past the network: the extra planes and, if it is read, luma behind them
  std::ptrdiff_t next_row_ = 0;
  std::optional<Survey> survey_;
  float *low_ = nullptr, *high_ = nullptr, *slopes_[2] = {};  // what it found: a row for each of a block
  float* soft_ = nullptr;                                     // bicubic luma, in phase planes, for one row
  float* column_filtered_ = nullptr;                          // on the way there
  const float* extra_rows_[kWindowRows] = {};
  Guide guide_{};
};

}  // namespace fsrcnn
