// Waiting for another thread that is expected within microseconds.
#pragma once

#include <chrono>

namespace fsrcnn {

// Frames of a video follow each other within microseconds; waking a sleeping thread costs tens of them.
inline constexpr auto kSpin = std::chrono::microseconds(100);

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Until the condition holds or kSpin is over, whichever comes first.
template <typename Condition>
void spin_until(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  while (!condition() && std::chrono::steady_clock::now() < end) {
    for (int i = 0; i < 16 && !condition(); ++i) relax();
  }
}

}  // namespace fsrcnn
