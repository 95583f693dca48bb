// winograd_conv2d: F(4x4, 3x3) with the interpolation points 0, 1, -1, 2, -2 and infinity. Lanes are tiles. Rows stay in
// their natural order in memory; columns are split by x mod 4 on the way into registers and merged on the way out.
#pragma once

#include "conv2d-inl.h"
#include "kernels.h"
#include "simd-inl.h"

namespace fsrcnn {
namespace {

// One vector of tiles keeps enough accumulators busy with 14 channels a block, but not with 6.
constexpr int kTileVectors = kMaxBlock > 8 ? 1 : 2;
constexpr int kChunkTiles = kTileVectors * kLanes;
constexpr int kPoints = kWinogradPoints * kWinogradPoints;
static_assert(kChunkTiles <= kWinogradChunk);

/// Six inputs to six points: the rows of B^T, which come in pairs e + o, e - o.
inline void to_points(Vec d0, Vec d1, Vec d2, Vec d3, Vec d4, Vec d5, Vec* v) {
  const Vec e1 = d4 - 4.0f * d2, o1 = d3 - 4.0f * d1;
  const Vec e2 = d4 - d2, o2 = d3 - d1;
  v[0] = 4.0f * d0 + (d4 - 5.0f * d2);
  v[1] = e1 + o1;
  v[2] = e1 - o1;
  v[3] = e2 + 2.0f * o2;
  v[4] = e2 - 2.0f * o2;
  v[5] = 4.0f * d1 + (d5 - 5.0f * d3);
}

/// Six points to four outputs: the rows of A^T.
inline void from_points(const Vec* m, ptrdiff_t step, Vec* y) {
  const Vec s1 = m[step] + m[2 * step], d1 = m[step] - m[2 * step];
  const Vec s2 = m[3 * step] + m[4 * step], d2 = m[3 * step] - m[4 * step];
  y[0] = m[0] + s1 + s2;
  y[1] = d1 + 2.0f * d2;
  y[2] = s1 + 4.0f * s2;
  y[3] = (d1 + m[5 * step]) + 8.0f * d2;
}

/// The columns' transform of one row of points: five vectors of columns 4t .. 4t + 4 * kLanes + 1 in, six points out.
inline void columns_to_points(const Vec* x, float* dst, ptrdiff_t point_stride) {
  const Vec even01 = even_lanes(x[0], x[1]), even23 = even_lanes(x[2], x[3]);
  const Vec odd01 = odd_lanes(x[0], x[1]), odd23 = odd_lanes(x[2], x[3]);
  const Vec c0 = even_lanes(even01, even23), c2 = odd_lanes(even01, even23);
  const Vec c1 = even_lanes(odd01, odd23), c3 = odd_lanes(odd01, odd23);
  Vec v[kWinogradPoints];
  to_points(c0, c1, c2, c3, shift_in<0>(c0, x[4]), shift_in<1>(c1, x[4]), v);
  FSRCNN_UNROLL
  for (int j = 0; j < kWinogradPoints; ++j) store(dst + j * point_stride, v[j]);
}

/// One channel of kLanes tiles. Rows of points are made in the pairs that share work, so that few are alive at a time.
inline void input_transform(const float* const* rows, ptrdiff_t at, float* dst, ptrdiff_t point_stride) {
  constexpr int kColumns = 5;
  const auto row = [&](int i, int k) { return load(rows[i] + at + k * kLanes); };
  const auto emit = [&](int i, const Vec* x) {
    columns_to_points(x, dst + i * kWinogradPoints * point_stride, point_stride);
  };
  Vec a[kColumns], b[kColumns];
  FSRCNN_UNROLL
  for (int k = 0; k < kColumns; ++k) {
    const Vec e = row(4, k) - 4.0f * row(2, k), o = row(3, k) - 4.0f * row(1, k);
    a[k] = e + o;
    b[k] = e - o;
  }
  emit(1, a);
  emit(2, b);
  FSRCNN_UNROLL
  for (int k = 0; k < kColumns; ++k) {
    const Vec e = row(4, k) - row(2, k), o = row(3, k) - row(1, k);
    a[k] = e + 2.0f * o;
    b[k] = e - 2.0f * o;
  }
  emit(3, a);
  emit(4, b);
  FSRCNN_UNROLL
  for (int k = 0; k < kColumns; ++k) {
    a[k] = 4.0f * row(0, k) + (row(4, k) - 5.0f * row(2, k));
    b[k] = 4.0f * row(1, k) + (row(5, k) - 5.0f * row(3, k));
  }
  emit(0, a);
  emit(5, b);
}

/// One channel of kLanes tiles: back from 6x6 points to four rows, bias and PReLU, columns merged.
inline void output_transform(const float* src, ptrdiff_t point_stride, float bias, float slope, float* const* rows,
                             ptrdiff_t at) {
  Vec t[kWinogradPoints][kWinogradTile];
  FSRCNN_UNROLL
  for (int i = 0; i < kWinogradPoints; ++i) {
    Vec m[kWinogradPoints];
    FSRCNN_UNROLL
    for (int j = 0; j < kWinogradPoints; ++j) m[j] = load(src + (i * kWinogradPoints + j) * point_stride);
    from_points(m, 1, t[i]);
  }
  Vec y[kWinogradTile][kWinogradTile];  // [column][row]
  FSRCNN_UNROLL
  for (int j = 0; j < kWinogradTile; ++j) from_points(&t[0][j], kWinogradTile, y[j]);
  FSRCNN_UNROLL
  for (int i = 0; i < kWinogradTile; ++i) {
    Vec c[kWinogradTile];
    FSRCNN_UNROLL
    for (int j = 0; j < kWinogradTile; ++j) c[j] = prelu(y[j][i] + bias, slope);
    const Vec low02 = interleave_low(c[0], c[2]), high02 = interleave_high(c[0], c[2]);
    const Vec low13 = interleave_low(c[1], c[3]), high13 = interleave_high(c[1], c[3]);
    float* dst = rows[i] + at;
    store(dst, interleave_low(low02, low13));
    store(dst + kLanes, interleave_high(low02, low13));
    store(dst + 2 * kLanes, interleave_low(high02, high13));
    store(dst + 3 * kLanes, interleave_high(high02, high13));
  }
}

/// At each point, N output channels from all input channels.
template <int N>
void winograd_multiply(const float* src, const float* weights, float* dst, int ic, int oc) {
  for (int p = 0; p < kPoints; ++p) {
    Vec acc[N][kTileVectors] = {};
    for (int c = 0; c < ic; ++c, src += kChunkTiles, weights += N) {
      Vec v[kTileVectors];
      FSRCNN_UNROLL
      for (int m = 0; m < kTileVectors; ++m) v[m] = load(src + m * kLanes);
      FSRCNN_UNROLL
      for (int n = 0; n < N; ++n) {
        FSRCNN_UNROLL
        for (int m = 0; m < kTileVectors; ++m) acc[n][m] += v[m] * weights[n];
      }
    }
    FSRCNN_UNROLL
    for (int n = 0; n < N; ++n) {
      FSRCNN_UNROLL
      for (int m = 0; m < kTileVectors; ++m) store(dst + n * kChunkTiles + m * kLanes, acc[n][m]);
    }
    dst += static_cast<ptrdiff_t>(oc) * kChunkTiles;
  }
}

template <int N>
void winograd_dispatch(const float* src, const float* weights, float* dst, int ic, int oc, int size) {
  if (size == N) return winograd_multiply<N>(src, weights, dst, ic, oc);
  if constexpr (N > 1) winograd_dispatch<N - 1>(src, weights, dst, ic, oc, size);
}

void winograd_conv2d(const WinogradArgs& args) {
  float* const points = args.scratchpad;
  float* const products = points + static_cast<ptrdiff_t>(kPoints) * args.ic * kChunkTiles;
  for (ptrdiff_t tile = 0; tile < args.tiles; tile += kChunkTiles) {
    for (int c = 0; c < args.ic; ++c) {
      for (int m = 0; m < kTileVectors; ++m) {
        input_transform(args.src_rows, c * args.src_stride + (tile + m * kLanes) * kWinogradTile,
                        points + c * kChunkTiles + m * kLanes, static_cast<ptrdiff_t>(args.ic) * kChunkTiles);
      }
    }
    const float* w = args.weights;
    for (int block = 0, first = 0; block < block_count(args.oc, kMaxBlock); ++block) {
      const int size = block_size(args.oc, kMaxBlock, block);
      winograd_dispatch<kMaxBlock>(points, w, products + first * kChunkTiles, args.ic, args.oc, size);
      w += static_cast<ptrdiff_t>(kPoints) * args.ic * size;
      first += size;
    }
    for (int o = 0; o < args.oc; ++o) {
      for (int m = 0; m < kTileVectors; ++m) {
        output_transform(products + o * kChunkTiles + m * kLanes, static_cast<ptrdiff_t>(args.oc) * kChunkTiles,
                         args.bias[o], args.slope[o], args.dst_rows,
                         o * args.dst_stride + (tile + m * kLanes) * kWinogradTile);
      }
    }
  }
}

}  // namespace
}  // namespace fsrcnn
