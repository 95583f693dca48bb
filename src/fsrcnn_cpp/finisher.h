// What follows the network for one worker's strip: luma as it is asked for, and what chroma is guided by.
#pragma once

#include <cstddef>
#include <optional>

#include "arena.h"
#include "finish.h"
#include "network.h"
#include "phases.h"
#include "pixel_io.h"

namespace fsrcnn {

/// Finishes the phase planes of a strip, of luma or of every colour, block by block. Reads what went into the network
/// once more, and of the picture the planes that bypass it.
class Finisher {
 public:
  /// `picture`: where extra planes come from, `extras` of them; what is handed out as luma alone has none.
  /// `most_scale`: the largest of those that `finish` will be asked for. The phases are prepared, and outlive
  /// this.
  void prepare(Phases& phases, const PackedNetwork& network, const Finish& finish, const RowSource* picture,
               std::ptrdiff_t extras, int most_scale, std::ptrdiff_t strip_width);
  void carve(Arena& arena);
  /// Goes to where the phases have been taken.
  void begin(std::ptrdiff_t y0);
  /// Reads what surrounds the block of rows at y.
  void survey(std::ptrdiff_t y);
  /// Makes of the phase planes of row y of that block, all that there are, what is asked for.
  void finish(std::ptrdiff_t y, int scale, float* planes);

  /// Of the row that was finished last: the extra planes of the rows around it, and what guides its chroma, or null.
  const float* const* extra_rows() const { return extra_rows_; }
  std::ptrdiff_t extra_stride() const { return rows_.stride; }
  const Guide* guide() const { return finish_.guided ? &guide_ : nullptr; }

 private:
  bool has_strength() const { return finish_.strength != 1; }
  bool reads_soft() const { return has_strength() || finish_.guided || plus_bicubic_; }
  bool reads_source() const { return reads_soft() || finish_.guard; }
  const StripView& view() const { return phases_->view(); }
  /// Where a colour of a row of the block in work has its surroundings.
  std::ptrdiff_t slot(std::ptrdiff_t y, std::ptrdiff_t colour) const {
    return (y % kBlock * colours_ + colour) * phases_->stride();
  }
  void load(std::ptrdiff_t y);
  /// Whether a plane of the rows goes on beyond the edges of the picture as its mirror image.
  bool is_mirrored(std::ptrdiff_t plane) const { return mirrors_ && plane >= extras_; }
  void window(std::ptrdiff_t y, std::ptrdiff_t plane, const float** rows) const;
  void mix(float weight, float* planes, float soft_weight, int count) const;

  Phases* phases_ = nullptr;
  const KernelTable* kernels_ = nullptr;
  bool plus_bicubic_ = false, mirrors_ = false;
  Finish finish_;  // guided only where there is colour to store
  const RowSource* picture_ = nullptr;
  std::ptrdiff_t extras_ = 0, colours_ = 1;
  int most_scale_ = 0;
  std::ptrdiff_t strip_width_ = 0;

  Ring rows_;  // what outputs take past the network: extra planes, and behind them, if they are read, the colours
  std::ptrdiff_t next_row_ = 0;
  std::optional<Survey> survey_;
  float *low_ = nullptr, *high_ = nullptr, *slopes_[2] = {};  // what it found: rows of every colour, for a block
  float* soft_ = nullptr;                                     // one colour by the bicubic filter, in phase planes
  float* column_filtered_ = nullptr;                          // on the way there
  const float* extra_rows_[kWindowRows] = {};
  Guide guide_{};
};

}  // namespace fsrcnn
