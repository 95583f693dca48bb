// The parts of the program.
#pragma once

#include "kernels/kernels.h"

namespace fsrcnn {

/// Each prints a line per kernel and tells whether all was well.
bool check_conv2d(const KernelTable& table);
bool check_conv2d_narrow(const KernelTable& table);
bool check_winograd(const KernelTable& table, int taps);
bool check_groups(const KernelTable& table);
bool check_deconv2d(const KernelTable& table);
bool check_gradient(const KernelTable& table);
bool check_pixel_io(const KernelTable& table);
bool check_finish(const KernelTable& table);
/// Of fixed point.
bool check_fixed_conv2d(const KernelTable& table);
bool check_to_cells(const KernelTable& table);
bool check_proof();

/// Prints rates at the networks' shapes.
void bench(const KernelTable& table);
/// Prints times of whole calls beside those of the kernels that they call.
void bench_calls(const KernelTable& table);

}  // namespace fsrcnn
