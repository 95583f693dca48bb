// A network ready to run: its weights packed, its layers paired, and how far around an output each of them must hold.
#pragma once

#include <cstddef>
#include <vector>

#include "model.h"
#include "packing.h"

namespace fsrcnn {

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

/// Immutable once made.
struct PackedNetwork {
  /// Checks the model (std::invalid_argument) and packs it for `kernels`.
  PackedNetwork(const Model& model, const KernelTable& kernels, Algorithm algorithm);
  PackedNetwork(const PackedNetwork&) = delete;  // stages point into the layers
  PackedNetwork& operator=(const PackedNetwork&) = delete;

  /// The head of a scale, or null.
  const PackedHead* head(int scale) const;

  const KernelTable& kernels;
  Padding padding;
  std::vector<PackedConv> layers;
  std::vector<Stage> stages;
  std::vector<PackedHead> heads;
  std::vector<Extent> extents;  // by ring
};

}  // namespace fsrcnn
