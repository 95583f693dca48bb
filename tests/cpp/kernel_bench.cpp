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
  constexpr Nanoseconds kTrial(5e4), kTotal(3e7);
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

/// The same, and the best rate of multiply-adds in between, in GFLOP/s: whatever else the machine does, it does to
/// both.
template <typename Call>
std::pair<double, double> best_time_and_peak(const KernelTable& table, const Call& call) {
  double nanoseconds = std::numeric_limits<double>::infinity(), peak = 0;
  for (int i = 0; i < 4; ++i) {
    peak = std::max(peak, fma_peak(table, 1, 0.01));
    nanoseconds = std::min(nanoseconds, best_time(call));
  }
  return {nanoseconds, peak};
}

}  // namespace

/// Layers of FSRCNN(56, 12, 4), FSRCNN(32, 5, 1), IDN and SRCNN at 240 columns. Rates count the products of the direct
/// computation, and are shares of the peak that was measured beside them.
void bench(const KernelTable& table) {
  constexpr int kWidth = 240;
  std::printf("%-9s  fma_loop %.1f GFLOP/s\n", table.isa, fma_peak(table, 1, 0.2));
  const auto print_conv = [&](const char* network, const std::string& shape, double products,
                              const PackedConv& packed) {
    const ConvProblem problem(packed.ic, packed.oc, packed.kernel, packed.rows_made, kWidth, kWinogradOverrun,
                              Kind::mixed);
    const Planes dst(memory().dst, packed.rows_made * packed.oc, kWidth, kWinogradOverrun);
    float* dst_rows[kWinogradTile];
    for (int i = 0; i < packed.rows_made; ++i) dst_rows[i] = dst.plane(i * packed.oc);
    float* const scratchpad = memory().scratchpad.floats(packed.scratchpad);
    const char* kernel = packed.run == table.conv2d          ? "conv2d"
                         : packed.run == table.conv2d_narrow ? "conv2d_narrow"
                         : packed.run == table.winograd3     ? "winograd3"
                         : packed.run == table.winograd5     ? "winograd5"
                                                             : "deconv2d";
    const double operations = 2 * kWidth * products * packed.rows_made;
    const auto [nanoseconds, peak] = best_time_and_peak(table, [&] {
      convolve(packed, problem.rows.data(), problem.src.stride, dst_rows, dst.stride, kWidth, scratchpad);
    });
    std::printf("%-9s  %-9s %-13s %-20s %9.2f us  %6.1f GFLOP/s  %5.2f of peak\n", table.isa, network, kernel,
                shape.c_str(), nanoseconds / 1000, operations / nanoseconds, operations / nanoseconds / peak);
    std::fflush(stdout);
  };
  constexpr struct {
    const char* network;
    int ic, oc, kernel, groups;
  } kLayers[] = {
      {"FSRCNN", 1, 56, 5, 1},   {"FSRCNN", 56, 12, 1, 1},  {"FSRCNN", 12, 12, 3, 1}, {"FSRCNN", 12, 56, 1, 1},
      {"FSRCNN-s", 1, 32, 5, 1}, {"FSRCNN-s", 32, 5, 1, 1}, {"FSRCNN-s", 5, 5, 3, 1}, {"FSRCNN-s", 5, 32, 1, 1},
      {"IDN", 1, 64, 3, 1},      {"IDN", 64, 64, 3, 1},     {"IDN", 64, 48, 3, 1},    {"IDN", 48, 32, 3, 4},
      {"IDN", 32, 64, 3, 1},     {"IDN", 48, 64, 3, 1},     {"IDN", 64, 48, 3, 4},    {"IDN", 48, 80, 3, 1},
      {"IDN", 80, 64, 1, 1},     {"SRCNN", 1, 64, 9, 1},    {"SRCNN", 64, 32, 1, 1},  {"SRCNN", 64, 32, 3, 1},
      {"SRCNN", 64, 32, 5, 1},   {"SRCNN", 32, 1, 5, 1}};
  for (const auto& s : kLayers) {
    const std::string k = std::to_string(s.kernel);
    std::string shape = std::to_string(s.ic) + "->" + std::to_string(s.oc) + " " + k + "x" + k;
    if (s.groups > 1) shape += " in " + std::to_string(s.groups);
    const double products = double{1} * s.ic * s.oc * s.kernel * s.kernel / s.groups;
    const ConvProblem problem(s.ic, s.oc, s.kernel, 1, 1, kOverrun, Kind::mixed, 0, s.groups);
    const PackedConv direct = pack(problem.layer, table, Algorithm::direct);
    print_conv(s.network, shape, products, direct);
    const PackedConv packed = pack(problem.layer, table, Algorithm::winograd);
    if (packed.run != direct.run) print_conv(s.network, shape, products, packed);
  }
  constexpr struct {
    const char* network;
    int ic, stride, pad, kernel;
  } kHeads[] = {{"FSRCNN", 56, 2, 4, 9},   {"FSRCNN", 56, 3, 3, 9},   {"FSRCNN", 56, 4, 3, 9},
                {"FSRCNN-s", 32, 2, 4, 9}, {"FSRCNN-s", 32, 3, 3, 9}, {"FSRCNN-s", 32, 4, 3, 9},
                {"IDN", 64, 2, 7, 17},     {"IDN", 64, 3, 6, 17},     {"IDN", 64, 4, 5, 17}};
  for (const auto& s : kHeads) {
    const std::string shape = std::to_string(s.ic) + "->1 " + std::to_string(s.kernel) + "x" +
                              std::to_string(s.kernel) + " x" + std::to_string(s.stride);
    const double products = double{1} * s.ic * s.kernel * s.kernel;
    const Head head = random_head(s.stride, s.pad, s.ic, Kind::mixed, 1, s.kernel);
    const PackedConv direct = pack(head, table, Algorithm::direct).conv;
    print_conv(s.network, shape, products, direct);
    const PackedConv packed = pack(head, table, Algorithm::winograd).conv;
    if (packed.run != direct.run) print_conv(s.network, shape, products, packed);
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
  std::fill(rows.data, rows.data + rows.stride * 5 + rows.used, 0.0f);
  const auto zero = [&](int i) { return row(i) + kOverrun; };
  print_samples("ycbcr_to_rgb", kWidth, best_time([&] { table.ycbcr_to_rgb({zero(0), zero(1), zero(2), kWidth}); }));
  const ColourArgs guided{zero(0), zero(1), zero(2), kWidth, zero(3), {zero(4), zero(5)}};
  print_samples("ycbcr_to_rgb guided", kWidth, best_time([&] { table.ycbcr_to_rgb(guided); }));
  const float *const five[] = {zero(0), zero(1), zero(2), zero(3), zero(4)}, *const sixth[] = {zero(1), zero(2),
                                                                                               zero(3), zero(4),
                                                                                               zero(5)};
  float* const results[] = {small.plane(0), small.plane(1)};
  print_samples("range5", kWidth, best_time([&] { table.range5(five, five, kWidth, results[0], results[1]); }));
  print_samples("slope of two", kWidth, best_time([&] {
                  table.slope({five,
                               {five + 1, sixth},
                               five[0],
                               five[1],
                               {five[2], five[3]},
                               {five[3], five[4]},
                               kWidth,
                               {results[0], results[1]}});
                }));
  const ClampArgs clamp{row(3), row(4), 0.27f, 0.01f, large.data, large.stride, 9, kWidth};
  print_samples("clamp 9", 9 * kWidth, best_time([&] { table.clamp(clamp); }));
}

}  // namespace fsrcnn
