#include "pixel_io.h"

#include <algorithm>

namespace fsrcnn {

void RowSource::carve(Arena& arena, std::ptrdiff_t width) {
  if (!image_.has_colour()) return;
  for (float*& row : rgb_) row = arena.take(width + kMaxLanes);
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

void RowSource::load_planes(std::ptrdiff_t y, std::ptrdiff_t x, std::ptrdiff_t n, float* dst,
                            std::ptrdiff_t stride) const {
  if (colour_ == Colour::luma) return load_luma(y, x, n, dst);
  if (colour_ == Colour::rgb) {
    for (int c = 0; c < 3; ++c) load_channel(image_.has_colour() ? c : 0, y, x, n, dst + c * stride);
    return;
  }
  load_luma(y, x, n, dst);
  float *const cb = dst + stride, *const cr = dst + 2 * stride;
  if (image_.has_colour()) {
    kernels_.rgb_to_cbcr(rgb_[0], rgb_[1], rgb_[2], n, cb, cr);
    for (std::ptrdiff_t i = 0; i < n; ++i) cb[i] += kChromaCentre, cr[i] += kChromaCentre;
  } else {
    std::fill_n(cb, n, kChromaCentre);
    std::fill_n(cr, n, kChromaCentre);
  }
}

void RowSource::load_extras(std::ptrdiff_t y, std::ptrdiff_t x, std::ptrdiff_t n, float* dst,
                            std::ptrdiff_t stride) const {
  if (image_.has_colour() && colour_ == Colour::luma) {
    for (int c = 0; c < 3; ++c) load_channel(c, y, x, n, rgb_[c]);
    kernels_.rgb_to_cbcr(rgb_[0], rgb_[1], rgb_[2], n, dst, dst + stride);
  }
  if (image_.has_alpha()) {
    load_channel(image_.channels - 1, y, x, n, dst + (extra_planes(image_, colour_) - 1) * stride);
  }
}

void RowSink::carve(Arena& arena, std::ptrdiff_t width) {
  const int extras = extra_planes(image_, colour_);
  if (extras == 0) return;
  column_filtered_ = arena.take(width + 2 * kBicubicReach + kMaxLanes);
  for (int i = 0; i < scale_ * extras; ++i) upscaled_[i] = arena.take(width);
}

void RowSink::store(std::ptrdiff_t y, std::ptrdiff_t x, std::ptrdiff_t n, float* made, std::ptrdiff_t stride,
                    const float* const* extra_rows, std::ptrdiff_t extra_stride, const Guide* guide) const {
  const int extras = extra_planes(image_, colour_), colours = plane_count(colour_);
  for (int phase_y = 0; phase_y < scale_; ++phase_y) {
    for (int e = 0; e < extras; ++e) {
      const float* rows[2 * kBicubicReach + 1];
      for (int i = 0; i <= 2 * kBicubicReach; ++i) rows[i] = extra_rows[i] + e * extra_stride;
      enlarge_row(kernels_, rows, centred(scale_), phase_y, n, column_filtered_, upscaled_ + e * scale_);
    }
    const float* planes[kMaxStride * 4];
    for (int phase_x = 0; phase_x < scale_; ++phase_x) {
      const int phase = phase_y * scale_ + phase_x;
      float* all[4];
      for (int c = 0; c < colours; ++c) all[c] = made + (c * scale_ * scale_ + phase) * stride;
      float** const extra = all + (image_.has_colour() ? colours : 1);
      if (colours > 1) to_samples(kernels_, colour_, image_.has_colour(), all, n);
      for (int e = 0; e < extras; ++e) extra[e] = upscaled_[e * scale_ + phase_x];
      if (image_.has_colour() && colours == 1) {
        ColourArgs colour{all[0], all[1], all[2], n};
        if (guide) {
          colour.soft = guide->soft + phase * guide->soft_stride;
          std::copy_n(guide->slopes, 2, colour.slopes);
        }
        kernels_.ycbcr_to_rgb(colour);
      }
      std::copy_n(all, image_.channels, planes + phase_x * image_.channels);
    }
    kernels_.store[static_cast<int>(image_.type)](
        {.planes = planes,
         .phases = scale_,
         .channels = image_.channels,
         .width = n,
         .dst = image_.row(y * scale_ + phase_y) + x * scale_ * image_.pixel_stride,
         .pixel_stride = image_.pixel_stride,
         .channel_stride = image_.channel_stride,
         .range = image_.range});
  }
}

void to_samples(const KernelTable& kernels, Colour colour, bool has_colour, float* const* planes, std::ptrdiff_t n) {
  if (colour == Colour::ycbcr && has_colour) {
    for (int c = 1; c < 3; ++c) {
      for (std::ptrdiff_t x = 0; x < n; ++x) planes[c][x] -= kChromaCentre;
    }
    kernels.ycbcr_to_rgb({planes[0], planes[1], planes[2], n});
  } else if (colour == Colour::rgb && !has_colour) {
    constexpr float kThird = 1.0f / 3, kThirds[] = {kThird, kThird, kThird};
    kernels.blend(planes, kThirds, 3, n, planes[0]);
  }
}

}  // namespace fsrcnn
