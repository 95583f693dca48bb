// Networks that read the picture enlarged by MATLAB's bicubic filter, which mirrors it at the edges: rows of the large
// one are made as the network asks for them, and it is never whole.
#pragma once

#include <cstddef>
#include <span>

#include "phases.h"
#include "stream.h"

namespace fsrcnn {

/// A strip of the picture, and the stream of the large one that it becomes. What comes out is taken apart into phase
/// planes, so that all that follows is the same for every network.
class Enlarged final : public Phases, private Rows {
 public:
  void prepare(const PackedNetwork& network, std::span<const PackedHead* const> heads, std::ptrdiff_t height,
               std::ptrdiff_t width, std::ptrdiff_t strip_width, int members) override;
  void carve(Arena& arena) override;
  void begin(const Tile& tile, Rows& source, Team& team) override;
  /// Nothing: rows of the picture are kept long enough to be asked for in any order within a block.
  void advance(std::ptrdiff_t) override {}
  const float* source_row(std::ptrdiff_t y) override;
  void run_head(const PackedHead& head, std::ptrdiff_t y) override;
  float* planes(const PackedHead&, std::ptrdiff_t r) const override { return planes_ + r * row_planes() * stride_; }

 private:
  /// A row of the large picture.
  void read(std::ptrdiff_t y, Range range, float* dst, std::ptrdiff_t stride) override;
  std::ptrdiff_t row_planes() const { return rows_.channels * scale_ * scale_; }

  const PackedNetwork* network_ = nullptr;
  int scale_ = 0;
  Rows* source_ = nullptr;
  Stream stream_;  // of the large picture
  Ring rows_;      // of the picture
  std::ptrdiff_t next_row_ = 0;
  float* planes_ = nullptr;           // of a block of rows
  float* column_filtered_ = nullptr;  // a row on its way to a large one
  float* phases_[kMaxStride] = {};
  float* merged_ = nullptr;
};

}  // namespace fsrcnn
