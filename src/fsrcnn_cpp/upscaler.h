// Runs a packed network over a picture: rows stream through all layers, strip by strip, band by band.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "model.h"
#include "packing.h"
#include "pixel_io.h"

namespace fsrcnn {

/// The implicit im2col: which source rows the taps `first .. first + count - 1` read, as an index into the picture or
/// kZeroRow. Rows outside are the nearest row of the picture where the padding replicates, as far as `border` pixels.
inline constexpr std::ptrdiff_t kZeroRow = -1;
void gather_rows(std::ptrdiff_t first, int count, std::ptrdiff_t height, Padding padding, int border,
                 std::ptrdiff_t* rows);

struct Target {
  int scale;
  MutableImageView image;
};

/// Immutable once made: any number of threads may call `run` at the same time.
class Upscaler {
 public:
  /// Checks the model (std::invalid_argument) and packs it for `kernels`.
  Upscaler(const Model& model, const KernelTable& kernels, Algorithm algorithm);
  ~Upscaler();

  const KernelTable& kernels() const { return kernels_; }
  bool has_scale(int scale) const { return find_head(scale) != nullptr; }

  /// Upscales rows `begin` to `end` - 1 of `src` into their place in every target, in one pass of the convolutions, on
  /// up to `threads` threads. The images must agree in size, channels and type, and not overlap; `begin`, and `end`
  /// unless it is the height, are multiples of kWinogradTile. Neither these nor `strip_width` (0 chooses) nor `threads`
  /// ever change a bit of the result. Allocates only at the first call of a geometry.
  void run(const ImageView& src, std::span<const Target> targets, std::ptrdiff_t begin, std::ptrdiff_t end, int threads,
           std::ptrdiff_t strip_width) const;

  /// Upscales a plane by the bicubic filter alone, with the same threads and scratch.
  void run_bicubic(const ImageView& src, const MutableImageView& dst, int scale, Siting siting, int threads) const;

 private:
  struct Context;
  struct FreeList;
  class Strip;

  const PackedHead* find_head(int scale) const;
  std::ptrdiff_t choose_strip_width(std::ptrdiff_t width) const;
  FreeList& free_list() const;
  std::unique_ptr<Context> take_context() const;
  void give_back(std::unique_ptr<Context> context) const;

  const KernelTable& kernels_;
  Padding padding_;

  /// A convolution, and the 1x1 convolution that narrows its output, if one follows: chunk by chunk, so that the wide
  /// features (FSRCNN's d channels before the shrinking) are never stored as rows.
  struct Stage {
    const PackedConv* conv;
    const PackedConv* pointwise;

    int oc() const { return pointwise ? pointwise->oc : conv->oc; }
  };

  /// What ring i (the luma, or the output of stage i - 1) must hold around a block of output pixels whose start and end
  /// are multiples of kWinogradTile, for the farthest-reaching head: `before` its start and `after` its end. Both axes
  /// are alike. Blocks of a Winograd stage start where (position - anchor) is a multiple of kWinogradTile; the anchors
  /// are staggered so that each stage's blocks end just where the next stage stops reading, or `late` rows after it.
  struct Extent {
    int before, after, anchor, late;
  };
  std::vector<PackedConv> layers_;
  std::vector<Stage> stages_;
  std::vector<PackedHead> heads_;
  std::vector<Extent> extents_;  // by ring

  mutable std::atomic<FreeList*> free_list_;  // contexts that no call uses
};

}  // namespace fsrcnn
