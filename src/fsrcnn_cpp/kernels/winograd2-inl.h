// winograd2: F(2, 3) and F(2, 2) down the columns, in fixed point. Of two rows at a time, what both share is summed
// first, then what each has for itself.
#pragma once

#include "cells-inl.h"
#include "kernels.h"
#include "simd-inl.h"

namespace fsrcnn {
namespace {

// A tile of N channels x M vectors of one row's sums fills the registers, beside what add_column needs.
constexpr int kWinograd2Block = kRegisters < 16 ? 4 : 6;
constexpr int winograd2_vectors(int n) {
  const int m = kRegisters < 16 && n > 1 ? 8 / n : kRegisters == 32 || n < 3 ? 12 / n : n == 3 ? 3 : 2;
  const int most = kWinogradChunkColumns / kLanes;
  return m < most ? m : most;
}
typedef int32_t Offset __attribute__((may_alias));  // in cells

/// Points of a part of three rows of taps, or of two, of one channel.
inline void points_of_3(const float* const* rows, ptrdiff_t from, ptrdiff_t vectors, float* sum, float* difference,
                        float* upper, float* lower) {
  const float *r0 = rows[0] + from, *r1 = rows[1] + from, *r2 = rows[2] + from, *r3 = rows[3] + from;
  for (ptrdiff_t x = 0; x < vectors * kLanes; x += kLanes) {
    const Halves d0 = load_halves(r0 + x), d1 = load_halves(r1 + x), d2 = load_halves(r2 + x), d3 = load_halves(r3 + x);
    store_halves(sum + x, d1 + d2);
    store_halves(difference + x, d2 - d1);
    store_halves(upper + x, d0 - d2);
    store_halves(lower + x, d3 - d1);
  }
}
inline void points_of_2(const float* const* rows, ptrdiff_t from, ptrdiff_t vectors, float* twice, float* upper,
                        float* lower) {
  const float *r0 = rows[0] + from, *r1 = rows[1] + from, *r2 = rows[2] + from;
  for (ptrdiff_t x = 0; x < vectors * kLanes; x += kLanes) {
    const Halves d0 = load_halves(r0 + x), d1 = load_halves(r1 + x), d2 = load_halves(r2 + x);
    store_halves(twice + x, d1 + d1);
    store_halves(upper + x, d0 - d1);
    store_halves(lower + x, d2 - d1);
  }
}

/// Points of `vectors` vectors of columns, from column x on, for rows r and r + 1: planes of kWinograd2Stride cells, in
/// the order in which they are summed.
inline void to_points2(const ConvArgs& args, Winograd2Parts parts, int r, ptrdiff_t x, ptrdiff_t vectors) {
  const ptrdiff_t planes = args.ic * kWinograd2Stride, src_stride = args.src_stride;
  float* twice = args.scratchpad;
  float* sum = twice + parts.twos * planes;
  float* difference = sum + parts.threes * planes;
  float* upper = difference + parts.threes * planes;
  float* lower = upper + parts.count() * planes;
  for (int part = 0; part < parts.count(); ++part) {
    const float* const* rows = args.src_rows + r + parts.first_row(part);
    for (int c = 0; c < args.ic; ++c, upper += kWinograd2Stride, lower += kWinograd2Stride) {
      if (parts.rows(part) == 3) {
        points_of_3(rows, c * src_stride + x, vectors, sum, difference, upper, lower);
        sum += kWinograd2Stride, difference += kWinograd2Stride;
      } else {
        points_of_2(rows, c * src_stride + x, vectors, twice, upper, lower);
        twice += kWinograd2Stride;
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

/// Adds `count` taps.
template <int N, int M>
FSRCNN_LOOP void add_columns(const float* src, int count, const Offset* taps, const float* w, Ints (&sums)[N][M]) {
  Ints local[N][M];  // which no pointer leads to
  FSRCNN_UNROLL
  for (int i = 0; i < N * M; ++i) local[i / M][i % M] = sums[i / M][i % M];
  for (const Offset* const end = taps + count; taps < end; ++taps, w += N) add_column(src + *taps, w, local);
  FSRCNN_UNROLL
  for (int i = 0; i < N * M; ++i) sums[i / M][i % M] = local[i / M][i % M];
}
/// Adds `count` taps, and goes on to those behind them.
template <int N, int M>
FSRCNN_INLINE void add_taps(const float* src, int count, const Offset*& taps, const float*& w, Ints (&sums)[N][M]) {
  add_columns(src, count, taps, w, sums);
  taps += count, w += count * N;
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
  const float *points, *w, *bias, *slope;
  const Offset* taps;            // from `points`, in the order of the weights
  int shared, differences, own;  // how many of them are for both rows, for their difference, and for one row
  float* waiting;                // N x M vectors
  float *upper, *lower;          // where the first channel goes
  ptrdiff_t next, next_slope;    // channel
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
  const float* const points = row.points + x;
  const Offset* taps = row.taps;
  const float* w = row.w;
  Ints sums[N][M];
  Waiting<N * M> lower(row.waiting);
  FSRCNN_UNROLL
  for (int n = 0; n < N; ++n) {
    const Ints bias = Number::start(row.bias + n * row.next_bias);
    FSRCNN_UNROLL
    for (int m = 0; m < M; ++m) sums[n][m] = bias;
  }
  add_taps(points, row.shared, taps, w, sums);
  FSRCNN_UNROLL
  for (int i = 0; i < N * M; ++i) lower.put(i, sums[i / M][i % M]);
  add_taps(points, row.differences, taps, w, sums);
  FSRCNN_UNROLL
  for (int i = 0; i < N * M; ++i) {
    Ints& sum = sums[i / M][i % M];
    sum >>= 1;
    lower.put(i, lower.get(i) - sum);
  }
  add_taps(points, row.own, taps, w, sums);
  finish_tile<Number>(row, sums, row.upper + x);
  FSRCNN_UNROLL
  for (int i = 0; i < N * M; ++i) sums[i / M][i % M] = lower.get(i);
  add_taps(points, row.own, taps, w, sums);
  finish_tile<Number>(row, sums, row.lower + x);
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
__attribute__((noinline)) void winograd2_tiles(const Winograd2Row& given, ptrdiff_t vectors) {
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

/// Where taps lie in `planes` planes of points, for blocks that use these columns or those: written when the first
/// block asks for them.
struct TapLists {
  TapLists(Offset* memory, int of_planes, int of_step) : end(memory), planes(of_planes), step(of_step) {}

  const Offset* of(int column, int columns) {
    int i = 0;
    while (i < count && (lists[i].column != column || lists[i].columns != columns)) ++i;
    if (i == count) {
      lists[count++] = {column, columns, end};
      for (int plane = 0; plane < planes; ++plane) {
        for (int t = column; t < column + columns; ++t) {
          *end++ = static_cast<Offset>(plane * kWinograd2Stride + t * step);
        }
      }
    }
    return lists[i].taps;
  }

  struct {
    int column, columns;
    const Offset* taps;
  } lists[kMaxStride];
  int count = 0;
  Offset* end;
  int planes, step;
};

template <typename Number>
void winograd2_of(const ConvArgs& args) {
  constexpr int kMost = kWinograd2Block / Number::kChannels * Number::kChannels;
  constexpr ptrdiff_t kChunk = kWinogradChunkColumns / kLanes;
  const Winograd2Parts parts(args.kernel);
  const int planes = parts.products() * args.ic;  // of points
  float* const waiting = args.scratchpad + planes * kWinograd2Stride;
  TapLists lists(reinterpret_cast<Offset*>(waiting + kWinograd2Sums * kMaxLanes), planes, args.step);
  const ptrdiff_t halo = (args.kernel - 1 + kLanes - 1) / kLanes;
  for (ptrdiff_t x = 0; x < args.width; x += kWinogradChunkColumns) {
    const ptrdiff_t rest = (args.width - x + kLanes - 1) / kLanes, vectors = rest < kChunk ? rest : kChunk;
    for (int r = 0; r < kWinogradTile; r += 2) {
      to_points2(args, parts, r, x, vectors + halo);
      const float* w = args.weights;
      for (int done = 0; done < args.oc;) {
        int32_t header[kWinograd2Header];
        __builtin_memcpy(header, w, sizeof header);
        const auto [size, first, step, column, columns] = header;
        const ptrdiff_t plane = first / Number::kChannels, dst = plane * args.dst_stride + x;
        w += kWinograd2Header;
        winograd2_rows<Number, kMost>({.points = args.scratchpad,
                                       .w = w,
                                       .bias = args.bias + first,
                                       .slope = args.slope + plane * Number::kSlope,
                                       .taps = lists.of(column, columns),
                                       .shared = parts.count() * args.ic * columns,
                                       .differences = parts.threes * args.ic * columns,
                                       .own = parts.count() * args.ic * columns,
                                       .waiting = waiting,
                                       .upper = args.dst_rows[r] + dst,
                                       .lower = args.dst_rows[r + 1] + dst,
                                       .next = step * args.dst_stride,
                                       .next_slope = step * Number::kSlope,
                                       .next_bias = step},
                                      size, vectors);
        w += static_cast<ptrdiff_t>(planes) * columns * size;
        done += size / Number::kChannels;
      }
    }
  }
}

void winograd2(const ConvArgs& args) { winograd2_of<Fixed>(args); }

void winograd2_planes(const ConvArgs& args) { winograd2_of<FixedPlanes>(args); }

}  // namespace
}  // namespace fsrcnn
