// Memory and threads that the system refuses: an allocator and a maker of threads that fail at the n-th call, for every
// n. A call then throws std::bad_alloc or gives the same bits, loses no memory, and the next one works. In a steady
// state there is no call that could fail.
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>

#include "gradient.h"
#include "sanitizers.h"
#include "upscaler_check.h"

#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif
#if defined(__linux__) && !defined(FSRCNN_SANITIZED)  // sanitizers have these for themselves
#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#define FSRCNN_REFUSES_PAGES 1
#endif

namespace fsrcnn {
namespace {

/// Calls to something that may be refused: the `fail_at`-th from arm() on is, and all that follow where it is lasting.
class Supply {
 public:
  bool refuses() {
    const long number = ++calls_, fail_at = fail_at_;
    return fail_at != 0 && (number == fail_at || (lasting_ && number > fail_at));
  }
  void arm(long fail_at, bool lasting) {
    calls_ = 0;
    lasting_ = lasting;
    fail_at_ = fail_at;
  }
  void disarm() { fail_at_ = 0; }
  long calls() const { return calls_; }

 private:
  std::atomic<long> calls_{0}, fail_at_{0};
  std::atomic<bool> lasting_{false};
};

Supply g_memory;
[[maybe_unused]] Supply g_threads;
std::atomic<long> g_blocks{0};  // of memory that somebody has

/// What release() takes back: on Windows, aligned memory is not malloc's.
void* aligned(std::size_t size, std::size_t alignment) {
#if defined(_WIN32)
  return _aligned_malloc(size, alignment ? alignment : alignof(std::max_align_t));
#else
  return alignment == 0 ? std::malloc(size)
                        : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
#endif
}

void* allocate(std::size_t size, std::size_t alignment) {
  void* const block = g_memory.refuses() ? nullptr : aligned(size, alignment);
  if (!block) throw std::bad_alloc();
  ++g_blocks;
  return block;
}

void release(void* block) {
  if (block) --g_blocks;
#if defined(_WIN32)
  _aligned_free(block);
#else
  std::free(block);
#endif
}

}  // namespace
}  // namespace fsrcnn

// All of the process, this check's own included. Arrays and sized deletes come by way of these.
void* operator new(std::size_t size) { return fsrcnn::allocate(size, 0); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return fsrcnn::allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* block) noexcept { fsrcnn::release(block); }
void operator delete(void* block, std::size_t) noexcept { fsrcnn::release(block); }
void operator delete(void* block, std::align_val_t) noexcept { fsrcnn::release(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { fsrcnn::release(block); }

#if defined(FSRCNN_REFUSES_PAGES)
extern "C" {
__attribute__((visibility("default"))) void* mmap(void* address, std::size_t size, int protection, int flags, int file,
                                                  off_t offset) noexcept {
  if (fsrcnn::g_memory.refuses()) return MAP_FAILED;
  const long block = syscall(SYS_mmap, address, size, protection, flags, file, offset);
  if (block != -1) ++fsrcnn::g_blocks;
  return reinterpret_cast<void*>(block);
}
__attribute__((visibility("default"))) int munmap(void* address, std::size_t size) noexcept {
  --fsrcnn::g_blocks;
  return static_cast<int>(syscall(SYS_munmap, address, size));
}
__attribute__((visibility("default"))) int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                                                          void* (*run)(void*), void* argument) noexcept {
  using Create = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static Create* const create = reinterpret_cast<Create*>(dlsym(RTLD_NEXT, "pthread_create"));
  return fsrcnn::g_threads.refuses() ? EAGAIN : create(thread, attributes, run, argument);
}
}
#endif

namespace fsrcnn {
namespace {

constexpr int kThreads = 4;

/// What bytes come to: FNV-1a, which takes no memory.
std::uint64_t digest(const void* data, std::size_t size) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (std::size_t i = 0; i < size; ++i) hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3;
  return hash;
}

std::uint64_t digest(const Picture& picture) { return digest(picture.bytes().data(), picture.bytes().size()); }

void wipe(Picture& picture) {
  const MutableImageView view = picture.target();
  std::memset(view.data, 0x55, picture.bytes().size());
}

/// Something that has `call`, which gives the digest of its result and takes no memory for itself.
struct Subject {
  virtual ~Subject() = default;
  virtual std::uint64_t call(int threads) = 0;
};

struct Whole final : Subject {
  Whole(const Setup& s, const KernelTable& table, int span) : setup(s), upscaler(s.model(), table, s.algorithm, span) {}
  std::uint64_t call(int threads) override {
    wipe(dst);
    const Target target{3, dst.target()};
    upscaler.run(src.view(), {&target, 1}, setup.finish, threads, 12);
    return digest(dst);
  }
  Setup setup;
  Upscaler upscaler;
  Picture src{20, 30, 3, SampleType::u8, 1}, dst{60, 90, 3, SampleType::u8, 2};
};

struct Resized final : Subject {
  Resized(const Setup& s, const KernelTable& table) : setup(s), upscaler(s.model(), table, s.algorithm) {}
  std::uint64_t call(int threads) override {
    wipe(dst);
    constexpr int kPasses[] = {2, 2};
    upscaler.run_resized(src.view(), dst.target(), setup.finish, kPasses, threads, 12);
    return digest(dst);
  }
  Setup setup;
  Upscaler upscaler;
  Picture src{20, 30, 4, SampleType::u16, 1}, dst{70, 99, 4, SampleType::u16, 2};
};

/// An upscaler from its making on.
struct Made final : Subject {
  Made(const Setup& s, const KernelTable& t) : model(s.model()), table(t), setup(s) {}
  std::uint64_t call(int threads) override {
    wipe(dst);
    const Upscaler upscaler(model, table, setup.algorithm);
    const Target target{2, dst.target()};
    upscaler.run(src.view(), {&target, 1}, setup.finish, threads, 0);
    return digest(dst);
  }
  Model model;
  const KernelTable& table;
  Setup setup;
  Picture src{9, 14, 1, SampleType::f32, 1}, dst{18, 28, 1, SampleType::f32, 2};
};

struct OfPlanes final : Subject {
  explicit OfPlanes(const KernelTable& table) : planes(table) {}
  std::uint64_t call(int threads) override {
    wipe(enlarged);
    wipe(resized);
    planes.enlarge(src.view(), enlarged.target(), 2, {}, threads);
    planes.resize(src.view(), resized.target(), {30, 20}, {71, 50}, {}, threads);
    return digest(enlarged) ^ digest(resized);
  }
  PlaneUpscaler planes;
  Picture src{20, 30, 1, SampleType::u8, 1}, enlarged{40, 60, 1, SampleType::u8, 2},
      resized{50, 71, 1, SampleType::u8, 3};
};

struct Training final : Subject {
  explicit Training(const KernelTable& table) : engine(table) {
    const auto layer = [](int ic, int oc, int kernel) {
      const auto numbers = [](int count) { return std::vector<float>(static_cast<std::size_t>(count), 0.1f); };
      return ConvLayer{ic, oc, kernel, numbers(oc * ic * kernel * kernel), numbers(oc), numbers(oc)};
    };
    layers = {layer(1, 5, 3), layer(5, 4, 3)};
  }
  std::uint64_t call(int threads) override {
    const PatchBatch batch{
        .lr = lr.data(), .hr = hr.data(), .count = 8, .side = 6, .scale = 2, .border = 0, .overshoot = 0.5f};
    std::vector<ConvGradient> gradients;
    const double loss = engine.run(layers, batch, Loss::l1, threads, gradients);
    std::uint64_t hash = digest(&loss, sizeof loss);
    for (const ConvGradient& gradient : gradients) {
      hash = 3 * hash + digest(gradient.weight.data(), gradient.weight.size() * sizeof(float));
    }
    return hash;
  }
  GradientEngine engine;
  std::vector<ConvLayer> layers;
  std::vector<float> lr = std::vector<float>(8 * 36, 0.5f), hr = std::vector<float>(8 * 144, 0.4f);
};

using Maker = std::function<std::unique_ptr<Subject>()>;

std::vector<Maker> makers(const KernelTable& table) {
  const bool is_fixed = table.precision == Precision::int16;
  std::vector<Maker> list;
  for (const std::size_t i : {0, 1, 6}) {
    const Setup& setup = kSetups[i];
    if (is_fixed && setup.enlarged) continue;
    if (i != 1) list.push_back([&] { return std::make_unique<Made>(setup, table); });
    list.push_back([&] { return std::make_unique<Whole>(setup, table, 1); });
    list.push_back([&] { return std::make_unique<Resized>(setup, table); });
  }
  list.push_back([&] { return std::make_unique<Whole>(kSetups[0], table, 2 * kBlock); });
  if (is_fixed) return list;
  list.push_back([&] { return std::make_unique<OfPlanes>(table); });
  list.push_back([&] { return std::make_unique<Training>(table); });
  return list;
}

/// Whether a call that is refused something throws or gives what it should, and the next one as well.
bool survives(Subject& subject, Supply& supply, long fail_at, bool lasting, std::uint64_t expected) {
  bool ok = true;
  supply.arm(fail_at, lasting);
  try {
    ok = subject.call(kThreads) == expected;
  } catch (const std::bad_alloc&) {
    ok = &supply == &g_memory;
  }
  supply.disarm();
  return ok && subject.call(kThreads) == expected;
}

}  // namespace

void check_faults(const KernelTable& table) {
  long cases = 0, failures = 0;
  for (const Maker& make : makers(table)) {
    const std::uint64_t expected = make()->call(kThreads);  // with all threads there, whose making is another matter
    const std::unique_ptr<Subject> counted = make();
    g_memory.arm(0, false);
    counted->call(kThreads);
    const long allocations = g_memory.calls();
    failures += allocations == 0;
    // To measure a network for fixed point takes as long as hundreds of calls.
    const long stride = table.precision == Precision::int16 ? 7 : 1;
    for (const bool lasting : {false, true}) {
      for (long i = 1; i <= allocations; i += stride) {
        if (left_out()) continue;
        const long before = g_blocks;
        const bool ok = survives(*make(), g_memory, i, lasting, expected);
        const long lost = g_blocks - before;
        ++cases;
        if (ok && lost == 0) continue;
        if (failures++ < 5) std::printf("  %s: allocation %ld fails: %ld blocks lost\n", table.isa, i, lost);
      }
    }
  }
  report(table.isa,
         table.precision == Precision::int16 ? "refused memory, at every seventh allocation"
                                             : "refused memory, at every allocation",
         cases, failures);
}

/// In children, whose pools have no threads yet.
#if defined(_WIN32)
void check_refused_workers(const KernelTable&) {}
#else
void check_refused_workers(const KernelTable& table) {
#if defined(FSRCNN_TSAN)
  std::printf("%-9s  refused workers: skipped, ThreadSanitizer starts no threads in a forked child\n", table.isa);
#else
  const Maker makers[] = {[&] { return std::make_unique<Whole>(kSetups[0], table, 1); },
                          [&] { return std::make_unique<Whole>(kSetups[0], table, 2 * kBlock); }};
  long cases = 0, failures = 0;
  for (const Maker& make : makers) {
    const std::unique_ptr<Subject> subject = make();
    const std::uint64_t expected = subject->call(1);
    for (Supply* supply : {&g_memory, &g_threads}) {
      for (const bool lasting : {false, true}) {
        constexpr int kOk = 0, kWrong = 1, kUnreached = 2;
        for (int i = 1, status = 0; WEXITSTATUS(status) != kUnreached; ++i) {
          const pid_t child = fork();
          if (child == 0) {
            alarm(60);
            const bool ok = survives(*subject, *supply, i, lasting, expected);
            _exit(!ok ? kWrong : supply->calls() < i ? kUnreached : kOk);
          }
          const bool ended = waitpid(child, &status, 0) == child && WIFEXITED(status);
          ++cases;
          if (ended && WEXITSTATUS(status) != kWrong) continue;
          ++failures;
          std::printf("  %s: %s %d fails, and the child with %d\n", table.isa,
                      supply == &g_memory ? "allocation" : "thread", i, status);
          break;
        }
      }
    }
  }
  report(table.isa, "refused workers, and memory for them", cases, failures);
#endif
}
#endif

void check_allocations(const KernelTable& table) {
  long cases = 0, failures = 0;
  for (const Maker& make : makers(table)) {
    const std::unique_ptr<Subject> subject = make();
    if (dynamic_cast<Made*>(subject.get()) || dynamic_cast<Training*>(subject.get())) continue;
    for (const int threads : {1, 2}) {
      for (int i = 0; i < 2; ++i) subject->call(threads);
      g_memory.arm(0, false);
      for (int i = 0; i < 5; ++i) subject->call(threads);
      ++cases;
      if (g_memory.calls() == 0) continue;
      ++failures;
      std::printf("  %s: %ld allocations in 5 calls on %d threads\n", table.isa, g_memory.calls(), threads);
    }
  }
  // What counts them does: small blocks and large ones.
  g_memory.arm(0, false);
  const AlignedBuffer small(100), large(1 << 20);
  failures += g_memory.calls() < (kSanitized ? 1 : 2) || !small.data() || !large.data();
  report(table.isa, "no allocation in a steady state", cases, failures);
}

}  // namespace fsrcnn
