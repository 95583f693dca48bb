// Gathers the kernels compiled in this translation unit into the table `FSRCNN_TABLE`, its only exported symbol: those
// of fixed point where FSRCNN_FIXED is defined.
#pragma once

#include "cells-inl.h"
#include "conv2d-inl.h"
#include "finish-inl.h"
#include "kernels.h"
#include "pixel_io-inl.h"
#include "resample-inl.h"
#include "simd-inl.h"
#if defined(FSRCNN_FIXED)
#include "winograd2-inl.h"
#else
#include "deconv2d-inl.h"
#include "gradient-inl.h"
#include "winograd3-inl.h"
#include "winograd5-inl.h"
#endif

namespace fsrcnn {

#if !defined(FSRCNN_FIXED)
namespace {

// Enough independent chains to cover latency 4 on two units; with two constants they fill 16 registers. None starts at
// 1, which these constants leave as it is: the compiler would see that, and leave the chain out.
double fma_loop(long iterations) {
  constexpr int kChains = 12;
  Vec acc[kChains];
  FSRCNN_UNROLL
  for (int i = 0; i < kChains; ++i) acc[i] = broadcast(static_cast<float>(i + 2));
  const Vec scale = broadcast(0.999f);
  const Vec offset = broadcast(0.001f);
  for (long k = 0; k < iterations; ++k) {
    FSRCNN_UNROLL
    for (int i = 0; i < kChains; ++i) acc[i] = acc[i] * scale + offset;
  }
  FSRCNN_UNROLL
  for (int i = 1; i < kChains; ++i) acc[0] += acc[i];
  // The sum must be seen to be used, or the loop may go.
  volatile float sink = acc[0][0];
  static_cast<void>(sink);
  return 2.0 * kLanes * kChains * static_cast<double>(iterations);
}

}  // namespace
#endif

extern const KernelTable FSRCNN_TABLE;
const KernelTable FSRCNN_TABLE = {
    .isa = FSRCNN_ISA_NAME,
#if defined(FSRCNN_FIXED)
    .precision = Precision::int16,
    .max_block = kMaxBlock,
    .conv2d = conv2d_fixed,
#else
    .precision = Precision::float32,
    .max_block = kMaxBlock,
    .conv2d = conv2d,
    .conv2d_narrow = conv2d_narrow,
    .winograd3 = winograd3,
    .winograd5 = winograd5,
    .deconv2d = {deconv2d_kernel<2, 4>(), deconv2d_kernel<3, 3>(), deconv2d_kernel<3, 4>(), deconv2d_kernel<4, 3>(),
                 deconv2d_kernel<4, 4>()},
#endif
    .load = {load_samples<uint8_t>, load_samples<uint16_t>, load_samples<float>},
    .store = {store_samples<uint8_t>, store_samples<uint16_t>, store_samples<float>},
    .rgb_to_y = rgb_to_y,
    .rgb_to_cbcr = rgb_to_cbcr,
    .ycbcr_to_rgb = ycbcr_to_rgb,
    .blend4 = blend4,
    .blend = blend,
    .resample = resample,
    .range5 = range5,
    .clamp = clamp,
    .slope = slope,
#if defined(FSRCNN_FIXED)
    .conv2d_planes = conv2d_planes,
    .winograd2_block = kWinograd2Block,
    .winograd2 = winograd2,
    .winograd2_planes = winograd2_planes,
    .to_cells = to_cells,
#else
    .correlate = correlate,
    .prelu_forward = prelu_forward,
    .prelu_backward = prelu_backward,
    .fma_loop = fma_loop,
#endif
};

}  // namespace fsrcnn
