// The ceiling every rate is compared with: what the multiply-add units of this processor do at best.
#pragma once

#include "kernels/kernels.h"

namespace fsrcnn {

/// Best rate in GFLOP/s over many short trials within about `seconds`, summed over `threads` threads that run at once,
/// or as many of them as the system gives. Throws std::invalid_argument unless `threads` is positive.
double fma_peak(const KernelTable& kernels, int threads, double seconds);

}  // namespace fsrcnn
