// What the checks of Upscaler share: networks, pictures, verdicts.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/dispatch.h"
#include "planes.h"
#include "trim.h"
#include "upscaler.h"

namespace fsrcnn {

inline int g_failures = 0;

inline void report(const char* isa, const char* what, long cases, long failures) {
  std::printf("%-9s  %-52s %5ld cases  %s\n", isa, what, cases, failures ? "WRONG" : "ok");
  std::fflush(stdout);
  g_failures += failures != 0;
}

/// FSRCNN(d, s, m) with every alignment of heads that fits in two models, weights that keep the numbers near 1.
inline Model make_model(Padding padding, int border, bool other_pads) {
  std::mt19937 random(7);
  const auto number = [&](double spread) {
    return static_cast<float>(spread * (2.0 * static_cast<double>(random()) / 0xffffffff - 1.0));
  };
  std::vector<ConvLayer> layers;
  const auto add = [&](int ic, int oc, int kernel) {
    ConvLayer layer{ic, oc, kernel, {}, {}, {}};
    const int taps = ic * kernel * kernel;
    for (int i = 0; i < oc * taps; ++i) layer.weight.push_back(number(1.7 / std::sqrt(taps)));
    for (int o = 0; o < oc; ++o) layer.bias.push_back(number(0.1)), layer.slope.push_back(number(0.5));
    layers.push_back(std::move(layer));
  };
  add(1, 9, 5);
  add(9, 5, 1);
  add(5, 5, 3);
  add(5, 5, 3);
  add(5, 9, 1);
  Model model{.nodes = chain(std::move(layers)), .heads = {}, .padding = padding};
  for (const auto& [stride, pad] : {std::pair{2, 4}, {3, other_pads ? 4 : 3}, {4, other_pads ? 4 : 3}}) {
    Head head{.stride = stride,
              .pad = pad,
              .output_padding = stride - kDeconvKernel + 2 * pad,
              .border = border,
              .ic = 9,
              .kernel = kDeconvKernel,
              .weight = {},
              .bias = {0.1f}};
    for (int i = 0; i < 9 * kDeconvKernel * kDeconvKernel; ++i) head.weight.push_back(number(0.15));
    model.heads.push_back(std::move(head));
  }
  return model;
}

/// SRCNN with few channels: three convolutions of the enlarged picture, the last one a head for each scale.
inline Model make_enlarged_model(Padding padding, Colour colour) {
  std::mt19937 random(9);
  const auto numbers = [&](int count, double spread) {
    std::vector<float> values;
    for (int i = 0; i < count; ++i) {
      values.push_back(static_cast<float>(spread * (2.0 * static_cast<double>(random()) / 0xffffffff - 1.0)));
    }
    return values;
  };
  const int planes = plane_count(colour);
  const auto layer = [&](int ic, int oc, int kernel) {
    const int taps = ic * kernel * kernel;
    return ConvLayer{ic, oc, kernel, numbers(oc * taps, 1.7 / std::sqrt(taps)), numbers(oc, 0.1), numbers(oc, 0.5)};
  };
  Model model{.nodes = chain({layer(planes, 9, 9), layer(9, 5, 3)}), .heads = {}, .padding = padding};
  model.enlarged = true;
  model.colour = colour;
  for (int scale = 2; scale <= 4; ++scale) {
    model.heads.push_back({.stride = scale,
                           .pad = 0,
                           .output_padding = 0,
                           .border = Head::kFullBorder,
                           .ic = 5,
                           .kernel = 5,
                           .weight = numbers(planes * 5 * 25, 0.15),
                           .bias = numbers(planes, 0.2),
                           .enlarges = false});
  }
  return model;
}

/// A picture with its memory. The same seed makes the same picture.
class Picture {
 public:
  Picture(std::ptrdiff_t height, std::ptrdiff_t width, int channels, SampleType type, unsigned seed)
      : data_(static_cast<std::size_t>(height * width * channels * sample_bytes(type))) {
    const std::ptrdiff_t pixel = channels * sample_bytes(type);
    const float full = type == SampleType::u8 ? 255 : type == SampleType::u16 ? 65535 : 1;
    view_ = {data_.data(), height, width, channels, type, {full, full}, width * pixel, pixel, sample_bytes(type)};
    std::mt19937 random(seed);
    if (type == SampleType::f32) {
      for (std::size_t i = 0; i < data_.size(); i += sizeof(float)) {
        const float value = static_cast<float>(random() >> 8) * 0x1p-24f;
        std::memcpy(&data_[i], &value, sizeof value);
      }
    } else {
      for (unsigned char& byte : data_) byte = static_cast<unsigned char>(random());
    }
  }
  ImageView view() const {
    return {data_.data(), view_.height,     view_.width,        view_.channels,      view_.type,
            view_.range,  view_.row_stride, view_.pixel_stride, view_.channel_stride};
  }
  MutableImageView target() { return view_; }
  bool operator==(const Picture& other) const { return data_ == other.data_; }
  const std::vector<unsigned char>& bytes() const { return data_; }

 private:
  std::vector<unsigned char> data_;
  MutableImageView view_;
};

struct Geometry {
  std::ptrdiff_t height, width;
  int channels;
  SampleType type;
};

inline Picture make_source(const Geometry& g) {
  return Picture(g.height, g.width, g.channels, g.type, static_cast<unsigned>(g.height * 31 + g.width + g.channels));
}

/// The outputs of one pass; they start as noise, so that what is not written shows.
inline std::vector<Picture> run(const Upscaler& upscaler, const Geometry& g, std::vector<int> scales, int threads,
                                std::ptrdiff_t strip_width, const Finish& finish = {}) {
  static std::atomic<unsigned> noise{1};
  const Picture src = make_source(g);
  std::vector<Picture> outputs;
  for (const int scale : scales) outputs.emplace_back(g.height * scale, g.width * scale, g.channels, g.type, ++noise);
  std::vector<Target> targets;
  for (std::size_t i = 0; i < scales.size(); ++i) targets.push_back({scales[i], outputs[i].target()});
  upscaler.run(src.view(), targets, finish, threads, strip_width);
  return outputs;
}

struct Setup {
  Padding padding;
  int border;
  bool other_pads;
  Algorithm algorithm;
  Finish finish;
  bool enlarged = false;
  Colour colour = Colour::luma;

  Model model() const {
    return enlarged ? make_enlarged_model(padding, colour) : make_model(padding, border, other_pads);
  }
};
inline constexpr Setup kSetups[] = {
    {Padding::replicate, Head::kFullBorder, false, Algorithm::winograd, {}},
    {Padding::zeros, Head::kFullBorder, false, Algorithm::winograd, {0.6f, true, true}},
    {Padding::replicate, 1, true, Algorithm::winograd, {1, false, false}},
    {Padding::replicate, Head::kFullBorder, true, Algorithm::direct, {1.5f, true, false}},
    {Padding::zeros, 0, false, Algorithm::direct, {1, false, true}},
    {Padding::replicate, 0, false, Algorithm::winograd, {}, true, Colour::luma},
    {Padding::zeros, 0, false, Algorithm::winograd, {0.6f, true, true}, true, Colour::ycbcr},
    {Padding::replicate, 0, false, Algorithm::direct, {1.5f, true, true}, true, Colour::rgb}};
// By subject, for one table.
void check_arguments(const KernelTable& table);
void check_bits(const KernelTable& table);
void check_bicubic(const KernelTable& table);
void check_fixed_bits(const KernelTable& table);
void check_resized_bits(const KernelTable& table);
void check_parts_bits(const KernelTable& table);
void check_resized_against_run(const KernelTable& table);
void check_numbers(const KernelTable& table);
void check_graphs(const KernelTable& table);
void check_concurrent_calls(const KernelTable& table);
void check_fork(const KernelTable& table);
void check_refused_threads(const KernelTable& table);
void check_allocations(const KernelTable& table);
void check_faults(const KernelTable& table);
void check_refused_workers(const KernelTable& table);
/// Whether there are forked children here, on which the checks of processes and of refused threads stand.
#if defined(_WIN32)
inline constexpr bool kForks = false;
#else
inline constexpr bool kForks = true;
#endif
/// Of what knows no kernels.
void check_plans();
void check_arena();

}  // namespace fsrcnn
