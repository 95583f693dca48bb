// Loss and gradients of the network over a batch of patches: what training needs of the core.
#pragma once

#include <cstddef>
#include <vector>

#include "arena.h"
#include "kernels/kernels.h"
#include "model.h"

namespace fsrcnn {

enum class Loss { l1, mse };

struct ConvGradient {
  std::vector<float> weight, bias, slope;  // as in ConvLayer
};

struct PatchBatch {
  const float* lr;  // [count][side][side]
  const float* hr;  // [count][scale * side][scale * side]
  std::ptrdiff_t count, side;
  int scale;
  int border;       // LR pixels along the edges that the loss leaves out
  float overshoot;  // what the loss of leaving the range of the pixels around counts on top
};

/// An output overshoots where it is beyond the 5x5 pixels of `lr` around it by more than this part of their range. The
/// large picture goes there too, a little.
inline constexpr float kTolerance = 0.15f;

/// Computes the mean loss over all pixels of a batch within the border, and its gradient for every layer. Edges are
/// replicated. Keeps its memory from call to call; for one caller at a time.
class GradientEngine {
 public:
  explicit GradientEngine(const KernelTable& kernels) : kernels_(kernels) {}

  /// The last layer is the head in sub-pixel form: scale * scale channels, one a phase of the output; its slope is
  /// not used. The bits depend on the kernels, not on `threads`. Throws std::invalid_argument where layers and batch
  /// do not fit.
  double run(const std::vector<ConvLayer>& layers, const PatchBatch& batch, Loss loss, int threads,
             std::vector<ConvGradient>& gradients);

 private:
  const KernelTable& kernels_;
  std::vector<Scratch> planes_;  // one a thread
};

}  // namespace fsrcnn
