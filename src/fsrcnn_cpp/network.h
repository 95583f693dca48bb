// A network ready to run: its weights packed for the kernels of one table, and the plan by which they are run.
#pragma once

#include <cstddef>
#include <vector>

#include "model.h"
#include "packing.h"
#include "plan.h"

namespace fsrcnn {

/// Immutable once made.
struct PackedNetwork {
  /// Threads that compute a strip together, at most: they share out a span of blocks, in pieces of columns.
  static constexpr int kTeam = 8;

  /// Checks the model (std::invalid_argument) and packs it for `kernels`, in their precision. `span` as Plan::span; 0
  /// chooses.
  PackedNetwork(const Model& model, const KernelTable& kernels, Algorithm algorithm, int span = 0);

  bool is_fixed() const { return kernels.precision == Precision::int16; }
  /// Planes of cells that a ring has.
  int planes(std::size_t ring) const {
    return ring == 0 ? plan.rings[0].channels : convs[static_cast<std::size_t>(plan.stages[ring - 1].result())].oc;
  }
  /// The head of a scale, or null.
  const PackedHead* head(int scale) const;
  /// How far around a block of pixels of the picture a pass of that scale reads.
  Extent extent(int scale) const;
  /// Floats that a strip keeps of all rings for each of its columns, while any head runs; columns of the large picture,
  /// if that is what goes in.
  std::ptrdiff_t floats_per_column() const;
  /// How many threads may compute a strip together.
  int team() const { return plan.span > 1 ? kTeam : 1; }
  /// Whether the bicubic picture is part of the network. It is MATLAB's then, as in the papers: mirrored at the edges,
  /// where all else that is bicubic replicates them.
  bool has_bicubic() const { return plus_bicubic || enlarged; }

  const KernelTable& kernels;
  Padding padding;
  bool plus_bicubic, enlarged;
  Colour colour;
  std::vector<PackedConv> convs;  // by node
  std::vector<PackedHead> heads;
  Plan plan;

 private:
  struct Layers;
  PackedNetwork(const Model& model, const KernelTable& kernels, Layers&& layers, int span);
};

}  // namespace fsrcnn
