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
  /// Checks the model (std::invalid_argument) and packs it for `kernels`.
  PackedNetwork(const Model& model, const KernelTable& kernels, Algorithm algorithm);

  /// The head of a scale, or null.
  const PackedHead* head(int scale) const;
  /// Floats that a strip keeps of all rings for each of its columns, while any head runs.
  std::ptrdiff_t floats_per_column() const;

  const KernelTable& kernels;
  Padding padding;
  bool plus_bicubic;
  std::vector<PackedConv> convs;  // by node
  std::vector<PackedHead> heads;
  Plan plan;
};

}  // namespace fsrcnn
