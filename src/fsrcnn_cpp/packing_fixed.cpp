#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "packing.h"

namespace fsrcnn {
namespace {

/// A convolution in integers as its kernels see it.
struct FixedTaps {
  explicit FixedTaps(const FixedConv& conv) : of(conv) {}

  bool makes_planes() const { return of.positive.empty(); }
  int channels() const { return makes_planes() ? 1 : 2; }  // of a plane that is made
  int step() const { return of.of_luma ? 2 : 1; }
  int columns() const { return (of.kernel + step() - 1) / step(); }  // cells of a row of taps
  int ic() const { return of.of_luma ? 1 : (of.ic + 1) / 2; }        // planes
  int oc() const { return (of.oc + channels() - 1) / channels(); }
  int weight(int o, int c, int y, int x) const {
    return o < of.oc && c < of.ic && x < of.kernel ? of.at(o, c, y, x) : 0;
  }
  /// The cell of weights that `make` makes of those of each half: make(o, channel, column).
  template <typename Make>
  void put(float* cell, int o, int c, int column, const Make& make) const {
    const int16_t halves[] = {of.of_luma ? make(o, 0, 2 * column) : make(o, 2 * c, column),
                              of.of_luma ? make(o, 0, 2 * column + 1) : make(o, 2 * c + 1, column)};
    std::memcpy(cell, halves, sizeof halves);
  }

  const FixedConv& of;
};

AlignedBuffer pack_fixed_direct(const FixedTaps& taps, int max_block) {
  const int channels = taps.channels(), kernel = taps.of.kernel;
  AlignedBuffer packed(static_cast<std::size_t>(taps.ic()) * taps.oc() * channels * kernel * taps.columns());
  float* out = packed.data();
  for_each_block(taps.oc(), max_block / channels, [&](int first, int size) {
    for (int c = 0; c < taps.ic(); ++c) {
      for (int y = 0; y < kernel; ++y) {
        for (int x = 0; x < taps.columns(); ++x) {
          for (int o = first * channels; o < (first + size) * channels; ++o) {
            taps.put(out++, o, c, x, [&](int to, int from, int column) {
              return static_cast<int16_t>(taps.weight(to, from, y, column));
            });
          }
        }
      }
    }
  });
  assert(out == packed.data() + packed.size());
  return packed;
}

/// `phases` a side of a head, whose structural zeros are left out where a whole column has no other; else 1.
AlignedBuffer pack_winograd2(const FixedTaps& taps, int phases, int max_block) {
  const Winograd2Parts parts(taps.of.kernel);
  const int ic = taps.ic(), channels = taps.channels();
  std::vector<float> out;
  const auto block = [&](int first, int step, int size) {
    const auto is_used = [&](int column) {
      for (int n = 0; n < size; ++n) {
        for (int c = 0; c < taps.of.ic; ++c) {
          for (int y = 0; y < taps.of.kernel; ++y) {
            if (taps.weight(first + n * step, c, y, column) != 0) return true;
          }
        }
      }
      return false;
    };
    int begin = 0, end = taps.columns();
    while (phases > 1 && begin + 1 < end && !is_used(begin)) ++begin;
    while (phases > 1 && begin + 1 < end && !is_used(end - 1)) --end;
    const int32_t header[kWinograd2Header] = {size, first, step, begin, end - begin};
    out.resize(out.size() + kWinograd2Header);
    std::memcpy(out.data() + out.size() - kWinograd2Header, header, sizeof header);
    const auto put = [&](int c, int column, const auto& make) {
      for (int n = 0; n < size; ++n) {
        out.push_back(0);
        taps.put(&out.back(), first + n * step, c, column, [&](int o, int from, int x) {
          const int weight = make(o, from, x);
          assert(std::abs(weight) <= 32767);
          return static_cast<int16_t>(weight);
        });
      }
    };
    const auto for_each = [&](int first_part, int last_part, const auto& visit) {
      for (int part = first_part; part < last_part; ++part) {
        for (int c = 0; c < ic; ++c) {
          for (int column = begin; column < end; ++column) visit(part, c, column);
        }
      }
    };
    // Of the rows of a part, with this sign before the middle one of three.
    const auto put_sums = [&](int part, int c, int column, int sign) {
      const int row = parts.first_row(part), last = parts.rows(part) - 1;
      put(c, column, [&](int o, int from, int x) {
        const int between = last == 2 ? sign * taps.weight(o, from, row + 1, x) : 0;
        return taps.weight(o, from, row, x) + between + taps.weight(o, from, row + last, x);
      });
    };
    for_each(parts.threes, parts.count(), [&](int part, int c, int column) { put_sums(part, c, column, 1); });
    for (const int sign : {1, -1}) {
      for_each(0, parts.threes, [&](int part, int c, int column) { put_sums(part, c, column, sign); });
    }
    for (const bool lower : {false, true}) {
      for_each(0, parts.count(), [&](int part, int c, int column) {
        const int row = parts.first_row(part) + (lower ? parts.rows(part) - 1 : 0);
        put(c, column, [&](int o, int from, int x) { return taps.weight(o, from, row, x); });
      });
    }
  };
  if (phases == 1) {
    for_each_block(taps.oc(), max_block / 2, [&](int first, int size) { block(first * channels, 1, size * channels); });
  } else {
    for (int x = 0; x < phases; ++x) {
      for_each_block(phases, max_block, [&](int first, int size) { block(first * phases + x, phases, size); });
    }
  }
  AlignedBuffer packed(out.size());
  std::memcpy(packed.data(), out.data(), out.size() * sizeof(float));
  return packed;
}

/// `before`: rows and columns of taps that lie before the output's own.
PackedConv pack_fixed(const FixedConv& conv, int before, int phases, const KernelTable& kernels, Algorithm algorithm) {
  const FixedTaps taps(conv);
  const bool planes = taps.makes_planes();
  assert(!conv.of_luma || (conv.ic == 1 && !planes));
  const int kernel = conv.kernel, ic = taps.ic(), oc = taps.oc(), after = kernel - 1 - before;
  PackedConv packed{
      .run = planes ? kernels.conv2d_planes : kernels.conv2d,
      .ic = ic,
      .oc = oc,
      .groups = 1,
      .kernel = kernel,
      .before = before,
      .rows_read = kernel,
      .rows_made = 1,
      .column_reach = std::max(before, after),
      .scratchpad = 0,
      .weights = {},
      .bias = AlignedBuffer(static_cast<std::size_t>(oc) * taps.channels()),
      .slope = AlignedBuffer(static_cast<std::size_t>(oc) * (planes ? 1 : kFixedActivationCells)),
      .step = taps.step(),
  };
  if (algorithm == Algorithm::winograd && kernels.winograd2 && kernel > 1) {
    packed.run = planes ? kernels.winograd2_planes : kernels.winograd2;
    packed.rows_made = kWinogradTile;
    packed.rows_read = kernel + kWinogradTile - 1;
    packed.scratchpad = winograd2_scratchpad(kernel, ic);
    packed.weights = pack_winograd2(taps, phases, kernels.winograd2_block);
  } else {
    packed.weights = pack_fixed_direct(taps, kernels.max_block);
  }
  // Twice modulo 2^32, as the sums are: what is halved fits.
  const uint32_t times = packed.in_blocks() ? 2 : 1;
  for (std::size_t o = 0; o < conv.bias.size(); ++o) {
    const uint32_t bias = times * static_cast<uint32_t>(conv.bias[o]);
    std::memcpy(packed.bias.data() + o, &bias, sizeof bias);
  }
  for (int plane = 0; plane < oc; ++plane) {
    if (planes) {
      packed.slope.data()[plane] = std::ldexp(1.0f, -conv.shift[static_cast<std::size_t>(plane)]);
      continue;
    }
    FixedActivation activation{};
    for (int i = 0; i < 2 && 2 * plane + i < conv.oc; ++i) {
      const auto o = static_cast<std::size_t>(2 * plane + i);
      activation.shift[i] = conv.shift[o];
      activation.positive[i] = conv.positive[o];
      activation.negative[i] = conv.negative[o];
    }
    std::memcpy(packed.slope.data() + plane * kFixedActivationCells, &activation, sizeof activation);
  }
  return packed;
}

}  // namespace

PackedConv pack(const FixedConv& conv, int before, const KernelTable& kernels, Algorithm algorithm) {
  return pack_fixed(conv, before, 1, kernels, algorithm);
}

PackedHead pack(const Head& head, const std::vector<FixedChannel>& in, const KernelTable& kernels,
                Algorithm algorithm) {
  assert(head.enlarges);
  const int first = head.first_tap();
  const FixedConv conv =
      to_fixed_planes(subpixel_layer(head, first, head.last_tap()), in, "heads[" + std::to_string(head.stride) + "]");
  return {head.stride, head.border, pack_fixed(conv, -first, head.stride, kernels, algorithm)};
}

}  // namespace fsrcnn
