#include "network.h"

#include <algorithm>
#include <string>

#include "bicubic.h"
#include "common.h"

namespace fsrcnn {
namespace {

const Model& validated(const Model& model, const KernelTable& kernels) {
  validate(model);
  if (kernels.precision == Precision::int16) validate_fixed(model);
  return model;
}

/// What the last result is as integers, and all on the way there.
struct FixedTrunk {
  std::vector<FixedConv> convs;
  std::vector<FixedChannel> out = fixed_luma();

  explicit FixedTrunk(const std::vector<Node>& nodes) {
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      convs.push_back(to_fixed(nodes[i].conv, out, "nodes[" + std::to_string(i) + "]"));
      out = convs.back().out;
    }
  }
};

std::vector<PackedConv> pack_nodes(const Model& model, const KernelTable& kernels, Algorithm algorithm) {
  std::vector<PackedConv> convs;
  if (kernels.precision == Precision::int16) {
    for (const FixedConv& conv : FixedTrunk(model.nodes).convs) convs.push_back(pack(conv, kernels));
  } else {
    for (const Node& node : model.nodes) convs.push_back(pack(node.conv, kernels, algorithm));
  }
  return convs;
}

std::vector<PackedHead> pack_heads(const Model& model, const KernelTable& kernels, Algorithm algorithm) {
  std::vector<PackedHead> heads;
  if (kernels.precision == Precision::int16) {
    const FixedTrunk trunk(model.nodes);
    for (const Head& head : model.heads) heads.push_back(pack(head, trunk.out, kernels));
  } else {
    for (const Head& head : model.heads) heads.push_back(pack(head, kernels, algorithm));
  }
  return heads;
}

std::vector<Access> access_of(const std::vector<PackedConv>& convs) {
  std::vector<Access> access;
  for (const PackedConv& conv : convs) {
    access.push_back({.in_blocks = conv.in_blocks(), .column_reach = conv.column_reach});
  }
  return access;
}

}  // namespace

PackedNetwork::PackedNetwork(const Model& model, const KernelTable& table, Algorithm algorithm)
    : kernels(table),
      padding(validated(model, table).padding),
      plus_bicubic(model.plus_bicubic),
      enlarged(model.enlarged),
      colour(model.colour),
      convs(pack_nodes(model, table, algorithm)),
      heads(pack_heads(model, table, algorithm)),
      plan(model, access_of(convs)) {}

const PackedHead* PackedNetwork::head(int scale) const {
  for (const PackedHead& candidate : heads) {
    if (candidate.scale == scale) return &candidate;
  }
  return nullptr;
}

Extent PackedNetwork::extent(int scale) const {
  const Extent& extent = plan.rings[0].extent;
  if (!enlarged) return extent;
  const auto around = [&](int pixels) { return static_cast<int>(ceil_div(pixels, scale)) + kBicubicReach; };
  return {.before = around(extent.before), .after = around(extent.after), .anchor = 0};
}

std::ptrdiff_t PackedNetwork::floats_per_column() const {
  std::ptrdiff_t most = 0;
  for (const PackedHead& head : heads) {
    const std::vector<int>& rows = plan.rows(head.reach());
    std::ptrdiff_t floats = 0;
    for (std::size_t i = 0; i < rows.size(); ++i)
      floats += static_cast<std::ptrdiff_t>(planes(i)) * rows[i];
    most = std::max(most, floats);
  }
  return most;
}

}  // namespace fsrcnn
