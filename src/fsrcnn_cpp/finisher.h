// What follows the network for one worker's strip: luma as it is asked for, and what chroma is guided by.
#pragma once

#include <cstddef>
#include <optional>

#include "arena.h"
#include "finish.h"
#include "network.h"
#include "pixel_io.h"
#include "stream.h"

namespace fsrcnn {

/// Finishes the phase planes of a strip, block by block. Reads what went into the network once more, and of the picture
/// the planes that bypass it.
class Finisher {
 public:
  /// `picture`: where extra planes come from, `extras` of them; what is handed out as luma alone has none.
  /// `most_scale`: the largest of those that `finish` will be asked for. The stream is prepared, and outlives this.
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
  std::ptrdiff_t extra_stride() const { return rows_.stride; }
  const Guide* guide() const { return finish_.guided ? &guide_ : nullptr; }

 private:
  bool has_strength() const { return finish_.strength != 1; }
  bool reads_soft() const { return has_strength() || finish_.guided || plus_bicubic_; }
  bool reads_luma() const { return reads_soft() || finish_.guard; }
  const StripView& view() const { return stream_->view(); }
  /// Where a row of the block in work has its surroundings.
  std::ptrdiff_t slot(std::ptrdiff_t y) const { return y % kBlock * stream_->stride(); }
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
