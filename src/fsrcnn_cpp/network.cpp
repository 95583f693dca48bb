#include "network.h"

#include <algorithm>

namespace fsrcnn {
namespace {

const Model& validated(const Model& model) {
  validate(model);
  return model;
}

std::vector<PackedConv> pack_nodes(const Model& model, const KernelTable& kernels, Algorithm algorithm) {
  std::vector<PackedConv> convs;
  for (const Node& node : model.nodes) convs.push_back(pack(node.conv, kernels, algorithm));
  return convs;
}

std::vector<PackedHead> pack_heads(const Model& model, const KernelTable& kernels, Algorithm algorithm) {
  std::vector<PackedHead> heads;
  for (const Head& head : model.heads) heads.push_back(pack(head, kernels, algorithm));
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
      padding(validated(model).padding),
      plus_bicubic(model.plus_bicubic),
      convs(pack_nodes(model, table, algorithm)),
      heads(pack_heads(model, table, algorithm)),
      plan(model, access_of(convs)) {}

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
    for (std::size_t i = 0; i < rows.size(); ++i)
      floats += static_cast<std::ptrdiff_t>(plan.rings[i].channels) * rows[i];
    most = std::max(most, floats);
  }
  return most;
}

}  // namespace fsrcnn
