// The network as data: a list of convolutions (the trunk) and one transposed convolution per scale (the heads).
// The paper's names live here: feature_extraction, shrink, mapping x m, expand, deconv.
#pragma once

#include <vector>

namespace fsrcnn {

/// What a layer sees outside the picture.
enum class Padding { zeros, replicate };

struct ConvLayer {
  int ic, oc, kernel;
  std::vector<float> weight;  // oihw: [oc][ic / groups][kernel][kernel]
  std::vector<float> bias;    // [oc]
  std::vector<float> slope;   // [oc], of the PReLU; 0 is ReLU, 1 is no activation
  int groups = 1;             // group g reads channels g * ic / groups on and makes g * oc / groups on
};

struct Head {
  static constexpr int kFullBorder = -1;

  int stride, pad, output_padding;
  int border;  // pixels by which the padding extends the features before zeros, or kFullBorder
  int ic;
  std::vector<float> weight;  // [ic][kernel][kernel]
  float bias;
  int kernel = 9;
};

struct Model {
  std::vector<ConvLayer> layers;
  std::vector<Head> heads;  // by ascending stride
  Padding padding;
};

/// Throws std::invalid_argument, naming the layer and the value, unless the layers chain from one channel to the heads,
/// the sizes agree and every head gives exactly stride times its input.
void validate(const Model& model);

}  // namespace fsrcnn
