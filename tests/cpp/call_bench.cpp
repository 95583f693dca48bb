// Times whole calls of Upscaler beside the kernels that they call: what lies between the kernels and the whole.
//
// A table that notes every call stands in for the real one while the network runs once. Calls of the same kernel and
// shape are then repeated, as many as the network makes, with the operands of one of them, which stay in the caches.
#include <chrono>
#include <functional>
#include <map>

#include "fma_peak.h"
#include "kernel_check.h"
#include "upscaler_check.h"

namespace fsrcnn {
namespace {

/// Calls of one kernel and one shape.
struct Calls {
  /// One from the middle of the picture: at its edges, rows are the same one several times.
  void repeat() const { calls[calls.size() / 2](); }
  std::size_t count() const { return calls.size(); }

  std::vector<std::function<void()>> calls;
  double products = 0;  // of one call; 0 of pixel kernels
  double in_place = 0;  // nanoseconds of all of them in the whole call that was timed last, and at best
  double best_in_place = std::numeric_limits<double>::infinity(), best = best_in_place;  // best: repeated
};

const KernelTable* g_table;            // whose calls are noted
std::map<std::string, Calls> g_calls;  // by kernel and shape
std::vector<Calls*> g_order;           // as the network makes them
std::size_t g_next;                    // of those, while they are timed in place
bool g_noting;                         // or timing

template <typename Call>
double nanoseconds(const Call& call) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  call();
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

/// Carries a call out. `note` gives its name, its products and what repeats it.
template <typename Call, typename Note>
void carry_out(const Call& call, const Note& note) {
  if (!g_noting) {
    const double took = nanoseconds(call);
    g_order[g_next++]->in_place += took;
    return;
  }
  call();
  auto [name, products, repeat] = note();
  Calls& calls = g_calls[name];
  calls.calls.push_back(std::move(repeat));
  calls.products = products;
  g_order.push_back(&calls);
}

using Noted = std::tuple<std::string, double, std::function<void()>>;

Noted pixel_kernel(const char* name, std::ptrdiff_t n, std::function<void()> repeat) {
  return {name + (" of " + std::to_string(n)), 0, std::move(repeat)};
}

void convolve_noted(const char* name, ConvKernel run, int rows_made, const ConvArgs& args) {
  carry_out([&] { run(args); },
            [&]() -> Noted {
              const std::vector<const float*> src(args.src_rows, args.src_rows + args.kernel + rows_made - 1);
              const std::vector<float*> dst(args.dst_rows, args.dst_rows + rows_made);
              const std::string kernel = std::to_string(args.kernel), width = std::to_string(args.width);
              return {std::string(name) + " " + std::to_string(args.ic) + "->" + std::to_string(args.oc) + " " +
                          kernel + "x" + kernel + " of " + width,
                      1.0 * args.ic * args.oc * args.kernel * args.kernel * static_cast<double>(args.width) * rows_made,
                      [args, src, dst, run] {
                        ConvArgs again = args;
                        again.src_rows = src.data();
                        again.dst_rows = dst.data();
                        run(again);
                      }};
            });
}

constexpr struct {
  const char* name;
  ConvKernel KernelTable::*kernel;
  int rows_made;
} kConvolutions[] = {{"conv2d", &KernelTable::conv2d, 1},
                     {"conv2d_narrow", &KernelTable::conv2d_narrow, 1},
                     {"conv2d_planes", &KernelTable::conv2d_planes, 1},
                     {"winograd3", &KernelTable::winograd3, kWinogradTile},
                     {"winograd5", &KernelTable::winograd5, kWinogradTile}};

template <int I>
void convolution(const ConvArgs& args) {
  convolve_noted(kConvolutions[I].name, g_table->*kConvolutions[I].kernel, kConvolutions[I].rows_made, args);
}

template <int I>
void deconvolution(const ConvArgs& args) {
  convolve_noted("deconv2d", g_table->deconv2d[I].run, 1, args);
}

template <int T>
void load(const unsigned char* src, ptrdiff_t pixel_stride, ptrdiff_t n, float full, float* dst) {
  const auto call = [=] { g_table->load[T](src, pixel_stride, n, full, dst); };
  carry_out(call, [&] { return pixel_kernel("load", n, call); });
}

template <int T>
void store(const StoreArgs& args) {
  carry_out([&] { g_table->store[T](args); },
            [&] {
              const std::vector<const float*> planes(args.planes, args.planes + args.phases * args.channels);
              return pixel_kernel("store", args.width, [args, planes] {
                StoreArgs again = args;
                again.planes = planes.data();
                g_table->store[T](again);
              });
            });
}

void range5(const float* const* low, const float* const* high, ptrdiff_t n, float* lo, float* hi) {
  carry_out([=] { g_table->range5(low, high, n, lo, hi); },
            [=] {
              const std::vector<const float*> lows(low, low + kWindowRows), highs(high, high + kWindowRows);
              return pixel_kernel("range5", n, [=] { g_table->range5(lows.data(), highs.data(), n, lo, hi); });
            });
}

void clamp(const ClampArgs& args) {
  const auto call = [args] { g_table->clamp(args); };
  carry_out(call, [&] { return pixel_kernel("clamp", args.n, call); });
}

void to_cells(const float* src, ptrdiff_t n, float* cells) {
  const auto call = [=] { g_table->to_cells(src, n, cells); };
  carry_out(call, [&] { return pixel_kernel("to_cells", n, call); });
}

template <int... I>
void replace_kernels(KernelTable& table, std::integer_sequence<int, I...>) {
  const auto replace = [](ConvKernel& kernel, ConvKernel by) {
    if (kernel) kernel = by;
  };
  (replace(table.*kConvolutions[I].kernel, convolution<I>), ...);
  (replace(table.deconv2d[I].run, deconvolution<I>), ...);
}

template <int... T>
void replace_pixel_kernels(KernelTable& table, std::integer_sequence<int, T...>) {
  ((table.load[T] = load<T>, table.store[T] = store<T>), ...);
  table.range5 = range5;
  table.clamp = clamp;
  if (table.to_cells) table.to_cells = to_cells;
}

/// What notes the calls of luma: colour takes more kernels, which would count as none.
KernelTable noting(const KernelTable& table) {
  static_assert(std::size(kConvolutions) == kDeconvKernels);
  KernelTable copy = table;
  replace_kernels(copy, std::make_integer_sequence<int, kDeconvKernels>());
  replace_pixel_kernels(copy, std::make_integer_sequence<int, kSampleTypes>());
  return copy;
}

/// FSRCNN(d, s, m) with heads of 9x9, and weights that keep the numbers near 1.
Model make_fsrcnn(int d, int s, int m) {
  std::mt19937 random(5);
  const auto numbers = [&](int count, double spread) {
    std::vector<float> values;
    for (int i = 0; i < count; ++i) {
      values.push_back(static_cast<float>(spread * (2.0 * static_cast<double>(random()) / 0xffffffff - 1.0)));
    }
    return values;
  };
  std::vector<ConvLayer> layers;
  const auto add = [&](int ic, int oc, int kernel) {
    const int taps = ic * kernel * kernel;
    layers.push_back({ic, oc, kernel, numbers(oc * taps, 1.7 / std::sqrt(taps)), numbers(oc, 0.1), numbers(oc, 0.5)});
  };
  add(1, d, 5);
  add(d, s, 1);
  for (int i = 0; i < m; ++i) add(s, s, 3);
  add(s, d, 1);
  Model model{.nodes = chain(std::move(layers)), .heads = {}, .padding = Padding::replicate};
  for (const auto& [stride, pad] : {std::pair{2, 4}, {3, 3}, {4, 3}}) {
    model.heads.push_back({.stride = stride,
                           .pad = pad,
                           .output_padding = stride - kDeconvKernel + 2 * pad,
                           .border = Head::kFullBorder,
                           .ic = d,
                           .kernel = kDeconvKernel,
                           .weight = numbers(d * kDeconvKernel * kDeconvKernel, 0.05),
                           .bias = {0.5f}});
  }
  return model;
}

void bench_call(const KernelTable& table, const char* network, const Model& model, std::ptrdiff_t width,
                std::ptrdiff_t height, int scale) {
  const char* const precision = table.precision == Precision::int16 ? "int16" : "float32";
  const Picture src(height, width, 1, SampleType::u8, 1);
  Picture dst(height * scale, width * scale, 1, SampleType::u8, 2);
  const Target target{scale, dst.target()};
  const KernelTable noted = noting(table);
  // The one that notes lives on, as its rings are the operands of what is repeated.
  const Upscaler upscaler(model, table, Algorithm::winograd), noting_upscaler(model, noted, Algorithm::winograd);
  const auto run = [&](const Upscaler& one) { one.run(src.view(), {&target, 1}, {}, 1, 0); };
  g_table = &table;
  g_calls.clear();
  g_order.clear();
  g_noting = true;
  run(noting_upscaler);
  g_noting = false;

  constexpr double kTotal = 2e9;
  constexpr int kLeast = 5;
  double whole = std::numeric_limits<double>::infinity(), kernels = whole, peak = 0, spent = 0;
  for (int trial = 0; trial < kLeast || spent < kTotal; ++trial) {
    if (table.fma_loop) peak = std::max(peak, fma_peak(table, 1, 0.002));
    double sum = 0;
    spent += nanoseconds([&] {
      run(upscaler);  // has its operands in the caches, as the kernels have theirs
      whole = std::min(whole, nanoseconds([&] { run(upscaler); }));
      for (auto& [name, calls] : g_calls) calls.in_place = 0;
      g_next = 0;
      run(noting_upscaler);
      for (auto& [name, calls] : g_calls) {
        calls.best_in_place = std::min(calls.best_in_place, calls.in_place);
        calls.repeat();
        const double took = nanoseconds([&, &calls = calls] {
          for (std::size_t i = 0; i < calls.count(); ++i) calls.repeat();
        });
        calls.best = std::min(calls.best, took);
        sum += took;
      }
    });
    kernels = std::min(kernels, sum);
  }
  std::printf("%-9s  %-7s  %-9s %tdx%td x%d: whole %.0f us, kernels %.0f us, whole / kernels %.3f\n", table.isa,
              precision, network, width, height, scale, whole / 1000, kernels / 1000, whole / kernels);
  for (const auto& [name, calls] : g_calls) {
    std::printf("  %-28s %6zu calls %9.1f us  %5.3f of the kernels  %9.1f us in the whole", name.c_str(), calls.count(),
                calls.best / 1000, calls.best / kernels, calls.best_in_place / 1000);
    if (calls.products > 0 && peak > 0) {
      std::printf("  %5.2f of peak", 2 * calls.products * static_cast<double>(calls.count()) / calls.best / peak);
    }
    std::printf("\n");
  }
  std::fflush(stdout);
}

}  // namespace

void bench_calls(const KernelTable& table) {
  const Model fsrcnn = make_fsrcnn(56, 12, 4), small = make_fsrcnn(32, 5, 1);
  for (const auto& [name, model] : {std::pair{"FSRCNN", &fsrcnn}, {"FSRCNN-s", &small}}) {
    bench_call(table, name, *model, 240, 240, 3);
    bench_call(table, name, *model, 240, 240, 2);
    bench_call(table, name, *model, 640, 360, 3);
  }
}

}  // namespace fsrcnn
