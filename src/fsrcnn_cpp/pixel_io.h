// Pictures at the two ends of the network: a row source that feeds it luma, and a row sink that stores what it gives.
//
// Grey goes to the network as it is. RGB goes as BT.601 luma; its chroma, and any alpha, are the "extra" planes, which
// are upscaled by the bicubic filter (Keys, a = -0.5, centre aligned, edge replicated) as the rows stream by. A network
// of all colours leaves alpha alone as an extra plane; to it, grey is a colour picture without colour.
#pragma once

#include <cstddef>

#include "arena.h"
#include "bicubic.h"
#include "kernels/kernels.h"
#include "model.h"

namespace fsrcnn {

/// A picture in memory. Channels: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA. Strides are in bytes and may be negative.
template <typename Byte>
struct BasicImageView {
  Byte* data;
  std::ptrdiff_t height, width;
  int channels;
  SampleType type;
  SampleRange range;
  std::ptrdiff_t row_stride, pixel_stride, channel_stride;

  Byte* row(std::ptrdiff_t y) const { return data + y * row_stride; }
  bool has_colour() const { return channels >= 3; }
  bool has_alpha() const { return channels % 2 == 0; }
  /// Planes that bypass the network: two of chroma, one of alpha.
  int extras() const { return channels - 1; }
};
using ImageView = BasicImageView<const unsigned char>;
using MutableImageView = BasicImageView<unsigned char>;

inline ImageView read_only(const MutableImageView& v) {
  return {v.data, v.height, v.width, v.channels, v.type, v.range, v.row_stride, v.pixel_stride, v.channel_stride};
}

/// Chroma of Y'CbCr lies around this, as it does in video and in MATLAB; in extra planes it lies around 0.
inline constexpr float kChromaCentre = 128.0f / 255;

/// Planes of a picture that bypass a network.
template <typename Byte>
int extra_planes(const BasicImageView<Byte>& image, Colour colour) {
  return colour == Colour::luma ? image.extras() : image.has_alpha();
}

/// What chroma is guided by: bicubic luma, scale x scale phase planes, and the slopes of Cb and Cr over luma.
struct Guide {
  const float* soft;
  std::ptrdiff_t soft_stride;
  const float* slopes[2];
};

class RowSource {
 public:
  RowSource(const ImageView& image, const KernelTable& kernels, Colour colour = Colour::luma)
      : image_(image), kernels_(kernels), colour_(colour) {}

  /// Carves room for rows of up to `width` columns.
  void carve(Arena& arena, std::ptrdiff_t width);
  /// What the network sees of columns x .. x + n - 1 of row y, its planes `stride` floats apart.
  void load_planes(std::ptrdiff_t y, std::ptrdiff_t x, std::ptrdiff_t n, float* dst, std::ptrdiff_t stride) const;
  void load_luma(std::ptrdiff_t y, std::ptrdiff_t x, std::ptrdiff_t n, float* dst) const;
  /// The extra planes of the same columns, `stride` floats apart: Cb, Cr, alpha, as far as the picture has them.
  void load_extras(std::ptrdiff_t y, std::ptrdiff_t x, std::ptrdiff_t n, float* dst, std::ptrdiff_t stride) const;

 private:
  void load_channel(int channel, std::ptrdiff_t y, std::ptrdiff_t x, std::ptrdiff_t n, float* dst) const;

  ImageView image_;
  const KernelTable& kernels_;
  Colour colour_;
  float* rgb_[3] = {};
};

class RowSink {
 public:
  RowSink(const MutableImageView& image, int scale, const KernelTable& kernels, Colour colour)
      : image_(image), scale_(scale), kernels_(kernels), colour_(colour) {}

  void carve(Arena& arena, std::ptrdiff_t width);
  /// Stores output rows scale*y .. scale*y + scale - 1 over LR columns x .. x + n - 1.
  /// `made`: scale x scale phase planes of each colour that the network makes, `stride` apart (overwritten where there
  /// is colour).
  /// `extra_rows`: LR rows y - 2 .. y + 2, each with the extra planes `extra_stride` apart; column x is at index 0 and
  /// kBicubicReach columns on either side are readable. `guide`: of the chroma, or null where that is bicubic alone.
  void store(std::ptrdiff_t y, std::ptrdiff_t x, std::ptrdiff_t n, float* made, std::ptrdiff_t stride,
             const float* const* extra_rows, std::ptrdiff_t extra_stride, const Guide* guide) const;

 private:
  MutableImageView image_;
  int scale_;
  const KernelTable& kernels_;
  Colour colour_;
  float* column_filtered_ = nullptr;      // one row, filtered down the columns
  float* upscaled_[3 * kMaxStride] = {};  // [extra][phase_x]
};

/// Makes of a pixel row of a network of all colours, in place, what a picture has: R, G and B, or grey in the first.
void to_samples(const KernelTable& kernels, Colour colour, bool has_colour, float* const* planes, std::ptrdiff_t n);

}  // namespace fsrcnn
