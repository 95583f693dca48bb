// The bicubic filter (Keys, a = -0.5): its kernel, and its weights for whole scales and for any size.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/kernels.h"
#include "ring.h"

namespace fsrcnn {

/// How far the filter reads around a pixel where it makes larger, and the rows of a window of that reach.
inline constexpr int kBicubicReach = 2;
inline constexpr int kWindowRows = 2 * kBicubicReach + 1;

/// Where a sample lies in its cell of the picture: 0.5 is the centre, 0.25 the left (or top) of the two luma samples
/// that a subsampled chroma sample stands for.
struct Siting {
  double x = 0.5, y = 0.5;
};

/// What a sample becomes by a whole scale: `scale` samples along each axis, of four taps each.
struct EnlargeFilter {
  struct Phase {
    int first;  // offset of the first tap
    float weights[4];
  };

  EnlargeFilter(int scale, Siting siting);

  int scale;
  Phase down[kMaxStride], along[kMaxStride];
};

/// That of centred samples, for scales of 1 to kMaxStride.
const EnlargeFilter& centred(int scale);

/// One row of a plane by a whole scale: phase row `phase_y` of what it becomes, in `scale` planes of n columns.
/// `rows`: kWindowRows rows, of which the middle one is enlarged; column x lies at index x, and kBicubicReach columns
/// on either side are readable. `scratch`: n + 2 * kBicubicReach + kMaxLanes floats.
void enlarge_row(const KernelTable& kernels, const float* const* rows, const EnlargeFilter& filter, int phase_y,
                 std::ptrdiff_t n, float* scratch, float* const* planes);

/// Merges the phase planes of a row of n columns into scale * n columns.
void merge_phases(const KernelTable& kernels, const float* const* planes, int scale, std::ptrdiff_t n, float* dst);

/// More than these no output has; rows and columns may thus become fewer by a factor of up to 32.
inline constexpr int kMaxTaps = 128;

/// Which inputs every output along one axis sums, and with which weights. What a tap would read beyond the edge, the
/// weight of the edge has: nothing reads outside.
struct AxisFilter {
  /// Outputs `0 .. dst - 1` of `src` inputs. Output i lies at (i + siting) * src_length / dst_length - siting. The
  /// lengths are those of the axis in any unit; where planes are rounded up they are not the numbers of samples.
  void make(std::ptrdiff_t src, std::ptrdiff_t dst, double src_length, double dst_length, double siting);
  std::ptrdiff_t end(std::ptrdiff_t output) const { return first[static_cast<std::size_t>(output)] + taps; }
  const float* weights_of(std::ptrdiff_t output) const { return weights.data() + output * taps; }
  std::ptrdiff_t first_of(std::ptrdiff_t output) const { return first[static_cast<std::size_t>(output)]; }
  /// What outputs begin .. end - 1 read.
  Range reads(std::ptrdiff_t begin, std::ptrdiff_t output_end) const { return {first_of(begin), end(output_end - 1)}; }

  int taps = 0;
  std::vector<std::ptrdiff_t> first;  // by output, ascending
  std::vector<float> weights;         // [output][taps]

 private:
  std::ptrdiff_t src_ = 0, dst_ = 0;
  double src_length_ = 0, dst_length_ = 0, siting_ = 0;
};

}  // namespace fsrcnn
