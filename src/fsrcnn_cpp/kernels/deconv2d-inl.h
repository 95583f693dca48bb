// deconv2d: for a group of phase rows, a register tile of all their phases x M vectors of columns. Which phase uses
// which tap is known at compile time, so the unrolled body holds exactly the 81 products per input channel.
#pragma once

#include "kernels.h"
#include "simd-inl.h"

namespace fsrcnn {
namespace {

// With 32 registers two or three phase rows share the loads of a tap; 16 registers hold one phase row at a time.
constexpr int deconv2d_phase_rows(int stride) { return kRegisters < 32 ? 1 : stride == 3 ? 3 : 2; }
constexpr int deconv2d_vectors(int accumulators) {
  const int m = (kRegisters - 1) / (accumulators + 1);
  return m > 6 ? 6 : m;
}

template <int S, int P, int Y0, int NY, int M>
void deconv2d_tile(const ConvArgs& args, const float* w, ptrdiff_t x) {
  constexpr int kFirst = deconv_first_tap(S, P);
  constexpr int kTaps = deconv_last_tap(S, P) - kFirst + 1;
  Vec acc[NY * S][M];
  FSRCNN_UNROLL
  for (int n = 0; n < NY * S; ++n) {
    FSRCNN_UNROLL
    for (int m = 0; m < M; ++m) acc[n][m] = broadcast(args.bias[0]);
  }
  for (int c = 0; c < args.ic; ++c) {
    FSRCNN_UNROLL
    for (int ty = 0; ty < kTaps; ++ty) {
      const float* src = args.src_rows[ty] + c * args.src_stride + x;
      FSRCNN_UNROLL
      for (int tx = 0; tx < kTaps; ++tx) {
        Vec v[M];
        FSRCNN_UNROLL
        for (int m = 0; m < M; ++m) v[m] = load(src + tx + m * kLanes);
        FSRCNN_UNROLL
        for (int py = 0; py < NY; ++py) {
          FSRCNN_UNROLL
          for (int px = 0; px < S; ++px) {
            if (deconv_uses(Y0 + py, kFirst + ty, S, P) && deconv_uses(px, kFirst + tx, S, P)) {
              FSRCNN_UNROLL
              for (int m = 0; m < M; ++m) acc[py * S + px][m] += v[m] * *w;
              ++w;
            }
          }
        }
      }
    }
  }
  float* dst = args.dst_rows[0] + Y0 * S * args.dst_stride + x;
  const ptrdiff_t dst_stride = args.dst_stride;
  FSRCNN_UNROLL
  for (int n = 0; n < NY * S; ++n, dst += dst_stride) {
    FSRCNN_UNROLL
    for (int m = 0; m < M; ++m) store(dst + m * kLanes, acc[n][m]);
  }
}

template <int S, int P, int Y0, int NY, int M>
void deconv2d_tail(const ConvArgs& args, const float* w, ptrdiff_t x, ptrdiff_t vectors) {
  if constexpr (M > 0) {
    if (vectors == M) return deconv2d_tile<S, P, Y0, NY, M>(args, w, x);
    deconv2d_tail<S, P, Y0, NY, M - 1>(args, w, x, vectors);
  }
}

/// Products per input channel in the pass of phase rows y0 .. y0 + ny - 1.
constexpr int deconv2d_pass_weights(int stride, int pad, int y0, int ny) {
  int count = 0;
  for (int py = y0; py < y0 + ny; ++py) {
    for (int ky = (py + pad) % stride; ky < kDeconvKernel; ky += stride) count += kDeconvKernel;
  }
  return count;
}

template <int S, int P, int Y0>
void deconv2d_passes(const ConvArgs& args, const float* w) {
  if constexpr (Y0 < S) {
    constexpr int kRows = deconv2d_phase_rows(S) < S - Y0 ? deconv2d_phase_rows(S) : S - Y0;
    constexpr int kM = deconv2d_vectors(kRows * S);
    ptrdiff_t vectors = (args.width + kLanes - 1) / kLanes;
    ptrdiff_t x = 0;
    for (; vectors >= kM; vectors -= kM, x += kM * kLanes) deconv2d_tile<S, P, Y0, kRows, kM>(args, w, x);
    deconv2d_tail<S, P, Y0, kRows, kM - 1>(args, w, x, vectors);
    deconv2d_passes<S, P, Y0 + kRows>(args, w + args.ic * deconv2d_pass_weights(S, P, Y0, kRows));
  }
}

template <int S, int P>
void deconv2d(const ConvArgs& args) {
  deconv2d_passes<S, P, 0>(args, args.weights);
}

template <int S, int P>
constexpr DeconvKernel deconv2d_kernel() {
  return {S, P, deconv2d_phase_rows(S), deconv2d<S, P>};
}

}  // namespace
}  // namespace fsrcnn
