// What training needs beyond conv2d, all of it over whole planes of pixels that lie one behind the other.
#pragma once

#include "kernels.h"
#include "simd-inl.h"

namespace fsrcnn {
namespace {

// R x C accumulators and C source vectors; the R others are memory operands.
constexpr int kCorrelateRows = kRegisters == 32 ? 6 : 3;
constexpr int kCorrelateColumns = kRegisters == 32 ? 4 : 3;

FSRCNN_INLINE float horizontal_sum(Vec v) {
  float sum = 0;
  FSRCNN_UNROLL
  for (int i = 0; i < kLanes; ++i) sum += v[i];
  return sum;
}

template <int R, int C>
void correlate_tile(const CorrelateArgs& args, int row, int column) {
  const float* a[R];
  const float* b[C];
  Vec acc[R][C];
  FSRCNN_UNROLL
  for (int r = 0; r < R; ++r) {
    a[r] = args.a[row + r];
    FSRCNN_UNROLL
    for (int c = 0; c < C; ++c) acc[r][c] = Vec{};
  }
  FSRCNN_UNROLL
  for (int c = 0; c < C; ++c) b[c] = args.b[column + c];
  const ptrdiff_t n = args.n;
  for (ptrdiff_t x = 0; x < n; x += kLanes) {
    Vec v[C];
    FSRCNN_UNROLL
    for (int c = 0; c < C; ++c) v[c] = load(b[c] + x);
    FSRCNN_UNROLL
    for (int r = 0; r < R; ++r) {
      const Vec factor = load(a[r] + x);
      FSRCNN_UNROLL
      for (int c = 0; c < C; ++c) acc[r][c] += factor * v[c];
    }
  }
  FSRCNN_UNROLL
  for (int r = 0; r < R; ++r) {
    FSRCNN_UNROLL
    for (int c = 0; c < C; ++c) {
      args.dst[static_cast<ptrdiff_t>(row + r) * args.columns + column + c] += horizontal_sum(acc[r][c]);
    }
  }
}

/// The last `columns`, at most C, of R rows.
template <int R, int C>
void correlate_columns(const CorrelateArgs& args, int row, int column, int columns) {
  if (columns == C) return correlate_tile<R, C>(args, row, column);
  if constexpr (C > 1) correlate_columns<R, C - 1>(args, row, column, columns);
}

template <int R>
void correlate_rows(const CorrelateArgs& args, int row, int rows) {
  if (rows == R) {
    int column = 0;
    for (; column + kCorrelateColumns <= args.columns; column += kCorrelateColumns) {
      correlate_tile<R, kCorrelateColumns>(args, row, column);
    }
    if (column < args.columns) correlate_columns<R, kCorrelateColumns>(args, row, column, args.columns - column);
    return;
  }
  if constexpr (R > 1) correlate_rows<R - 1>(args, row, rows);
}

void correlate(const CorrelateArgs& args) {
  for (int row = 0; row < args.rows; row += kCorrelateRows) {
    const int left = args.rows - row;
    correlate_rows<kCorrelateRows>(args, row, left < kCorrelateRows ? left : kCorrelateRows);
  }
}

void prelu_forward(const float* z, float slope, ptrdiff_t n, float* dst) {
  for (ptrdiff_t x = 0; x < n; x += kLanes) store(dst + x, prelu(load(z + x), slope));
}

float prelu_backward(const float* z, float slope, ptrdiff_t n, float* gradient) {
  Vec sum{};
  const Vec zero{};
  for (ptrdiff_t x = 0; x < n; x += kLanes) {
    const Vec value = load(z + x), g = load(gradient + x);
    const Vec scaled = g * slope;
    const Vec product = g * value;
    sum += value > 0.0f ? zero : product;
    store(gradient + x, value > 0.0f ? g : scaled);
  }
  return horizontal_sum(sum);
}

}  // namespace
}  // namespace fsrcnn
