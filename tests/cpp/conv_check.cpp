// conv2d, winograd_conv2d and deconv2d against the scalar twins, and those against the definitions.
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
  explicit WinogradMagnitudes(const ConvProblem& problem)
      : problem_(problem),
        kernel_(problem.layer.kernel),
        both_axes_(kernel_ == 3),
        transforms_(kernel_, kernel_ == 3 ? std::vector<double>{0, kWinograd3PointA, -kWinograd3PointA,
                                                                kWinograd3PointB, -kWinograd3PointB}
                                          : std::vector<double>{0, 1, -1, 2, -2, 0.5, -0.5}) {
    const std::size_t k = static_cast<std::size_t>(kernel_);
    for (std::size_t i = 0; i < static_cast<std::size_t>(problem.layer.oc * problem.layer.ic); ++i) {
      Matrix taps = make_matrix(k, k);
      for (std::size_t t = 0; t < k * k; ++t) taps[t / k][t % k] = problem.layer.weight[i * k * k + t];
      taps = product(transforms_.filter, taps);
      filters_.push_back(both_axes_ ? product(taps, transposed(transforms_.filter)) : taps);
    }
  }

  /// Columns that share a tile.
  int columns() const { return both_axes_ ? kWinogradTile : 1; }

  void start(std::ptrdiff_t x) {
    inputs_.clear();
    for (int c = 0; c < problem_.layer.ic; ++c) {
      Matrix input = make_matrix(problem_.rows.size(), static_cast<std::size_t>(columns() + kernel_ - 1));
      for (std::size_t i = 0; i < input.size(); ++i) {
        const float* row = problem_.rows[i] + c * problem_.src.stride + x;
        // Among denormals a rounding is as large as it is at the smallest normal number.
        const double least = problem_.kind == Kind::denormals ? std::numeric_limits<float>::min() : 0;
        for (std::size_t j = 0; j < input[0].size(); ++j) input[i][j] = std::max<double>(std::abs(row[j]), least);
      }
      input = product(transforms_.input, input);
      inputs_.push_back(both_axes_ ? product(input, transposed(transforms_.input)) : input);
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
  const ConvProblem& problem_;
  int kernel_;
  bool both_axes_;
  Transforms transforms_;
  std::vector<Matrix> filters_, inputs_;
};

void check_winograd_problem(Tally& tally, const KernelTable& table, const ConvProblem& problem,
                            const PackedConv& packed) {
  const int ic = problem.layer.ic, oc = problem.layer.oc, kernel = problem.layer.kernel;
  const Planes dst(memory().dst, kWinogradTile * oc, problem.width, kWinogradOverrun);
  float* dst_rows[kWinogradTile];
  const WinogradArgs args = problem.winograd_args(packed, dst_rows, dst);
  kernel == 3 ? table.winograd3_conv2d(args) : table.winograd5_conv2d(args);
  tally.check_before(args.scratchpad);
  tally.check_surroundings(dst, true);

  std::vector<Planes> twins;
  const PackedConv direct = pack(problem.layer, reference(), Algorithm::direct);
  for (int row = 0; row < kWinogradTile; ++row) {
    twins.emplace_back(memory().twins[row], oc, problem.width, kOverrun);
    reference().conv2d(problem.conv2d_args(direct, row, twins.back()));
  }
  // Roundings one after another: six along each axis of each transform, of the weight, of the products and their sum,
  // of bias and PReLU; and those of the twin.
  const double roundings = 4 * 6 + 1 + 1 + 5 * ic + 2 + kernel * kernel * ic + 3;
  // The points of 5x5 are powers of two, those of 3x3 are not: integers are transformed exactly by the former only.
  const bool is_exact = exact(problem.kind) && kernel == 5;
  WinogradMagnitudes magnitudes(problem);
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

}  // namespace

bool check_conv2d(const KernelTable& table) {
  Tally tally(table, "conv2d");
  int turn = 0;
  for (const int kernel : {1, 3, 5, 7}) {
    for (const std::ptrdiff_t width : widths()) {
      // All channel counts at the widths where tails differ, a few at the others.
      for (int oc = 1; oc <= most_channels(table); oc += width <= 2 * kMaxLanes + 1 ? 1 : 4) {
        const Kind kind = static_cast<Kind>(turn++ % kKinds);
        const int ic = oc % 16 == 0 ? most_channels(table) : random_int(1, 4);
        describe("conv2d kernel=%d ic=%d oc=%d width=%td %s", kernel, ic, oc, width,
                 kKindNames[static_cast<int>(kind)]);
        const ConvProblem problem(ic, oc, kernel, 1, width, kOverrun, kind);
        const Planes dst(memory().dst, oc, width, kOverrun);
        table.conv2d(problem.conv2d_args(pack(problem.layer, table, Algorithm::direct), 0, dst));
        const Planes twin(memory().twin, oc, width, kOverrun);
        reference().conv2d(problem.conv2d_args(pack(problem.layer, reference(), Algorithm::direct), 0, twin));
        for (int o = 0; o < oc; ++o) {
          for (std::ptrdiff_t x = 0; x < width; ++x) {
            const Sum sum = is_reference(table) || !exact(kind) ? problem.sum(o, 0, x) : Sum{};
            const double want = is_reference(table) ? problem.prelu(o, sum.value) : twin.plane(o)[x];
            tally.compare(dst.plane(o)[x], want, problem.tolerance(o, sum.magnitude), o, x);
          }
        }
        tally.check_surroundings(dst, kind != Kind::special);
        tally.next_case();
      }
    }
  }
  return tally.report();
}

bool check_winograd_conv2d(const KernelTable& table, int kernel) {
  const std::string name = "winograd" + std::to_string(kernel) + "_conv2d";
  Tally tally(table, name.c_str());
  constexpr Kind kUsed[] = {Kind::integers, Kind::denormals, Kind::huge, Kind::mixed};
  int turn = 0;
  std::vector<std::ptrdiff_t> some = widths();
  some.insert(some.end(), {2 * kWinogradChunkColumns - 1, 2 * kWinogradChunkColumns, 2 * kWinogradChunkColumns + 1});
  for (const std::ptrdiff_t width : some) {
    // Every number of channels, each at another third of the widths.
    for (int oc = 1 + turn % 3; oc <= most_channels(table); oc += width <= 2 * kMaxLanes + 1 ? 3 : 8) {
      const Kind kind = kUsed[turn++ % 4];
      const int ic = kind == Kind::mixed && oc % 3 == 0 ? most_channels(table) : random_int(1, 4);
      describe("%s ic=%d oc=%d width=%td %s", name.c_str(), ic, oc, width, kKindNames[static_cast<int>(kind)]);
      const ConvProblem problem(ic, oc, kernel, kWinogradTile, width, kWinogradOverrun, kind);
      const PackedConv packed = pack(problem.layer, table, Algorithm::winograd);
      tally.expect(packed.winograd, "the layer was not packed for Winograd");
      check_winograd_problem(tally, table, problem, packed);
    }
  }
  // Heads whose phases read as few inputs are packed as such a convolution.
  for (const auto& [stride, pad] : {std::pair{2, 4}, {3, 3}, {4, 3}, {4, 4}}) {
    const int reach = deconv_last_tap(stride, pad), k = 2 * reach + 1;
    for (const Kind kind : kUsed) {
      if (k != kernel) continue;
      describe("head as %s stride=%d pad=%d %s", name.c_str(), stride, pad, kKindNames[static_cast<int>(kind)]);
      const Head head = random_head(stride, pad, 3, kind, winograd_unit(kernel));
      const int oc = stride * stride;
      ConvLayer layer{head.ic,
                      oc,
                      k,
                      {},
                      std::vector<float>(static_cast<std::size_t>(oc), head.bias),
                      std::vector<float>(static_cast<std::size_t>(oc), 1.0f)};
      for (int i = 0; i < oc * head.ic * k * k; ++i) {
        const int phase = i / (head.ic * k * k);
        layer.weight.push_back(static_cast<float>(head_weight(head, i / (k * k) % head.ic, phase / stride,
                                                              phase % stride, i / k % k - reach, i % k - reach)));
      }
      const ConvProblem problem(layer, kWinogradTile, 37, kWinogradOverrun, kind);
      const PackedHead packed = pack(head, table, Algorithm::winograd);
      tally.expect(packed.subpixel.has_value(), "the head was not packed for Winograd");
      if (packed.subpixel) check_winograd_problem(tally, table, problem, *packed.subpixel);
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
        table.deconv2d(problem.args(pack(problem.head, table, Algorithm::direct), dst));
        const Planes twin(memory().twin, phases, width, kOverrun);
        reference().deconv2d(problem.args(pack(problem.head, reference(), Algorithm::direct), twin));
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
