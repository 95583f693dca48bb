// A network in fixed point: what its numbers stand for, and the proof that no sum of them overflows. The same on every
// processor, as all that is computed here is in doubles without contraction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "model.h"

namespace fsrcnn {

/// Activations of a channel as integers: one is `unit`, and none is beyond `low` or `high`, whatever goes in.
struct FixedChannel {
  double unit;
  int low, high;
};

/// A convolution in integers.
struct FixedConv {
  int ic, oc, kernel;
  std::vector<int16_t> weight{};    // oihw
  std::vector<int32_t> bias{};      // [oc]
  std::vector<int> shift{};         // [oc]: 2^shift of a sum are one unit of what it stands for
  std::vector<int16_t> positive{};  // [oc], as FixedActivation has them; empty where sums are handed out as they are
  std::vector<int16_t> negative{};
  std::vector<FixedChannel> out{};  // [oc]
  bool of_luma = false;             // whose cells hold two columns

  int16_t at(int o, int c, int y, int x) const {
    return weight[((static_cast<std::size_t>(o) * ic + c) * kernel + y) * kernel + x];
  }
};

/// The least and the largest that the sums of a layer were, before the activation; by output channel.
struct SumRange {
  std::vector<float> low, high;
};

/// Runs the layers, which follow each other from luma on, over a picture that is harder than any photograph: noise of
/// black and white, checkerboards and stripes.
std::vector<SumRange> measure(const std::vector<Node>& nodes);

/// What luma is as it goes in.
std::vector<FixedChannel> fixed_luma();

/// `is_last`: whether heads read it. `name` is for messages. Throws std::invalid_argument for a layer of weights so
/// large, or so many, that no scale keeps its sums from overflowing.
FixedConv to_fixed(const ConvLayer& layer, const SumRange& range, const std::vector<FixedChannel>& in, bool is_last,
                   const std::string& name);
/// The same of a layer that is not followed by an activation: 2^shift are 1.
FixedConv to_fixed_planes(const ConvLayer& layer, const std::vector<FixedChannel>& in, const std::string& name);

/// Throws std::invalid_argument unless a valid model is of a kind that is computed in fixed point: one layer after the
/// other, without groups, from luma to the heads that enlarge it.
void validate_fixed(const Model& model);

}  // namespace fsrcnn
