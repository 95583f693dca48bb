// The network as data: a small graph of convolutions (the trunk), and what enlarges at its end, once per scale (the
// heads). A family of networks is a pattern of these and has no name here.
#pragma once

#include <cstddef>
#include <vector>

namespace fsrcnn {

/// What a convolution sees outside the picture.
enum class Padding { zeros, replicate };

/// What a network sees of a picture, and makes of it: luma alone, or all colours, BT.601 as video has it or R'G'B'.
enum class Colour { luma, ycbcr, rgb };
constexpr int plane_count(Colour colour) { return colour == Colour::luma ? 1 : 3; }

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

/// A transposed convolution from the last result to the large picture, or, where the network has seen the picture
/// enlarged, a convolution.
struct Head {
  static constexpr int kFullBorder = -1;

  int stride;               // the scale
  int pad, output_padding;  // of a transposed convolution
  int border;               // pixels by which the padding extends the features before zeros, or kFullBorder
  int ic, kernel;
  std::vector<float> weight;  // [ic][kernel][kernel], or [plane][ic][kernel][kernel]
  std::vector<float> bias;    // one, or one a plane
  bool enlarges = true;       // or is a convolution

  /// The inputs that an output pixel sums, relative to the one it lies in: from first_tap() to last_tap() on each axis.
  int first_tap() const { return enlarges ? -((kernel - 1 - pad) / stride) : -(kernel / 2); }
  int last_tap() const { return enlarges ? (stride - 1 + pad) / stride : kernel / 2; }
  /// How far the head reads around an input pixel, in either direction.
  int reach() const { return -first_tap() > last_tap() ? -first_tap() : last_tap(); }
};

struct Model {
  std::vector<Node> nodes;  // after all that they read
  std::vector<Head> heads;  // by ascending stride
  Padding padding;
  bool plus_bicubic = false;  // the picture is that of the heads and the bicubic one, added
  bool enlarged = false;      // what goes in is enlarged by the bicubic filter already
  Colour colour = Colour::luma;

  /// Channels of result `of`.
  int channels(int of) const { return of == 0 ? plane_count(colour) : nodes[static_cast<std::size_t>(of) - 1].conv.oc; }
};

/// Most rows and columns of a head's kernel.
inline constexpr int kMaxHeadKernel = 17;

/// A network of convolutions that follow each other.
std::vector<Node> chain(std::vector<ConvLayer> layers);

/// Throws std::invalid_argument, naming the node and the value, unless every node reads channels that are made before
/// it, the sizes agree and every head gives exactly stride times its input, or as much as that where it is enlarged.
/// More than luma takes a network that is.
void validate(const Model& model);

// Of a valid model:

/// Pixels on each side of its own that a pixel of the result depends on, by the head that reaches farthest.
int reach(const Model& model);
/// Multiplications for each pixel of the picture, by the head that takes most; the bicubic filter is not counted.
double multiplications(const Model& model);

}  // namespace fsrcnn
