// winograd2: F(2, 3) and F(2, 2) down the columns of fixed point. Two rows at a time; what both have in common is
// summed and halved before the rest of each is added.
#pragma once

#include "cells-inl.h"
#include "kernels.h"
#include "simd-inl.h"

namespace fsrcnn {
namespace {

// A tile of N channels x M vectors of one row's sums fills the registers, beside what add_column needs.
constexpr int kWinograd2Block = 6;
constexpr int winograd2_vectors(int n) {
  const int m = kRegisters == 32 || n < 3 ? 12 / n : n == 3 ? 3 : 2;
  const int most = kWinogradChunkColumns / kLanes;
  return m < most ? m : most;
}
constexpr ptrdiff_t kPointStride = kWinogradChunkColumns + kMaxLanes;

/// Where the points of a chunk lie: planes of kPointStride cells, [part][ic] of each kind.
struct Winograd2Points {
  Winograd2Points(const ConvArgs& args, Winograd2Parts parts)
      : pairs(args.ic * parts.threes),
        singles(args.ic * parts.twos),
        sum(args.scratchpad),
        difference(sum + pairs * kPointStride),
        twice(difference + pairs * kPointStride),
        upper(twice + singles * kPointStride),
        lower(upper + (pairs + singles) * kPointStride) {}

  /// The same, counted from a column on.
  Winograd2Points from(ptrdiff_t column) const {
    Winograd2Points points = *this;
    points.sum += column, points.difference += column, points.twice += column;
    points.upper += column, points.lower += column;
    return points;
  }

  /// What follows them in the scratchpad.
  float* end() const { return lower + (pairs + singles) * kPointStride; }

  int pairs, singles;                             // planes of parts of 3 taps, and of 2
  float *sum, *difference, *twice;                // d1 + d2 and d2 - d1 of the first; 2 d1 of the others
  float *upper, *lower;                           // for one row alone: of 3 taps, d0 - d2 and d3 - d1; of 2, d0 - d1 and d2 - d1
};

/// Of `vectors` vectors of columns, from column x on, for rows r and r + 1.
inline void to_points2(const ConvArgs& args, Winograd2Parts parts, const Winograd2Points& points, int r, ptrdiff_t x,
                       ptrdiff_t vectors) {
  const int ic = args.ic;
  for (int part = 0; part < parts.count(); ++part) {
    const bool three = part < parts.threes;
    const float* const* rows = args.src_rows + r + parts.first_row(part);
    for (int c = 0; c < ic; ++c) {
      const ptrdiff_t at = c * args.src_stride + x, plane = (part * ic + c) * kPointStride;
      const ptrdiff_t single = plane - points.pairs * kPointStride;
      const auto row = [&](int i, ptrdiff_t v) { return load_halves(rows[i] + at + v * kLanes); };
      const auto put = [&](float* kind, ptrdiff_t v, Halves cells) { store_halves(kind + v * kLanes, cells); };
      if (three) {
        for (ptrdiff_t v = 0; v < vectors; ++v) {
          const Halves d0 = row(0, v), d1 = row(1, v), d2 = row(2, v), d3 = row(3, v);
          put(points.sum + plane, v, d1 + d2);
          put(points.difference + plane, v, d2 - d1);
          put(points.upper + plane, v, d0 - d2);
          put(points.lower + plane, v, d3 - d1);
        }
      } else {
        for (ptrdiff_t v = 0; v < vectors; ++v) {
          const Halves d0 = row(0, v), d1 = row(1, v), d2 = row(2, v);
          put(points.twice + single, v, d1 + d1);
          put(points.upper + plane, v, d0 - d1);
          put(points.lower + plane, v, d2 - d1);
        }
      }
    }
  }
}

/// One column of taps: N weights to each of M vectors. Of both, what is less is kept in registers.
template <int N, int M>
FSRCNN_INLINE void add_column(const float* src, const float* w, Ints (&sums)[N][M]) {
  if constexpr (N <= M) {
    Ints weights[N];
    FSRCNN_UNROLL
    for (int n = 0; n < N; ++n) weights[n] = broadcast_cell(w + n);
    FSRCNN_UNROLL
    for (int m = 0; m < M; ++m) {
      const Operand v = operand(load_cells(src + m * kLanes));
      FSRCNN_UNROLL
      for (int n = 0; n < N; ++n) sums[n][m] = dot(sums[n][m], v, weights[n]);
    }
  } else {
    Operand v[M];
    FSRCNN_UNROLL
    for (int m = 0; m < M; ++m) v[m] = operand(load_cells(src + m * kLanes));
    FSRCNN_UNROLL
    for (int n = 0; n < N; ++n) {
      const Ints weight = broadcast_cell(w + n);
      FSRCNN_UNROLL
      for (int m = 0; m < M; ++m) sums[n][m] = dot(sums[n][m], v[m], weight);
    }
  }
}

/// Adds the taps that lie `offsets` from `src`.
template <int N, int M>
FSRCNN_INLINE const float* add_taps(const float* src, const int* offsets, int taps, const float* w,
                                    Ints (&sums)[N][M]) {
  for (int i = 0; i < taps; ++i, w += N) add_column(src + offsets[i], w, sums);
  return w;
}

/// Sums of the lower row, while the upper one is computed: in registers, if there are enough. If not, the compiler is
/// told so, or it would move them to and fro.
template <int Count>
struct Waiting {
  explicit Waiting(float* place) : memory(place) {}

  FSRCNN_INLINE void put(int i, Ints v) {
    if constexpr (kRegisters == 32) {
      registers[i] = v;
    } else {
      store_cells(memory + i * kLanes, v);
    }
  }
  FSRCNN_INLINE Ints get(int i) const {
    if constexpr (kRegisters == 32) {
      return registers[i];
    } else {
      return load_cells(memory + i * kLanes);
    }
  }

  float* memory;
  Ints registers[Count];
};

/// What a row of tiles reads and writes, from its first column on.
struct Winograd2Row {
  const float *w, *bias, *slope;
  Winograd2Points points;
  float* sums;         // N x M vectors, for the row that waits
  const int* offsets;  // of taps, in a kind of points: [part][ic][column]
  int pairs, all;      // how many are of parts of 3 taps, and of all parts
  float *dst0, *dst1;          // rows r and r + 1 of the first channel
  ptrdiff_t next, next_slope;  // channel
  int next_bias;
};

template <typename Number, int N, int M>
FSRCNN_INLINE void finish_tile(const Winograd2Row& row, const Ints (&sums)[N][M], float* dst) {
  FSRCNN_UNROLL
  for (int n = 0; n < N; n += Number::kChannels) {
    const int plane = n / Number::kChannels;
    Number::template finish<M>(sums + n, row.slope + plane * row.next_slope, dst + plane * row.next);
  }
}

/// Two rows of N channels and M vectors, at column x.
template <typename Number, int N, int M>
FSRCNN_INLINE void winograd2_tile(const Winograd2Row& row, ptrdiff_t x) {
  Ints sums[N][M];
  Waiting<N * M> lower(row.sums);
  FSRCNN_UNROLL
  for (int n = 0; n < N; ++n) {
    const Ints bias = Number::start(row.bias + n * row.next_bias);
    FSRCNN_UNROLL
    for (int m = 0; m < M; ++m) sums[n][m] = bias;
  }
  const Winograd2Points& points = row.points;
  const float* w = add_taps(points.twice + x, row.offsets, row.all - row.pairs, row.w, sums);
  w = add_taps(points.sum + x, row.offsets, row.pairs, w, sums);
  FSRCNN_UNROLL
  for (int i = 0; i < N * M; ++i) lower.put(i, sums[i / M][i % M]);
  w = add_taps(points.difference + x, row.offsets, row.pairs, w, sums);
  FSRCNN_UNROLL
  for (int i = 0; i < N * M; ++i) {
    Ints& sum = sums[i / M][i % M];
    sum >>= 1;
    lower.put(i, lower.get(i) - sum);
  }
  w = add_taps(points.upper + x, row.offsets, row.all, w, sums);
  finish_tile<Number>(row, sums, row.dst0 + x);
  FSRCNN_UNROLL
  for (int i = 0; i < N * M; ++i) sums[i / M][i % M] = lower.get(i);
  add_taps(points.lower + x, row.offsets, row.all, w, sums);
  finish_tile<Number>(row, sums, row.dst1 + x);
}

/// Tiles of the last `vectors`, fewer than a full one.
template <typename Number, int N, int M>
void winograd2_tail(const Winograd2Row& row, ptrdiff_t x, ptrdiff_t vectors) {
  if constexpr (M > 0) {
    if (vectors == M) return winograd2_tile<Number, N, M>(row, x);
    winograd2_tail<Number, N, M - 1>(row, x, vectors);
  }
}

template <typename Number, int N>
void winograd2_tiles(const Winograd2Row& given, ptrdiff_t vectors) {
  const Winograd2Row row = given;  // a copy: a store may, for all the compiler knows, change what a reference leads to
  constexpr int kM = winograd2_vectors(N);
  ptrdiff_t x = 0;
  for (; vectors >= kM; vectors -= kM, x += kM * kLanes) winograd2_tile<Number, N, kM>(row, x);
  winograd2_tail<Number, N, kM - 1>(row, x, vectors);
}

/// Tiles of `size` channels, at most N.
template <typename Number, int N>
void winograd2_rows(const Winograd2Row& row, int size, ptrdiff_t vectors) {
  if (size == N) return winograd2_tiles<Number, N>(row, vectors);
  if constexpr (N > Number::kChannels) {
    winograd2_rows<Number, N - Number::kChannels>(row, size, vectors);
  } else {
    __builtin_trap();
  }
}

template <typename Number>
void winograd2_of(const ConvArgs& args) {
  constexpr int kMost = kWinograd2Block / Number::kChannels * Number::kChannels;
  const Winograd2Parts parts(args.kernel);
  int offsets[2000];
  const ptrdiff_t taps = static_cast<ptrdiff_t>(parts.products()) * args.ic;  // of a column and a channel
  for (ptrdiff_t x = 0; x < args.width; x += kWinogradChunkColumns) {
    const ptrdiff_t rest = (args.width - x + kLanes - 1) / kLanes;
    const ptrdiff_t vectors = rest < kWinogradChunkColumns / kLanes ? rest : kWinogradChunkColumns / kLanes;
    for (int r = 0; r < kWinogradTile; r += 2) {
      const Winograd2Points points(args, parts);
      to_points2(args, parts, points, r, x, vectors + (args.kernel - 1 + kLanes - 1) / kLanes);
      const float* w = args.weights;
      for (int done = 0; done < args.oc;) {
        int32_t header[kWinograd2Header];
        __builtin_memcpy(header, w, sizeof header);
        const int size = header[0], first = header[1], step = header[2], columns = header[4];
        const ptrdiff_t plane = first / Number::kChannels;
        w += kWinograd2Header;
        const int planes = parts.count() * args.ic;
        for (int i = 0; i < planes; ++i) {
          for (int t = 0; t < columns; ++t) offsets[i * columns + t] = static_cast<int>(i * kPointStride + t * args.step);
        }
        winograd2_rows<Number, kMost>({w, args.bias + first, args.slope + plane * Number::kSlope,
                                       points.from(header[3] * args.step), points.end(), offsets,
                                       points.pairs * columns, planes * columns,
                                       args.dst_rows[r] + plane * args.dst_stride + x,
                                       args.dst_rows[r + 1] + plane * args.dst_stride + x, step * args.dst_stride,
                                       step * Number::kSlope, step},
                                      size, vectors);
        w += taps * columns * size;
        done += size / Number::kChannels;
      }
    }
  }
}

void winograd2(const ConvArgs& args) { winograd2_of<Fixed>(args); }

void winograd2_planes(const ConvArgs& args) { winograd2_of<FixedPlanes>(args); }

}  // namespace
}  // namespace fsrcnn
