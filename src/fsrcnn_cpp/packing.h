// Weights in the order in which the kernels of one table read them. Done once, when a network is made.
#pragma once

#include <optional>

#include "aligned_buffer.h"
#include "kernels/kernels.h"
#include "model.h"

namespace fsrcnn {

/// How 3x3 and 5x5 convolutions are computed where the kernels offer both ways.
enum class Algorithm { direct, winograd };

struct PackedConv {
  int ic, oc, kernel;
  bool winograd;
  AlignedBuffer weights;  // as Conv2dArgs::weights or WinogradArgs::weights
  AlignedBuffer bias, slope;
};

struct PackedHead {
  int stride, pad, border, ic;
  float bias;
  int first_tap, last_tap;  // as of Head
  AlignedBuffer weights;    // as Deconv2dArgs::weights
  /// Where Winograd serves or deconv2d does not: the same head as a convolution to stride * stride channels.
  std::optional<PackedConv> subpixel;

  /// How far the head reads around an input pixel, in either direction.
  int reach() const { return -first_tap > last_tap ? -first_tap : last_tap; }
};

PackedConv pack(const ConvLayer& layer, const KernelTable& kernels, Algorithm algorithm);
PackedHead pack(const Head& head, const KernelTable& kernels, Algorithm algorithm);

}  // namespace fsrcnn
