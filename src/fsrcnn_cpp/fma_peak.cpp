#include "fma_peak.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace fsrcnn {
namespace {

double best_rate(const KernelTable& kernels, double seconds) {
  using Clock = std::chrono::steady_clock;
  constexpr long kIterations = 20000;  // a trial lasts about 0.1 ms: some escape every interruption
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  double best = 0;
  do {
    const auto start = Clock::now();
    const double operations = kernels.fma_loop(kIterations);
    const std::chrono::duration<double, std::nano> elapsed = Clock::now() - start;
    best = std::max(best, operations / elapsed.count());
  } while (Clock::now() < end);
  return best;
}

}  // namespace

double fma_peak(const KernelTable& kernels, int threads, double seconds) {
  if (threads < 1) throw std::invalid_argument("threads=" + std::to_string(threads) + " is not positive");
  std::vector<double> rates(static_cast<std::size_t>(threads));
  std::vector<std::jthread> others;
  try {
    for (int i = 1; i < threads; ++i) {
      others.emplace_back([&, i] { rates[i] = best_rate(kernels, seconds); });
    }
  } catch (const std::system_error&) {  // those that the system refuses compute nothing
  }
  rates[0] = best_rate(kernels, seconds);
  for (std::jthread& thread : others) thread.join();
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

}  // namespace fsrcnn
