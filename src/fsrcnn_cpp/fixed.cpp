#include "fixed.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "common.h"

namespace fsrcnn {
namespace {

constexpr double kMostSum = 0x1p31;
// Larger kernels than 1x1 leave a bit for winograd2, which sums twice over what two rows share.
constexpr double kMostShared = 0x1p30;
constexpr int kMostWeight = 32767;

// Sums are measured on one picture; others may go beyond by so much before they are cut off. Of four million pixels of
// black-and-white and Gaussian noise, the worst channel of FSRCNN went to 1.75 times what was measured.
constexpr double kHeadroom = 1.8;
// Heads have many taps: a bit that the activations they read do without is worth more to their weights.
constexpr int kMostOfLast = kFixedMost / 2;
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
  const Winograd2Parts parts(kernel);
  for (std::size_t first = 0; kernel > 1 && first < weights.size(); first += taps) {
    for (int tap = 0; tap < parts.count() * kernel; ++tap) {
      const int row = parts.first_row(tap / kernel);
      double sum = 0;
      for (int y = row; y < row + parts.rows(tap / kernel); ++y) {
        sum += std::abs(weights[first + static_cast<std::size_t>(y * kernel + tap % kernel)]);
      }
      if (sum > kMostWeight) return false;
    }
  }
  const double most = kernel > 1 ? kMostShared : kMostSum;
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
  throw std::invalid_argument("precision=int16: " + name + ": channel " + std::to_string(o) +
                              " does not fit 32 bits in fixed point");
}

// ---- measuring ----------------------------------------------------------------------------------------------------

constexpr int kTestSide = 192, kTileSide = 16;
constexpr int kMostReach = 32;  // of a network, so that enough is left of the picture

/// Features of a picture, the channels of a pixel together.
struct Pixels {
  int side, channels;
  std::vector<float> values;

  const float* at(int y, int x) const { return &values[(static_cast<std::size_t>(y) * side + x) * channels]; }
};

/// Tiles of noise in black and white, of many densities, of grey noise, checkerboards and stripes, in blocks of 1 to 4
/// pixels.
Pixels test_picture() {
  Pixels picture{kTestSide, 1, std::vector<float>(static_cast<std::size_t>(kTestSide) * kTestSide)};
  constexpr int kTiles = kTestSide / kTileSide;
  constexpr uint32_t kWhite[] = {128, 31, 225, 77, 179, 13, 243, 128};  // of 256, by tile
  constexpr int kBlocks[] = {1, 1, 1, 2, 1, 1, 3, 1, 2, 4};             // by eight tiles
  uint32_t state = 1;
  for (int tile = 0; tile < kTiles * kTiles; ++tile) {
    uint32_t noise[kTileSide][kTileSide];
    for (auto& row : noise) {
      for (uint32_t& value : row) value = (state = state * 1664525 + 1013904223) >> 24;
    }
    const int block = kBlocks[tile / 8 % 10], top = tile / kTiles * kTileSide, left = tile % kTiles * kTileSide;
    for (int y = 0; y < kTileSide; ++y) {
      for (int x = 0; x < kTileSide; ++x) {
        const int row = y / block, column = x / block;
        const uint32_t grey = noise[row][column];
        float value = grey < kWhite[tile % 8] ? 1 : 0;
        if (tile % 16 == 15) value = static_cast<float>(grey) / 255;
        if (tile % 32 == 14) value = static_cast<float>((row + column) % 2);
        if (tile % 32 == 30) value = static_cast<float>((tile % 64 == 30 ? row : column) % 2);
        picture.values[static_cast<std::size_t>(top + y) * kTestSide + left + x] = value;
      }
    }
  }
  return picture;
}

/// Sums of a layer, where all its taps are pixels. Each adds its terms tap by tap, channel by channel; those of a few
/// columns and output channels stay in registers.
Pixels sums_of(const ConvLayer& layer, const Pixels& in) {
  using Vector [[gnu::vector_size(16)]] = float;
  constexpr int kColumns = 4, kVectors = 2, kLanes = 4, kChannels = kVectors * kLanes;
  const auto load = [](const float* from) {
    Vector values;
    std::memcpy(&values, from, sizeof(values));
    return values;
  };
  const int kernel = layer.kernel, ic = layer.ic, oc = layer.oc, side = in.side - kernel + 1;
  const auto taps = static_cast<std::size_t>(kernel) * kernel, channels = static_cast<std::size_t>(ic);
  const auto width = static_cast<std::size_t>(round_up(oc, kChannels));
  std::vector<float> weights(taps * channels * width);  // [ky][kx][ic][oc], zeros behind
  for (std::size_t tap = 0; tap < taps; ++tap) {
    for (std::size_t c = 0; c < channels; ++c) {
      for (std::size_t o = 0; o < static_cast<std::size_t>(oc); ++o) {
        weights[(tap * channels + c) * width + o] = layer.weight[(o * channels + c) * taps + tap];
      }
    }
  }
  std::vector<float> bias(layer.bias);
  bias.resize(width);
  Pixels out{side, oc, std::vector<float>(static_cast<std::size_t>(side) * side * oc)};
  for (int y = 0; y < side; ++y) {
    for (int column = 0; column < side; column += kColumns) {
      const int x = std::min(column, side - kColumns);  // the last ones may be made twice
      for (int first = 0; first < oc; first += kChannels) {
        Vector sums[kColumns][kVectors];
        for (auto& pixel : sums) {
          for (int v = 0; v < kVectors; ++v) pixel[v] = load(&bias[static_cast<std::size_t>(first + v * kLanes)]);
        }
        const float* weight = &weights[static_cast<std::size_t>(first)];
        for (int tap = 0; tap < kernel * kernel; ++tap) {
          const float* const pixels = in.at(y + tap / kernel, x + tap % kernel);
          for (int c = 0; c < ic; ++c, weight += width) {
            for (int v = 0; v < kVectors; ++v) {
              const Vector w = load(weight + v * kLanes);
              for (int i = 0; i < kColumns; ++i) sums[i][v] += w * pixels[i * ic + c];
            }
          }
        }
        for (int i = 0; i < kColumns; ++i) {
          float* const made = &out.values[(static_cast<std::size_t>(y) * side + x + i) * oc + first];
          for (int o = 0; o < std::min(kChannels, oc - first); ++o) made[o] = sums[i][o / kLanes][o % kLanes];
        }
      }
    }
  }
  return out;
}

}  // namespace

std::vector<SumRange> measure(const std::vector<Node>& nodes) {
  std::vector<SumRange> ranges;
  Pixels pixels = test_picture();
  for (const Node& node : nodes) {
    const ConvLayer& layer = node.conv;
    const auto channels = static_cast<std::size_t>(layer.oc);
    pixels = sums_of(layer, pixels);
    SumRange range{std::vector<float>(channels), std::vector<float>(channels)};
    for (auto pixel = pixels.values.begin(); pixel != pixels.values.end(); pixel += layer.oc) {
      for (std::size_t o = 0; o < channels; ++o) {
        float& value = pixel[static_cast<std::ptrdiff_t>(o)];
        range.low[o] = std::min(range.low[o], value);
        range.high[o] = std::max(range.high[o], value);
        value = value > 0 ? value : layer.slope[o] * value;
      }
    }
    ranges.push_back(std::move(range));
  }
  return ranges;
}

std::vector<FixedChannel> fixed_luma() { return {{1.0 / kFixedLuma, -kFixedMost, kFixedMost}}; }

FixedConv to_fixed(const ConvLayer& layer, const SumRange& range, const std::vector<FixedChannel>& in, bool is_last,
                   const std::string& name) {
  assert(static_cast<int>(in.size()) == layer.ic && layer.groups == 1);
  FixedConv conv{.ic = layer.ic, .oc = layer.oc, .kernel = layer.kernel};
  const int largest = is_last ? kMostOfLast : kFixedMost;
  for (int o = 0; o < layer.oc; ++o) {
    const auto i = static_cast<std::size_t>(o);
    const double above = std::max(kHeadroom * range.high[i], kLeastSum);
    const double below = std::max(-kHeadroom * range.low[i], kLeastSum);
    const double slope = layer.slope[i], steep = std::max(1.0, std::abs(slope));
    // One of the shifted sum, and one of the activation, which is the shifted sum times a factor of at most a half.
    const double unit = std::max(above, below) / 32767;
    const double wanted =
        std::max(std::max(above, std::abs(slope) * below) / largest, unit * 32768 / kFixedMost * steep);
    // Rounded down, so that the other factor is not too large; what is meant to be whole may lie a little below.
    const double positive = std::max(1.0, std::floor(unit / wanted * 32768 + 0x1p-10));
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
  FixedConv conv{.ic = layer.ic, .oc = layer.oc, .kernel = layer.kernel};
  for (int o = 0; o < layer.oc; ++o) add_channel(conv, layer, in, o, 1.0, false, name);
  return conv;
}

void validate_fixed(const Model& model) {
  const auto require = [](bool condition, const std::string& message) {
    if (!condition) throw std::invalid_argument("precision=int16: " + message);
  };
  require(model.colour == Colour::luma && !model.enlarged, "the network does not enlarge luma at its end");
  int reach = 0;
  for (std::size_t i = 0; i < model.nodes.size(); ++i) {
    const Node& node = model.nodes[i];
    const std::string name = "nodes[" + std::to_string(i) + "]";
    require(node.source.of == static_cast<int>(i) && node.source.first == 0 &&
                node.source.count == model.channels(node.source.of) && node.adds.empty() && node.conv.groups == 1,
            name + " is not one of a chain");
    for (const float slope : node.conv.slope) require(std::isfinite(slope), name + ": a slope is not finite");
    reach += node.conv.kernel / 2;
  }
  require(reach <= kMostReach,
          "the network reads " + std::to_string(reach) + " pixels around, more than " + std::to_string(kMostReach));
}

}  // namespace fsrcnn
