// A strip on its way from rows of a picture to phase planes of the large one, block of rows by block of rows: what all
// networks have in common, whether they enlarge at their end or read what is enlarged already.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "arena.h"
#include "network.h"
#include "ring.h"
#include "team.h"

namespace fsrcnn {

class Phases {
 public:
  virtual ~Phases() = default;

  /// Makes ready for strips of up to `strip_width` columns of pictures of that size, and those heads; where the picture
  /// goes in enlarged, one of them.
  virtual void prepare(const PackedNetwork& network, std::span<const PackedHead* const> heads, std::ptrdiff_t height,
                       std::ptrdiff_t width, std::ptrdiff_t strip_width, int members) = 0;
  virtual void carve(Arena& arena) = 0;
  /// Goes to a tile. Its columns and rows start, and end inside the picture, at multiples of kBlock. A team of no more
  /// than `members` computes it, led by the caller.
  virtual void begin(const Tile& tile, Rows& source, Team& team) = 0;
  /// Has ready what the heads read for the block of rows at y.
  virtual void advance(std::ptrdiff_t y) = 0;
  /// Row y of what `source` gives, at most kFinishReach rows below the block in work, from the first column of the
  /// strip on; as many columns beside it can be read. Planes are source_stride() apart.
  virtual const float* source_row(std::ptrdiff_t y) = 0;
  /// Enlarges the block of rows at y: scale x scale phase planes for each of them, of each colour in turn, valid until
  /// the next call.
  virtual void run_head(const PackedHead& head, std::ptrdiff_t y) = 0;
  /// The planes of row y + r of that block, stride() apart, from the first column of the strip on.
  virtual float* planes(const PackedHead& head, std::ptrdiff_t r) const = 0;

  std::ptrdiff_t stride() const { return stride_; }
  /// Floats of a row that a source is asked for, and that may be overrun.
  std::ptrdiff_t source_stride() const { return source_stride_; }
  const StripView& view() const { return view_; }

 protected:
  StripView view_{};
  std::ptrdiff_t stride_ = 0, source_stride_ = 0;
};

/// Of the kind that a network is.
std::unique_ptr<Phases> make_phases(const PackedNetwork& network);

}  // namespace fsrcnn
