// conv2d: a register tile of N output channels x M vectors of columns, accumulated over all taps.
#pragma once

#include "kernels.h"
#include "simd-inl.h"

namespace fsrcnn {
namespace {

// The tile needs N*M accumulators, M source vectors and one broadcast weight.
constexpr int kMaxBlock = kRegisters == 32 ? 14 : 6;
constexpr int conv2d_vectors(int n) {
  const int m = (kRegisters - 1) / (n + 1);
  return m > 6 ? 6 : m;
}

template <int N, int M>
void conv2d_tile(const Conv2dArgs& args, const float* w, int first, ptrdiff_t x) {
  Vec acc[N][M];
  FSRCNN_UNROLL
  for (int n = 0; n < N; ++n) {
    FSRCNN_UNROLL
    for (int m = 0; m < M; ++m) acc[n][m] = broadcast(args.bias[first + n]);
  }
  // The innermost loop runs along the taps of a row, or, for a 1x1 kernel, along the channels.
  const bool pointwise = args.kh == 1 && args.kw == 1;
  const int channels = pointwise ? 1 : args.ic;
  const int taps = pointwise ? args.ic : args.kw;
  const ptrdiff_t step = pointwise ? args.src_stride : 1;
  for (int c = 0; c < channels; ++c) {
    for (int ky = 0; ky < args.kh; ++ky) {
      const float* src = args.src_rows[ky] + c * args.src_stride + x;
      for (int t = 0; t < taps; ++t, src += step, w += N) {
        Vec v[M];
        FSRCNN_UNROLL
        for (int m = 0; m < M; ++m) v[m] = load(src + m * kLanes);
        FSRCNN_UNROLL
        for (int n = 0; n < N; ++n) {
          FSRCNN_UNROLL
          for (int m = 0; m < M; ++m) acc[n][m] += v[m] * w[n];
        }
      }
    }
  }
  // Copies: a store through `dst` may, for all the compiler knows, change what `args` points to.
  const float* const slope = args.slope + first;
  float* dst = args.dst + first * args.dst_stride + x;
  const ptrdiff_t dst_stride = args.dst_stride;
  FSRCNN_UNROLL
  for (int n = 0; n < N; ++n, dst += dst_stride) {
    FSRCNN_UNROLL
    for (int m = 0; m < M; ++m) store(dst + m * kLanes, prelu(acc[n][m], slope[n]));
  }
}

/// The last `vectors` (fewer than a full tile) of a row.
template <int N, int M>
void conv2d_tail(const Conv2dArgs& args, const float* w, int first, ptrdiff_t x, ptrdiff_t vectors) {
  if constexpr (M > 0) {
    if (vectors == M) return conv2d_tile<N, M>(args, w, first, x);
    conv2d_tail<N, M - 1>(args, w, first, x, vectors);
  }
}

template <int N>
void conv2d_block(const Conv2dArgs& args, const float* w, int first) {
  constexpr int kM = conv2d_vectors(N);
  ptrdiff_t vectors = (args.width + kLanes - 1) / kLanes;
  ptrdiff_t x = 0;
  for (; vectors >= kM; vectors -= kM, x += kM * kLanes) conv2d_tile<N, kM>(args, w, first, x);
  conv2d_tail<N, kM - 1>(args, w, first, x, vectors);
}

template <int N>
void conv2d_dispatch(const Conv2dArgs& args, const float* w, int first, int size) {
  if (size == N) return conv2d_block<N>(args, w, first);
  if constexpr (N > 1) conv2d_dispatch<N - 1>(args, w, first, size);
}

void conv2d(const Conv2dArgs& args) {
  const float* w = args.weights;
  for (int block = 0, first = 0; block < block_count(args.oc, kMaxBlock); ++block) {
    const int size = block_size(args.oc, kMaxBlock, block);
    conv2d_dispatch<kMaxBlock>(args, w, first, size);
    w += static_cast<ptrdiff_t>(args.ic) * args.kh * args.kw * size;
    first += size;
  }
}

}  // namespace
}  // namespace fsrcnn
