// Checks what Upscaler::run promises beside its numbers: neither strips, threads, other scales nor what ran before
// change a bit; any number of threads may call it at once; it works in a forked child; in a steady state it allocates
// nothing.
//
//   upscaler_check [--list] [--isa NAME] [--no-fork]
//
// Exit status: 0 all is so, 1 it is not, 77 this processor cannot run NAME. Built with ThreadSanitizer it also shows
// that the calls do not race.
#include "upscaler.h"

#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/dispatch.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FSRCNN_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FSRCNN_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define FSRCNN_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FSRCNN_TSAN 1
#endif
#endif

// Every allocation of the process passes through these; operator new calls them. Sanitizers have their own.
#if defined(__GLIBC__) && !defined(FSRCNN_SANITIZED)
#define FSRCNN_COUNT_ALLOCATIONS 1
static std::atomic<long> g_allocations{0};
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
__attribute__((visibility("default"))) void* malloc(std::size_t size) noexcept {
  ++g_allocations;
  return __libc_malloc(size);
}
__attribute__((visibility("default"))) void* calloc(std::size_t count, std::size_t size) noexcept {
  ++g_allocations;
  return __libc_calloc(count, size);
}
__attribute__((visibility("default"))) void* realloc(void* memory, std::size_t size) noexcept {
  ++g_allocations;
  return __libc_realloc(memory, size);
}
__attribute__((visibility("default"))) void* memalign(std::size_t alignment, std::size_t size) noexcept {
  ++g_allocations;
  return __libc_memalign(alignment, size);
}
__attribute__((visibility("default"))) void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  return memalign(alignment, size);
}
__attribute__((visibility("default"))) int posix_memalign(void** memory, std::size_t alignment,
                                                          std::size_t size) noexcept {
  *memory = memalign(alignment, size);
  return *memory ? 0 : ENOMEM;
}
}
#endif

namespace fsrcnn {
namespace {

int g_failures = 0;

void report(const KernelTable& table, const char* what, long cases, long failures) {
  std::printf("%-9s  %-52s %5ld cases  %s\n", table.isa, what, cases, failures ? "WRONG" : "ok");
  std::fflush(stdout);
  g_failures += failures != 0;
}

/// FSRCNN(d, s, m) with every alignment of heads that fits in two models, weights that keep the numbers near 1.
Model make_model(Padding padding, int border, bool other_pads) {
  std::mt19937 random(7);
  const auto number = [&](double spread) {
    return static_cast<float>(spread * (2.0 * static_cast<double>(random()) / 0xffffffff - 1.0));
  };
  Model model{{}, {}, padding};
  const auto add = [&](int ic, int oc, int kernel) {
    ConvLayer layer{ic, oc, kernel, {}, {}, {}};
    const int taps = ic * kernel * kernel;
    for (int i = 0; i < oc * taps; ++i) layer.weight.push_back(number(1.7 / std::sqrt(taps)));
    for (int o = 0; o < oc; ++o) layer.bias.push_back(number(0.1)), layer.slope.push_back(number(0.5));
    model.layers.push_back(std::move(layer));
  };
  add(1, 9, 5);
  add(9, 5, 1);
  add(5, 5, 3);
  add(5, 5, 3);
  add(5, 9, 1);
  for (const auto& [stride, pad] : {std::pair{2, 4}, {3, other_pads ? 4 : 3}, {4, other_pads ? 4 : 3}}) {
    Head head{stride, pad, stride - kDeconvKernel + 2 * pad, border, 9, {}, 0.1f};
    for (int i = 0; i < 9 * kDeconvKernel * kDeconvKernel; ++i) head.weight.push_back(number(0.15));
    model.heads.push_back(std::move(head));
  }
  return model;
}

/// A picture with its memory. The same seed makes the same picture.
class Picture {
 public:
  Picture(std::ptrdiff_t height, std::ptrdiff_t width, int channels, SampleType type, unsigned seed)
      : data_(static_cast<std::size_t>(height * width * channels * sample_bytes(type))) {
    const std::ptrdiff_t pixel = channels * sample_bytes(type);
    const float full = type == SampleType::u8 ? 255 : type == SampleType::u16 ? 65535 : 1;
    view_ = {data_.data(), height, width, channels, type, {full, full}, width * pixel, pixel, sample_bytes(type)};
    std::mt19937 random(seed);
    if (type == SampleType::f32) {
      for (std::size_t i = 0; i < data_.size(); i += sizeof(float)) {
        const float value = static_cast<float>(random() >> 8) * 0x1p-24f;
        std::memcpy(&data_[i], &value, sizeof value);
      }
    } else {
      for (unsigned char& byte : data_) byte = static_cast<unsigned char>(random());
    }
  }
  ImageView view() const {
    return {data_.data(), view_.height,     view_.width,        view_.channels,      view_.type,
            view_.range,  view_.row_stride, view_.pixel_stride, view_.channel_stride};
  }
  MutableImageView target() { return view_; }
  bool operator==(const Picture& other) const { return data_ == other.data_; }
  const std::vector<unsigned char>& bytes() const { return data_; }

 private:
  std::vector<unsigned char> data_;
  MutableImageView view_;
};

struct Geometry {
  std::ptrdiff_t height, width;
  int channels;
  SampleType type;
};

Picture make_source(const Geometry& g) {
  return Picture(g.height, g.width, g.channels, g.type, static_cast<unsigned>(g.height * 31 + g.width + g.channels));
}

/// The outputs of one pass; they start as noise, so that what is not written shows.
std::vector<Picture> run(const Upscaler& upscaler, const Geometry& g, std::vector<int> scales, int threads,
                         std::ptrdiff_t strip_width, const Finish& finish = {}) {
  static std::atomic<unsigned> noise{1};
  const Picture src = make_source(g);
  std::vector<Picture> outputs;
  for (const int scale : scales) outputs.emplace_back(g.height * scale, g.width * scale, g.channels, g.type, ++noise);
  std::vector<Target> targets;
  for (std::size_t i = 0; i < scales.size(); ++i) targets.push_back({scales[i], outputs[i].target()});
  upscaler.run(src.view(), targets, finish, 0, src.view().height, threads, strip_width);
  return outputs;
}

struct Setup {
  Padding padding;
  int border;
  bool other_pads;
  Algorithm algorithm;
  Finish finish;
};
constexpr Setup kSetups[] = {{Padding::replicate, Head::kFullBorder, false, Algorithm::winograd, {}},
                             {Padding::zeros, Head::kFullBorder, false, Algorithm::winograd, {0.6f, true, true}},
                             {Padding::replicate, 1, true, Algorithm::winograd, {1, false, false}},
                             {Padding::replicate, Head::kFullBorder, true, Algorithm::direct, {1.5f, true, false}},
                             {Padding::zeros, 0, false, Algorithm::direct, {1, false, true}}};

/// Strips of every width, several threads, all scales at once, and scratch that other pictures have used.
void check_bits(const KernelTable& table) {
  const std::vector<Geometry> geometries = {{23, 61, 1, SampleType::u8},  {9, 70, 3, SampleType::u16},
                                            {40, 17, 4, SampleType::f32}, {1, 1, 1, SampleType::f32},
                                            {2, 5, 2, SampleType::u8},    {5, 3, 3, SampleType::f32},
                                            {33, 40, 1, SampleType::f32}};
  long cases = 0, failures = 0;
  for (const Setup& setup : kSetups) {
    const Upscaler upscaler(make_model(setup.padding, setup.border, setup.other_pads), table, setup.algorithm);
    for (const Geometry& g : geometries) {
      std::vector<Picture> expected;
      for (const int scale : {2, 3, 4}) {
        const Upscaler fresh(make_model(setup.padding, setup.border, setup.other_pads), table, setup.algorithm);
        expected.push_back(run(fresh, g, {scale}, 1, g.width, setup.finish)[0]);
      }
      const auto check = [&](std::vector<int> scales, int threads, std::ptrdiff_t strip_width) {
        const std::vector<Picture> outputs = run(upscaler, g, scales, threads, strip_width, setup.finish);
        for (std::size_t i = 0; i < scales.size(); ++i) {
          ++cases;
          if (outputs[i] == expected[static_cast<std::size_t>(scales[i] - 2)]) continue;
          if (failures++ < 5) {
            std::printf("  %s: %tdx%td, %d channels, type %d, x%d of %zu, %d threads, strips of %td: other bits\n",
                        table.isa, g.width, g.height, g.channels, static_cast<int>(g.type), scales[i], scales.size(),
                        threads, strip_width);
          }
        }
      };
      for (std::ptrdiff_t strip_width = 0; strip_width < g.width + 4; strip_width += 4) {
        check({2, 3, 4}, 1 + static_cast<int>(strip_width / 4 % 3), strip_width);
      }
      for (const int threads : {1, 2, 3, 8}) {
        for (const int scale : {4, 2, 3}) check({scale}, threads, 0);
        check({4, 2}, threads, 16);
      }
    }
  }
  report(table, "strips, threads and company change no bit", cases, failures);
}

/// The bicubic filter alone, as the chroma of video takes it: rounded-up planes are cut at the edges.
void check_bicubic(const KernelTable& table) {
  constexpr Siting kLeft{0.25, 0.5};
  const Upscaler upscaler(make_model(Padding::replicate, Head::kFullBorder, false), table, Algorithm::winograd);
  long cases = 0, failures = 0;
  const std::vector<Geometry> geometries = {
      {37, 21, 1, SampleType::u8}, {1, 1, 1, SampleType::u16}, {64, 50, 1, SampleType::u16}};
  for (const Geometry& g : geometries) {
    for (const int scale : {2, 3, 4}) {
      for (std::ptrdiff_t cut = 0; cut < scale; ++cut) {
        const Picture src = make_source(g);
        const auto upscale = [&](int threads, unsigned noise) {
          Picture dst(g.height * scale - cut, g.width * scale - cut, 1, g.type, noise);
          upscaler.run_bicubic(src.view(), dst.target(), scale, kLeft, threads);
          return dst;
        };
        const Picture expected = upscale(1, 1);
        for (const int threads : {1, 2, 3, 8}) {
          ++cases;
          failures += upscale(threads, 2) != expected;
        }
      }
    }
    const Picture src = make_source(g);
    const auto resize = [&](int threads, unsigned noise) {
      Picture dst(g.height * 7 / 3, g.width * 11 / 2, 1, g.type, noise);
      upscaler.run_bicubic_resized(src.view(), dst.target(), {10, 30}, {55, 70}, kLeft, threads);
      return dst;
    };
    const Picture expected = resize(1, 1);
    for (const int threads : {2, 3, 8}) {
      ++cases;
      failures += resize(threads, 2) != expected;
    }
  }
  report(table, "bicubic alone: threads change no bit", cases, failures);
}

struct Resize {
  Geometry source;
  std::ptrdiff_t height, width;
  std::vector<int> scales;
};
const std::vector<Resize>& resizes() {
  static const std::vector<Resize> list = {
      {{23, 61, 1, SampleType::u8}, 35, 92, {2}},          {{19, 70, 3, SampleType::u16}, 48, 175, {3}},
      {{40, 17, 4, SampleType::f32}, 200, 85, {2, 3}},     {{1, 1, 1, SampleType::f32}, 3, 5, {2, 3}},
      {{2, 5, 2, SampleType::u8}, 2, 80, {4, 4}},          {{37, 6, 3, SampleType::u8}, 200, 7, {2, 3}},
      {{9, 14, 3, SampleType::f32}, 144, 16, {2, 2, 2, 2}}};
  return list;
}

Picture resize(const Upscaler& upscaler, const Resize& r, int threads, std::ptrdiff_t strip_width,
               const Finish& finish = {}) {
  static std::atomic<unsigned> noise{1};
  const Picture src = make_source(r.source);
  Picture dst(r.height, r.width, r.source.channels, r.source.type, ++noise);
  upscaler.run_resized(src.view(), dst.target(), finish, r.scales, threads, strip_width);
  return dst;
}

/// The same of any size, where passes of the network feed each other.
void check_resized_bits(const KernelTable& table) {
  long cases = 0, failures = 0;
  for (const Setup& setup : kSetups) {
    const Model model = make_model(setup.padding, setup.border, setup.other_pads);
    const Upscaler upscaler(model, table, setup.algorithm);
    for (const Resize& r : resizes()) {
      const Picture expected = resize(Upscaler(model, table, setup.algorithm), r, 1, 1 << 20, setup.finish);
      for (const int threads : {1, 2, 3, 8}) {
        for (const std::ptrdiff_t strip_width : {0, 4, 8, 20, 64}) {
          ++cases;
          failures += resize(upscaler, r, threads, strip_width, setup.finish) != expected;
        }
      }
    }
  }
  report(table, "any size: strips and threads change no bit", cases, failures);
}

/// One pass and no filter, or one that leaves all as it is, must give what the network gives.
void check_resized_against_run(const KernelTable& table) {
  long cases = 0, failures = 0;
  for (const Setup& setup : kSetups) {
    const Upscaler upscaler(make_model(setup.padding, setup.border, setup.other_pads), table, setup.algorithm);
    Finish finish = setup.finish;
    finish.strength = std::max(1.0f, finish.strength);  // below, it is a matter of the result and not of the passes
    for (const int scale : {2, 3, 4}) {
      const Geometry g{21, 43, 1, SampleType::f32};
      ++cases;
      failures += resize(upscaler, {g, g.height * scale, g.width * scale, {scale}}, 2, 16, finish) !=
                  run(upscaler, g, {scale}, 1, 0, finish)[0];
      // Two passes are a pass over what a pass gives.
      const Picture once = run(upscaler, g, {2}, 1, 0, finish)[0];
      Picture twice(g.height * 2 * scale, g.width * 2 * scale, 1, g.type, 1);
      const Target target{scale, twice.target()};
      upscaler.run(once.view(), {&target, 1}, finish, 0, once.view().height, 1, 0);
      ++cases;
      failures += resize(upscaler, {g, g.height * 2 * scale, g.width * 2 * scale, {2, scale}}, 3, 16, finish) != twice;
    }
  }
  report(table, "any size: a product of scales is pass upon pass", cases, failures);
}

/// Against the scalar twins, in units of full scale.
void check_numbers(const KernelTable& table) {
  // Errors of Winograd's algorithm stay below this: the promise to users.
  constexpr double kTolerance = 1e-5;
  double worst = 0;
  long cases = 0;
  const auto add_worst = [&](const Picture& got, const Picture& want, double passes) {
    for (std::size_t k = 0; k < got.bytes().size(); k += sizeof(float)) {
      float a, b;
      std::memcpy(&a, &got.bytes()[k], sizeof a);
      std::memcpy(&b, &want.bytes()[k], sizeof b);
      const double error = std::abs(static_cast<double>(a) - b) / passes;
      worst = error <= worst ? worst : error;  // NaN is worst
    }
  };
  for (const Setup& setup : kSetups) {
    const Model model = make_model(setup.padding, setup.border, setup.other_pads);
    const Upscaler upscaler(model, table, setup.algorithm);
    const Upscaler twin(model, table_by_name("reference"), Algorithm::direct);
    for (const int channels : {1, 4}) {
      const Geometry g{13, 38, channels, SampleType::f32};
      const std::vector<Picture> got = run(upscaler, g, {2, 3, 4}, 2, 16, setup.finish),
                                 want = run(twin, g, {2, 3, 4}, 1, 0, setup.finish);
      for (std::size_t i = 0; i < got.size(); ++i, ++cases) {
        add_worst(got[i], want[i], 1);
      }
    }
  }
  for (const Resize& r : resizes()) {
    if (r.source.type != SampleType::f32) continue;
    const Model model = make_model(Padding::replicate, Head::kFullBorder, false);
    const Picture got = resize(Upscaler(model, table, Algorithm::winograd), r, 2, 16);
    const Picture want = resize(Upscaler(model, table_by_name("reference"), Algorithm::direct), r, 1, 0);
    // Errors of one pass go through the next, which makes them larger by as much as its weights do.
    add_worst(got, want, static_cast<double>(r.scales.size()));
    ++cases;
  }
  char what[80];
  std::snprintf(what, sizeof what, "scalar twins agree within %.1e (worst %.1e)", kTolerance, worst);
  report(table, what, cases, !(worst <= kTolerance));
}

/// Several threads, each with its own sizes, share one upscaler.
void check_concurrent_calls(const KernelTable& table) {
  constexpr int kCallers = 4, kRounds = 3;
  const std::vector<Geometry> geometries = {{21, 44, 1, SampleType::u8},
                                            {16, 37, 3, SampleType::u8},
                                            {30, 18, 4, SampleType::f32},
                                            {11, 64, 2, SampleType::u16}};
  const Upscaler upscaler(make_model(Padding::replicate, Head::kFullBorder, false), table, Algorithm::winograd);
  std::vector<std::vector<Picture>> expected;
  for (const Geometry& g : geometries) expected.push_back(run(upscaler, g, {2, 3}, 1, 0));
  std::atomic<long> failures{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      for (int round = 0; round < kRounds * static_cast<int>(geometries.size()); ++round) {
        const std::size_t i = static_cast<std::size_t>(caller + round) % geometries.size();
        failures += run(upscaler, geometries[i], {2, 3}, 1 + round % 3, round % 2 * 16) != expected[i];
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  report(table, "concurrent calls", kCallers * kRounds * static_cast<long>(geometries.size()), failures);
}

/// Threads of this process, or 0 where the system does not tell.
[[maybe_unused]] int thread_count() {
  DIR* tasks = opendir("/proc/self/task");
  if (!tasks) return 0;
  int count = -2;  // . and ..
  while (readdir(tasks)) ++count;
  closedir(tasks);
  return count;
}

/// The child has none of its parent's threads, but must be able to use two of its own.
void check_fork(const KernelTable& table) {
#if defined(FSRCNN_TSAN)
  std::printf("%-9s  fork: skipped, ThreadSanitizer starts no threads after it\n", table.isa);
#else
  const Geometry g{26, 50, 3, SampleType::u8};
  const Upscaler upscaler(make_model(Padding::replicate, Head::kFullBorder, false), table, Algorithm::winograd);
  const std::vector<Picture> expected = run(upscaler, g, {3}, 2, 16);
  long failures = 0;
  for (int generation = 0; generation < 2; ++generation) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(60);  // a hang is a failure too
      bool ok = run(upscaler, g, {3}, 2, 16) == expected;
      const int threads = thread_count();
      if (threads != 0 && threads != 2) {
        std::printf("  %s: a child runs on %d threads instead of 2\n", table.isa, threads);
        std::fflush(stdout);
        ok = false;
      }
      if (generation == 1) {  // and a child of the child
        const pid_t grandchild = fork();
        if (grandchild == 0) _exit(run(upscaler, g, {3}, 2, 16) == expected ? 0 : 1);
        int status = 0;
        ok &= waitpid(grandchild, &status, 0) == grandchild && status == 0;
      }
      _exit(ok ? 0 : 1);
    }
    int status = 0;
    failures += waitpid(child, &status, 0) != child || status != 0;
    failures += run(upscaler, g, {3}, 2, 16) != expected;  // the parent goes on
  }
  report(table, "forked children", 2, failures);

  // A fork copies the locks that other threads hold: while they call without a pause, some children would hang.
  const long forks = 600;
  std::atomic<bool> stop{false};
  std::vector<std::thread> callers;
  const Geometry tiny{1, 1, 1, SampleType::u8};
  const std::vector<Picture> dot = run(upscaler, tiny, {2}, 1, 0);
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      while (!stop) run(upscaler, tiny, {2}, 1, 0);
    });
  }
  failures = 0;
  for (long i = 0; i < forks && failures == 0; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      _exit(run(upscaler, tiny, {2}, 1, 0) == dot ? 0 : 1);
    }
    int status = 0;
    failures += waitpid(child, &status, 0) != child || status != 0;
  }
  stop = true;
  for (std::thread& caller : callers) caller.join();
  report(table, "forked while other threads call", forks, failures);
#endif
}

void check_allocations(const KernelTable& table) {
#if !defined(FSRCNN_COUNT_ALLOCATIONS)
  std::printf("%-9s  allocations: skipped, a sanitizer or another C library owns the allocator\n", table.isa);
#else
  long cases = 0, failures = 0;
  constexpr int kPasses[] = {2, 2};
  for (const Algorithm algorithm : {Algorithm::direct, Algorithm::winograd}) {
    const Upscaler upscaler(make_model(Padding::replicate, Head::kFullBorder, false), table, algorithm);
    for (const int channels : {1, 3, 4}) {
      for (const int threads : {1, 2}) {
        const Geometry g{48, 96, channels, SampleType::u8};
        const Picture src = make_source(g);
        Picture x2(g.height * 2, g.width * 2, channels, g.type, 1), x3(g.height * 3, g.width * 3, channels, g.type, 1);
        const Target targets[] = {{2, x2.target()}, {3, x3.target()}};
        const auto call = [&] {
          const Finish finish{threads == 1 ? 1 : 0.5f, true, true};
          upscaler.run(src.view(), targets, finish, 0, src.view().height, threads, 32);
          upscaler.run_resized(src.view(), x3.target(), finish, kPasses, threads, 32);
          if (channels == 1) {
            upscaler.run_bicubic(src.view(), x2.target(), 2, {}, threads);
            upscaler.run_bicubic_resized(src.view(), x3.target(), {1, 1}, {3, 3}, {}, threads);
          }
        };
        for (int i = 0; i < 2; ++i) call();
        const long before = g_allocations;
        for (int i = 0; i < 5; ++i) call();
        const long allocations = g_allocations - before;
        ++cases;
        if (allocations == 0) continue;
        ++failures;
        std::printf("  %s: %ld allocations in 5 calls, %d channels, %d threads\n", table.isa, allocations, channels,
                    threads);
      }
    }
  }
  // The counter counts. Compilers may leave out an allocation whose address nobody sees.
  const long before = g_allocations;
  const AlignedBuffer aligned(100);
  const std::vector<float> plain(100);
  const void* volatile seen = aligned.data();
  seen = plain.data();
  failures += g_allocations - before < 2 || !seen;
  report(table, "no allocation in a steady state", cases, failures);
#endif
}

int run_checks(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--list") {
    for (const KernelTable* table : available_tables()) std::printf("%s\n", table->isa);
    return 0;
  }
  std::string isa;
  bool forks = true;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--no-fork") {
      forks = false;
    } else if (std::string(argv[i]) == "--isa" && i + 1 < argc) {
      isa = argv[++i];
    } else {
      std::fprintf(stderr, "usage: upscaler_check [--list] [--isa NAME] [--no-fork]\n");
      return 2;
    }
  }
  bool found = false;
  for (const KernelTable* table : available_tables()) {
    if (!isa.empty() && isa != table->isa) continue;
    found = true;
    check_numbers(*table);
    check_bits(*table);
    check_resized_bits(*table);
    check_resized_against_run(*table);
    check_bicubic(*table);
    check_concurrent_calls(*table);
    if (forks) check_fork(*table);
    check_allocations(*table);
  }
  if (!found) {
    std::printf("%-9s  skipped: not available on this processor\n", isa.c_str());
    return 77;
  }
  return g_failures ? 1 : 0;
}

}  // namespace
}  // namespace fsrcnn

int main(int argc, char** argv) { return fsrcnn::run_checks(argc, argv); }
