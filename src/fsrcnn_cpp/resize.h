// Any size: what the network has made larger than asked for is made smaller by an antialiased bicubic filter, row by
// row. Chroma and alpha come from the small picture straight to their size, by the bicubic filter as it is; so does, if
// it is read, the bicubic luma that strength and guided chroma refer to, and so do the slopes of chroma.
//
// The filter is that of MATLAB's imresize: Keys' kernel, stretched by as much as the rows or columns become fewer, its
// weights brought to a sum of 1, pixel centres aligned, edges replicated. Every sum is in float, rounded nowhere
// between the network and the store.
#pragma once

#include <cstddef>
#include <vector>

#include "aligned_buffer.h"
#include "arena.h"
#include "finish.h"
#include "kernels/kernels.h"
#include "pixel_io.h"

namespace fsrcnn {

/// More than these no output has; rows and columns may thus become fewer by a factor of up to 32.
inline constexpr int kMaxTaps = 128;

/// Which inputs every output along one axis sums, and with which weights. What a tap would read beyond the edge, the
/// weight of the edge has: nothing reads outside.
struct AxisFilter {
  /// Outputs `0 .. dst - 1` of `src` inputs. Output i lies at (i + siting) * src_length / dst_length - siting. The
  /// lengths are those of the axis in any unit; where planes are rounded up they are not the numbers of samples.
  void make(std::ptrdiff_t src, std::ptrdiff_t dst, double src_length, double dst_length, double siting);
  std::ptrdiff_t end(std::ptrdiff_t output) const { return first[static_cast<std::size_t>(output)] + taps; }
  const float* weights_of(std::ptrdiff_t output) const { return weights.data() + output * taps; }
  std::ptrdiff_t first_of(std::ptrdiff_t output) const { return first[static_cast<std::size_t>(output)]; }

  int taps = 0;
  std::vector<std::ptrdiff_t> first;  // by output, ascending
  std::vector<float> weights;         // [output][taps]

 private:
  std::ptrdiff_t src_ = 0, dst_ = 0;
  double src_length_ = 0, dst_length_ = 0, siting_ = 0;
};

/// The filters of a picture: of the plane that comes larger than it goes, and of the planes that come as they are.
struct ResizeFilters {
  AxisFilter down_x, down_y;
  AxisFilter extra_x, extra_y;
};

/// Outputs x0 .. x1 - 1 of rows y0 .. y1 - 1.
struct Tile {
  std::ptrdiff_t x0, x1, y0, y1;
};

/// One worker's way from rows of luma to a tile of the result.
class ResizeSink {
 public:
  /// `finish`: its strength, at most 1 here, and whether chroma is guided; to guard is up to the passes.
  ResizeSink(const ImageView& src, const MutableImageView& dst, const ResizeFilters& filters, const Finish& finish,
             const KernelTable& kernels)
      : source_(src, kernels),
        src_(src),
        dst_(dst),
        filters_(filters),
        finish_(finish),
        kernels_(kernels),
        survey_(kernels) {
    finish_.guided = finish.guided && src.has_colour();
  }

  /// Carves room for tiles of up to `width` columns, which read up to `down_width` columns of luma and `extra_width`
  /// of the picture.
  void carve(Arena& arena, std::ptrdiff_t width, std::ptrdiff_t down_width, std::ptrdiff_t extra_width);
  void begin(const Tile& tile);
  /// The next row of the tile. `luma`: the rows that its taps read, each from the column down_x.first_of(tile.x0).
  /// Up to kMaxLanes floats beyond those that the tile reads must be readable.
  void add(const float* const* luma);
  /// Stores what is left; called behind the last row.
  void finish();

 private:
  bool has_strength() const { return finish_.strength != 1; }
  bool reads_soft() const { return has_strength() || finish_.guided; }
  /// Planes that come from the source: chroma, alpha, then luma if it is read, then the slopes of Cb and Cr.
  int small_planes() const { return src_.extras() + reads_soft() + 2 * finish_.guided; }
  int luma_plane() const { return src_.extras(); }
  int slope_plane() const { return src_.extras() + 1; }
  int planes() const { return 1 + small_planes(); }
  int small_rows() const { return filters_.extra_y.taps + 2 * kBicubicReach; }
  /// Row y of a plane of the source, from the first column that the tile reads on; kBicubicReach more lie before it.
  float* small_row(std::ptrdiff_t y, int plane) const {
    return small_ + (y % small_rows() * small_planes() + plane) * small_stride_ + kBicubicReach;
  }
  float* row(float* rows, std::ptrdiff_t stride, int plane, int r) const {
    return rows + (plane * kResampleRows + r) * stride;
  }
  void load_small_until(std::ptrdiff_t end);
  void load_small(std::ptrdiff_t y);
  void find_slopes(std::ptrdiff_t y);

  RowSource source_;
  ImageView src_;
  MutableImageView dst_;
  const ResizeFilters& filters_;
  Finish finish_;
  const KernelTable& kernels_;
  Survey survey_;

  Tile tile_{};
  std::ptrdiff_t y_ = 0;  // of the first row that waits
  int waiting_ = 0;       // rows that are filtered down the columns, and not along
  std::ptrdiff_t next_small_ = 0, next_slopes_ = 0;

  // Rows of the source in slots y % small_rows, [slot][plane]; rows filtered down, and along: [plane][row].
  float *small_ = nullptr, *down_ = nullptr, *along_ = nullptr, *scratchpad_ = nullptr;
  float *low_ = nullptr, *high_ = nullptr;  // range of luma around the pixels of one row
  std::ptrdiff_t small_stride_ = 0, down_stride_ = 0, along_stride_ = 0;
};

}  // namespace fsrcnn
