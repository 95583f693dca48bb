#include "fixed.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <stdexcept>

namespace fsrcnn {
namespace {

constexpr double kMostSum = 0x1p31;
// 3x3 layers leave a bit for Winograd's F(2, 3), which adds rows before it multiplies.
constexpr double kMostSum3 = 0x1p30;
constexpr int kMostWeight = 32767;

// Sums were measured on some pictures; others may go beyond by so much before they are cut off.
constexpr double kHeadroom = 1.5;
// No channel's sums are taken to be smaller than this.
constexpr double kLeastSum = 0x1p-10;

double round_half_up(double value) { return std::floor(value + 0.5); }

/// What FixedActivation makes of a value.
int activated(int value, int factor) { return (value * factor + 16384) >> 15; }

/// The taps of one input channel times `factor`, rounded so that what a tap loses the next one gets: neighbouring
/// samples are much alike, and then errors cancel. Every other row runs backwards, so that the next one is beside.
void round_taps(const float* taps, int kernel, double factor, double* rounded) {
  double carry = 0;
  for (int y = 0; y < kernel; ++y) {
    for (int i = 0; i < kernel; ++i) {
      const int tap = y * kernel + (y % 2 == 0 ? i : kernel - 1 - i);
      const double wanted = taps[tap] * factor + carry;
      rounded[tap] = round_half_up(wanted);
      carry = wanted - rounded[tap];
    }
  }
}

/// Whether the weights of an output channel fit their type, and no sum of any of its terms overflows.
bool fits(const std::vector<double>& weights, int kernel, const std::vector<FixedChannel>& in, double bias) {
  const std::size_t taps = static_cast<std::size_t>(kernel) * kernel;
  double low = std::min(bias, 0.0), high = std::max(bias, 0.0);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (std::abs(weights[i]) > kMostWeight) return false;
    const FixedChannel& channel = in[i / taps];
    low += std::min(weights[i] * channel.low, weights[i] * channel.high);
    high += std::max(weights[i] * channel.low, weights[i] * channel.high);
  }
  for (std::size_t i = 0; kernel == 3 && i < weights.size(); ++i) {
    if (i % taps < 3 && std::abs(weights[i]) + std::abs(weights[i + 3]) + std::abs(weights[i + 6]) > kMostWeight) {
      return false;
    }
  }
  const double most = kernel == 3 ? kMostSum3 : kMostSum;
  return low >= -most && high < most;
}

/// Adds output channel `o` to `conv`: its weights and its bias over `unit`, with the largest shift that fits.
/// `rounds`: whether the shift follows, for which half a unit is added to the bias.
void add_channel(FixedConv& conv, const ConvLayer& layer, const std::vector<FixedChannel>& in, int o, double unit,
                 bool rounds, const std::string& name) {
  const std::size_t taps = static_cast<std::size_t>(layer.kernel) * layer.kernel;
  std::vector<double> weights(in.size() * taps);
  for (int shift = 30; shift >= 0; --shift) {
    const double scale = std::ldexp(1.0, shift);
    for (std::size_t c = 0; c < in.size(); ++c) {
      round_taps(&layer.weight[(static_cast<std::size_t>(o) * in.size() + c) * taps], layer.kernel,
                 in[c].unit / unit * scale, &weights[c * taps]);
    }
    const double half = rounds && shift > 0 ? scale / 2 : 0;
    const double bias = round_half_up(layer.bias[static_cast<std::size_t>(o)] / unit * scale) + half;
    if (!fits(weights, layer.kernel, in, bias)) continue;
    for (const double weight : weights) conv.weight.push_back(static_cast<int16_t>(weight));
    conv.bias.push_back(static_cast<int32_t>(bias));
    conv.shift.push_back(shift);
    return;
  }
  throw std::invalid_argument(name + ": channel " + std::to_string(o) + " does not fit 32 bits in fixed point");
}

}  // namespace

std::vector<FixedChannel> fixed_luma() { return {{1.0 / kFixedLuma, -kFixedMost, kFixedMost}}; }

FixedConv to_fixed(const ConvLayer& layer, const std::vector<FixedChannel>& in, const std::string& name) {
  assert(static_cast<int>(in.size()) == layer.ic && layer.groups == 1);
  FixedConv conv{layer.ic, layer.oc, layer.kernel, {}, {}, {}, {}, {}, {}};
  for (int o = 0; o < layer.oc; ++o) {
    const auto i = static_cast<std::size_t>(o);
    const double above = std::max(kHeadroom * layer.high[i], kLeastSum);
    const double below = std::max(-kHeadroom * layer.low[i], kLeastSum);
    const double slope = layer.slope[i], steep = std::max(1.0, std::abs(slope));
    // One of the shifted sum, and one of the activation, which is the shifted sum times a factor of at most a half.
    const double unit = std::max(above, below) / 32767;
    const double wanted =
        std::max(std::max(above, std::abs(slope) * below) / kFixedMost, unit * 32768 / kFixedMost * steep);
    const double positive = std::max(1.0, round_half_up(unit / wanted * 32768));
    const double out = unit * 32768 / positive;
    const double negative = std::clamp<double>(round_half_up(slope * positive), -kFixedMost, kFixedMost);
    add_channel(conv, layer, in, o, unit, true, name);
    conv.positive.push_back(static_cast<int16_t>(positive));
    conv.negative.push_back(static_cast<int16_t>(negative));
    const int most = activated(32767, conv.positive.back()), least = activated(-32768, conv.negative.back());
    conv.out.push_back({out, std::min(0, least), std::max(most, least)});
    assert(conv.out.back().low >= -kFixedMost && conv.out.back().high <= kFixedMost);
  }
  return conv;
}

FixedConv to_fixed_planes(const ConvLayer& layer, const std::vector<FixedChannel>& in, const std::string& name) {
  assert(static_cast<int>(in.size()) == layer.ic && layer.groups == 1);
  FixedConv conv{layer.ic, layer.oc, layer.kernel, {}, {}, {}, {}, {}, {}};
  for (int o = 0; o < layer.oc; ++o) add_channel(conv, layer, in, o, 1.0, false, name);
  return conv;
}

void validate_fixed(const Model& model) {
  const auto require = [](bool condition, const std::string& message) {
    if (!condition) throw std::invalid_argument("precision=int16: " + message);
  };
  require(model.colour == Colour::luma && !model.enlarged, "the network does not enlarge luma at its end");
  for (std::size_t i = 0; i < model.nodes.size(); ++i) {
    const Node& node = model.nodes[i];
    const std::string name = "nodes[" + std::to_string(i) + "]";
    require(node.source.of == static_cast<int>(i) && node.source.first == 0 &&
                node.source.count == model.channels(node.source.of) && node.adds.empty() && node.conv.groups == 1,
            name + " is not one of a chain");
    const auto channels = static_cast<std::size_t>(node.conv.oc);
    require(node.conv.low.size() == channels && node.conv.high.size() == channels,
            name + ": its sums were not measured");
    for (std::size_t o = 0; o < channels; ++o) {
      require(std::isfinite(node.conv.low[o]) && std::isfinite(node.conv.high[o]) && std::isfinite(node.conv.slope[o]),
              name + ": what was measured is not finite");
    }
  }
}

}  // namespace fsrcnn
