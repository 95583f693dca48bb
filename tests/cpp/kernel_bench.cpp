// Times the kernels with the calls that the checks make.
#include <chrono>

#include "fma_peak.h"
#include "kernel_check.h"
#include "problems.h"
#include "resize.h"

namespace fsrcnn {
namespace {

/// Shortest time of one call, in nanoseconds: some of many short trials escape every interruption.
template <typename Call>
double best_time(const Call& call) {
  using Clock = std::chrono::steady_clock;
  using Nanoseconds = std::chrono::duration<double, std::nano>;
  constexpr Nanoseconds kTrial(5e4), kTotal(6e7);
  double best = std::numeric_limits<double>::infinity();
  int repeats = 1;
  for (const auto start = Clock::now(); Clock::now() - start < kTotal;) {
    const auto begin = Clock::now();
    for (int i = 0; i < repeats; ++i) call();
    const Nanoseconds elapsed = Clock::now() - begin;
    best = std::min(best, elapsed.count() / repeats);
    if (elapsed < kTrial) repeats *= 2;
  }
  return best;
}

}  // namespace

/// Layers of FSRCNN(56, 12, 4) and FSRCNN(32, 5, 1) at 240 columns. Rates count the products of the direct computation.
void bench(const KernelTable& table) {
  constexpr int kWidth = 240;
  const double peak = fma_peak(table, 1, 0.2);
  std::printf("%-9s  fma_loop %.1f GFLOP/s\n", table.isa, peak);
  const auto print = [&](const char* kernel, const std::string& shape, double products, double nanoseconds) {
    const double rate = 2 * products / nanoseconds;
    std::printf("%-9s  %-16s %-16s %9.2f us  %6.1f GFLOP/s  %5.2f of peak\n", table.isa, kernel, shape.c_str(),
                nanoseconds / 1000, rate, rate / peak);
    std::fflush(stdout);
  };
  const auto print_winograd = [&](int kernel, const std::string& shape, double products, const PackedConv& packed) {
    const auto call = kernel == 3 ? table.winograd3_conv2d : table.winograd5_conv2d;
    const ConvProblem problem(packed.ic, packed.oc, kernel, kWinogradTile, kWidth, kWinogradOverrun, Kind::mixed);
    const Planes dst(memory().dst, kWinogradTile * packed.oc, kWidth, kWinogradOverrun);
    float* dst_rows[kWinogradTile];
    const WinogradArgs args = problem.winograd_args(packed, dst_rows, dst);
    print(kernel == 3 ? "winograd3_conv2d" : "winograd5_conv2d", shape, kWinogradTile * products,
          best_time([&] { call(args); }));
  };
  constexpr struct {
    int ic, oc, kernel;
  } kLayers[] = {{1, 56, 5}, {56, 12, 1}, {12, 12, 3}, {12, 56, 1}, {1, 32, 5}, {32, 5, 1}, {5, 5, 3}, {5, 32, 1}};
  for (const auto& s : kLayers) {
    const std::string k = std::to_string(s.kernel);
    const std::string shape = std::to_string(s.ic) + "->" + std::to_string(s.oc) + " " + k + "x" + k;
    const double products = double{kWidth} * s.ic * s.oc * s.kernel * s.kernel;
    const ConvProblem problem(s.ic, s.oc, s.kernel, 1, kWidth, kOverrun, Kind::mixed);
    const Planes dst(memory().dst, s.oc, kWidth, kOverrun);
    const Conv2dArgs args = problem.conv2d_args(pack(problem.layer, table, Algorithm::direct), 0, dst);
    print("conv2d", shape, products, best_time([&] { table.conv2d(args); }));
    const PackedConv packed = pack(problem.layer, table, Algorithm::winograd);
    if (packed.winograd) print_winograd(s.kernel, shape, products, packed);
  }
  for (const int ic : {56, 32}) {
    for (const auto& [stride, pad] : {std::pair{2, 4}, {3, 3}, {4, 3}}) {
      const std::string shape = std::to_string(ic) + "->1 x" + std::to_string(stride);
      const double products = double{kWidth} * ic * kDeconvKernel * kDeconvKernel;
      const int phases = stride * stride;
      const DeconvProblem problem(stride, pad, ic, kWidth, Kind::mixed);
      const Planes dst(memory().dst, phases, kWidth, kOverrun);
      const Deconv2dArgs args = problem.args(pack(problem.head, table, Algorithm::direct), dst);
      print("deconv2d", shape, products, best_time([&] { table.deconv2d(args); }));
      const PackedHead packed = pack(problem.head, table, Algorithm::winograd);
      if (packed.subpixel) print_winograd(packed.subpixel->kernel, shape, products, *packed.subpixel);
    }
  }
  // Pixel I/O: what counts is nanoseconds per sample.
  const auto print_samples = [&](const std::string& kernel, double samples, double nanoseconds) {
    std::printf("%-9s  %-33s %9.2f us  %6.3f ns/sample\n", table.isa, kernel.c_str(), nanoseconds / 1000,
                nanoseconds / samples);
    std::fflush(stdout);
  };
  for (const SampleType type : kTypes) {
    const int t = static_cast<int>(type), size = sample_bytes(type);
    const float full = type == SampleType::u8 ? 255 : type == SampleType::u16 ? 65535 : 1;
    unsigned char* const src = memory().src.bytes(3 * kWidth * size);
    std::memset(src, 0, static_cast<std::size_t>(3 * kWidth * size));
    const Planes row(memory().dst, 1, kWidth, kOverrun);
    for (const int channels : {1, 3}) {
      print_samples(std::string("load ") + kTypeNames[t] + (channels == 1 ? " grey" : " RGB"), kWidth,
                    best_time([&] { table.load[t](src, channels * size, kWidth, full, row.data); }));
    }
    for (const int channels : {1, 3}) {
      const Planes planes(memory().a, 3 * channels, kWidth, kOverrun);
      std::vector<const float*> rows;
      for (std::ptrdiff_t i = 0; i < planes.count; ++i) {
        for (std::ptrdiff_t x = 0; x < planes.used; ++x) planes.plane(i)[x] = static_cast<float>(x) / 300;
        rows.push_back(planes.plane(i));
      }
      unsigned char* const dst = memory().twin.bytes(3 * kWidth * channels * size);
      const StoreArgs args{rows.data(), 3, channels, kWidth, dst, channels * size, size, {full, full}};
      print_samples(std::string("store ") + kTypeNames[t] + (channels == 1 ? " grey x3" : " RGB x3"),
                    3.0 * kWidth * channels, best_time([&] { table.store[t](args); }));
    }
  }
  const Planes rows(memory().a, 6, 2 * kWidth, kOverrun);
  rows.fill(Kind::mixed, 1);
  const auto row = [&](int i) { return rows.plane(i); };
  print_samples("rgb_to_y", kWidth, best_time([&] { table.rgb_to_y(row(0), row(1), row(2), kWidth, row(3)); }));
  print_samples("rgb_to_cbcr", kWidth,
                best_time([&] { table.rgb_to_cbcr(row(0), row(1), row(2), kWidth, row(3), row(4)); }));
  const float* const sources[] = {row(0), row(1), row(2), row(3)};
  const float weights[] = {-0.07f, 0.57f, 0.57f, -0.07f};
  print_samples("blend4", kWidth, best_time([&] { table.blend4(sources, weights, kWidth, row(4)); }));
  // From x2 to x1.5, down the columns and along the rows of as many outputs.
  AxisFilter filter;
  filter.make(2 * kWidth, kWidth * 3 / 2, 4, 3, 0.5);
  const Planes large(memory().b, kResampleRows, 2 * kWidth, kOverrun),
      small(memory().c, kResampleRows, kWidth * 3 / 2, kOverrun);
  large.fill(Kind::mixed, 1);
  const float* large_rows[kResampleRows];
  float* small_rows[kResampleRows];
  for (int r = 0; r < kResampleRows; ++r) large_rows[r] = large.plane(r), small_rows[r] = small.plane(r);
  print_samples("blend 6", 2 * kWidth,
                best_time([&] { table.blend(large_rows, filter.weights_of(9), filter.taps, 2 * kWidth, row(4)); }));
  const ResampleArgs resample_args{large_rows,          0,
                                   filter.first.data(), filter.weights_of(0),
                                   filter.taps,         kWidth * 3 / 2,
                                   small_rows,          memory().scratchpad.floats(resample_scratchpad(filter.taps))};
  print_samples("resample x2 to x1.5", kResampleRows * kWidth * 1.5, best_time([&] { table.resample(resample_args); }));
  // In place, so that the numbers grow from call to call: zeros stay small.
  std::fill(rows.data, rows.data + rows.stride * 2 + rows.used, 0.0f);
  print_samples("ycbcr_to_rgb", kWidth, best_time([&] { table.ycbcr_to_rgb(row(0), row(1), row(2), kWidth); }));
}

}  // namespace fsrcnn
