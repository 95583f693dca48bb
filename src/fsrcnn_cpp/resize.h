// Any size: what the network has made larger than asked for is made smaller by an antialiased bicubic filter, row by
// row. Chroma and alpha come from the small picture straight to their size, by the bicubic filter as it is; so does, if
// it is read, the bicubic luma that strength and guided chroma refer to, and so do the slopes of chroma.
//
// The filter is that of MATLAB's imresize: Keys' kernel, stretched by as much as the rows or columns become fewer, its
// weights brought to a sum of 1, pixel centres aligned, edges replicated. Every sum is in float, rounded nowhere
// between the network and the store.
#pragma once

#include <cstddef>

#include "arena.h"
#include "bicubic.h"
#include "finish.h"
#include "kernels/kernels.h"
#include "pixel_io.h"
#include "tiles.h"

namespace fsrcnn {

/// The filters of a picture: of the plane that comes larger than it goes, and of the planes that come as they are.
struct ResizeFilters {
  AxisFilter down_x, down_y;
  AxisFilter extra_x, extra_y;
};

/// One worker's way from rows of luma to a tile of the result.
class ResizeSink {
 public:
  /// `finish`: its strength, at most 1 here, and whether chroma is guided; to guard is up to the passes.
  ResizeSink(const ImageView& src, const MutableImageView& dst, const ResizeFilters& filters, const Finish& finish,
             const KernelTable& kernels, Colour colour)
      : source_(src, kernels, colour),
        src_(src),
        dst_(dst),
        filters_(filters),
        finish_(finish),
        kernels_(kernels),
        colour_(colour),
        survey_(kernels) {
    finish_.guided = finish.guided && src.has_colour() && colour == Colour::luma;
  }

  /// Columns of a tile, at most, and how many of luma and of the picture it reads.
  struct Widths {
    std::ptrdiff_t tile = 0, down = 0, extra = 0;

    /// Makes them those of all these tiles too; of the picture none are read where the filters have none for it.
    void cover(const Tiling& tiling, const ResizeFilters& filters);
  };
  void carve(Arena& arena, const Widths& widths);
  void begin(const Tile& tile);
  /// The next row of the tile. `made`: the rows that its taps read, each from the column
  /// down_x.first_of(tile.columns.begin) on, planes `stride` floats apart. Up to kMaxLanes floats beyond those that the
  /// tile reads must be readable.
  void add(const float* const* made, std::ptrdiff_t stride);
  /// Stores what is left; called behind the last row.
  void finish();

 private:
  bool has_strength() const { return finish_.strength != 1; }
  bool reads_soft() const { return has_strength() || finish_.guided; }
  /// Planes that the network makes.
  int made_planes() const { return plane_count(colour_); }
  /// Planes that come from the source: chroma, alpha, then what the network sees if it is read, then the slopes of Cb
  /// and Cr.
  int small_planes() const { return extras() + soft_planes() + 2 * finish_.guided; }
  int extras() const { return extra_planes(src_, colour_); }
  int soft_planes() const { return reads_soft() ? made_planes() : 0; }
  int soft_plane() const { return extras(); }
  int slope_plane() const { return extras() + 1; }
  int planes() const { return made_planes() + small_planes(); }
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
  Colour colour_;
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
