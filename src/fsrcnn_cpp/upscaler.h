// Runs a packed network over pictures: rows stream through all layers, strip by strip, band by band.
#pragma once

#include <cstddef>
#include <span>

#include "finish.h"
#include "kernels/kernels.h"
#include "model.h"
#include "network.h"
#include "pixel_io.h"
#include "strip.h"
#include "tiles.h"

namespace fsrcnn {

/// How many passes of a network may follow each other: with x2 alone, x16 takes four.
inline constexpr int kMaxChain = 4;

/// Immutable once made: any number of threads may call `run` at the same time. Arguments are checked
/// (std::invalid_argument) before any work.
class Upscaler {
 public:
  /// Checks the model (std::invalid_argument) and packs it for `kernels`. `span` as Plan::span; 0 chooses.
  Upscaler(const Model& model, const KernelTable& kernels, Algorithm algorithm, int span = 0);
  ~Upscaler();

  const KernelTable& kernels() const { return network_.kernels; }

  /// How far from a block of kBlock x kBlock samples of the source the bits of what it becomes are settled, at a scale of
  /// the model: blocks of Winograd's algorithm round by samples beyond those that the network sees.
  std::ptrdiff_t reach(int scale) const;

  /// Upscales `src` into every target, in one pass of the convolutions, on up to `threads` threads. The images must
  /// agree in channels and type, and none overlap `src`. `parts` of `src`: only what becomes of these is written, to
  /// its place; none means all. Where they begin and, inside the picture, end are multiples of kBlock. A network that
  /// reads the picture enlarged runs once for each target, one after the other. Neither these nor `strip_width`
  /// (0 chooses) nor `threads` ever change a bit of the result. Allocates only at the first call of a geometry.
  void run(const ImageView& src, std::span<const Target> targets, const Finish& finish, int threads,
           std::ptrdiff_t strip_width, std::span<const Tile> parts = {}) const;

  /// Makes `src` as large as `dst`, which is at least as large: luma by the network, once for each of `scales`, 1 to
  /// kMaxChain of them, and then by the antialiased bicubic filter down to size. The product of the scales reaches the
  /// size of `dst` and exceeds none of its sides by more than kMaxTaps / 4. Chroma and alpha come by the bicubic filter
  /// alone. Every pass is guarded by what goes into it. Strength up to 1 mixes the result with the picture brought to
  /// size by the bicubic filter, so that 0 is that; strength above 1 is given to every pass. Slopes of chroma come to
  /// size as chroma does. `parts` are of `dst` and begin and end anywhere. Otherwise as `run`.
  void run_resized(const ImageView& src, const MutableImageView& dst, const Finish& finish, std::span<const int> scales,
                   int threads, std::ptrdiff_t strip_width, std::span<const Tile> parts = {}) const;

 private:
  struct Context;

  /// Of a picture that wide that goes into a pass of that scale.
  std::ptrdiff_t choose_strip_width(std::ptrdiff_t width, int scale, std::ptrdiff_t asked) const;
  std::ptrdiff_t band_rows(int scale) const;

  PackedNetwork network_;
  ContextPool<Context> contexts_;
};

}  // namespace fsrcnn
