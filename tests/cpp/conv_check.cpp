// Convolutions, Winograd's and others, and deconv2d against the scalar twins, and those against the definitions.
#include <algorithm>
#include <limits>

#include "kernel_check.h"
#include "problems.h"

namespace fsrcnn {
namespace {

int most_channels(const KernelTable& table) { return is_reference(table) ? 5 : 2 * table.max_block + 1; }

using Matrix = std::vector<std::vector<double>>;

Matrix make_matrix(std::size_t rows, std::size_t columns) { return Matrix(rows, std::vector<double>(columns)); }

Matrix transposed(const Matrix& m) {
  Matrix result = make_matrix(m[0].size(), m.size());
  for (std::size_t i = 0; i < m.size(); ++i) {
    for (std::size_t j = 0; j < m[0].size(); ++j) result[j][i] = m[i][j];
  }
  return result;
}

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix result = make_matrix(a.size(), b[0].size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t k = 0; k < b.size(); ++k) {
      for (std::size_t j = 0; j < b[0].size(); ++j) result[i][j] += a[i][k] * b[k][j];
    }
  }
  return result;
}

/// The Toom-Cook transforms of F(4, kernel) for some points and infinity, derived rather than copied from the kernels:
/// outputs = A^T [(G filter) * (B^T inputs)]. How a factor is split between G and B^T does not matter here.
struct Transforms {
  Transforms(int kernel, const std::vector<double>& points) {
    const std::size_t n = points.size() + 1, k = static_cast<std::size_t>(kernel);
    filter = make_matrix(n, k);
    input = make_matrix(n, n);
    output = make_matrix(kWinogradTile, n);
    for (std::size_t p = 0; p < n; ++p) {
      const bool infinity = p == points.size();
      // B^T: the polynomial that vanishes at all other points; G: its reciprocal at this one.
      std::vector<double> polynomial{1};
      double scale = 1;
      for (std::size_t q = 0; q < points.size(); ++q) {
        if (q == p) continue;
        polynomial.push_back(0);
        for (std::size_t i = polynomial.size(); i-- > 0;) {
          polynomial[i] = (i > 0 ? polynomial[i - 1] : 0) - points[q] * polynomial[i];
        }
        if (!infinity) scale /= points[p] - points[q];
      }
      for (std::size_t i = 0; i < polynomial.size(); ++i) input[p][i] = std::abs(polynomial[i]);
      for (std::size_t i = 0; i < k; ++i) filter[p][i] = infinity ? i + 1 == k : scale * std::pow(points[p], i);
      for (std::size_t i = 0; i < kWinogradTile; ++i) {
        output[i][p] = infinity ? i + 1 == kWinogradTile : std::abs(std::pow(points[p], i));
      }
    }
  }
  Matrix filter, input, output;  // magnitudes, but for the filter's
};

/// The magnitudes that pass through Winograd's algorithm: every rounding in it is relative to no more than these.
class WinogradMagnitudes {
 public:
  /// `taps`: of a part, 3 or 5.
  WinogradMagnitudes(const ConvProblem& problem, int taps)
      : problem_(problem),
        taps_(taps),
        both_axes_(taps == 3),
        transforms_(taps, taps == 3 ? std::vector<double>{0, kWinograd3PointA, -kWinograd3PointA, kWinograd3PointB,
                                                          -kWinograd3PointB}
                                    : std::vector<double>{0, 1, -1, 2, -2, 0.5, -0.5}) {
    // Part p has the taps p * taps on, as far as there are any, and starts where all of its rows are rows that are
    // read.
    const int kernel = problem.layer.kernel;
    for (int first = 0; first < kernel; first += taps) starts_.push_back(std::min(first, kernel - taps));
    columns_read_ = both_axes_ ? taps : kernel;
    for (int o = 0; o < problem.layer.oc; ++o) {
      for (int c = 0; c < problem.layer.ic; ++c) {
        for_each_part([&](int y0, int x0, int part_y, int part_x) {
          Matrix g = make_matrix(static_cast<std::size_t>(taps), static_cast<std::size_t>(columns_read_));
          for (int y = std::max(y0, part_y * taps); y < y0 + taps; ++y) {
            for (int x = std::max(x0, part_x * taps); x < x0 + columns_read_; ++x) {
              g[static_cast<std::size_t>(y - y0)][static_cast<std::size_t>(x - x0)] =
                  problem.layer
                      .weight[static_cast<std::size_t>(((o * problem.layer.ic + c) * kernel + y) * kernel + x)];
            }
          }
          g = product(transforms_.filter, g);
          filters_.push_back(both_axes_ ? product(g, transposed(transforms_.filter)) : g);
        });
      }
    }
  }

  /// Columns that share a tile.
  int columns() const { return both_axes_ ? kWinogradTile : 1; }
  std::size_t parts() const { return both_axes_ ? starts_.size() * starts_.size() : starts_.size(); }

  void start(std::ptrdiff_t x) {
    inputs_.clear();
    for (int c = 0; c < problem_.layer.ic; ++c) {
      for_each_part([&](int y0, int x0, int, int) {
        Matrix input = make_matrix(static_cast<std::size_t>(winograd_points(taps_)),
                                   static_cast<std::size_t>(columns() + columns_read_ - 1));
        for (std::size_t i = 0; i < input.size(); ++i) {
          const float* row = problem_.rows[static_cast<std::size_t>(y0) + i] + c * problem_.src.stride + x + x0;
          // Among denormals a rounding is as large as it is at the smallest normal number.
          const double least = problem_.kind == Kind::denormals ? std::numeric_limits<float>::min() : 0;
          for (std::size_t j = 0; j < input[0].size(); ++j) input[i][j] = std::max<double>(std::abs(row[j]), least);
        }
        input = product(transforms_.input, input);
        inputs_.push_back(both_axes_ ? product(input, transposed(transforms_.input)) : input);
      });
    }
  }

  /// [row][column of the tile]
  Matrix of_channel(int o) const {
    const std::size_t points = transforms_.input.size();
    Matrix products = make_matrix(points, both_axes_ ? points : 1);
    for (std::size_t c = 0; c < inputs_.size(); ++c) {
      const Matrix& filter = filters_[static_cast<std::size_t>(o) * inputs_.size() + c];
      for (std::size_t i = 0; i < points; ++i) {
        for (std::size_t j = 0; j < filter[0].size(); ++j) {
          products[i][both_axes_ ? j : 0] += std::abs(filter[i][j]) * inputs_[c][i][j];
        }
      }
    }
    products = product(transforms_.output, products);
    return both_axes_ ? product(products, transposed(transforms_.output)) : products;
  }

 private:
  /// visit(first row, first column, part of the rows, part of the columns)
  template <typename Visit>
  void for_each_part(const Visit& visit) const {
    const int count = static_cast<int>(starts_.size());
    for (int y = 0; y < count; ++y) {
      for (int x = 0; x < (both_axes_ ? count : 1); ++x) {
        visit(starts_[static_cast<std::size_t>(y)], both_axes_ ? starts_[static_cast<std::size_t>(x)] : 0, y, x);
      }
    }
  }

  const ConvProblem& problem_;
  int taps_;
  bool both_axes_;
  Transforms transforms_;
  std::vector<int> starts_;
  int columns_read_;
  std::vector<Matrix> filters_, inputs_;
};

void check_winograd_problem(Tally& tally, const ConvProblem& problem, const PackedConv& packed, int taps) {
  const int ic = problem.layer.ic, oc = problem.layer.oc, kernel = problem.layer.kernel;
  const Planes dst(memory().dst, kWinogradTile * oc, problem.width, kWinogradOverrun);
  float* dst_rows[kWinogradTile];
  const ConvArgs args = problem.args(packed, 0, dst_rows, dst);
  packed.run(args);
  tally.check_before(args.scratchpad);
  tally.check_surroundings(dst, true);

  std::vector<Planes> twins;
  const PackedConv direct = pack(problem.layer, reference(), Algorithm::direct);
  for (int row = 0; row < kWinogradTile; ++row) {
    twins.emplace_back(memory().twins[row], oc, problem.width, kOverrun);
    float* twin_rows[1];
    direct.run(problem.args(direct, row, twin_rows, twins.back()));
  }
  WinogradMagnitudes magnitudes(problem, taps);
  // Roundings one after another: six along each axis of each transform, of the weight, of the products and their sum,
  // of bias and PReLU; and those of the twin.
  const double channels = ic * static_cast<double>(magnitudes.parts()) * (taps == 5 ? kernel : 1);
  const double roundings = 4 * 6 + 1 + 1 + channels + 2 + kernel * kernel * ic + 3;
  // The points of F(4, 5) are powers of two, those of F(4x4, 3x3) are not: only the former are exact on integers.
  const bool is_exact = exact(problem.kind) && taps == 5;
  for (std::ptrdiff_t x = 0; x < problem.width; x += magnitudes.columns()) {
    // Magnitudes cost more than kernels; where all is exact, they only confirm that it is, and one tile will do.
    const bool measured = !is_exact || x == 0;
    if (measured) magnitudes.start(x);
    for (int o = 0; o < oc; ++o) {
      const Matrix magnitude = measured ? magnitudes.of_channel(o) : make_matrix(4, 4);
      const double bias = std::abs(problem.layer.bias[static_cast<std::size_t>(o)]);
      for (std::size_t row = 0; row < kWinogradTile; ++row) {
        for (int j = 0; j < magnitudes.columns() && x + j < problem.width; ++j) {
          const double bound = magnitude[row][static_cast<std::size_t>(j)] + bias;
          tally.expect(!is_exact || problem.kind == Kind::denormals || bound < 0x1p24 * scale_of(problem.kind),
                       "the case is not exact");
          // Even exact filters are transformed with fractions, in double: far below the smallest step of the result.
          const double error = is_exact ? 0x1p-10 * scale_of(problem.kind) : roundings * kUnit * bound;
          const double tolerance = problem.prelu_gain(o) * error;
          tally.compare(dst_rows[row][o * dst.stride + x + j], twins[row].plane(o)[x + j], tolerance,
                        static_cast<std::ptrdiff_t>(row) * oc + o, x + j);
        }
      }
    }
  }
  tally.next_case();
}

/// One row by a direct kernel against its twin, or, of the twins, against the definition.
void check_direct_problem(Tally& tally, const KernelTable& table, const ConvProblem& problem,
                          const PackedConv& packed) {
  const int oc = problem.layer.oc;
  const Planes dst(memory().dst, oc, problem.width, kOverrun);
  float* dst_rows[1];
  const ConvArgs args = problem.args(packed, 0, dst_rows, dst);
  packed.run(args);
  if (packed.scratchpad > 0) tally.check_before(args.scratchpad);
  const Planes twin(memory().twin, oc, problem.width, kOverrun);
  float* twin_rows[1];
  const PackedConv of_twin = pack(problem.layer, reference(), Algorithm::direct);
  of_twin.run(problem.args(of_twin, 0, twin_rows, twin));
  for (int o = 0; o < oc; ++o) {
    for (std::ptrdiff_t x = 0; x < problem.width; ++x) {
      const Sum sum = is_reference(table) || !exact(problem.kind) ? problem.sum(o, 0, x) : Sum{};
      const double want = is_reference(table) ? problem.prelu(o, sum.value) : twin.plane(o)[x];
      tally.compare(dst.plane(o)[x], want, problem.tolerance(o, sum.magnitude), o, x);
    }
  }
  tally.check_surroundings(dst, problem.kind != Kind::special);
  tally.next_case();
}

}  // namespace

bool check_conv2d(const KernelTable& table) {
  Tally tally(table, "conv2d");
  int turn = 0;
  const auto check = [&](int ic, int oc, int kernel, std::ptrdiff_t width) {
    const Kind kind = static_cast<Kind>(turn++ % kKinds);
    describe("conv2d kernel=%d ic=%d oc=%d width=%td %s", kernel, ic, oc, width, kKindNames[static_cast<int>(kind)]);
    const ConvProblem problem(ic, oc, kernel, 1, width, kOverrun, kind);
    const PackedConv packed = pack(problem.layer, table, Algorithm::direct);
    tally.expect(packed.run == table.conv2d && packed.rows_read == kernel, "the layer was not packed for conv2d");
    check_direct_problem(tally, table, problem, packed);
  };
  for (const int kernel : {1, 3, 5, 7, 9}) {
    for (const std::ptrdiff_t width : widths()) {
      // All channel counts at the widths where tails differ, a few at the others.
      for (int oc = 1; oc <= most_channels(table); oc += width <= 2 * kMaxLanes + 1 ? 1 : 4) {
        check(oc % 16 == 0 ? most_channels(table) : random_int(1, kernel < 9 ? 4 : 2), oc, kernel, width);
      }
    }
  }
  // Even kernels are those of heads in sub-pixel form.
  for (const int kernel : {2, 4, 6, 8, 11, 13, 15, 17}) {
    for (const std::ptrdiff_t width : {1, 15, 37, 100}) check(2, random_int(1, most_channels(table)), kernel, width);
  }
  return tally.report();
}

bool check_conv2d_narrow(const KernelTable& table) {
  Tally tally(table, "conv2d_narrow");
  int turn = 0;
  std::vector<std::ptrdiff_t> some = widths();
  for (int w = -1; w <= 17; ++w) some.push_back(kNarrowColumns - kMaxLanes + w);
  for (const int kernel : {2, 3, 5, 7, 9, 17}) {
    for (const std::ptrdiff_t width : some) {
      const Kind kind = static_cast<Kind>(turn++ % kKinds);
      const int ic = turn % 8 == 0 ? 32 : random_int(1, 3), oc = random_int(1, 2);
      describe("conv2d_narrow kernel=%d ic=%d oc=%d width=%td %s", kernel, ic, oc, width,
               kKindNames[static_cast<int>(kind)]);
      const ConvProblem problem(ic, oc, kernel, 1, width, kOverrun, kind);
      const PackedConv packed = pack(problem.layer, table, Algorithm::winograd);
      tally.expect(packed.run == table.conv2d_narrow, "the layer was not packed for conv2d_narrow");
      check_direct_problem(tally, table, problem, packed);
    }
  }
  return tally.report();
}

bool check_winograd(const KernelTable& table, int taps) {
  const std::string name = "winograd" + std::to_string(taps);
  const ConvKernel run = taps == 3 ? table.winograd3 : table.winograd5;
  Tally tally(table, name.c_str());
  constexpr Kind kUsed[] = {Kind::integers, Kind::denormals, Kind::huge, Kind::mixed};
  int turn = 0;
  const auto check = [&](const ConvLayer* layer, int ic, int oc, int kernel, std::ptrdiff_t width, Kind kind) {
    describe("%s kernel=%d ic=%d oc=%d width=%td %s", name.c_str(), kernel, ic, oc, width,
             kKindNames[static_cast<int>(kind)]);
    const ConvProblem problem = layer ? ConvProblem(*layer, kWinogradTile, width, kWinogradOverrun, kind, taps)
                                      : ConvProblem(ic, oc, kernel, kWinogradTile, width, kWinogradOverrun, kind, taps);
    const PackedConv packed = pack(problem.layer, table, Algorithm::winograd);
    tally.expect(packed.run == run && packed.in_blocks(), "the layer was not packed for it");
    if (packed.run == run) check_winograd_problem(tally, problem, packed, taps);
  };
  std::vector<std::ptrdiff_t> some = widths();
  some.insert(some.end(), {2 * kWinogradChunkColumns - 1, 2 * kWinogradChunkColumns, 2 * kWinogradChunkColumns + 1});
  for (const std::ptrdiff_t width : some) {
    // Every number of channels that is not narrow, each at another third of the widths.
    for (int oc = 3 + turn % 3; oc <= most_channels(table); oc += width <= 2 * kMaxLanes + 1 ? 3 : 8) {
      const Kind kind = kUsed[turn++ % 4];
      check(nullptr, kind == Kind::mixed && oc % 3 == 0 ? most_channels(table) : random_int(2, 4), oc, taps, width,
            kind);
    }
  }
  // In parts: few output channels are worth winograd5 alone.
  for (const int kernel : {6, 7, 9}) {
    if (kernel == 6 && taps == 5) continue;
    for (const std::ptrdiff_t width : {1, 4, 16, 37, 64, 65, 130}) {
      for (const Kind kind : kUsed) {
        check(nullptr, random_int(1, 2), taps == 3 ? random_int(8, 20) : random_int(3, 7), kernel, width, kind);
      }
    }
  }
  // More channels than have all of their points in the first-level cache.
  if (taps == 3) check(nullptr, 40, most_channels(table), 3, 70, Kind::mixed);
  // Heads whose phases read as few inputs are packed as such a convolution.
  constexpr struct {
    int stride, pad, kernel, taps;
  } kHeads[] = {{2, 4, 9, 5}, {3, 3, 9, 3}, {4, 3, 9, 3}, {4, 4, 9, 3}, {2, 7, 17, 5}, {3, 6, 17, 3}, {4, 5, 17, 5}};
  for (const auto& shape : kHeads) {
    if (shape.taps != taps) continue;
    for (const Kind kind : kUsed) {
      const int stride = shape.stride;
      describe("head as %s stride=%d pad=%d kernel=%d %s", name.c_str(), stride, shape.pad, shape.kernel,
               kKindNames[static_cast<int>(kind)]);
      const Head head = random_head(stride, shape.pad, 3, kind, winograd_unit(taps), shape.kernel);
      const PackedHead packed = pack(head, table, Algorithm::winograd);
      const int oc = stride * stride, k = packed.conv.kernel, before = packed.conv.before;
      ConvLayer layer{head.ic,
                      oc,
                      k,
                      {},
                      std::vector<float>(static_cast<std::size_t>(oc), head.bias[0]),
                      std::vector<float>(static_cast<std::size_t>(oc), 1.0f)};
      for (int i = 0; i < oc * head.ic * k * k; ++i) {
        const int phase = i / (head.ic * k * k);
        layer.weight.push_back(static_cast<float>(head_weight(head, i / (k * k) % head.ic, phase / stride,
                                                              phase % stride, i / k % k - before, i % k - before)));
      }
      const ConvProblem problem(layer, kWinogradTile, 37, kWinogradOverrun, kind, taps);
      tally.expect(packed.conv.run == run, "the head was not packed for it");
      if (packed.conv.run == run) check_winograd_problem(tally, problem, packed.conv, taps);
    }
  }
  return tally.report();
}

/// A convolution in groups gives the bits of its groups, each as a convolution of its own.
bool check_groups(const KernelTable& table) {
  Tally tally(table, "groups");
  for (const int kernel : {1, 3, 5, 7, 9}) {
    for (const int groups : {2, 4}) {
      for (const auto& [ic, oc] : {std::pair{1, 1}, {3, 5}, {2, 9}}) {
        describe("groups=%d kernel=%d ic=%d oc=%d", groups, kernel, ic * groups, oc * groups);
        const ConvProblem problem(groups * ic, groups * oc, kernel, kWinogradTile, 37, kWinogradOverrun, Kind::mixed, 0,
                                  groups);
        const PackedConv packed = pack(problem.layer, table, Algorithm::winograd);
        const auto make = [&](const PackedConv& conv, Guarded& guarded, int first_source) {
          const Planes dst(guarded, static_cast<std::ptrdiff_t>(conv.rows_made) * conv.oc, problem.width,
                           kWinogradOverrun);
          const float* src_rows[kMaxRowsRead];
          float* dst_rows[kWinogradTile];
          for (int i = 0; i < conv.rows_read; ++i) src_rows[i] = problem.rows[i] + first_source * problem.src.stride;
          for (int i = 0; i < conv.rows_made; ++i) dst_rows[i] = dst.plane(static_cast<std::ptrdiff_t>(i) * conv.oc);
          convolve(conv, src_rows, problem.src.stride, dst_rows, dst.stride, problem.width,
                   memory().scratchpad.floats(conv.scratchpad));
          tally.check_surroundings(dst, true);
          return dst;
        };
        const Planes got = make(packed, memory().dst, 0);
        for (int g = 0; g < groups; ++g) {
          const auto part = [&](const std::vector<float>& values) {
            const auto size = static_cast<std::ptrdiff_t>(values.size()) / groups;
            return std::vector<float>(values.begin() + g * size, values.begin() + (g + 1) * size);
          };
          const ConvLayer alone{
              ic, oc, kernel, part(problem.layer.weight), part(problem.layer.bias), part(problem.layer.slope)};
          const PackedConv packed_alone = pack(alone, table, Algorithm::winograd);
          const Planes want = make(packed_alone, memory().twin, g * ic);
          for (int i = 0; i < packed.rows_made * oc; ++i) {
            const std::ptrdiff_t plane = i / oc * packed.oc + g * oc + i % oc;
            for (std::ptrdiff_t x = 0; x < problem.width; ++x) {
              tally.compare(got.plane(plane)[x], want.plane(i)[x], 0, plane, x);
            }
          }
        }
        tally.next_case();
      }
    }
  }
  return tally.report();
}

bool check_deconv2d(const KernelTable& table) {
  Tally tally(table, "deconv2d");
  int turn = 0;
  for (const auto& [stride, pad] : {std::pair{2, 4}, {3, 3}, {3, 4}, {4, 3}, {4, 4}}) {
    for (const std::ptrdiff_t width : widths()) {
      for (const int ic : {1, 2, 3, 5}) {
        const Kind kind = static_cast<Kind>(turn++ % kKinds);
        describe("deconv2d stride=%d pad=%d ic=%d width=%td %s", stride, pad, ic, width,
                 kKindNames[static_cast<int>(kind)]);
        const int phases = stride * stride;
        const DeconvProblem problem(stride, pad, ic, width, kind);
        const Planes dst(memory().dst, phases, width, kOverrun);
        float* dst_rows[1];
        const PackedConv packed = pack(problem.head, table, Algorithm::direct).conv;
        tally.expect(packed.run != table.conv2d, "the head was not packed for deconv2d");
        packed.run(problem.args(packed, dst_rows, dst));
        const Planes twin(memory().twin, phases, width, kOverrun);
        const PackedConv of_twin = pack(problem.head, reference(), Algorithm::direct).conv;
        of_twin.run(problem.args(of_twin, dst_rows, twin));
        const double roundings = 25 * ic + 1;  // 5x5 taps at most
        for (int phase = 0; phase < phases; ++phase) {
          for (std::ptrdiff_t x = 0; x < width; ++x) {
            const Sum sum = is_reference(table) || !exact(kind) ? problem.sum(phase, x) : Sum{};
            const double want = is_reference(table) ? sum.value : static_cast<double>(twin.plane(phase)[x]);
            const double tolerance = exact(kind) ? 0 : 2 * roundings * (kUnit * sum.magnitude + kTiny);
            tally.compare(dst.plane(phase)[x], want, tolerance, phase, x);
          }
        }
        tally.check_surroundings(dst, kind != Kind::special);
        tally.next_case();
      }
    }
  }
  return tally.report();
}

}  // namespace fsrcnn
