#include "network.h"

#include <algorithm>
#include <string>
#include <utility>

#include "bicubic.h"
#include "common.h"

namespace fsrcnn {
namespace {

const Model& validated(const Model& model, const KernelTable& kernels) {
  validate(model);
  if (kernels.precision == Precision::int16) validate_fixed(model);
  return model;
}

// Weights of so many bytes do not stay in a second-level cache from one block of rows to the next. A span of two blocks
// reads them half as often, and lets threads share the rings of one strip: bands would compute the rows at their seams
// twice, of which deep networks have many. Longer spans take more rows in every ring than they gain.
constexpr std::size_t kHotWeightBytes = 1024 * 1024;
constexpr int kSpan = 2 * kBlock;

int choose_span(const std::vector<PackedConv>& convs) {
  std::size_t floats = 0;
  for (const PackedConv& conv : convs) floats += conv.weights.size();
  return floats * sizeof(float) > kHotWeightBytes ? kSpan : 1;
}

std::vector<Access> access_of(const std::vector<PackedConv>& convs) {
  std::vector<Access> access;
  for (const PackedConv& conv : convs) {
    access.push_back({.in_blocks = conv.in_blocks(), .column_reach = conv.column_reach});
  }
  return access;
}

}  // namespace

struct PackedNetwork::Layers {
  Layers(const Model& model, const KernelTable& kernels, Algorithm algorithm) {
    if (kernels.precision == Precision::int16) {
      const std::vector<SumRange> ranges = measure(model.nodes);
      std::vector<FixedChannel> made = fixed_luma();
      for (std::size_t i = 0; i < model.nodes.size(); ++i) {
        FixedConv conv = to_fixed(model.nodes[i].conv, ranges[i], made, i + 1 == model.nodes.size(),
                                  "nodes[" + std::to_string(i) + "]");
        conv.of_luma = i == 0;
        convs.push_back(pack(conv, conv.kernel / 2, kernels, algorithm));
        made = conv.out;
      }
      for (const Head& head : model.heads) heads.push_back(pack(head, made, kernels, algorithm));
    } else {
      for (const Node& node : model.nodes) convs.push_back(pack(node.conv, kernels, algorithm));
      for (const Head& head : model.heads) heads.push_back(pack(head, kernels, algorithm));
    }
  }

  std::vector<PackedConv> convs;
  std::vector<PackedHead> heads;
};

PackedNetwork::PackedNetwork(const Model& model, const KernelTable& table, Algorithm algorithm, int span)
    : PackedNetwork(model, table, Layers(validated(model, table), table, algorithm), span) {}

PackedNetwork::PackedNetwork(const Model& model, const KernelTable& table, Layers&& layers, int span)
    : kernels(table),
      padding(model.padding),
      plus_bicubic(model.plus_bicubic),
      enlarged(model.enlarged),
      colour(model.colour),
      convs(std::move(layers.convs)),
      heads(std::move(layers.heads)),
      plan(model, access_of(convs), span > 0 ? span : choose_span(convs)) {}

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
    for (std::size_t i = 0; i < rows.size(); ++i) floats += static_cast<std::ptrdiff_t>(planes(i)) * rows[i];
    most = std::max(most, floats);
  }
  return most;
}

}  // namespace fsrcnn
