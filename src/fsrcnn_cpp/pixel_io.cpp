#include "pixel_io.h"

#include <algorithm>

#include "common.h"

namespace fsrcnn {
namespace {

struct BicubicPhase {
  int first;  // offset of the first of four taps
  float weights[4];
};

// Sample `phase` of the `scale` that an LR sample becomes lies at (phase + siting) / scale - siting from it.
BicubicPhase bicubic_phase(int phase, int scale, double siting = Siting{}.x) {
  const double position = (phase + siting) / scale - siting;
  BicubicPhase result{position < 0 ? -2 : -1, {}};
  for (int i = 0; i < 4; ++i) result.weights[i] = static_cast<float>(keys(position - (result.first + i)));
  return result;
}

}  // namespace

// In double: four weights then sum to 1 within float rounding.
double keys(double x) {
  x = x < 0 ? -x : x;
  if (x <= 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
  return 0;
}

void enlarge_row(const KernelTable& kernels, const float* const* rows, int scale, int phase_y, std::ptrdiff_t n,
                 float* scratch, float* const* planes) {
  const BicubicPhase down = bicubic_phase(phase_y, scale);
  const float* taps[4];
  for (int i = 0; i < 4; ++i) taps[i] = rows[kBicubicReach + down.first + i] - kBicubicReach;
  kernels.blend4(taps, down.weights, n + 2 * kBicubicReach, scratch);
  for (int phase_x = 0; phase_x < scale; ++phase_x) {
    const BicubicPhase along = bicubic_phase(phase_x, scale);
    for (int i = 0; i < 4; ++i) taps[i] = scratch + kBicubicReach + along.first + i;
    kernels.blend4(taps, along.weights, n, planes[phase_x]);
  }
}

void RowSource::carve(Arena& arena, std::ptrdiff_t width) {
  if (!image_.has_colour()) return;
  for (float*& row : rgb_) row = arena.take(width);
}

void RowSource::load_channel(int channel, std::ptrdiff_t y, std::ptrdiff_t x, std::ptrdiff_t n, float* dst) const {
  const unsigned char* src = image_.row(y) + x * image_.pixel_stride + channel * image_.channel_stride;
  kernels_.load[static_cast<int>(image_.type)](src, image_.pixel_stride, n, image_.range.full, dst);
}

void RowSource::load_luma(std::ptrdiff_t y, std::ptrdiff_t x, std::ptrdiff_t n, float* dst) const {
  if (!image_.has_colour()) return load_channel(0, y, x, n, dst);
  for (int c = 0; c < 3; ++c) load_channel(c, y, x, n, rgb_[c]);
  kernels_.rgb_to_y(rgb_[0], rgb_[1], rgb_[2], n, dst);
}

void RowSource::load_extras(std::ptrdiff_t y, std::ptrdiff_t x, std::ptrdiff_t n, float* dst,
                            std::ptrdiff_t stride) const {
  if (image_.has_colour()) {
    for (int c = 0; c < 3; ++c) load_channel(c, y, x, n, rgb_[c]);
    kernels_.rgb_to_cbcr(rgb_[0], rgb_[1], rgb_[2], n, dst, dst + stride);
  }
  if (image_.has_alpha()) load_channel(image_.channels - 1, y, x, n, dst + (image_.extras() - 1) * stride);
}

void RowSink::carve(Arena& arena, std::ptrdiff_t width) {
  const int extras = image_.extras();
  if (extras == 0) return;
  column_filtered_ = arena.take(width + 2 * kBicubicReach);
  for (int i = 0; i < scale_ * extras; ++i) upscaled_[i] = arena.take(width);
}

void RowSink::store(std::ptrdiff_t y, std::ptrdiff_t x, std::ptrdiff_t n, float* luma, std::ptrdiff_t luma_stride,
                    const float* const* extra_rows, std::ptrdiff_t extra_stride, const Guide* guide) const {
  const int extras = image_.extras();
  for (int phase_y = 0; phase_y < scale_; ++phase_y) {
    float* const luma_row = luma + phase_y * scale_ * luma_stride;
    for (int e = 0; e < extras; ++e) {
      const float* rows[2 * kBicubicReach + 1];
      for (int i = 0; i <= 2 * kBicubicReach; ++i) rows[i] = extra_rows[i] + e * extra_stride;
      enlarge_row(kernels_, rows, scale_, phase_y, n, column_filtered_, upscaled_ + e * scale_);
    }
    const float* planes[kMaxStride * 4];
    for (int phase_x = 0; phase_x < scale_; ++phase_x) {
      float* const y_plane = luma_row + phase_x * luma_stride;
      float* extra[3];
      for (int e = 0; e < extras; ++e) extra[e] = upscaled_[e * scale_ + phase_x];
      if (guide) {
        const float* const soft = guide->soft + (phase_y * scale_ + phase_x) * guide->soft_stride;
        for (int e = 0; e < 2; ++e) kernels_.guide(y_plane, soft, guide->slopes[e], n, extra[e]);
      }
      if (image_.has_colour()) kernels_.ycbcr_to_rgb(y_plane, extra[0], extra[1], n);
      const float** plane = planes + phase_x * image_.channels;
      *plane++ = y_plane;
      for (int e = 0; e < extras; ++e) *plane++ = extra[e];
    }
    const StoreArgs args{planes,
                         scale_,
                         image_.channels,
                         n,
                         image_.row(y * scale_ + phase_y) + x * scale_ * image_.pixel_stride,
                         image_.pixel_stride,
                         image_.channel_stride,
                         image_.range};
    kernels_.store[static_cast<int>(image_.type)](args);
  }
}

void BicubicPlane::carve(Arena& arena) {
  const std::ptrdiff_t padded = src_.width + 2 * kBicubicReach + kMaxLanes;
  for (float*& row : rows_) row = arena.take(padded);
  column_filtered_ = arena.take(padded);
  for (int i = 0; i < scale_; ++i) phases_[i] = arena.take(padded);
}

void BicubicPlane::run(std::ptrdiff_t y0, std::ptrdiff_t y1) const {
  const std::ptrdiff_t width = src_.width;
  const std::ptrdiff_t last = src_.height - 1;
  std::ptrdiff_t next = std::max<std::ptrdiff_t>(0, y0 - kBicubicReach);
  for (std::ptrdiff_t y = y0; y < y1; ++y) {
    for (; next <= std::min(last, y + kBicubicReach); ++next) {
      float* const row = rows_[next % kRows];
      kernels_.load[static_cast<int>(src_.type)](src_.row(next), src_.pixel_stride, width, src_.range.full,
                                                 row + kBicubicReach);
      for (int i = 0; i < kBicubicReach; ++i) {
        row[i] = row[kBicubicReach];
        row[kBicubicReach + width + i] = row[kBicubicReach + width - 1];
      }
    }
    const std::ptrdiff_t end = std::min(dst_.height, (y + 1) * scale_);
    for (std::ptrdiff_t dst_y = y * scale_; dst_y < end; ++dst_y) {
      const BicubicPhase down = bicubic_phase(static_cast<int>(dst_y - y * scale_), scale_, siting_.y);
      const float* taps[4];
      for (int i = 0; i < 4; ++i) taps[i] = rows_[std::clamp<std::ptrdiff_t>(y + down.first + i, 0, last) % kRows];
      kernels_.blend4(taps, down.weights, width + 2 * kBicubicReach, column_filtered_);
      for (int phase = 0; phase < scale_; ++phase) {
        const BicubicPhase along = bicubic_phase(phase, scale_, siting_.x);
        for (int i = 0; i < 4; ++i) taps[i] = column_filtered_ + kBicubicReach + along.first + i;
        kernels_.blend4(taps, along.weights, width, phases_[phase]);
      }
      // Whole pixels, then the phases of the last one that are still in the picture.
      const std::ptrdiff_t whole = dst_.width / scale_;
      const int rest = static_cast<int>(dst_.width % scale_);
      const float* ends[kMaxStride];
      for (int phase = 0; phase < rest; ++phase) ends[phase] = phases_[phase] + whole;
      unsigned char* const dst = dst_.row(dst_y);
      const auto store = kernels_.store[static_cast<int>(dst_.type)];
      store({phases_, scale_, 1, whole, dst, dst_.pixel_stride, 0, dst_.range});
      if (rest > 0)
        store({ends, rest, 1, 1, dst + whole * scale_ * dst_.pixel_stride, dst_.pixel_stride, 0, dst_.range});
    }
  }
}

}  // namespace fsrcnn
