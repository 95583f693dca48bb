// One worker's rows through all layers: rings of the last few rows of each, produced as the next layer asks for them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "aligned_buffer.h"
#include "arena.h"
#include "finish.h"
#include "network.h"
#include "pixel_io.h"

namespace fsrcnn {

/// Output is produced in blocks of rows, and strips and bands start at multiples of them, whatever the algorithm.
inline constexpr std::ptrdiff_t kBlock = kWinogradTile;

/// The last multiple of kBlock, counted from `anchor`, that is not beyond `value`.
constexpr std::ptrdiff_t align_down(std::ptrdiff_t value, std::ptrdiff_t anchor) {
  const std::ptrdiff_t remainder = (value - anchor) % kBlock;
  return value - (remainder < 0 ? remainder + kBlock : remainder);
}

/// The implicit im2col: which source rows the taps `first .. first + count - 1` read, as an index into the picture or
/// kZeroRow. Rows outside are the nearest row of the picture where the padding replicates, as far as `border` pixels.
inline constexpr std::ptrdiff_t kZeroRow = -1;
void gather_rows(std::ptrdiff_t first, int count, std::ptrdiff_t height, Padding padding, int border,
                 std::ptrdiff_t* rows);

struct Target {
  int scale;
  MutableImageView image;
};

/// The last few feature rows of one layer; row y lies in slot y % rows.
struct Ring {
  float* data = nullptr;
  std::ptrdiff_t channels = 0, rows = 0, stride = 0;

  void carve(Arena& arena, std::ptrdiff_t channel_count, std::ptrdiff_t row_count, std::ptrdiff_t channel_stride) {
    channels = channel_count;
    rows = row_count;
    stride = channel_stride;
    data = arena.take(channels * rows * stride);
  }
  float* row(std::ptrdiff_t y) const { return data + y % rows * channels * stride; }
};

/// One worker's scratch and the state of the strip it is streaming. Column x of the picture lies at index
/// `column(x)` of every row, so all layers of a strip share one coordinate.
class Strip {
 public:
  /// Sizes the scratch for strips of up to `width` columns. Allocates only if it has to grow.
  void prepare(const PackedNetwork& network, const Finish& finish, const ImageView& src,
               std::span<const Target> targets, std::ptrdiff_t width);
  /// Computes columns x0 .. x1 - 1 of rows y0 .. y1 - 1. Starts, and ends inside the picture, are multiples of kBlock.
  void run(std::ptrdiff_t x0, std::ptrdiff_t x1, std::ptrdiff_t y0, std::ptrdiff_t y1);

  /// As `prepare`, for luma alone, which is handed out and not stored. It comes from the picture or, where `before` is
  /// given, from that strip, which has been prepared first. `keep`: rows of the result that stay valid behind the last
  /// one asked for.
  void prepare_luma(const PackedNetwork& network, const Finish& finish, const ImageView& src, Strip* before, int scale,
                    int keep, std::ptrdiff_t width);
  /// Goes to columns x0 .. x1 - 1, from row y0 on; where these may be is as in `run`.
  void begin(std::ptrdiff_t x0, std::ptrdiff_t x1, std::ptrdiff_t y0);
  /// Row y of the result, scale * y0 or later, from the column scale * x0 on; rows are asked for in ascending order.
  const float* luma_row(std::ptrdiff_t y);

 private:
  struct Output {
    const PackedHead* head;
    std::optional<RowSink> sink;  // none where luma is handed out
  };
  struct Range {
    std::ptrdiff_t begin, end;
  };

  void start_over(const PackedNetwork& network, const Finish& finish, std::ptrdiff_t height, std::ptrdiff_t width);
  void add_output(const PackedHead* head);
  void size_scratch(std::ptrdiff_t width, std::ptrdiff_t channels, SampleType type);
  void carve(Arena& arena, std::ptrdiff_t width);
  std::ptrdiff_t column(std::ptrdiff_t x) const { return margin_ + x - x0_; }
  int stage_count() const { return static_cast<int>(network_->stages.size()); }
  /// The stage that makes ring i, for i > 0, and the convolution that reads it, for i < stage_count().
  const Stage& producer(int i) const { return network_->stages[i - 1]; }
  const PackedConv& consumer(int i) const { return *network_->stages[i].conv; }
  bool in_blocks(int i) const { return i > 0 && producer(i).conv->in_blocks(); }
  bool has_strength() const { return finish_.strength != 1; }
  bool reads_soft() const { return has_strength() || finish_.guided; }
  bool reads_luma() const { return reads_soft() || finish_.guard; }

  /// The columns of the picture that ring i holds for this strip.
  Range columns(int i) const {
    const Extent& extent = network_->extents[i];
    return {std::max<std::ptrdiff_t>(0, x0_ - extent.before), std::min(width_, x1_ + extent.after)};
  }
  void produce_until(int i, std::ptrdiff_t y);
  void produce(int i, std::ptrdiff_t y);
  void finish_row(int i, std::ptrdiff_t y);
  void produce_bypass(std::ptrdiff_t y);
  void survey(std::ptrdiff_t y);
  void pad(const Ring& ring, std::ptrdiff_t y, Range range, int reach, int border);
  void gather(const Ring& ring, std::ptrdiff_t first, int count, std::ptrdiff_t at, int border, const float** rows);
  void load_luma(std::ptrdiff_t y, Range range, float* dst);
  void bypass_rows(std::ptrdiff_t y, int plane, const float** rows) const;
  void run_head(const PackedHead& head, std::ptrdiff_t y);
  void finish_luma(int scale, std::ptrdiff_t y, std::ptrdiff_t r);
  void store(const Output& output, std::ptrdiff_t y);

  const PackedNetwork* network_ = nullptr;
  Finish finish_;                          // guided only where there is colour to store
  std::ptrdiff_t height_ = 0, width_ = 0;  // of what goes in
  std::optional<RowSource> source_;        // made anew for every picture, as the outputs are
  Strip* before_ = nullptr;                // or where the luma comes from
  std::vector<Output> outputs_;
  int reach_ = 0;                // rows that the heads in use read around a block
  int pad_reach_ = 0;            // columns that they read around the picture, whole tiles included
  bool borders_differ_ = false;  // between heads: the last ring is then padded anew for each

  AlignedBuffer memory_;
  std::ptrdiff_t margin_ = 0, stride_ = 0;
  std::vector<Ring> rings_;           // [0] luma, [i] output of stage i - 1
  std::vector<std::ptrdiff_t> next_;  // next row of ring i
  Ring bypass_;         // what outputs take past the network: the extra planes and, if it is read, luma behind them
  int luma_plane_ = 0;  // of these
  std::ptrdiff_t next_bypass_ = 0;
  std::optional<Survey> survey_;
  float *low_ = nullptr, *high_ = nullptr, *slopes_[2] = {};  // what it found: a row for each of a block
  float* soft_ = nullptr;                                     // bicubic luma, in phase planes, for one row
  float* column_filtered_ = nullptr;                          // on the way there
  float* zero_row_ = nullptr;
  float* spare_row_ = nullptr;   // takes the rows of a block that lie outside the picture
  float* phases_ = nullptr;      // phase planes of one head, for a block of rows
  float* scratchpad_ = nullptr;  // of the convolutions
  float* wide_ = nullptr;        // a chunk of the features between a convolution and its pointwise one
  std::ptrdiff_t geometry_[6] = {};

  Ring luma_;  // rows that are handed out, phases merged
  std::ptrdiff_t next_block_ = 0;
  int keep_ = 0;

  std::ptrdiff_t x0_ = 0, x1_ = 0;
};

}  // namespace fsrcnn
