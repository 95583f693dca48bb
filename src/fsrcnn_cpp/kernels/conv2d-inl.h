// conv2d: a register tile of N output channels x M vectors of columns, accumulated over all taps, whatever the cells.
// conv2d_narrow: the same of columns of taps.
#pragma once

#include "cells-inl.h"
#include "kernels.h"
#include "simd-inl.h"

namespace fsrcnn {
namespace {

// The tile needs N*M accumulators, M source vectors and one broadcast weight.
constexpr int kMaxBlock = kRegisters == 32 ? 14 : kRegisters == 16 ? 6 : 4;
constexpr int conv2d_vectors(int n) {
  const int m = (kRegisters - 1) / (n + 1);
  return m > 6 ? 6 : m;
}

/// `rows` x `columns` cells.
template <typename Number, int N, int M>
FSRCNN_INLINE void conv2d_tile(const ConvArgs& args, int rows, int columns, float* dst, ptrdiff_t x) {
  const float* w = args.weights;
  typename Number::Sum acc[N][M];
  FSRCNN_UNROLL
  for (int n = 0; n < N; ++n) {
    FSRCNN_UNROLL
    for (int m = 0; m < M; ++m) acc[n][m] = Number::start(args.bias + n);
  }
  // The innermost loop runs along the taps of a row, or, where there is but one, along the channels.
  const bool along_channels = columns == 1;
  const int channels = along_channels ? 1 : args.ic;
  const int taps = along_channels ? args.ic : columns;
  const ptrdiff_t step = along_channels ? args.src_stride : args.step;
  for (int c = 0; c < channels; ++c) {
    for (int ky = 0; ky < rows; ++ky) {
      const float* src = args.src_rows[ky] + c * args.src_stride + x;
      for (int t = 0; t < taps; ++t, src += step, w += N) {
        decltype(Number::load(src)) v[M];
        FSRCNN_UNROLL
        for (int m = 0; m < M; ++m) v[m] = Number::load(src + m * kLanes);
        FSRCNN_UNROLL
        for (int n = 0; n < N; ++n) {
          FSRCNN_UNROLL
          for (int m = 0; m < M; ++m) acc[n][m] = Number::add(acc[n][m], v[m], w + n);
        }
      }
    }
  }
  const float* slope = args.slope;
  dst += x;
  FSRCNN_UNROLL
  for (int n = 0; n < N; n += Number::kChannels, dst += args.dst_stride, slope += Number::kSlope) {
    Number::template finish<M>(acc + n, slope, dst);
  }
}

/// The last `vectors` (fewer than a full tile, perhaps none) of a row.
template <typename Number, int N, int M>
FSRCNN_INLINE void conv2d_tail(const ConvArgs& args, int rows, int columns, float* dst, ptrdiff_t x,
                               ptrdiff_t vectors) {
  if constexpr (M > 0) {
    if (vectors == M) return conv2d_tile<Number, N, M>(args, rows, columns, dst, x);
    conv2d_tail<Number, N, M - 1>(args, rows, columns, dst, x, vectors);
  }
}

/// A block of `size` channels, 1 to N. 1x1 has code of its own, without loops over taps: with few channels a tile takes
/// no longer than these would.
template <typename Number, int N, bool kPointwise>
void conv2d_block(const ConvArgs& of, int rows, int columns, float* dst, int size) {
  if (size == N) {
    constexpr int kM = conv2d_vectors(N);
    // Copies: a store through a row may, for all the compiler knows, change what `of` points to.
    ConvArgs args = of;
    const float* const row = of.src_rows[0];
    if constexpr (kPointwise) args.src_rows = &row, rows = columns = 1;
    ptrdiff_t vectors = (args.width + kLanes - 1) / kLanes;
    ptrdiff_t x = 0;
    for (; vectors >= kM; vectors -= kM, x += kM * kLanes) conv2d_tile<Number, N, kM>(args, rows, columns, dst, x);
    return conv2d_tail<Number, N, kM - 1>(args, rows, columns, dst, x, vectors);
  }
  if constexpr (N > Number::kChannels) {
    conv2d_block<Number, N - Number::kChannels, kPointwise>(of, rows, columns, dst, size);
  } else {
    __builtin_trap();
  }
}

template <typename Number>
void conv2d_blocks(const ConvArgs& args, int rows, int columns) {
  constexpr int kMost = kMaxBlock / Number::kChannels;  // planes
  const auto block_of =
      rows == 1 && columns == 1 ? conv2d_block<Number, kMaxBlock, true> : conv2d_block<Number, kMaxBlock, false>;
  ConvArgs of = args;
  float* dst = args.dst_rows[0];
  for (int block = 0; block < block_count(args.oc, kMost); ++block) {
    const int planes = block_size(args.oc, kMost, block), size = planes * Number::kChannels;
    block_of(of, rows, columns, dst, size);
    of.weights += static_cast<ptrdiff_t>(args.ic) * rows * columns * size;
    of.bias += size;
    of.slope += planes * Number::kSlope;
    dst += planes * args.dst_stride;
  }
}

#if defined(FSRCNN_FIXED)

void conv2d_fixed(const ConvArgs& args) {
  conv2d_blocks<Fixed>(args, args.kernel, (args.kernel + args.step - 1) / args.step);
}

void conv2d_planes(const ConvArgs& args) { conv2d_blocks<FixedPlanes>(args, args.kernel, args.kernel); }

#else

void conv2d(const ConvArgs& args) { conv2d_blocks<Real>(args, args.kernel, args.kernel); }

constexpr ptrdiff_t whole_vectors(ptrdiff_t columns) { return (columns + kLanes - 1) / kLanes * kLanes; }

void conv2d_narrow(const ConvArgs& args) {
  constexpr ptrdiff_t kStride = kNarrowColumns + kMaxLanes;
  const int oc = args.oc, kernel = args.kernel;
  const ptrdiff_t dst_stride = args.dst_stride, width = args.width;
  const ptrdiff_t most = kNarrowColumns - whole_vectors(kernel - 1);  // beside what the last taps meet
  const float* const slopes = args.slope + oc * kernel;
  const float* rows[kMaxKernel];
  for (int ky = 0; ky < kernel; ++ky) rows[ky] = args.src_rows[ky];
  for (ptrdiff_t column = 0; column < width; column += most) {
    const ptrdiff_t n = width - column < most ? width - column : most;
    float* const sums = args.scratchpad;
    conv2d_blocks<Real>({rows, args.src_stride, &sums, kStride, args.ic, oc * kernel, kernel, args.weights, args.bias,
                         args.slope, n + kernel - 1, nullptr},
                        kernel, 1);
    // What the last vector of results adds to: of no result, but finite.
    const ptrdiff_t end = whole_vectors(n + kernel - 1);
    for (int i = 0; i < oc * kernel; ++i) store(sums + i * kStride + end, Vec{});
    for (int o = 0; o < oc; ++o) {
      const float* const of_channel = sums + o * kernel * kStride;
      float* const dst = args.dst_rows[0] + o * dst_stride + column;
      for (ptrdiff_t x = 0; x < n; x += kLanes) {
        Vec sum = load(of_channel + x);
        for (int kx = 1; kx < kernel; ++kx) sum += load(of_channel + kx * (kStride + 1) + x);
        store(dst + x, prelu(sum, slopes[o]));
      }
    }
    for (int ky = 0; ky < kernel; ++ky) rows[ky] += most;
  }
}

#endif

}  // namespace
}  // namespace fsrcnn
