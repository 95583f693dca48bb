#include "network.h"

#include <algorithm>

namespace fsrcnn {
namespace {

const Model& validated(const Model& model) {
  validate(model);
  return model;
}

/// One group of a node as a convolution of its own.
ConvLayer group_layer(const Node& node, int group) {
  const ConvLayer& conv = node.conv;
  const int oc = conv.oc / node.groups;
  const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(group) * oc;
  const std::ptrdiff_t taps = static_cast<std::ptrdiff_t>(conv.ic) * conv.kernel * conv.kernel;
  const auto part = [&](const std::vector<float>& values, std::ptrdiff_t size) {
    return std::vector<float>(values.begin() + first * size, values.begin() + (first + oc) * size);
  };
  return {conv.ic, oc, conv.kernel, part(conv.weight, taps), part(conv.bias, 1), part(conv.slope, 1)};
}

std::vector<std::vector<PackedConv>> pack_nodes(const Model& model, const KernelTable& kernels, Algorithm algorithm) {
  std::vector<std::vector<PackedConv>> convs;
  for (const Node& node : model.nodes) {
    convs.emplace_back();
    for (int group = 0; group < node.groups; ++group) {
      convs.back().push_back(pack(group_layer(node, group), kernels, algorithm));
    }
  }
  return convs;
}

std::vector<PackedHead> pack_heads(const Model& model, const KernelTable& kernels, Algorithm algorithm) {
  std::vector<PackedHead> heads;
  for (const Head& head : model.heads) heads.push_back(pack(head, kernels, algorithm));
  return heads;
}

}  // namespace

int column_reach(const PackedConv& conv) { return conv.winograd && conv.kernel == 3 ? kWinogradTile : conv.kernel / 2; }

PackedNetwork::PackedNetwork(const Model& model, const KernelTable& table, Algorithm algorithm)
    : kernels(table),
      padding(validated(model).padding),
      plus_bicubic(model.plus_bicubic),
      convs(pack_nodes(model, table, algorithm)),
      heads(pack_heads(model, table, algorithm)),
      plan(model, access_of(convs)) {}

std::vector<Access> PackedNetwork::access_of(const std::vector<std::vector<PackedConv>>& convs) {
  std::vector<Access> access;
  for (const std::vector<PackedConv>& groups : convs) {
    access.push_back({.in_blocks = groups[0].winograd, .column_reach = column_reach(groups[0])});
  }
  return access;
}

const PackedHead* PackedNetwork::head(int scale) const {
  for (const PackedHead& candidate : heads) {
    if (candidate.stride == scale) return &candidate;
  }
  return nullptr;
}

std::ptrdiff_t PackedNetwork::floats_per_column() const {
  std::ptrdiff_t most = 0;
  for (const PackedHead& head : heads) {
    const std::vector<int>& rows = plan.rows(head.reach());
    std::ptrdiff_t floats = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) floats += static_cast<std::ptrdiff_t>(plan.rings[i].channels) * rows[i];
    most = std::max(most, floats);
  }
  return most;
}

}  // namespace fsrcnn
