// Planes by the bicubic filter alone, as the chroma of planar YUV takes it.
#pragma once

#include "bicubic.h"
#include "pixel_io.h"
#include "tiles.h"

namespace fsrcnn {

/// Width and height in any unit.
struct Lengths {
  double x, y;
};

/// Immutable once made: any number of threads may call it at the same time, on up to `threads` threads each. The
/// pictures have one channel, and a siting is 0 to 1. Arguments are checked (std::invalid_argument). Allocates only at
/// the first call of a size.
class PlaneUpscaler {
 public:
  explicit PlaneUpscaler(const KernelTable& kernels);
  ~PlaneUpscaler();

  /// By a whole scale, 1 to kMaxStride. `dst` may be up to scale - 1 rows and columns short of scale times `src`, as
  /// rounded-up chroma is.
  void enlarge(const ImageView& src, const MutableImageView& dst, int scale, Siting siting, int threads) const;
  /// To any size: what was `from` is then `to`, of which the planes are what is rounded up.
  void resize(const ImageView& src, const MutableImageView& dst, const Lengths& from, const Lengths& to, Siting siting,
              int threads) const;

 private:
  struct Context;

  const KernelTable& kernels_;
  ContextPool<Context> contexts_;
};

}  // namespace fsrcnn
