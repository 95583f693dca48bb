#include "model.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "bicubic.h"
#include "kernels/kernels.h"

namespace fsrcnn {
namespace {

void require(bool condition, const std::string& message) {
  if (!condition) throw std::invalid_argument(message);
}

// Beyond these nothing sensible lies, and no product of sizes overflows.
constexpr std::size_t kMaxNodes = 4096;
constexpr int kMaxChannels = 1 << 14;

void validate_range(const Model& model, std::size_t node, const Channels& range, const std::string& name) {
  require(range.of >= 0 && range.of <= static_cast<int>(node),
          name + " is of result " + std::to_string(range.of) + ", which is not made yet");
  const int channels = model.channels(range.of);
  require(range.first >= 0 && range.count > 0 && range.first <= channels - range.count,
          name + " has channels " + std::to_string(range.first) + " + " + std::to_string(range.count) + " of " +
              std::to_string(channels));
}

void validate_node(const Model& model, std::size_t index) {
  const Node& node = model.nodes[index];
  const ConvLayer& conv = node.conv;
  const std::string name = "nodes[" + std::to_string(index) + "]";
  require(conv.oc > 0 && conv.oc <= kMaxChannels, name + " has " + std::to_string(conv.oc) + " output channels");
  require(conv.kernel > 0 && conv.kernel % 2 == 1 && conv.kernel <= kMaxKernel,
          name + " kernel=" + std::to_string(conv.kernel) + " is not odd and at most " + std::to_string(kMaxKernel));
  validate_range(model, index, node.source, name + " source");
  require(conv.ic == node.source.count,
          name + " takes " + std::to_string(conv.ic) + " channels, but gets " + std::to_string(node.source.count));
  require(conv.groups > 0 && conv.ic % conv.groups == 0 && conv.oc % conv.groups == 0,
          name + " groups=" + std::to_string(conv.groups) + " do not divide its channels");
  const std::size_t oc = static_cast<std::size_t>(conv.oc);
  const std::size_t taps = static_cast<std::size_t>(conv.ic / conv.groups) * conv.kernel * conv.kernel;
  require(conv.weight.size() == oc * taps && conv.bias.size() == oc && conv.slope.size() == oc,
          name + " weight, bias and slope disagree about the output channels");
  int added = 0;
  for (std::size_t i = 0; i < node.adds.size(); ++i) {
    validate_range(model, index, node.adds[i], name + " adds[" + std::to_string(i) + "]");
    added += node.adds[i].count;
    require(added <= conv.oc, name + " adds more channels than it has");
  }
  require(node.adds.empty() || added == conv.oc,
          name + " adds " + std::to_string(added) + " channels to " + std::to_string(conv.oc));
}

void validate_head(const Model& model, const Head& head) {
  const int channels = model.nodes.back().conv.oc;
  const std::string name = "heads[" + std::to_string(head.stride) + "]";
  require(head.stride >= 2 && head.stride <= kMaxStride, name + ": stride is not 2, 3 or 4");
  require(head.ic == channels,
          name + " takes " + std::to_string(head.ic) + " channels, but gets " + std::to_string(channels));
  require(
      head.kernel > 0 && head.kernel % 2 == 1 && head.kernel <= kMaxHeadKernel,
      name + " kernel=" + std::to_string(head.kernel) + " is not odd and at most " + std::to_string(kMaxHeadKernel));
  require(head.border >= Head::kFullBorder, name + " border=" + std::to_string(head.border) + " is negative");
  require(head.enlarges != model.enlarged, name + " is not that of such a network");
  const auto planes = static_cast<std::size_t>(plane_count(model.colour));
  require(head.bias.size() == planes, name + " bias has " + std::to_string(head.bias.size()) + " values");
  require(head.weight.size() == planes * static_cast<std::size_t>(head.ic) * head.kernel * head.kernel,
          name + " weight is not " + (head.enlarges ? "(ic, 1, k, k)" : "(planes, ic, k, k)"));
  if (!head.enlarges) return;
  require(head.pad >= 0 && head.pad < head.kernel && head.output_padding > -head.stride &&
              head.output_padding < head.stride && head.kernel - 2 * head.pad + head.output_padding == head.stride,
          name + " pad=" + std::to_string(head.pad) + ", output_padding=" + std::to_string(head.output_padding) +
              " does not give exactly stride times the input");
}

}  // namespace

std::vector<Node> chain(std::vector<ConvLayer> layers) {
  std::vector<Node> nodes;
  for (ConvLayer& layer : layers) {
    const Channels source{static_cast<int>(nodes.size()), 0, layer.ic};
    nodes.push_back({std::move(layer), source, {}});
  }
  return nodes;
}

void validate(const Model& model) {
  require(!model.nodes.empty(), "nodes is empty");
  require(model.nodes.size() <= kMaxNodes, "nodes are more than " + std::to_string(kMaxNodes));
  require(!model.heads.empty(), "heads is empty");
  require(model.colour == Colour::luma || model.enlarged, "planes=3 takes a network that reads an enlarged picture");
  require(!model.plus_bicubic || !model.enlarged, "plus_bicubic is not for a network that reads an enlarged picture");
  for (std::size_t i = 0; i < model.nodes.size(); ++i) validate_node(model, i);
  int previous_stride = 0;
  for (const Head& head : model.heads) {
    validate_head(model, head);
    require(head.stride > previous_stride, "heads: strides do not ascend");
    previous_stride = head.stride;
  }
}

int reach(const Model& model) {
  int farthest = 0;
  for (const Head& head : model.heads) {
    std::vector<int> radius(model.nodes.size() + 1, 0);  // by result
    radius.back() = head.reach();
    for (std::size_t i = model.nodes.size(); i-- > 0;) {
      const Node& node = model.nodes[i];
      const auto raise = [&](const Channels& read, int around) {
        int& of = radius[static_cast<std::size_t>(read.of)];
        of = std::max(of, radius[i + 1] + around);
      };
      raise(node.source, node.conv.kernel / 2);
      for (const Channels& add : node.adds) raise(add, 0);
    }
    int pixels = radius[0];
    if (model.enlarged) {
      // The filter's taps lie around (o + 1/2) / stride - 1/2, where o is the farthest enlarged pixel.
      pixels = (2 * pixels - 1 + head.stride) / (2 * head.stride) + kBicubicReach;
    } else if (model.plus_bicubic) {
      pixels = std::max(pixels, kBicubicReach);
    }
    farthest = std::max(farthest, pixels);
  }
  return farthest;
}

double multiplications(const Model& model) {
  double trunk = 0, most = 0;
  for (const Node& node : model.nodes) trunk += static_cast<double>(node.conv.weight.size());
  for (const Head& head : model.heads) {
    const double all = trunk + static_cast<double>(head.weight.size());
    most = std::max(most, model.enlarged ? all * head.stride * head.stride : all);
  }
  return most;
}

}  // namespace fsrcnn
