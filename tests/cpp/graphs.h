// Random networks: any shape that a model may have, small.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <utility>
#include <vector>

#include "model.h"

namespace fsrcnn {

class GraphMaker {
 public:
  explicit GraphMaker(unsigned seed) : random_(seed), decide_([this] { return random_(); }) {}
  /// `decide` gives the numbers that the shape follows; those of the weights come by chance.
  GraphMaker(std::function<unsigned long()> decide, unsigned seed) : random_(seed), decide_(std::move(decide)) {}
  GraphMaker(const GraphMaker&) = delete;
  GraphMaker& operator=(const GraphMaker&) = delete;

  Model make() {
    model_ = {.nodes = {}, .heads = {}, .padding = chance(2) ? Padding::zeros : Padding::replicate};
    model_.enlarged = chance(4);
    model_.plus_bicubic = !model_.enlarged && chance(3);
    if (model_.enlarged) model_.colour = static_cast<Colour>(integer(0, 2));
    const int count = integer(1, 8);
    while (static_cast<int>(model_.nodes.size()) < count) {
      add_node();
      if (chance(3)) add_narrowing();
    }
    for (int stride = 2; stride <= 4; ++stride) {
      if (chance(2) || (stride == 4 && model_.heads.empty())) add_head(stride);
    }
    return std::move(model_);
  }

  int integer(int low, int high) { return low + static_cast<int>(decide_() % static_cast<unsigned>(high - low + 1)); }
  bool chance(int one_in) { return integer(1, one_in) == 1; }

 private:
  float number(double spread) {
    return static_cast<float>(spread * (2.0 * static_cast<double>(random_()) / 0xffffffff - 1.0));
  }

  /// A range of a result that is there already, most often of a late one.
  Channels range(int most) {
    const int last = static_cast<int>(model_.nodes.size());
    const int of = chance(2) ? last : integer(0, last);
    const int channels = model_.channels(of);
    const int count = integer(1, std::min(most, channels));
    return {of, integer(0, channels - count), count};
  }

  ConvLayer layer(int ic, int oc, int kernel, int groups = 1) {
    ConvLayer conv{ic, oc, kernel, {}, {}, {}, groups};
    const int taps = ic / groups * kernel * kernel;
    for (int i = 0; i < oc * taps; ++i) conv.weight.push_back(number(1.2 / std::sqrt(taps)));
    for (int o = 0; o < oc; ++o) conv.bias.push_back(number(0.1)), conv.slope.push_back(number(0.5));
    return conv;
  }

  std::vector<Channels> adds(int width) {
    std::vector<Channels> ranges;
    while (width > 0) {
      ranges.push_back(range(width));
      width -= ranges.back().count;
    }
    return ranges;
  }

  void add_node() {
    constexpr int kKernels[] = {1, 3, 3, 3, 5, 5, 7, 9, 15};
    const Channels source = range(100);
    int groups = chance(3) ? integer(1, source.count) : 1;
    while (source.count % groups != 0) --groups;
    const int oc = groups * integer(1, std::max(1, 9 / groups));
    ConvLayer conv = layer(source.count, oc, kKernels[integer(0, 8)], groups);
    model_.nodes.push_back({std::move(conv), source, chance(3) ? adds(oc) : std::vector<Channels>{}});
  }

  /// What a plan may run chunk by chunk behind the node before.
  void add_narrowing() {
    const int last = static_cast<int>(model_.nodes.size());
    const int ic = model_.channels(last), oc = integer(1, std::max(1, ic - 1));
    model_.nodes.push_back({layer(ic, oc, 1), {last, 0, ic}, chance(3) ? adds(oc) : std::vector<Channels>{}});
  }

  void add_head(int stride) {
    if (model_.enlarged) return add_plain_head(stride);
    constexpr int kKernels[] = {9, 9, 9, 17, 17, 1, 3, 5, 7, 11, 13};
    Head head{.stride = stride,
              .pad = 0,
              .output_padding = 0,
              .border = integer(0, 1) ? Head::kFullBorder : integer(0, 3),
              .ic = model_.nodes.back().conv.oc,
              .kernel = kKernels[integer(0, 10)],
              .weight = {},
              .bias = {number(0.2)}};
    // Those that give exactly stride times the input.
    std::vector<int> paddings;
    for (int padding = 1 - stride; padding < stride; ++padding) {
      const int pads = head.kernel + padding - stride;
      if (pads >= 0 && pads % 2 == 0) paddings.push_back(padding);
    }
    head.output_padding = paddings[static_cast<std::size_t>(integer(0, static_cast<int>(paddings.size()) - 1))];
    head.pad = (head.kernel + head.output_padding - stride) / 2;
    const double spread = 1.2 * stride / (head.kernel * std::sqrt(head.ic));
    for (int i = 0; i < head.ic * head.kernel * head.kernel; ++i) head.weight.push_back(number(spread));
    model_.heads.push_back(std::move(head));
  }

  void add_plain_head(int scale) {
    const int planes = plane_count(model_.colour), ic = model_.nodes.back().conv.oc, kernel = 1 + 2 * integer(0, 4);
    const ConvLayer conv = layer(ic, planes, kernel);
    model_.heads.push_back({.stride = scale,
                            .pad = 0,
                            .output_padding = 0,
                            .border = integer(0, 1) ? Head::kFullBorder : integer(0, 3),
                            .ic = ic,
                            .kernel = kernel,
                            .weight = conv.weight,
                            .bias = conv.bias,
                            .enlarges = false});
  }

  std::mt19937 random_;
  std::function<unsigned long()> decide_;
  Model model_{};
};

}  // namespace fsrcnn
