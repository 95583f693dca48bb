// winograd5: F(4, 5) down the columns with the interpolation points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity.
// Along a row the convolution is direct, so lanes are columns and nothing is shuffled.
#pragma once

#include "conv2d-inl.h"
#include "kernels.h"
#include "simd-inl.h"

namespace fsrcnn {
namespace {

constexpr int kColumnTaps = 5;
constexpr int kColumnPoints = winograd_points(kColumnTaps);
constexpr ptrdiff_t kPointsStride = kWinogradChunkColumns + kMaxLanes;  // an odd number of cache lines

/// Eight rows to eight points: B^T, whose rows come in pairs e + o, e - o.
FSRCNN_INLINE void rows_to_points(const Vec* d, Vec* v) {
  v[0] = (d[0] - d[6]) + 5.25f * (d[4] - d[2]);
  const Vec e1 = (d[2] + d[6]) - 4.25f * d[4], o1 = (d[1] + d[5]) - 4.25f * d[3];
  v[1] = e1 + o1;
  v[2] = e1 - o1;
  const Vec e2 = d[6] + 0.25f * d[2] - 1.25f * d[4], o2 = 0.5f * d[1] - 2.5f * d[3] + 2.0f * d[5];
  v[3] = e2 + o2;
  v[4] = e2 - o2;
  const Vec e3 = d[6] + 4.0f * d[2] - 5.0f * d[4], o3 = 2.0f * d[1] - 2.5f * d[3] + 0.5f * d[5];
  v[5] = e3 + o3;
  v[6] = e3 - o3;
  v[7] = (d[7] - d[1]) + 5.25f * (d[3] - d[5]);
}

/// Eight points to four rows: A^T.
FSRCNN_INLINE void points_to_rows(const Vec* m, Vec* y) {
  const Vec s1 = m[1] + m[2], d1 = m[1] - m[2];
  const Vec s2 = m[3] + m[4], d2 = m[3] - m[4];
  const Vec s3 = m[5] + m[6], d3 = m[5] - m[6];
  y[0] = (m[0] + s1) + (s2 + s3);
  y[1] = d1 + 2.0f * d2 + 0.5f * d3;
  y[2] = s1 + 4.0f * s2 + 0.25f * s3;
  y[3] = (m[7] + d1) + 8.0f * d2 + 0.125f * d3;
}

/// N output channels of M vectors of columns: the products of one point after another, then back to rows.
template <int N, int M>
void winograd5_tile(const ConvArgs& args, int channels, const float* points, const float* w, int first,
                    float* products, ptrdiff_t column, ptrdiff_t x) {
  const int taps = args.kernel;
  for (int p = 0; p < kColumnPoints; ++p) {
    Vec acc[N][M] = {};
    for (int c = 0; c < channels; ++c, points += kPointsStride) {
      for (int kx = 0; kx < taps; ++kx, w += N) {
        Vec v[M];
        FSRCNN_UNROLL
        for (int m = 0; m < M; ++m) v[m] = load(points + x + kx + m * kLanes);
        FSRCNN_UNROLL
        for (int n = 0; n < N; ++n) {
          FSRCNN_UNROLL
          for (int m = 0; m < M; ++m) acc[n][m] += v[m] * w[n];
        }
      }
    }
    FSRCNN_UNROLL
    for (int n = 0; n < N; ++n) {
      FSRCNN_UNROLL
      for (int m = 0; m < M; ++m) store(products + ((n * M + m) * kColumnPoints + p) * kLanes, acc[n][m]);
    }
  }
  // Copies: a store through a row may, for all the compiler knows, change what `args` points to.
  const ptrdiff_t dst_stride = args.dst_stride;
  const ptrdiff_t at = first * dst_stride + column + x;
  float* const rows[kWinogradTile] = {args.dst_rows[0] + at, args.dst_rows[1] + at, args.dst_rows[2] + at,
                                      args.dst_rows[3] + at};
  const float* const biases = args.bias + first;
  const float* const slopes = args.slope + first;
  for (int n = 0; n < N; ++n) {
    const Vec bias = broadcast(biases[n]);
    const float slope = slopes[n];
    FSRCNN_UNROLL
    for (int m = 0; m < M; ++m, products += kColumnPoints * kLanes) {
      Vec q[kColumnPoints], y[kWinogradTile];
      FSRCNN_UNROLL
      for (int p = 0; p < kColumnPoints; ++p) q[p] = load(products + p * kLanes);
      points_to_rows(q, y);
      FSRCNN_UNROLL
      for (int i = 0; i < kWinogradTile; ++i) {
        store(rows[i] + n * dst_stride + m * kLanes, prelu(y[i] + bias, slope));
      }
    }
  }
}

/// The last `vectors` (fewer than a full tile, perhaps none) of a chunk.
template <int N, int M>
void winograd5_tail(const ConvArgs& args, int channels, const float* points, const float* w, int first, float* products,
                    ptrdiff_t column, ptrdiff_t x, ptrdiff_t vectors) {
  if constexpr (M > 0) {
    if (vectors == M) return winograd5_tile<N, M>(args, channels, points, w, first, products, column, x);
    winograd5_tail<N, M - 1>(args, channels, points, w, first, products, column, x, vectors);
  }
}

/// A block of `size` channels, 1 to N.
template <int N>
void winograd5_block(const ConvArgs& args, int channels, const float* points, const float* w, int first, int size,
                     float* products, ptrdiff_t column, ptrdiff_t vectors) {
  if (size == N) {
    constexpr int kM = conv2d_vectors(N);
    ptrdiff_t x = 0;
    for (; vectors >= kM; vectors -= kM, x += kM * kLanes) {
      winograd5_tile<N, kM>(args, channels, points, w, first, products, column, x);
    }
    return winograd5_tail<N, kM - 1>(args, channels, points, w, first, products, column, x, vectors);
  }
  if constexpr (N > 1) {
    winograd5_block<N - 1>(args, channels, points, w, first, size, products, column, vectors);
  } else {
    __builtin_trap();
  }
}

void winograd5(const ConvArgs& args) {
  const int kernel = args.kernel, parts = winograd_parts(kernel, kColumnTaps), channels = args.ic * parts;
  float* const points = args.scratchpad;  // [point][channel][kPointsStride]
  float* const products = points + kColumnPoints * channels * kPointsStride;
  for (ptrdiff_t column = 0; column < args.width; column += kWinogradChunkColumns) {
    const ptrdiff_t left = args.width - column;
    const ptrdiff_t width = left < kWinogradChunkColumns ? left : kWinogradChunkColumns;
    for (int c = 0; c < channels; ++c) {
      const float* const* const rows = args.src_rows + winograd_part(kernel, kColumnTaps, c % parts);
      const ptrdiff_t at = c / parts * args.src_stride + column;
      for (ptrdiff_t x = 0; x < width + kernel - 1; x += kLanes) {
        Vec d[kColumnPoints], v[kColumnPoints];
        FSRCNN_UNROLL
        for (int i = 0; i < kColumnPoints; ++i) d[i] = load(rows[i] + at + x);
        rows_to_points(d, v);
        FSRCNN_UNROLL
        for (int p = 0; p < kColumnPoints; ++p) store(points + (p * channels + c) * kPointsStride + x, v[p]);
      }
    }
    const float* w = args.weights;
    for (int block = 0, first = 0; block < block_count(args.oc, kMaxBlock); ++block) {
      const int size = block_size(args.oc, kMaxBlock, block);
      winograd5_block<kMaxBlock>(args, channels, points, w, first, size, products, column,
                                 (width + kLanes - 1) / kLanes);
      w += static_cast<ptrdiff_t>(kColumnPoints) * channels * kernel * size;
      first += size;
    }
  }
}

}  // namespace
}  // namespace fsrcnn
