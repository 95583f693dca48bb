// One worker's rows through the network: rings of the last few rows of each result, made as the next node asks for
// them.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "aligned_buffer.h"
#include "arena.h"
#include "network.h"
#include "phases.h"

namespace fsrcnn {

/// The implicit im2col: which source rows the taps `first .. first + count - 1` read, as an index into the picture or
/// kZeroRow. Rows outside are the nearest row of the picture where the padding replicates, as far as `border` pixels.
inline constexpr std::ptrdiff_t kZeroRow = -1;
void gather_rows(std::ptrdiff_t first, int count, std::ptrdiff_t height, Padding padding, int border,
                 std::ptrdiff_t* rows);

/// The rows of one strip at a time. A row of a block that lies outside the picture is never read. Planes are those of
/// the heads: phases of the large picture, or colours of what is large already.
class Stream final : public Phases {
 public:
  void prepare(const PackedNetwork& network, std::span<const PackedHead* const> heads, std::ptrdiff_t height,
               std::ptrdiff_t width, std::ptrdiff_t strip_width, int members) override;
  void carve(Arena& arena) override;
  void begin(const Tile& tile, Rows& source, Team& team) override;
  void advance(std::ptrdiff_t y) override;
  const float* source_row(std::ptrdiff_t y) override;
  void run_head(const PackedHead& head, std::ptrdiff_t y) override;
  float* planes(const PackedHead& head, std::ptrdiff_t r) const override {
    return planes_ + r * head.conv.oc * stride_;
  }

 private:
  /// What each thread of the team has for itself.
  struct Member {
    float* spare_row;   // takes the rows of a block that lie outside the picture
    float* wide;        // a chunk of the features between a convolution and its pointwise one
    float* scratchpad;  // of the kernels
  };

  const Stage& stage_of(int ring) const { return network_->plan.stages[static_cast<std::size_t>(ring) - 1]; }
  const Ring& ring(int index) const { return rings_[static_cast<std::size_t>(index)]; }
  /// The ring whose rows a stage convolves.
  const Ring& source_of(const Stage& stage) const {
    return stage.source.ring == 0 && network_->is_fixed() ? luma_cells_ : ring(stage.source.ring);
  }
  int last_ring() const { return network_->plan.last_ring(); }
  /// Where the first tile of a stage starts: left of the columns that its ring holds, and maybe of the picture.
  std::ptrdiff_t first_column(int ring) const;
  /// The columns of the picture that a ring holds for this strip.
  Range columns(int ring) const {
    const Extent& extent = network_->plan.rings[static_cast<std::size_t>(ring)].extent;
    return view_.around(extent.before, extent.after);
  }
  void make(int ring, std::ptrdiff_t y, std::ptrdiff_t rows);
  void to_cells(std::ptrdiff_t y, Range columns);
  void run_stage(int ring, std::ptrdiff_t y, Range columns, const Member& member);
  void pad_rows(int ring, std::ptrdiff_t y, std::ptrdiff_t rows, Range columns);
  void add(const std::vector<Slice>& adds, std::ptrdiff_t y, std::ptrdiff_t rows, std::ptrdiff_t x,
           float* const* dst_rows, std::ptrdiff_t dst_stride, std::ptrdiff_t width);
  void pad(int ring, std::ptrdiff_t y, Range columns, int reach, int border);
  void gather(const Ring& ring, std::ptrdiff_t first, int count, std::ptrdiff_t offset, int border,
              const float** rows) const;

  const PackedNetwork* network_ = nullptr;
  Rows* source_ = nullptr;
  Team* team_ = nullptr;
  Schedule schedule_;
  std::vector<Ring> rings_;
  Ring luma_cells_;  // in fixed point, the rows of ring 0 as the network reads them; others read floats there
  std::vector<const PackedHead*> heads_;
  int reach_ = 0;                // rows that the heads in use read around a block
  int pad_reach_ = 0;            // columns that they read around the picture, whole tiles included
  bool borders_differ_ = false;  // between heads: the last ring is then padded anew for each

  AlignedBuffer zeros_;      // the largest row; in memory of its own, so that nobody ever writes to it
  float* planes_ = nullptr;  // of one head, for a block of rows
  std::vector<Member> members_;
};

}  // namespace fsrcnn
