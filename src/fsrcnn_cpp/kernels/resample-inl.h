// The filter that makes a picture smaller: taps down rows, and along rows where every output has its own.
#pragma once

#include "kernels.h"
#include "simd-inl.h"

namespace fsrcnn {
namespace {

template <int Vectors>
FSRCNN_INLINE void blend_columns(const float* const* src, const float* weights, int count, ptrdiff_t x, float* dst) {
  Vec sum[Vectors];
  FSRCNN_UNROLL
  for (int v = 0; v < Vectors; ++v) sum[v] = load(src[0] + x + v * kLanes) * weights[0];
  for (int i = 1; i < count; ++i) {
    const float* const row = src[i] + x;
    const Vec weight = broadcast(weights[i]);
    FSRCNN_UNROLL
    for (int v = 0; v < Vectors; ++v) sum[v] += load(row + v * kLanes) * weight;
  }
  FSRCNN_UNROLL
  for (int v = 0; v < Vectors; ++v) store(dst + x + v * kLanes, sum[v]);
}

void blend(const float* const* src, const float* weights, int count, ptrdiff_t n, float* dst) {
  constexpr int kVectors = 4;  // independent sums, to cover the latency of each
  ptrdiff_t x = 0;
  for (; x + kVectors * kLanes <= n; x += kVectors * kLanes) blend_columns<kVectors>(src, weights, count, x, dst);
  for (; x < n; x += kLanes) blend_columns<1>(src, weights, count, x, dst);
}

/// Rows to columns, kLanes vectors: each step interleaves one half with the other.
FSRCNN_INLINE void transpose(Vec* v) {
  FSRCNN_UNROLL
  for (int step = 1; step < kLanes; step *= 2) {
    Vec w[kLanes];
    FSRCNN_UNROLL
    for (int i = 0; i < kLanes / 2; ++i) {
      w[2 * i] = shuffle<Interleave<0>>(v[i], v[i + kLanes / 2]);
      w[2 * i + 1] = shuffle<Interleave<1>>(v[i], v[i + kLanes / 2]);
    }
    FSRCNN_UNROLL
    for (int i = 0; i < kLanes; ++i) v[i] = w[i];
  }
}

void resample(const ResampleArgs& args) {
  constexpr int kVectors = kResampleRows / kLanes;
  const float* const* const src_rows = args.src_rows;
  float* const* const dst_rows = args.dst_rows;
  const ptrdiff_t* const first = args.first;
  const ptrdiff_t width = args.width;
  const int taps = args.taps;
  float* const outputs = args.scratchpad;
  float* const columns = outputs + kResampleColumns * kResampleRows;
  for (ptrdiff_t x0 = 0; x0 < width; x0 += kResampleColumns) {
    const ptrdiff_t n = width - x0 < kResampleColumns ? width - x0 : kResampleColumns;
    const ptrdiff_t begin = first[x0];
    const ptrdiff_t count = first[x0 + n - 1] + taps - begin;
    for (ptrdiff_t i = 0; i < count; i += kLanes) {
      for (int r = 0; r < kResampleRows; r += kLanes) {
        Vec v[kLanes];
        FSRCNN_UNROLL
        for (int k = 0; k < kLanes; ++k) v[k] = load(src_rows[r + k] + begin - args.origin + i);
        transpose(v);
        FSRCNN_UNROLL
        for (int k = 0; k < kLanes; ++k) store(columns + (i + k) * kResampleRows + r, v[k]);
      }
    }
    for (ptrdiff_t x = 0; x < n; ++x) {
      const float* column = columns + (first[x0 + x] - begin) * kResampleRows;
      const float* const weights = args.weights + (x0 + x) * taps;
      Vec sum[kVectors];
      FSRCNN_UNROLL
      for (int v = 0; v < kVectors; ++v) sum[v] = load(column + v * kLanes) * weights[0];
      for (int t = 1; t < taps; ++t) {
        column += kResampleRows;
        const Vec weight = broadcast(weights[t]);
        FSRCNN_UNROLL
        for (int v = 0; v < kVectors; ++v) sum[v] += load(column + v * kLanes) * weight;
      }
      FSRCNN_UNROLL
      for (int v = 0; v < kVectors; ++v) store(outputs + x * kResampleRows + v * kLanes, sum[v]);
    }
    // The last vector of a row may hold more columns than there are.
    for (ptrdiff_t x = n * kResampleRows; x % (kLanes * kResampleRows) != 0; x += kLanes) {
      store(outputs + x, Vec{});
    }
    for (ptrdiff_t x = 0; x < n; x += kLanes) {
      for (int r = 0; r < kResampleRows; r += kLanes) {
        Vec v[kLanes];
        FSRCNN_UNROLL
        for (int k = 0; k < kLanes; ++k) v[k] = load(outputs + (x + k) * kResampleRows + r);
        transpose(v);
        FSRCNN_UNROLL
        for (int k = 0; k < kLanes; ++k) store(dst_rows[r + k] + x0 + x, v[k]);
      }
    }
  }
}

}  // namespace
}  // namespace fsrcnn
