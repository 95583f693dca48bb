#include "strip.h"

#include <algorithm>

#include "common.h"

namespace fsrcnn {

void Strip::prepare(const PackedNetwork& network, const Finish& finish, const ImageView& src,
                    std::span<const Target> targets, std::ptrdiff_t width) {
  source_.emplace(src, network.kernels);
  outputs_.clear();
  const PackedHead* heads[kMaxStride];
  int most_scale = 0;
  for (const Target& target : targets) {
    heads[outputs_.size()] = network.head(target.scale);
    outputs_.push_back({network.head(target.scale), RowSink(target.image, target.scale, network.kernels)});
    most_scale = std::max(most_scale, target.scale);
  }
  Finish mine = finish;
  mine.guided = finish.guided && src.has_colour();
  stream_.prepare(network, {heads, outputs_.size()}, src.height, src.width, width);
  finisher_.prepare(stream_, network, mine, &*source_, src.extras(), most_scale, width);
  scratch_.fit([&](Arena& arena) {
    stream_.carve(arena);
    finisher_.carve(arena);
    source_->carve(arena, stream_.source_width());
    for (Output& output : outputs_) output.sink.carve(arena, width + kMaxLanes);
  });
}

void Strip::run(Range columns, std::ptrdiff_t y0, std::ptrdiff_t y1) {
  PictureRows rows(*source_);
  stream_.begin(columns, y0, rows);
  finisher_.begin(y0);
  for (std::ptrdiff_t y = y0; y < y1; y += kBlock) {
    stream_.advance(y);
    finisher_.survey(y);
    for (Output& output : outputs_) {
      stream_.run_head(*output.head, y);
      store(output, y);
    }
  }
}

/// Stores the phase planes of a block of rows, with what bypassed the network.
void Strip::store(Output& output, std::ptrdiff_t y) {
  const StripView& view = stream_.view();
  for (std::ptrdiff_t r = 0; r < std::min(kBlock, view.height - y); ++r) {
    float* const luma = stream_.phases(*output.head, r);
    finisher_.finish(y + r, output.head->stride, luma);
    output.sink.store(y + r, view.columns.begin, view.columns.size(), luma, stream_.stride(), finisher_.extra_rows(),
                      finisher_.extra_stride(), finisher_.guide());
  }
}

void Pass::prepare(const PackedNetwork& network, const Finish& finish, std::ptrdiff_t height, std::ptrdiff_t width,
                   int scale, int keep, std::ptrdiff_t strip_width) {
  kernels_ = &network.kernels;
  head_ = network.head(scale);
  Finish mine = finish;
  mine.guided = false;
  stream_.prepare(network, {&head_, 1}, height, width, strip_width);
  finisher_.prepare(stream_, network, mine, nullptr, 0, scale, strip_width);
  luma_.channels = 1;
  luma_.rows = keep + kBlock * scale;
  luma_.stride = round_up(scale * strip_width + kMaxLanes, kCacheLineFloats);
  scratch_.fit([&](Arena& arena) {
    stream_.carve(arena);
    finisher_.carve(arena);
    luma_.carve(arena);
  });
}

void Pass::begin(Range columns, std::ptrdiff_t y0, Rows& source) {
  stream_.begin(columns, y0, source);
  finisher_.begin(y0);
  next_block_ = y0;
}

const float* Pass::row(std::ptrdiff_t y) {
  while (next_block_ * head_->stride <= y) run_block();
  return luma_.row(y);
}

void Pass::run_block() {
  const StripView& view = stream_.view();
  const int scale = head_->stride;
  stream_.advance(next_block_);
  finisher_.survey(next_block_);
  stream_.run_head(*head_, next_block_);
  const std::ptrdiff_t rows = std::min(kBlock, view.height - next_block_);
  for (std::ptrdiff_t r = 0; r < rows; ++r) {
    float* const luma = stream_.phases(*head_, r);
    finisher_.finish(next_block_ + r, scale, luma);
    for (int phase_y = 0; phase_y < scale; ++phase_y) {
      const float* planes[kMaxStride];
      for (int i = 0; i < scale; ++i) planes[i] = luma + (phase_y * scale + i) * stream_.stride();
      // To store floats is to merge phases; this is a row of ours.
      float* const merged = luma_.row((next_block_ + r) * scale + phase_y);
      kernels_->store[static_cast<int>(SampleType::f32)]({.planes = planes,
                                                          .phases = scale,
                                                          .channels = 1,
                                                          .width = view.columns.size(),
                                                          .dst = reinterpret_cast<unsigned char*>(merged),
                                                          .pixel_stride = sizeof(float),
                                                          .channel_stride = sizeof(float),
                                                          .range = {1, 1}});
    }
  }
  next_block_ += kBlock;
}

void Pass::read(std::ptrdiff_t y, Range range, float* dst) {
  const float* const first = row(y) + range.begin - stream_.view().columns.begin * head_->stride;
  std::copy(first, first + range.size(), dst);
}

}  // namespace fsrcnn
