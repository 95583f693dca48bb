// winograd3: F(4x4, 3x3). Lanes are tiles. Rows stay in their natural order in memory; columns are split by x mod 4 on
// the way into registers and merged on the way out. Both are transpositions of quads, between which lane i is tile
// i % 4 * (kLanes / 4) + i / 4.
#pragma once

#include "conv2d-inl.h"
#include "kernels.h"
#include "simd-inl.h"

namespace fsrcnn {
namespace {

// One vector of tiles keeps enough accumulators busy with 14 channels a block, but not with 6.
constexpr int kTileVectors = kMaxBlock > 8 ? 1 : 2;
constexpr int kChunkTiles = kTileVectors * kLanes;
constexpr int kPartTaps = 3;
constexpr int kWinogradPoints = winograd_points(kPartTaps);
constexpr int kPoints = kWinogradPoints * kWinogradPoints;
constexpr ptrdiff_t kHotFloats = 6144;  // most of a first-level cache of 32 KB
static_assert(kChunkTiles * kWinogradTile <= kWinogradChunkColumns);

/// Floats between the points, or the products, of all channels: an odd number of tile rows, because at a power of two
/// the 36 stores of a channel would all fall into the same few cache sets.
inline ptrdiff_t points_stride(int channels) { return static_cast<ptrdiff_t>(channels | 1) * kChunkTiles; }

// The points 0, a, -a, b, -b and infinity. Around 1 they amplify rounding errors five times less than 1 and 2 would,
// and 3/4 and 3/2 have short powers.
constexpr float kA = kWinograd3PointA, kA2 = kA * kA, kA3 = kA2 * kA;
constexpr float kB = kWinograd3PointB, kB2 = kB * kB, kB3 = kB2 * kB;

/// Six inputs to six points: the rows of B^T, which come in pairs e + p o, e - p o.
FSRCNN_INLINE void to_points(Vec d0, Vec d1, Vec d2, Vec d3, Vec d4, Vec d5, Vec* v) {
  const Vec e1 = d4 - kB2 * d2, o1 = d3 - kB2 * d1;
  const Vec e2 = d4 - kA2 * d2, o2 = d3 - kA2 * d1;
  v[0] = kA2 * kB2 * d0 + (e1 - kA2 * d2);
  v[1] = e1 + kA * o1;
  v[2] = e1 - kA * o1;
  v[3] = e2 + kB * o2;
  v[4] = e2 - kB * o2;
  v[5] = (d5 - kA2 * d3) - kB2 * o2;
}

/// Six points to four outputs: the rows of A^T.
FSRCNN_INLINE void from_points(const Vec* m, ptrdiff_t step, Vec* y) {
  const Vec s1 = m[step] + m[2 * step], d1 = m[step] - m[2 * step];
  const Vec s2 = m[3 * step] + m[4 * step], d2 = m[3 * step] - m[4 * step];
  y[0] = m[0] + s1 + s2;
  y[1] = kA * d1 + kB * d2;
  y[2] = kA2 * s1 + kB2 * s2;
  y[3] = (m[5 * step] + kA3 * d1) + kB3 * d2;
}

/// The vector of the same column of the tiles to the right. After the last tile comes one whose columns `b` starts
/// with.
template <int Column>
struct NextTile {
  static constexpr int of(int i) { return i + 4 < kLanes ? i + 4 : i + 1 < kLanes ? i % 4 + 1 : kLanes + Column; }
};

/// The columns' transform of G rows of points: five vectors of columns 4t .. 4t + 4 * kLanes + 3 in, six points out.
/// The rows advance in step: schedulers are too small to overlap one row's chain of shuffles with the next by
/// themselves.
template <int G>
FSRCNN_INLINE void columns_to_points(const Vec (&x)[G][5], float* const (&dst)[G], ptrdiff_t point_stride) {
  Vec c[G][kWinogradTile];
  FSRCNN_UNROLL
  for (int g = 0; g < G; ++g) {
    FSRCNN_UNROLL
    for (int j = 0; j < kWinogradTile; ++j) c[g][j] = x[g][j];
    transpose_quads(c[g]);
  }
  FSRCNN_UNROLL
  for (int g = 0; g < G; ++g) {
    Vec v[kWinogradPoints];
    to_points(c[g][0], c[g][1], c[g][2], c[g][3], shuffle<NextTile<0>>(c[g][0], x[g][4]),
              shuffle<NextTile<1>>(c[g][1], x[g][4]), v);
    FSRCNN_UNROLL
    for (int j = 0; j < kWinogradPoints; ++j) store(dst[g] + j * point_stride, v[j]);
  }
}

/// One channel of kLanes tiles. Rows of points are made three at a time, or, with 16 registers, a pair: few vectors are
/// alive at once, even if some are loaded once more.
inline void input_transform(const float* const* rows, ptrdiff_t at, float* dst, ptrdiff_t point_stride) {
  const auto row = [&](int i, int k) { return load(rows[i] + at + k * kLanes); };
  const auto line = [&](int i) { return dst + i * kWinogradPoints * point_stride; };
  const auto first = [&](int k, Vec& x) {
    const Vec d2 = row(2, k);
    x = kA2 * kB2 * row(0, k) + ((row(4, k) - kB2 * d2) - kA2 * d2);
  };
  const auto pair = [&](int k, float other2, float point, Vec& plus, Vec& minus) {
    const Vec e = row(4, k) - other2 * row(2, k), o = row(3, k) - other2 * row(1, k);
    plus = e + point * o;
    minus = e - point * o;
  };
  const auto last = [&](int k, Vec& x) {
    const Vec d3 = row(3, k);
    x = (row(5, k) - kA2 * d3) - kB2 * (d3 - kA2 * row(1, k));
  };
  if constexpr (kRegisters == 32) {
    Vec x[3][5];
    FSRCNN_UNROLL
    for (int k = 0; k < 5; ++k) first(k, x[0][k]), pair(k, kB2, kA, x[1][k], x[2][k]);
    columns_to_points<3>(x, {line(0), line(1), line(2)}, point_stride);
    FSRCNN_UNROLL
    for (int k = 0; k < 5; ++k) pair(k, kA2, kB, x[0][k], x[1][k]), last(k, x[2][k]);
    columns_to_points<3>(x, {line(3), line(4), line(5)}, point_stride);
  } else {
    Vec x[1][5], y[1][5];
    FSRCNN_UNROLL
    for (int k = 0; k < 5; ++k) first(k, x[0][k]);
    columns_to_points<1>(x, {line(0)}, point_stride);
    FSRCNN_UNROLL
    for (int k = 0; k < 5; ++k) pair(k, kB2, kA, x[0][k], y[0][k]);
    columns_to_points<1>(x, {line(1)}, point_stride);
    columns_to_points<1>(y, {line(2)}, point_stride);
    FSRCNN_UNROLL
    for (int k = 0; k < 5; ++k) pair(k, kA2, kB, x[0][k], y[0][k]);
    columns_to_points<1>(x, {line(3)}, point_stride);
    columns_to_points<1>(y, {line(4)}, point_stride);
    FSRCNN_UNROLL
    for (int k = 0; k < 5; ++k) last(k, x[0][k]);
    columns_to_points<1>(x, {line(5)}, point_stride);
  }
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
    transpose_quads(c);
    FSRCNN_UNROLL
    for (int j = 0; j < kWinogradTile; ++j) store(rows[i] + at + j * kLanes, c[j]);
  }
}

/// At each of `points` points, N output channels of M vectors of tiles from all channels.
template <int N, int M>
void winograd_multiply(const float* src, const float* weights, float* dst, int channels, ptrdiff_t product_stride,
                       int points) {
  const ptrdiff_t pad = points_stride(channels) - static_cast<ptrdiff_t>(channels) * kChunkTiles;
  for (int p = 0; p < points; ++p, src += pad) {
    Vec acc[N][M] = {};
    for (int c = 0; c < channels; ++c, src += kChunkTiles, weights += N) {
      Vec v[M];
      FSRCNN_UNROLL
      for (int m = 0; m < M; ++m) v[m] = load(src + m * kLanes);
      FSRCNN_UNROLL
      for (int n = 0; n < N; ++n) {
        FSRCNN_UNROLL
        for (int m = 0; m < M; ++m) acc[n][m] += v[m] * weights[n];
      }
    }
    FSRCNN_UNROLL
    for (int n = 0; n < N; ++n) {
      FSRCNN_UNROLL
      for (int m = 0; m < M; ++m) store(dst + n * kChunkTiles + m * kLanes, acc[n][m]);
    }
    dst += product_stride;
  }
}

/// A block of `size` channels, 1 to N.
template <int N>
void winograd_block(const float* src, const float* weights, float* dst, int channels, ptrdiff_t product_stride,
                    int points, int size, int vectors) {
  if (size == N) {
    constexpr auto whole = winograd_multiply<N, kTileVectors>, single = winograd_multiply<N, 1>;
    return (vectors == 1 ? single : whole)(src, weights, dst, channels, product_stride, points);
  }
  if constexpr (N > 1) {
    winograd_block<N - 1>(src, weights, dst, channels, product_stride, points, size, vectors);
  } else {
    __builtin_trap();
  }
}

void winograd3(const ConvArgs& args) {
  const int oc = args.oc, parts = winograd_parts(args.kernel, kPartTaps), channels = args.ic * parts * parts;
  const int blocks = block_count(oc, kMaxBlock);
  const ptrdiff_t stride = points_stride(channels);
  // Where all points stay in the first-level cache, or are read but once, a block of output channels is finished before
  // the next. Otherwise the blocks take turns at as many points as stay there, and all are finished at the end.
  const ptrdiff_t hot = kHotFloats / stride;
  const bool by_block = blocks == 1 || hot >= kPoints;
  const int turn = by_block ? kPoints : hot < 1 ? 1 : static_cast<int>(hot);
  const ptrdiff_t product_stride = points_stride(by_block ? block_size(oc, kMaxBlock, 0) : oc);
  float* const points = args.scratchpad;
  float* const products = points + kPoints * stride;
  for (ptrdiff_t tile = 0; tile * kWinogradTile < args.width; tile += kChunkTiles) {
    const int vectors = args.width - tile * kWinogradTile > kLanes * kWinogradTile ? kTileVectors : 1;
    float* to = points;
    for (int c = 0; c < args.ic; ++c) {
      for (int part = 0; part < parts * parts; ++part, to += kChunkTiles) {
        const int down = winograd_part(args.kernel, kPartTaps, part / parts);
        const int along = winograd_part(args.kernel, kPartTaps, part % parts);
        for (int m = 0; m < vectors; ++m) {
          input_transform(args.src_rows + down, c * args.src_stride + along + (tile + m * kLanes) * kWinogradTile,
                          to + m * kLanes, stride);
        }
      }
    }
    const float* round_weights = args.weights;
    for (int block = 0, done = 0; done < oc; block += by_block ? 1 : blocks) {
      const int end = by_block ? block + 1 : blocks;
      int made = 0;
      for (int p = 0; p < kPoints; p += turn) {
        const int count = kPoints - p < turn ? kPoints - p : turn;
        const float* w = round_weights;
        made = 0;
        for (int b = block; b < end; ++b) {
          const int size = block_size(oc, kMaxBlock, b);
          winograd_block<kMaxBlock>(points + p * stride, w + static_cast<ptrdiff_t>(p) * channels * size,
                                    products + p * product_stride + made * kChunkTiles, channels, product_stride, count,
                                    size, vectors);
          w += static_cast<ptrdiff_t>(kPoints) * channels * size;
          made += size;
        }
      }
      round_weights += static_cast<ptrdiff_t>(kPoints) * channels * made;
      for (int o = 0; o < made; ++o, ++done) {
        for (int m = 0; m < vectors; ++m) {
          output_transform(products + o * kChunkTiles + m * kLanes, product_stride, args.bias[done], args.slope[done],
                           args.dst_rows, done * args.dst_stride + (tile + m * kLanes) * kWinogradTile);
        }
      }
    }
  }
}

}  // namespace
}  // namespace fsrcnn
