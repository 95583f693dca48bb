// How slow machines, which are emulated or watched by a sanitizer, get through upscaler_check: --every N.
#pragma once

#include <cstdio>
#include <random>

namespace fsrcnn {

/// Of cases that are many of a kind, one in so many is carried out.
inline unsigned g_every = 1;

/// Whether the next of such cases is left out; by chance, as cases come in loops.
inline bool left_out() {
  static std::mt19937 random(1);
  return g_every > 1 && random() % g_every != 0;
}

/// What is left out is told.
inline void tell_trim(const char* what) {
  if (g_every > 1) std::printf("TRIMMED: one in %u of the %s\n", g_every, what);
}

}  // namespace fsrcnn
