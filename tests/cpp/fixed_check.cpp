// Fixed point: kernels against their definitions to the bit, on numbers as large as they may be; and the proof that no
// sum overflows against the input that is worst for it.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "fixed.h"
#include "kernel_check.h"
#include "problems.h"

namespace fsrcnn {
namespace {

using Cell = std::array<int16_t, 2>;

float from_cell(Cell cell) { return std::bit_cast<float>(cell); }
Cell to_cell(float bits) { return std::bit_cast<Cell>(bits); }

/// A layer of random integers of which no sum overflows, with shifts and factors of every size.
FixedConv random_conv(int ic, int oc, int kernel, bool planes) {
  FixedConv conv{.ic = ic, .oc = oc, .kernel = kernel, .of_luma = ic == 1 && !planes && random_int(0, 1) == 1};
  const int taps = ic * kernel * kernel;
  const int most = std::min<int>(32767 / 3, static_cast<int>(0x1p29 / kFixedMost / taps));
  for (int i = 0; i < oc * taps; ++i) {
    conv.weight.push_back(
        static_cast<int16_t>(random_int(0, 3) == 0 ? (random_int(0, 1) ? most : -most) : random_int(-most, most)));
  }
  for (int o = 0; o < oc; ++o) {
    conv.bias.push_back(random_int(-(1 << 29), (1 << 29) - 1));
    conv.shift.push_back(random_int(0, 30));
    if (planes) continue;
    conv.positive.push_back(static_cast<int16_t>(random_int(1, kFixedMost)));
    conv.negative.push_back(
        static_cast<int16_t>(random_int(0, 3) == 0 ? -kFixedMost : random_int(-kFixedMost, kFixedMost)));
  }
  return conv;
}

/// Rows of cells as a kernel reads them, and the activations in them.
struct FixedProblem {
  FixedProblem(const FixedConv& conv, int rows_made, std::ptrdiff_t out_width)
      : channels(conv.ic),
        width(out_width + conv.kernel - 1),
        planes(memory().src, (conv.kernel + rows_made - 1) * ((conv.ic + 1) / 2), width + 1,
               rows_made > 1 ? kWinogradOverrun : kOverrun) {
    const int cells = (channels + 1) / 2, height = conv.kernel + rows_made - 1;
    values.resize(static_cast<std::size_t>(height * channels * (width + 1)));
    for (int16_t& value : values) {
      value = static_cast<int16_t>(random_int(0, 3) == 0 ? (random_int(0, 1) ? kFixedMost : -kFixedMost)
                                                         : random_int(-kFixedMost, kFixedMost));
    }
    for (int y = 0; y < height; ++y) {
      rows.push_back(planes.plane(y * cells));
      for (int c = 0; c < cells; ++c) {
        float* const row = planes.plane(y * cells + c);
        for (std::ptrdiff_t x = 0; x < planes.used; ++x) row[x] = from_cell({int16_t(-32768), int16_t(-32768)});
        for (std::ptrdiff_t x = 0; x < width; ++x) {
          const int16_t second = conv.of_luma           ? at(0, y, x + 1)
                                 : 2 * c + 1 < channels ? at(2 * c + 1, y, x)
                                                        : int16_t{-32768};
          row[x] = from_cell({at(2 * c, y, x), second});
        }
      }
    }
  }

  int16_t at(int c, int y, std::ptrdiff_t x) const {
    return values[static_cast<std::size_t>((y * channels + c) * (width + 1) + x)];
  }

  int64_t sum(const FixedConv& conv, int o, int row, std::ptrdiff_t x) const {
    int64_t result = conv.bias[static_cast<std::size_t>(o)];
    for (int c = 0; c < conv.ic; ++c) {
      for (int y = 0; y < conv.kernel; ++y) {
        for (int t = 0; t < conv.kernel; ++t) result += int64_t{at(c, row + y, x + t)} * conv.at(o, c, y, t);
      }
    }
    return result;
  }

  int channels;
  std::ptrdiff_t width;
  Planes planes;
  std::vector<int16_t> values;
  std::vector<const float*> rows;
};

/// The activation as it is defined.
int activated(const FixedConv& conv, int o, int64_t sum) {
  const auto i = static_cast<std::size_t>(o);
  const double shifted = std::floor(std::ldexp(static_cast<double>(sum), -conv.shift[i]));
  const double value = std::clamp(shifted, -32768.0, 32767.0);
  return static_cast<int>(std::floor(value * (value > 0 ? conv.positive[i] : conv.negative[i]) / 32768 + 0.5));
}

void check_problem(Tally& tally, const KernelTable& table, int ic, int oc, int kernel, std::ptrdiff_t width,
                   bool planes, Algorithm algorithm) {
  describe("%s kernel=%d ic=%d oc=%d width=%td", planes ? "planes" : "cells", kernel, ic, oc, width);
  const FixedConv conv = random_conv(ic, oc, kernel, planes);
  const PackedConv packed = pack(conv, kernel / 2, table, algorithm);
  const FixedProblem problem(conv, packed.rows_made, width);
  const Planes dst(memory().dst, packed.rows_made * packed.oc, width, packed.in_blocks() ? kWinogradOverrun : kOverrun);
  float* dst_rows[kWinogradTile];
  packed.run(args_of(packed, problem.rows.data(), problem.planes.stride, dst_rows, dst, width));
  for (int i = 0; i < packed.rows_made * oc; ++i) {
    const int r = i / oc, o = i % oc;
    for (std::ptrdiff_t x = 0; x < width; ++x) {
      const int64_t sum = problem.sum(conv, o, r, x);
      if (planes) {
        const float want = std::ldexp(static_cast<float>(sum), -conv.shift[static_cast<std::size_t>(o)]);
        tally.compare(dst_rows[r][o * dst.stride + x], want, 0, o, x);
      } else {
        const Cell cell = to_cell(dst_rows[r][o / 2 * dst.stride + x]);
        tally.compare(static_cast<float>(cell[static_cast<std::size_t>(o % 2)]), activated(conv, o, sum), 0, o, x);
        if (o == oc - 1 && oc % 2 == 1) tally.expect(cell[1] == 0, "the channel that fills up is not 0");
      }
    }
  }
  tally.check_surroundings(dst, false);
  tally.next_case();
}

}  // namespace

bool check_fixed_conv2d(const KernelTable& table) {
  bool ok = true;
  for (const Algorithm algorithm : {Algorithm::direct, Algorithm::winograd}) {
    for (const bool planes : {false, true}) {
      if (algorithm == Algorithm::winograd && !table.winograd2) continue;
      const char* const names[2][2] = {{"fixed conv2d", "conv2d_planes"}, {"winograd2", "winograd2_planes"}};
      Tally tally(table, names[algorithm == Algorithm::winograd][planes]);
      const int most = is_reference(table) ? 5 : 2 * table.max_block + 1;
      for (const int kernel : {1, 2, 3, 4, 5, 6, 7, 8, 9}) {
        if (algorithm == Algorithm::winograd && kernel == 1) continue;
        for (const std::ptrdiff_t width : widths()) {
          for (int oc = 1; oc <= most; oc += width <= 2 * kMaxLanes + 1 && kernel < 4 ? 1 : 4) {
            check_problem(tally, table, random_int(1, kernel < 7 ? 5 : 2), oc, kernel, width, planes, algorithm);
          }
        }
      }
      ok &= tally.report();
    }
  }
  return ok;
}

bool check_to_cells(const KernelTable& table) {
  Tally tally(table, "to_cells");
  for (const std::ptrdiff_t width : widths()) {
    describe("to_cells width=%td", width);
    const Planes src(memory().src, 1, width + 1, kOverrun), dst(memory().dst, 1, width, kOverrun);
    constexpr float kSpecial[] = {0, 1, -1, 2.5f, -2.5f, 1e30f, -1e30f, kInfinity, -kInfinity, kNan, 1.0f / 255};
    for (std::ptrdiff_t x = 0; x <= width; ++x) {
      // Halves of a unit, whole units, and others.
      const float code = static_cast<float>(random_int(-4 * kFixedLuma, 4 * kFixedLuma)) / 2 / kFixedLuma;
      const int kind = random_int(0, 2);
      src.data[x] = kind == 0   ? kSpecial[random_int(0, 10)]
                    : kind == 1 ? code
                                : static_cast<float>(random_int(-(1 << 24), 1 << 24)) * 0x1p-23f;
    }
    for (std::ptrdiff_t x = width + 1; x < src.used; ++x) src.data[x] = kNan;
    table.to_cells(src.data, width, dst.data);
    for (std::ptrdiff_t x = 0; x < width; ++x) {
      for (std::ptrdiff_t i = 0; i < 2; ++i) {
        const float value = src.data[x + i], scaled = value * kFixedLuma;  // rounded once, to a float
        const float cut = std::isnan(value) ? -kFixedMost : std::clamp<float>(scaled, -kFixedMost, kFixedMost);
        const float counted = cut + (kFixedMost + 0.5f);
        const int want = static_cast<int>(std::floor(counted)) - kFixedMost;
        tally.expect(std::abs(want - static_cast<double>(cut)) <= 0.5 + 0x1p-9, "the definition is no rounding");
        tally.compare(to_cell(dst.data[x])[static_cast<std::size_t>(i)], want, 0, i, x);
      }
    }
    tally.check_surroundings(dst, false);
    tally.next_case();
  }
  return tally.report();
}

/// Layers of all kinds of weights: whatever the channels are within their bounds, no sum leaves 32 bits, and a sum that
/// is not cut off stands for what the layer makes.
bool check_proof() {
  Tally tally(table_by_name("reference", Precision::int16), "no overflow");
  for (int turn = 0; turn < 400; ++turn) {
    const int ic = random_int(1, 40), oc = random_int(1, 3), kernel = 2 * random_int(0, 3) + 1;
    const double spread = std::ldexp(1.0, random_int(-12, 12));
    describe("turn %d: kernel=%d ic=%d spread=%g", turn, kernel, ic, spread);
    const auto number = [&] { return static_cast<float>(spread * random_int(-1000, 1000) / 1000); };
    ConvLayer layer{ic, oc, kernel, {}, {}, {}};
    SumRange range;
    for (int i = 0; i < oc * ic * kernel * kernel; ++i) layer.weight.push_back(number());
    for (int o = 0; o < oc; ++o) {
      layer.bias.push_back(number());
      layer.slope.push_back(static_cast<float>(random_int(-300, 300)) / 100);
      range.low.push_back(static_cast<float>(-spread * random_int(0, 400)));
      range.high.push_back(static_cast<float>(spread * random_int(1, 400)));
    }
    std::vector<FixedChannel> in;
    for (int c = 0; c < ic; ++c) in.push_back({0x1p-12 * random_int(1, 9), -random_int(0, kFixedMost), kFixedMost});
    const FixedConv conv = to_fixed(layer, range, in, turn % 2 == 1, "layer");
    const std::size_t taps = static_cast<std::size_t>(kernel) * kernel;
    for (int o = 0; o < oc; ++o) {
      int64_t low = conv.bias[static_cast<std::size_t>(o)], high = low;
      double low_number = layer.bias[static_cast<std::size_t>(o)], weight_errors = 0;
      for (int c = 0; c < ic; ++c) {
        for (std::size_t t = 0; t < taps; ++t) {
          const int weight = conv.at(o, c, static_cast<int>(t) / kernel, static_cast<int>(t) % kernel);
          const FixedChannel& channel = in[static_cast<std::size_t>(c)];
          const int least = weight > 0 ? channel.low : channel.high, most = weight > 0 ? channel.high : channel.low;
          low += int64_t{weight} * least;
          high += int64_t{weight} * most;
          low_number += layer.weight[(static_cast<std::size_t>(o) * ic + c) * taps + t] * channel.unit * least;
          weight_errors += std::abs(least);
        }
      }
      const int64_t bound = int64_t{1} << (kernel > 1 ? 30 : 31);
      tally.expect(low >= -bound && high < bound, "a sum overflows");
      // Units of the sum: what a channel's activation is over its positive factor.
      const auto i = static_cast<std::size_t>(o);
      const double unit = conv.out[i].unit * conv.positive[i] / 32768;
      const double got = static_cast<double>(low) * std::ldexp(unit, -conv.shift[i]);
      tally.expect(std::abs(got - low_number) <= std::ldexp(unit, -conv.shift[i]) * (weight_errors + 1) + unit,
                   "a sum stands for something else");
      const int factor = std::abs(conv.negative[i]);
      tally.expect(std::abs(layer.slope[i] * conv.positive[i] - conv.negative[i]) <= 0.5 && factor <= kFixedMost,
                   "the slope is another");
      tally.expect(conv.out[i].high <= kFixedMost && conv.out[i].low >= -kFixedMost, "an activation is too large");
    }
    tally.next_case();
  }
  return tally.report();
}

}  // namespace fsrcnn
