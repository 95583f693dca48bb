// Weights in the order in which the kernels of one table read them. Done once, when a network is made.
#pragma once

#include <vector>

#include "aligned_buffer.h"
#include "kernels/kernels.h"
#include "model.h"

namespace fsrcnn {

struct PackedConv {
  struct Block {
    int first_oc, oc;
    const float* weights;  // [ic][kh][kw][oc]
    const float* bias;     // [oc]
    const float* slope;    // [oc]
  };

  int ic, oc, kernel;
  std::vector<Block> blocks;
  AlignedBuffer storage;
};

struct PackedHead {
  int stride, pad, border, ic;
  float bias;
  AlignedBuffer weights;  // as Deconv2dArgs::weights

  int first_tap() const { return deconv_first_tap(stride, pad); }
  int last_tap() const { return deconv_last_tap(stride, pad); }
  /// How far the head reads around an input pixel, in either direction.
  int reach() const { return -first_tap() > last_tap() ? -first_tap() : last_tap(); }
};

PackedConv pack(const ConvLayer& layer, const KernelTable& kernels);
PackedHead pack(const Head& head, const KernelTable& kernels);

}  // namespace fsrcnn
