// One worker's strips of a picture: the stream of its rows, what follows the network, and where that goes.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "arena.h"
#include "finisher.h"
#include "network.h"
#include "pixel_io.h"
#include "stream.h"

namespace fsrcnn {

struct Target {
  int scale;
  MutableImageView image;
};

/// Luma of a picture.
class PictureRows final : public Rows {
 public:
  explicit PictureRows(const RowSource& source) : source_(source) {}
  void read(std::ptrdiff_t y, Range range, float* dst) override {
    source_.load_luma(y, range.begin, range.size(), dst);
  }

 private:
  const RowSource& source_;
};

/// From a picture to pictures of any scales that the network has.
class Strip {
 public:
  /// Sizes the scratch for strips of up to `width` columns. Allocates only if it has to grow.
  void prepare(const PackedNetwork& network, const Finish& finish, const ImageView& src,
               std::span<const Target> targets, std::ptrdiff_t width);
  /// Computes columns x0 .. x1 - 1 of rows y0 .. y1 - 1. Starts, and ends inside the picture, are multiples of kBlock.
  void run(Range columns, std::ptrdiff_t y0, std::ptrdiff_t y1);

 private:
  struct Output {
    const PackedHead* head;
    RowSink sink;
  };

  void store(Output& output, std::ptrdiff_t y);

  std::optional<RowSource> source_;  // made anew for every picture, as the outputs are
  std::vector<Output> outputs_;
  Stream stream_;
  Finisher finisher_;
  Scratch scratch_;
};

/// From rows of luma to rows of luma, larger by one scale: those of the result are handed out and not stored, so that
/// one pass feeds the next.
class Pass final : public Rows {
 public:
  /// `height` and `width` of what goes in; `keep`: rows of the result that stay valid behind the last one asked for.
  void prepare(const PackedNetwork& network, const Finish& finish, std::ptrdiff_t height, std::ptrdiff_t width,
               int scale, int keep, std::ptrdiff_t strip_width);
  /// Goes to these columns of what goes in, from row y0 on; where these may be is as in `Strip::run`.
  void begin(Range columns, std::ptrdiff_t y0, Rows& source);
  /// Row y of the result, scale * y0 or later, from the column scale * columns.begin on; rows are asked for in
  /// ascending order.
  const float* row(std::ptrdiff_t y);
  void read(std::ptrdiff_t y, Range range, float* dst) override;

 private:
  void run_block();

  const KernelTable* kernels_ = nullptr;
  const PackedHead* head_ = nullptr;
  Stream stream_;
  Finisher finisher_;
  Scratch scratch_;
  Ring luma_;  // phases merged
  std::ptrdiff_t next_block_ = 0;
};

}  // namespace fsrcnn
