#include "pixel_io.h"

namespace fsrcnn {
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
  column_filtered_ = arena.take(width + 2 * kBicubicReach + kMaxLanes);
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
      enlarge_row(kernels_, rows, scale_, phase_y, {}, n, column_filtered_, upscaled_ + e * scale_);
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

}  // namespace fsrcnn
