#include "bicubic.h"

#include <algorithm>
#include <cmath>

namespace fsrcnn {
namespace {

// Keys' cubic convolution. In double: four weights then sum to 1 within float rounding.
double keys(double x) {
  x = x < 0 ? -x : x;
  if (x <= 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
  return 0;
}

// Sample `index` of the `scale` that a sample becomes lies at (index + siting) / scale - siting from it.
EnlargeFilter::Phase phase_of(int index, int scale, double siting) {
  const double position = (index + siting) / scale - siting;
  EnlargeFilter::Phase phase{position < 0 ? -2 : -1, {}};
  for (int i = 0; i < 4; ++i) phase.weights[i] = static_cast<float>(keys(position - (phase.first + i)));
  return phase;
}

}  // namespace

EnlargeFilter::EnlargeFilter(int scale, Siting siting) : scale(scale) {
  for (int i = 0; i < scale; ++i) down[i] = phase_of(i, scale, siting.y), along[i] = phase_of(i, scale, siting.x);
}

const EnlargeFilter& centred(int scale) {
  static_assert(kMaxStride == 4);
  static const EnlargeFilter filters[] = {{1, {}}, {2, {}}, {3, {}}, {4, {}}};
  return filters[scale - 1];
}

void enlarge_row(const KernelTable& kernels, const float* const* rows, const EnlargeFilter& filter, int phase_y,
                 std::ptrdiff_t n, float* scratch, float* const* planes) {
  const EnlargeFilter::Phase& down = filter.down[phase_y];
  const float* taps[4];
  for (int i = 0; i < 4; ++i) taps[i] = rows[kBicubicReach + down.first + i] - kBicubicReach;
  kernels.blend4(taps, down.weights, n + 2 * kBicubicReach, scratch);
  for (int phase_x = 0; phase_x < filter.scale; ++phase_x) {
    const EnlargeFilter::Phase& along = filter.along[phase_x];
    for (int i = 0; i < 4; ++i) taps[i] = scratch + kBicubicReach + along.first + i;
    kernels.blend4(taps, along.weights, n, planes[phase_x]);
  }
}

void merge_phases(const KernelTable& kernels, const float* const* planes, int scale, std::ptrdiff_t n, float* dst) {
  // To store floats is to merge phases.
  kernels.store[static_cast<int>(SampleType::f32)]({.planes = planes,
                                                    .phases = scale,
                                                    .channels = 1,
                                                    .width = n,
                                                    .dst = reinterpret_cast<unsigned char*>(dst),
                                                    .pixel_stride = sizeof(float),
                                                    .channel_stride = sizeof(float),
                                                    .range = {1, 1}});
}

void AxisFilter::make(std::ptrdiff_t src, std::ptrdiff_t dst, double src_length, double dst_length, double siting) {
  if (src == src_ && dst == dst_ && src_length == src_length_ && dst_length == dst_length_ && siting == siting_) return;
  dst_ = 0;  // it is nobody's filter while memory for it may be refused
  const double stretch = std::max(1.0, src_length / dst_length);
  const int all_taps = static_cast<int>(std::ceil(4 * stretch));
  taps = static_cast<int>(std::min<std::ptrdiff_t>(all_taps, src));
  first.resize(static_cast<std::size_t>(dst));
  weights.assign(static_cast<std::size_t>(dst * taps), 0.0f);
  src_ = src, dst_ = dst, src_length_ = src_length, dst_length_ = dst_length, siting_ = siting;
  double sums[kMaxTaps];
  for (std::ptrdiff_t i = 0; i < dst; ++i) {
    const double centre = (static_cast<double>(i) + siting) * src_length / dst_length - siting;
    const std::ptrdiff_t begin = static_cast<std::ptrdiff_t>(std::floor(centre - 2 * stretch)) + 1;
    const std::ptrdiff_t start = std::clamp<std::ptrdiff_t>(begin, 0, src - taps);
    std::fill(sums, sums + taps, 0.0);
    double total = 0;
    for (int t = 0; t < all_taps; ++t) {
      const double weight = keys((centre - static_cast<double>(begin + t)) / stretch);
      sums[std::clamp<std::ptrdiff_t>(begin + t, 0, src - 1) - start] += weight;
      total += weight;
    }
    first[static_cast<std::size_t>(i)] = start;
    for (int t = 0; t < taps; ++t)
      weights[static_cast<std::size_t>(i * taps + t)] = static_cast<float>(sums[t] / total);
  }
}

}  // namespace fsrcnn
