// Weights in the order in which the kernels of one table read them, and which kernel that is. Done once, when a network
// is made.
#pragma once

#include <cstddef>
#include <vector>

#include "aligned_buffer.h"
#include "fixed.h"
#include "kernels/kernels.h"
#include "model.h"

namespace fsrcnn {

/// `direct`: conv2d and deconv2d alone. `winograd`: whatever takes fewer multiplications or loads.
enum class Algorithm { direct, winograd };

/// A convolution with its kernel and what that needs.
struct PackedConv {
  ConvKernel run;                      // of one group: `convolve` calls it for all
  int ic, oc, groups;                  // planes of cells of all groups together: channels, or pairs of them
  int kernel;                          // taps a side
  int before;                          // rows and columns of them that lie before the output's own
  int rows_read;                       // by a call
  int rows_made;                       // 1 or kWinogradTile
  int column_reach;                    // columns that may be read around the picture, whole tiles included
  std::ptrdiff_t scratchpad;           // floats
  AlignedBuffer weights, bias, slope;  // of one group after the other
  int step = 1;                        // as ConvArgs has it

  /// Rows and columns of taps that lie after the output's own.
  int after() const { return kernel - 1 - before; }
  bool in_blocks() const { return rows_made == kWinogradTile; }
  /// What a call of `run` for group `index` takes, but for rows and width.
  ConvArgs args(int index) const;
};

/// A head as a convolution, whose channels are the phases of the output, or its planes where nothing is enlarged.
struct PackedHead {
  int scale, border;
  PackedConv conv;

  /// How far the head reads around an input pixel, in either direction.
  int reach() const { return conv.before > conv.after() ? conv.before : conv.after(); }
};

PackedConv pack(const ConvLayer& layer, const KernelTable& kernels, Algorithm algorithm);
PackedHead pack(const Head& head, const KernelTable& kernels, Algorithm algorithm);

/// The same for tables of fixed point. `before`: rows and columns of taps that lie before the output's own.
PackedConv pack(const FixedConv& conv, int before, const KernelTable& kernels, Algorithm algorithm);
PackedHead pack(const Head& head, const std::vector<FixedChannel>& in, const KernelTable& kernels, Algorithm algorithm);

/// The head as a convolution whose output channels are the phases; taps that a phase does not use are 0.
ConvLayer subpixel_layer(const Head& head, int first, int last);

/// Calls visit(first, size) for every block of output channels, in order.
template <typename Visit>
void for_each_block(int oc, int max_block, const Visit& visit) {
  for (int block = 0, first = 0; block < block_count(oc, max_block); ++block) {
    const int size = block_size(oc, max_block, block);
    visit(first, size);
    first += size;
  }
}

/// Makes rows_made rows of `width` columns. `src_rows`: rows_read rows, of which the first lies `before` rows above the
/// first that is made; column x reads from index x on, where the tap `before` columns to its left lies.
void convolve(const PackedConv& conv, const float* const* src_rows, std::ptrdiff_t src_stride, float* const* dst_rows,
              std::ptrdiff_t dst_stride, std::ptrdiff_t width, float* scratchpad);

}  // namespace fsrcnn
