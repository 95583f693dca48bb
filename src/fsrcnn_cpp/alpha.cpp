#include "alpha.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

namespace fsrcnn {
namespace {

enum class State : unsigned char { hidden, waiting, known };

/// Samples of a picture without gaps, with what is known of each pixel.
template <typename Sample>
class Colours {
 public:
  Colours(const ImageView& image, Sample* samples)
      : samples_(samples), height_(image.height), width_(image.width), channels_(image.channels) {
    states_.reserve(static_cast<std::size_t>(height_ * width_));
    for (std::ptrdiff_t y = 0; y < height_; ++y) {
      for (std::ptrdiff_t x = 0; x < width_; ++x) {
        Sample* const to = pixel(y, x);
        for (int c = 0; c < channels_; ++c) {
          std::memcpy(to + c, image.row(y) + x * image.pixel_stride + c * image.channel_stride, sizeof(Sample));
        }
        const bool is_known = to[channels_ - 1] != 0;
        if (!is_known) std::fill_n(to, channels_, Sample{0});
        states_.push_back(is_known ? State::known : State::hidden);
      }
    }
  }

  void extend(int reach) {
    std::vector<Place> front;
    for (std::ptrdiff_t y = 0; y < height_; ++y) {
      for (std::ptrdiff_t x = 0; x < width_; ++x) {
        if (state(y, x) == State::hidden && has_known_neighbour(y, x)) front.push_back({y, x});
      }
    }
    for (int step = 0; step < reach && !front.empty(); ++step) {
      for (const Place& place : front) take_mean(place);
      // Known from now on, so that no pixel of a step saw another of the same.
      for (const Place& place : front) state(place.y, place.x) = State::known;
      std::vector<Place> next;
      for (const Place& place : front) {
        around(place, [&](std::ptrdiff_t y, std::ptrdiff_t x) {
          if (state(y, x) != State::hidden) return;
          state(y, x) = State::waiting;
          next.push_back({y, x});
        });
      }
      front = std::move(next);
    }
  }

 private:
  struct Place {
    std::ptrdiff_t y, x;
  };

  Sample* pixel(std::ptrdiff_t y, std::ptrdiff_t x) { return samples_ + (y * width_ + x) * channels_; }
  State& state(std::ptrdiff_t y, std::ptrdiff_t x) { return states_[static_cast<std::size_t>(y * width_ + x)]; }

  template <typename Call>
  void around(const Place& place, const Call& call) {
    const std::ptrdiff_t bottom = std::min(height_ - 1, place.y + 1), right = std::min(width_ - 1, place.x + 1);
    for (std::ptrdiff_t y = std::max<std::ptrdiff_t>(0, place.y - 1); y <= bottom; ++y) {
      for (std::ptrdiff_t x = std::max<std::ptrdiff_t>(0, place.x - 1); x <= right; ++x) call(y, x);
    }
  }

  bool has_known_neighbour(std::ptrdiff_t y, std::ptrdiff_t x) {
    bool found = false;
    around({y, x}, [&](std::ptrdiff_t ny, std::ptrdiff_t nx) { found = found || state(ny, nx) == State::known; });
    return found;
  }

  void take_mean(const Place& place) {
    float total[3] = {}, count = 0;
    around(place, [&](std::ptrdiff_t y, std::ptrdiff_t x) {
      if (state(y, x) != State::known) return;
      ++count;
      for (int c = 0; c + 1 < channels_; ++c) total[c] += static_cast<float>(pixel(y, x)[c]);
    });
    for (int c = 0; c + 1 < channels_; ++c) {
      pixel(place.y, place.x)[c] = static_cast<Sample>(std::floor(total[c] / count + 0.5f));
    }
  }

  Sample* samples_;
  std::ptrdiff_t height_, width_;
  int channels_;
  std::vector<State> states_;
};

/// Whether some alpha is 0, and some is not.
bool is_mixed(const ImageView& image) {
  bool hidden = false, visible = false;
  const int bytes = sample_bytes(image.type);
  for (std::ptrdiff_t y = 0; y < image.height && !(hidden && visible); ++y) {
    const unsigned char* alpha = image.row(y) + (image.channels - 1) * image.channel_stride;
    for (std::ptrdiff_t x = 0; x < image.width; ++x, alpha += image.pixel_stride) {
      const bool is_visible = alpha[0] != 0 || (bytes > 1 && alpha[1] != 0);
      visible |= is_visible;
      hidden |= !is_visible;
    }
  }
  return hidden && visible;
}

}  // namespace

ImageView extend_colour(const ImageView& image, int reach, std::vector<unsigned char>& copy) {
  if (!image.has_alpha() || !is_mixed(image)) return image;
  const std::ptrdiff_t sample = sample_bytes(image.type), pixel = sample * image.channels;
  copy.resize(static_cast<std::size_t>(image.height * image.width * pixel));
  if (image.type == SampleType::u8) {
    Colours<std::uint8_t>(image, copy.data()).extend(reach);
  } else {
    Colours<std::uint16_t>(image, reinterpret_cast<std::uint16_t*>(copy.data())).extend(reach);
  }
  ImageView view = image;
  view.data = copy.data();
  view.row_stride = image.width * pixel;
  view.pixel_stride = pixel;
  view.channel_stride = sample;
  return view;
}

}  // namespace fsrcnn
