// One worker's strips of a picture: the stream of its rows, what follows the network, and where that goes.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "arena.h"
#include "finisher.h"
#include "network.h"
#include "phases.h"
#include "pixel_io.h"

namespace fsrcnn {

struct Target {
  int scale;
  MutableImageView image;
};

/// What a network sees of a picture.
class PictureRows final : public Rows {
 public:
  explicit PictureRows(const RowSource& source) : source_(source) {}
  void read(std::ptrdiff_t y, Range range, float* dst, std::ptrdiff_t stride) override {
    source_.load_planes(y, range.begin, range.size(), dst, stride);
  }

 private:
  const RowSource& source_;
};

/// From a picture to pictures of any scales that the network has; one of them where it reads an enlarged picture.
class Strip {
 public:
  /// Sizes the scratch for strips of up to `width` columns. Allocates only if it has to grow.
  void prepare(const PackedNetwork& network, const Finish& finish, const ImageView& src,
               std::span<const Target> targets, std::ptrdiff_t width, int members);
  /// Computes a tile, of which starts, and ends inside the picture, are multiples of kBlock, by a team of no more than
  /// `members`.
  void run(const Tile& tile, Team& team);

 private:
  struct Output {
    const PackedHead* head;
    RowSink sink;
  };

  void store(Output& output, std::ptrdiff_t y);

  std::optional<RowSource> source_;  // made anew for every picture, as the outputs are
  std::vector<Output> outputs_;
  std::unique_ptr<Phases> phases_;
  Finisher finisher_;
  Scratch scratch_;
};

/// From rows that a network sees to such rows, larger by one scale: those of the result are handed out and not stored,
/// so that one pass feeds the next.
class Pass final : public Rows {
 public:
  /// `height` and `width` of what goes in; `keep`: rows of the result that stay valid behind the last one asked for.
  void prepare(const PackedNetwork& network, const Finish& finish, std::ptrdiff_t height, std::ptrdiff_t width,
               int scale, int keep, std::ptrdiff_t strip_width, int members);
  /// Goes to a tile of what goes in; where it may be, and the team, are as in `Strip::run`.
  void begin(const Tile& tile, Rows& source, Team& team);
  /// Row y of the result, scale * y0 or later, from the column scale * columns.begin on; rows are asked for in
  /// ascending order.
  const float* row(std::ptrdiff_t y);
  /// Between the planes of a row.
  std::ptrdiff_t plane_stride() const { return made_.stride; }
  void read(std::ptrdiff_t y, Range range, float* dst, std::ptrdiff_t stride) override;

 private:
  void run_block();

  const KernelTable* kernels_ = nullptr;
  const PackedHead* head_ = nullptr;
  std::unique_ptr<Phases> phases_;
  Finisher finisher_;
  Scratch scratch_;
  Ring made_;  // phases merged
  std::ptrdiff_t next_block_ = 0;
};

}  // namespace fsrcnn
