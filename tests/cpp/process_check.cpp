// Processes: any number of threads may call at once; it works in a forked child and where threads are refused.
// Built with ThreadSanitizer it also shows that the calls do not race.
#if !defined(_WIN32)
#include <dirent.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>

#include "sanitizers.h"
#include "upscaler_check.h"

namespace fsrcnn {

/// Several threads, each with its own sizes, share one upscaler.
void check_concurrent_calls(const KernelTable& table) {
  constexpr int kCallers = 4, kRounds = 3;
  const std::vector<Geometry> geometries = {{21, 44, 1, SampleType::u8},
                                            {16, 37, 3, SampleType::u8},
                                            {30, 18, 4, SampleType::f32},
                                            {11, 64, 2, SampleType::u16}};
  const Model model = make_model(Padding::replicate, Head::kFullBorder, false);
  const Upscaler alone(model, table, Algorithm::winograd, 1), in_teams(model, table, Algorithm::winograd, 2 * kBlock);
  std::vector<std::vector<Picture>> expected;
  for (const Geometry& g : geometries) expected.push_back(run(alone, g, {2, 3}, 1, 0));
  std::atomic<long> failures{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      for (int round = 0; round < kRounds * static_cast<int>(geometries.size()); ++round) {
        const std::size_t i = static_cast<std::size_t>(caller + round) % geometries.size();
        const Upscaler& upscaler = round % 2 == 0 ? alone : in_teams;
        failures += run(upscaler, geometries[i], {2, 3}, 1 + round % 3, round / 2 % 2 * 16) != expected[i];
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  report(table.isa, "concurrent calls", kCallers * kRounds * static_cast<long>(geometries.size()), failures);
}

/// Pieces start on cache lines; under AddressSanitizer what lies between them may not be touched.
void check_arena() {
  long failures = 0;
  AlignedBuffer memory(1000);
  Arena arena(memory.data());
  constexpr std::ptrdiff_t kCounts[] = {0, 1, 15, 16, 17, 100};
  const float* end = memory.data();
  for (const std::ptrdiff_t count : kCounts) {
    const float* const piece = arena.take(count);
    failures += piece < end || reinterpret_cast<std::uintptr_t>(piece) % AlignedBuffer::kAlignment != 0;
    end = piece + count;
#if defined(FSRCNN_ASAN)
    failures += !__asan_address_is_poisoned(end) || (count > 0 && __asan_address_is_poisoned(end - 1));
#endif
  }
  memory.fill(1);  // all of it, whatever was forbidden
  for (std::size_t i = 0; i < memory.size(); ++i) failures += memory.data()[i] != 1;
  report("arena", kAddressSanitizer ? "pieces, and gaps that are forbidden" : "pieces", std::size(kCounts), failures);
}

#if defined(_WIN32)
void check_fork(const KernelTable&) {}
void check_refused_threads(const KernelTable&) {}
#else
namespace {

/// Threads of this process, or 0 where the system does not tell.
[[maybe_unused]] int thread_count() {
  DIR* tasks = opendir("/proc/self/task");
  if (!tasks) return 0;
  int count = -2;  // . and ..
  while (readdir(tasks)) ++count;
  closedir(tasks);
  return count;
}

}  // namespace

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
  report(table.isa, "forked children", 2, failures);

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
  report(table.isa, "forked while other threads call", forks, failures);
#endif
}

/// Where the system gives no threads, the caller does it all.
void check_refused_threads(const KernelTable& table) {
#if defined(FSRCNN_SANITIZED)
  std::printf("%-9s  refused threads: skipped, sanitizers need more memory than is left\n", table.isa);
#elif !defined(__linux__)
  std::printf("%-9s  refused threads: skipped, only Linux limits the memory that they take\n", table.isa);
#else
  const Geometry g{26, 50, 3, SampleType::u8};
  const Model model = make_model(Padding::replicate, Head::kFullBorder, false);
  const Upscaler upscaler(model, table, Algorithm::winograd), in_teams(model, table, Algorithm::winograd, 2 * kBlock);
  const std::vector<Picture> expected = run(upscaler, g, {3}, 1, 16);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    for (const Upscaler* each : {&upscaler, &in_teams}) run(*each, g, {3}, 1, 16);  // what memory a call needs is there
    // Room for a call, and not for the stack of a thread.
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    const rlim_t size = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (4 << 20);
    const rlimit limit{size, size};
    if (pages == 0 || setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
    // Stacks of threads that have ended are given out again: those are taken first.
    std::atomic<bool> stop{false};
    std::vector<std::thread> others;
    bool refused = false;
    try {
      while (others.size() < 100) others.emplace_back([&] { stop.wait(false); });
    } catch (const std::system_error&) {
      refused = true;
    }
    const bool same = run(upscaler, g, {3}, 8, 16) == expected && run(in_teams, g, {3}, 8, 16) == expected;
    const bool alone = thread_count() == 1 + static_cast<int>(others.size());
    stop = true;
    stop.notify_all();
    for (std::thread& other : others) other.join();
    _exit(!refused ? 3 : !alone ? 4 : same ? 0 : 1);
  }
  int status = 0;
  const long failed = waitpid(child, &status, 0) != child || status != 0;
  if (failed) std::printf("  %s: the child ended with %d\n", table.isa, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  report(table.isa, "refused threads", 1, failed);
#endif
}
#endif

}  // namespace fsrcnn
