// The network as data: a small graph of convolutions (the trunk), and what enlarges at its end, once per scale (the
// heads). A family of networks is a pattern of these and has no name here.
#pragma once

#include <cstddef>
#include <vector>

namespace fsrcnn {

/// What a convolution sees outside the picture.
enum class Padding { zeros, replicate };

/// Channels first .. first + count - 1 of result `of`: 0 is what goes into the network, i + 1 what node i makes.
struct Channels {
  int of, first, count;
};

struct ConvLayer {
  int ic, oc, kernel;
  std::vector<float> weight;  // oihw: [oc][ic / groups][kernel][kernel]
  std::vector<float> bias;    // [oc]
  std::vector<float> slope;   // [oc], of the PReLU; 0 is ReLU, 1 is no activation
  int groups = 1;             // group g reads channels g * ic / groups on and makes g * oc / groups on
};

/// A convolution of a channel range, and what is added to its activations.
struct Node {
  ConvLayer conv;
  Channels source;             // conv.ic channels
  std::vector<Channels> adds;  // none, or side by side as wide as the output
};

/// A transposed convolution from the last result to the large picture.
struct Head {
  static constexpr int kFullBorder = -1;

  int stride, pad, output_padding;
  int border;  // pixels by which the padding extends the features before zeros, or kFullBorder
  int ic, kernel;
  std::vector<float> weight;  // [ic][kernel][kernel]
  float bias;

  /// The inputs that an output pixel sums, relative to the one it lies in: from first_tap() to last_tap() on each axis.
  int first_tap() const { return -((kernel - 1 - pad) / stride); }
  int last_tap() const { return (stride - 1 + pad) / stride; }
  /// How far the head reads around an input pixel, in either direction.
  int reach() const { return -first_tap() > last_tap() ? -first_tap() : last_tap(); }
};

struct Model {
  std::vector<Node> nodes;  // after all that they read
  std::vector<Head> heads;  // by ascending stride
  Padding padding;
  bool plus_bicubic = false;  // the picture is that of the heads and the bicubic one, added

  /// Channels of result `of`.
  int channels(int of) const { return of == 0 ? 1 : nodes[static_cast<std::size_t>(of) - 1].conv.oc; }
};

/// Most rows and columns of a head's kernel.
inline constexpr int kMaxHeadKernel = 17;

/// A network of convolutions that follow each other.
std::vector<Node> chain(std::vector<ConvLayer> layers);

/// Throws std::invalid_argument, naming the node and the value, unless every node reads channels that are made before
/// it, the sizes agree and every head gives exactly stride times its input.
void validate(const Model& model);

}  // namespace fsrcnn
