// One worker's rows through the network: rings of the last few rows of each result, made as the next node asks for
// them.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "aligned_buffer.h"
#include "arena.h"
#include "network.h"
#include "ring.h"

namespace fsrcnn {

/// The implicit im2col: which source rows the taps `first .. first + count - 1` read, as an index into the picture or
/// kZeroRow. Rows outside are the nearest row of the picture where the padding replicates, as far as `border` pixels.
inline constexpr std::ptrdiff_t kZeroRow = -1;
void gather_rows(std::ptrdiff_t first, int count, std::ptrdiff_t height, Padding padding, int border,
                 std::ptrdiff_t* rows);

/// The rows of one strip at a time. A row of a block that lies outside the picture is never read.
class Stream {
 public:
  /// Makes ready for strips of up to `strip_width` columns of pictures of that size, and those heads.
  void prepare(const PackedNetwork& network, std::span<const PackedHead* const> heads, std::ptrdiff_t height,
               std::ptrdiff_t width, std::ptrdiff_t strip_width);
  void carve(Arena& arena);

  /// Goes to a strip, from row y0 on. Its columns start, and end inside the picture, at multiples of kBlock, as rows
  /// do.
  void begin(Range columns, std::ptrdiff_t y0, Rows& source);
  /// Has ready what the heads read for the block of rows at y.
  void advance(std::ptrdiff_t y);
  /// Row y of what goes into the network, at most kFinishReach rows below the block in work, from the first column of
  /// the strip on; as many columns beside it can be read.
  const float* source_row(std::ptrdiff_t y);
  /// Enlarges the block of rows at y: stride x stride phase planes for each of them, valid until the next call.
  void run_head(const PackedHead& head, std::ptrdiff_t y);
  /// The planes of row y + r of that block, stride() apart, from the first column of the strip on.
  float* phases(const PackedHead& head, std::ptrdiff_t r) const {
    return phases_ + r * head.stride * head.stride * stride_;
  }
  std::ptrdiff_t stride() const { return stride_; }

  /// Floats of a row that a source is asked for, and that may be overrun.
  std::ptrdiff_t source_width() const { return rings_[0].stride; }
  const StripView& view() const { return view_; }

 private:
  const Stage& stage_of(int ring) const { return network_->plan.stages[static_cast<std::size_t>(ring) - 1]; }
  const Ring& ring(int index) const { return rings_[static_cast<std::size_t>(index)]; }
  int last_ring() const { return network_->plan.last_ring(); }
  /// The columns of the picture that a ring holds for this strip.
  Range columns(int ring) const {
    const Extent& extent = network_->plan.rings[static_cast<std::size_t>(ring)].extent;
    return view_.around(extent.before, extent.after);
  }
  void until(int ring, std::ptrdiff_t end);
  void make(int ring, std::ptrdiff_t y);
  void run_stage(int ring, std::ptrdiff_t y);
  void add(const std::vector<Slice>& adds, std::ptrdiff_t y, std::ptrdiff_t rows, std::ptrdiff_t x,
           float* const* dst_rows, std::ptrdiff_t dst_stride, std::ptrdiff_t width);
  void pad(int ring, std::ptrdiff_t y, int reach, int border);
  void gather(const Ring& ring, std::ptrdiff_t first, int count, std::ptrdiff_t offset, int border,
              const float** rows) const;

  const PackedNetwork* network_ = nullptr;
  Rows* source_ = nullptr;
  StripView view_{};
  Schedule schedule_;
  std::vector<Ring> rings_;
  std::ptrdiff_t stride_ = 0;  // of phase planes
  std::vector<const PackedHead*> heads_;
  int reach_ = 0;                // rows that the heads in use read around a block
  int pad_reach_ = 0;            // columns that they read around the picture, whole tiles included
  bool borders_differ_ = false;  // between heads: the last ring is then padded anew for each

  AlignedBuffer zeros_;          // the largest row; in memory of its own, so that nobody ever writes to it
  float* spare_row_ = nullptr;   // takes the rows of a block that lie outside the picture
  float* phases_ = nullptr;      // phase planes of one head, for a block of rows
  float* wide_ = nullptr;        // a chunk of the features between a convolution and its pointwise one
  float* scratchpad_ = nullptr;  // of the kernels
};

}  // namespace fsrcnn
