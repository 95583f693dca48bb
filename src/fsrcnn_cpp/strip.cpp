#include "strip.h"

#include <algorithm>

#include "common.h"

namespace fsrcnn {

void Strip::prepare(const PackedNetwork& network, const Finish& finish, const ImageView& src,
                    std::span<const Target> targets, std::ptrdiff_t width, int members) {
  if (!phases_) phases_ = make_phases(network);
  source_.emplace(src, network.kernels, network.colour);
  outputs_.clear();
  const PackedHead* heads[kMaxStride];
  int most_scale = 0;
  for (const Target& target : targets) {
    heads[outputs_.size()] = network.head(target.scale);
    outputs_.push_back(
        {network.head(target.scale), RowSink(target.image, target.scale, network.kernels, network.colour)});
    most_scale = std::max(most_scale, target.scale);
  }
  Finish mine = finish;
  mine.guided = finish.guided && src.has_colour() && network.colour == Colour::luma;
  phases_->prepare(network, {heads, outputs_.size()}, src.height, src.width, width, members);
  finisher_.prepare(*phases_, network, mine, &*source_, extra_planes(src, network.colour), most_scale, width);
  scratch_.fit([&](Arena& arena) {
    phases_->carve(arena);
    finisher_.carve(arena);
    source_->carve(arena, phases_->source_stride());
    for (Output& output : outputs_) output.sink.carve(arena, width + kMaxLanes);
  });
}

void Strip::run(const Tile& tile, Team& team) {
  PictureRows rows(*source_);
  phases_->begin(tile, rows, team);
  finisher_.begin(tile.y0);
  for (std::ptrdiff_t y = tile.y0; y < tile.y1; y += kBlock) {
    phases_->advance(y);
    finisher_.survey(y);
    for (Output& output : outputs_) {
      phases_->run_head(*output.head, y);
      store(output, y);
    }
  }
}

/// Stores the phase planes of a block of rows, with what bypassed the network.
void Strip::store(Output& output, std::ptrdiff_t y) {
  const StripView& view = phases_->view();
  for (std::ptrdiff_t r = 0; r < std::min(kBlock, view.height - y); ++r) {
    float* const planes = phases_->planes(*output.head, r);
    finisher_.finish(y + r, output.head->scale, planes);
    output.sink.store(y + r, view.columns.begin, view.columns.size(), planes, phases_->stride(), finisher_.extra_rows(),
                      finisher_.extra_stride(), finisher_.guide());
  }
}

void Pass::prepare(const PackedNetwork& network, const Finish& finish, std::ptrdiff_t height, std::ptrdiff_t width,
                   int scale, int keep, std::ptrdiff_t strip_width, int members) {
  if (!phases_) phases_ = make_phases(network);
  kernels_ = &network.kernels;
  head_ = network.head(scale);
  Finish mine = finish;
  mine.guided = false;
  phases_->prepare(network, {&head_, 1}, height, width, strip_width, members);
  finisher_.prepare(*phases_, network, mine, nullptr, 0, scale, strip_width);
  made_.channels = plane_count(network.colour);
  made_.rows = keep + kBlock * scale;
  made_.stride = round_up(scale * strip_width + kMaxLanes, kCacheLineFloats);
  scratch_.fit([&](Arena& arena) {
    phases_->carve(arena);
    finisher_.carve(arena);
    made_.carve(arena);
  });
}

void Pass::begin(const Tile& tile, Rows& source, Team& team) {
  phases_->begin(tile, source, team);
  finisher_.begin(tile.y0);
  next_block_ = tile.y0;
}

const float* Pass::row(std::ptrdiff_t y) {
  while (next_block_ * head_->scale <= y) run_block();
  return made_.row(y);
}

void Pass::run_block() {
  const StripView& view = phases_->view();
  const int scale = head_->scale;
  phases_->advance(next_block_);
  finisher_.survey(next_block_);
  phases_->run_head(*head_, next_block_);
  const std::ptrdiff_t rows = std::min(kBlock, view.height - next_block_);
  for (std::ptrdiff_t r = 0; r < rows; ++r) {
    float* planes = phases_->planes(*head_, r);
    finisher_.finish(next_block_ + r, scale, planes);
    for (std::ptrdiff_t colour = 0; colour < made_.channels; ++colour) {
      for (int phase_y = 0; phase_y < scale; ++phase_y, planes += scale * phases_->stride()) {
        const float* phases[kMaxStride];
        for (int i = 0; i < scale; ++i) phases[i] = planes + i * phases_->stride();
        merge_phases(*kernels_, phases, scale, view.columns.size(),
                     made_.row((next_block_ + r) * scale + phase_y) + colour * made_.stride);
      }
    }
  }
  next_block_ += kBlock;
}

void Pass::read(std::ptrdiff_t y, Range range, float* dst, std::ptrdiff_t stride) {
  const float* const first = row(y) + range.begin - phases_->view().columns.begin * head_->scale;
  for (std::ptrdiff_t colour = 0; colour < made_.channels; ++colour) {
    std::copy_n(first + colour * made_.stride, range.size(), dst + colour * stride);
  }
}

}  // namespace fsrcnn
