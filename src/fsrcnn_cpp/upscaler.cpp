#include "upscaler.h"

#include <algorithm>
#include <mutex>
#include <optional>

#include "aligned_buffer.h"
#include "arena.h"
#include "common.h"
#include "thread_pool.h"

namespace fsrcnn {
namespace {

// What a strip keeps should stay in the caches, but its neighbour computes the columns at the seam once more. Speed is
// flat from 0.4 to 2.5 MB where a megabyte of second-level cache is backed by a third level, and falls off below.
constexpr std::ptrdiff_t kStripBytes = 1664 * 1024;
constexpr std::ptrdiff_t kMinStripWidth = 64;
// A band recomputes a few rows that its neighbour also computes, so bands are tall unless the picture is small.
constexpr std::ptrdiff_t kBandRows = 256;
constexpr std::ptrdiff_t kMinBandRows = 8;

// Columns that a convolution and the pointwise one after it compute at a time.
constexpr std::ptrdiff_t kChunkColumns = kWinogradChunkColumns;
constexpr std::ptrdiff_t kChunkStride = kChunkColumns + kWinogradOverrun;  // an odd number of cache lines

// Output is produced in blocks of rows, and strips and bands start at multiples of them, whatever the algorithm.
constexpr std::ptrdiff_t kBlock = kWinogradTile;

constexpr std::ptrdiff_t align_down(std::ptrdiff_t value, std::ptrdiff_t anchor) {
  const std::ptrdiff_t remainder = (value - anchor) % kBlock;
  return value - (remainder < 0 ? remainder + kBlock : remainder);
}

/// The last few feature rows of one layer; row y lies in slot y % rows.
struct Ring {
  float* data = nullptr;
  std::ptrdiff_t channels = 0, rows = 0, stride = 0;

  void carve(Arena& arena, std::ptrdiff_t channel_count, std::ptrdiff_t row_count, std::ptrdiff_t channel_stride) {
    channels = channel_count;
    rows = row_count;
    stride = channel_stride;
    data = arena.take(channels * rows * stride);
  }
  float* row(std::ptrdiff_t y) const { return data + y % rows * channels * stride; }
};

}  // namespace

void gather_rows(std::ptrdiff_t first, int count, std::ptrdiff_t height, Padding padding, int border,
                 std::ptrdiff_t* rows) {
  for (int i = 0; i < count; ++i) {
    const std::ptrdiff_t y = first + i;
    const std::ptrdiff_t nearest = std::clamp<std::ptrdiff_t>(y, 0, height - 1);
    const std::ptrdiff_t distance = y < nearest ? nearest - y : y - nearest;
    const bool inside = padding == Padding::replicate && (border == Head::kFullBorder || distance <= border);
    rows[i] = distance == 0 || inside ? nearest : kZeroRow;
  }
}

/// Columns that a convolution reads around the picture: whole tiles, where tiles span columns.
int column_reach(const PackedConv& conv) { return conv.winograd && conv.kernel == 3 ? kWinogradTile : conv.kernel / 2; }
/// Rows that it reads at a time.
int rows_read(const PackedConv& conv) { return conv.winograd ? winograd_points(conv.kernel) : conv.kernel; }

/// One worker's scratch and the state of the strip it is streaming. Column x of the picture lies at index
/// `column(x)` of every row, so all layers of a strip share one coordinate.
class Upscaler::Strip {
 public:
  /// Sizes the scratch for strips of up to `width` columns. Allocates only if it has to grow.
  void prepare(const Upscaler& upscaler, const ImageView& src, std::span<const Target> targets, std::ptrdiff_t width);
  /// Computes columns x0 .. x1 - 1 of rows y0 .. y1 - 1. Starts, and ends inside the picture, are multiples of kBlock.
  void run(std::ptrdiff_t x0, std::ptrdiff_t x1, std::ptrdiff_t y0, std::ptrdiff_t y1);

 private:
  struct Output {
    const PackedHead* head;
    RowSink sink;
  };
  struct Range {
    std::ptrdiff_t begin, end;
  };

  void carve(Arena& arena, std::ptrdiff_t width);
  std::ptrdiff_t column(std::ptrdiff_t x) const { return margin_ + x - x0_; }
  int stage_count() const { return static_cast<int>(upscaler_->stages_.size()); }
  /// The stage that makes ring i, for i > 0, and the convolution that reads it, for i < stage_count().
  const Stage& producer(int i) const { return upscaler_->stages_[i - 1]; }
  const PackedConv& consumer(int i) const { return *upscaler_->stages_[i].conv; }
  bool in_blocks(int i) const { return i > 0 && producer(i).conv->winograd; }

  /// The columns of the picture that ring i holds for this strip.
  Range columns(int i) const {
    const Extent& extent = upscaler_->extents_[i];
    return {std::max<std::ptrdiff_t>(0, x0_ - extent.before), std::min(src_.width, x1_ + extent.after)};
  }
  void produce_until(int i, std::ptrdiff_t y);
  void produce(int i, std::ptrdiff_t y);
  void convolve(const PackedConv& conv, const float* const* src_rows, std::ptrdiff_t src_stride, float* const* dst_rows,
                std::ptrdiff_t dst_stride, std::ptrdiff_t width);
  void finish_row(int i, std::ptrdiff_t y);
  void produce_extras_until(std::ptrdiff_t y);
  void pad(const Ring& ring, std::ptrdiff_t y, Range range, int reach, int border);
  void gather(const Ring& ring, std::ptrdiff_t first, int count, std::ptrdiff_t at, int border, const float** rows);
  void run_head(const Output& output, std::ptrdiff_t y);

  const Upscaler* upscaler_ = nullptr;
  ImageView src_{};
  std::optional<RowSource> source_;  // made anew for every picture, as the outputs are
  std::vector<Output> outputs_;
  int reach_ = 0;                // rows that the heads in use read around a block
  int pad_reach_ = 0;            // columns that they read around the picture, whole tiles included
  bool borders_differ_ = false;  // between heads: the last ring is then padded anew for each

  AlignedBuffer memory_;
  std::ptrdiff_t margin_ = 0, stride_ = 0;
  std::vector<Ring> rings_;           // [0] luma, [i] output of stage i - 1
  std::vector<std::ptrdiff_t> next_;  // next row of ring i
  Ring extras_;
  std::ptrdiff_t next_extra_ = 0;
  float* zero_row_ = nullptr;
  float* spare_row_ = nullptr;   // takes the rows of a block that lie outside the picture
  float* phases_ = nullptr;      // phase planes of one head, for a block of rows
  float* scratchpad_ = nullptr;  // of the Winograd kernels
  float* wide_ = nullptr;        // a chunk of the features between a convolution and its pointwise one
  std::ptrdiff_t geometry_[4] = {};

  std::ptrdiff_t x0_ = 0, x1_ = 0;
};

struct Upscaler::Context {
  std::vector<Strip> strips;                // one a thread
  std::vector<AlignedBuffer> bicubic_rows;  // one a thread
};

struct Upscaler::FreeList {
  const unsigned generation;  // of ThreadPool::fork_generation
  std::mutex mutex;
  std::vector<std::unique_ptr<Context>> contexts;
};

void Upscaler::Strip::prepare(const Upscaler& upscaler, const ImageView& src, std::span<const Target> targets,
                              std::ptrdiff_t width) {
  upscaler_ = &upscaler;
  src_ = src;
  source_.emplace(src, upscaler.kernels_);
  outputs_.clear();
  reach_ = 0;
  pad_reach_ = 0;
  borders_differ_ = false;
  int scales = 0;
  for (const Target& target : targets) {
    const PackedHead* head = upscaler.find_head(target.scale);
    outputs_.push_back({head, RowSink(target.image, target.scale, upscaler.kernels_)});
    reach_ = std::max(reach_, head->reach());
    pad_reach_ = std::max(pad_reach_, head->subpixel ? column_reach(*head->subpixel) : head->reach());
    borders_differ_ |= head->border != outputs_.front().head->border;
    scales |= 1 << target.scale;
  }

  const Extent& widest = upscaler.extents_[0];
  margin_ = round_up(std::max(widest.before, kBicubicReach) + kWinogradTile, kCacheLineFloats);
  // An odd number of cache lines between channels: a power of two would map all of them to a few cache sets.
  stride_ = ceil_div(margin_ + width + std::max(widest.after, kBicubicReach) + kWinogradOverrun, kCacheLineFloats);
  stride_ = (stride_ | 1) * kCacheLineFloats;
  rings_.resize(upscaler.stages_.size() + 1);
  next_.resize(rings_.size());

  Arena count(nullptr);
  carve(count, width);
  const std::ptrdiff_t geometry[] = {width, src.channels, scales, static_cast<std::ptrdiff_t>(src.type)};
  if (count.used() > memory_.size()) {
    memory_ = AlignedBuffer(count.used());
  } else if (!std::equal(std::begin(geometry), std::end(geometry), geometry_)) {
    memory_.clear();  // what was a feature may now be a row of zeros
  }
  std::copy(std::begin(geometry), std::end(geometry), geometry_);
  Arena arena(memory_.data());
  carve(arena, width);
}

void Upscaler::Strip::carve(Arena& arena, std::ptrdiff_t width) {
  std::ptrdiff_t max_channels = 1;
  std::ptrdiff_t wide_channels = 0;
  std::ptrdiff_t scratchpad = 0;
  const auto need_scratchpad = [&](const PackedConv& conv) {
    if (conv.winograd) scratchpad = std::max(scratchpad, winograd_scratchpad(conv.kernel, conv.ic, conv.oc));
  };
  for (int i = 0; i <= stage_count(); ++i) {
    const std::ptrdiff_t channels = i == 0 ? 1 : producer(i).oc();
    const bool read_in_blocks = i < stage_count() && consumer(i).winograd;
    std::ptrdiff_t rows = i == stage_count() ? kBlock + 2 * reach_ : rows_read(consumer(i));
    // Blocks end `late` rows after a staggered block stops reading; any other reader finds up to a block more.
    if (in_blocks(i)) rows += read_in_blocks ? upscaler_->extents_[i].late : kBlock - 1;
    rings_[i].carve(arena, channels, rows, stride_);
    max_channels = std::max(max_channels, channels);
    if (i > 0) {
      need_scratchpad(*producer(i).conv);
      if (producer(i).pointwise) wide_channels = std::max<std::ptrdiff_t>(wide_channels, producer(i).conv->oc);
    }
  }
  extras_.carve(arena, src_.extras(), 2 * kBicubicReach + kBlock, stride_);
  source_->carve(arena, stride_);
  std::ptrdiff_t max_phases = 0;
  for (Output& output : outputs_) {
    const std::ptrdiff_t phases = output.head->stride * output.head->stride;
    output.sink.carve(arena, width + kMaxLanes);
    max_phases = std::max(max_phases, phases);
    if (output.head->subpixel) need_scratchpad(*output.head->subpixel);
  }
  zero_row_ = arena.take(max_channels * stride_);
  spare_row_ = arena.take(max_channels * stride_);
  phases_ = arena.take(kBlock * max_phases * stride_);
  wide_ = arena.take(kBlock * wide_channels * kChunkStride);
  scratchpad_ = arena.take(scratchpad);
}

void Upscaler::Strip::run(std::ptrdiff_t x0, std::ptrdiff_t x1, std::ptrdiff_t y0, std::ptrdiff_t y1) {
  x0_ = x0;
  x1_ = x1;
  for (int i = 0; i <= stage_count(); ++i) {
    const Extent& extent = upscaler_->extents_[i];
    const std::ptrdiff_t first = std::max<std::ptrdiff_t>(0, y0 - extent.before);
    next_[i] = in_blocks(i) ? align_down(first, extent.anchor) : first;
  }
  next_extra_ = std::max<std::ptrdiff_t>(0, y0 - kBicubicReach);
  for (std::ptrdiff_t y = y0; y < y1; y += kBlock) {
    produce_until(stage_count(), std::min(src_.height, y + kBlock + reach_));
    if (src_.extras() > 0) produce_extras_until(std::min(src_.height, y + kBlock + kBicubicReach));
    for (const Output& output : outputs_) run_head(output, y);
  }
}

/// Makes the rows of ring i up to, not including, `end`, and what they need of the rings before it.
void Upscaler::Strip::produce_until(int i, std::ptrdiff_t end) {
  while (next_[i] < end) {
    const std::ptrdiff_t y = next_[i];
    const std::ptrdiff_t rows = in_blocks(i) ? kBlock : 1;
    if (i == 0) {
      const Range range = columns(0);
      source_->load_luma(y, range.begin, range.end - range.begin, rings_[0].row(y) + column(range.begin));
    } else {
      produce_until(i - 1, std::min(src_.height, y + rows + producer(i).conv->kernel / 2));
      produce(i, y);
    }
    for (std::ptrdiff_t r = std::max<std::ptrdiff_t>(0, y); r < std::min(src_.height, y + rows); ++r) finish_row(i, r);
    next_[i] += rows;
  }
}

/// One row of ring i, or one block of rows.
void Upscaler::Strip::produce(int i, std::ptrdiff_t y) {
  const Stage& stage = producer(i);
  const PackedConv& conv = *stage.conv;
  const Range range = columns(i);
  // The first tile may start left of the picture, and the last end right of it: their inputs there are padding.
  const std::ptrdiff_t first = in_blocks(i) ? align_down(range.begin, upscaler_->extents_[i].anchor) : range.begin;
  const float* src_rows[kMaxKernel];
  gather(rings_[i - 1], y - conv.kernel / 2, rows_read(conv), column(first) - conv.kernel / 2, Head::kFullBorder,
         src_rows);
  const std::ptrdiff_t rows = in_blocks(i) ? kBlock : 1;
  float* dst_rows[kBlock];
  for (std::ptrdiff_t r = 0; r < rows; ++r) {
    const bool inside = y + r >= 0 && y + r < src_.height;
    dst_rows[r] = (inside ? rings_[i].row(y + r) : spare_row_) + column(first);
  }
  if (!stage.pointwise) return convolve(conv, src_rows, stride_, dst_rows, stride_, range.end - first);

  float* wide_rows[kBlock];
  for (std::ptrdiff_t r = 0; r < rows; ++r) wide_rows[r] = wide_ + r * conv.oc * kChunkStride;
  for (std::ptrdiff_t x = first; x < range.end; x += kChunkColumns) {
    const std::ptrdiff_t width = std::min(kChunkColumns, range.end - x);
    convolve(conv, src_rows, stride_, wide_rows, kChunkStride, width);
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
      convolve(*stage.pointwise, wide_rows + r, kChunkStride, dst_rows + r, stride_, width);
      dst_rows[r] += kChunkColumns;
    }
    for (int k = 0; k < rows_read(conv); ++k) src_rows[k] += kChunkColumns;
  }
}

void Upscaler::Strip::convolve(const PackedConv& conv, const float* const* src_rows, std::ptrdiff_t src_stride,
                               float* const* dst_rows, std::ptrdiff_t dst_stride, std::ptrdiff_t width) {
  const KernelTable& kernels = upscaler_->kernels_;
  if (conv.winograd) {
    const WinogradArgs args{src_rows,          src_stride, conv.ic,    conv.oc, conv.weights.data(), conv.bias.data(),
                            conv.slope.data(), dst_rows,   dst_stride, width,   scratchpad_};
    conv.kernel == 3 ? kernels.winograd3_conv2d(args) : kernels.winograd5_conv2d(args);
  } else {
    const Conv2dArgs args{
        src_rows,         src_stride,        conv.ic,   conv.kernel, conv.kernel, conv.oc, conv.weights.data(),
        conv.bias.data(), conv.slope.data(), *dst_rows, dst_stride,  width};
    kernels.conv2d(args);
  }
}

/// Pads a fresh row as far as its reader looks beyond the picture.
void Upscaler::Strip::finish_row(int i, std::ptrdiff_t y) {
  if (i < stage_count()) {
    pad(rings_[i], y, columns(i), column_reach(consumer(i)), Head::kFullBorder);
  } else if (!borders_differ_) {
    pad(rings_[i], y, columns(i), pad_reach_, outputs_.front().head->border);
  }
}

void Upscaler::Strip::produce_extras_until(std::ptrdiff_t end) {
  const Range range{std::max<std::ptrdiff_t>(0, x0_ - kBicubicReach), std::min(src_.width, x1_ + kBicubicReach)};
  for (; next_extra_ < end; ++next_extra_) {
    float* const row = extras_.row(next_extra_);
    source_->load_extras(next_extra_, range.begin, range.end - range.begin, row + column(range.begin), stride_);
    for (std::ptrdiff_t e = 0; e < extras_.channels; ++e) {
      float* const plane = row + e * stride_;
      for (int i = 1; i <= kBicubicReach; ++i) {
        if (range.begin == 0) plane[column(-i)] = plane[column(0)];
        if (range.end == src_.width) plane[column(range.end - 1 + i)] = plane[column(range.end - 1)];
      }
    }
  }
}

/// Where the columns of a row touch the edge of the picture, writes what the next layer sees beyond it.
void Upscaler::Strip::pad(const Ring& ring, std::ptrdiff_t y, Range range, int reach, int border) {
  if (range.begin > 0 && range.end < src_.width) return;
  const bool full = border == Head::kFullBorder;
  const int replicated = upscaler_->padding_ == Padding::zeros ? 0 : full ? reach : std::min(border, reach);
  for (std::ptrdiff_t c = 0; c < ring.channels; ++c) {
    float* const plane = ring.row(y) + c * stride_;
    for (int i = 1; i <= reach; ++i) {
      if (range.begin == 0) plane[column(-i)] = i <= replicated ? plane[column(0)] : 0.0f;
      if (range.end == src_.width)
        plane[column(range.end - 1 + i)] = i <= replicated ? plane[column(range.end - 1)] : 0.0f;
    }
  }
}

/// Pointers to index `at` of rows first .. first + count - 1 of a ring, or of what stands for them outside the picture.
void Upscaler::Strip::gather(const Ring& ring, std::ptrdiff_t first, int count, std::ptrdiff_t at, int border,
                             const float** rows) {
  std::ptrdiff_t indices[kMaxKernel];
  gather_rows(first, count, src_.height, upscaler_->padding_, border, indices);
  for (int k = 0; k < count; ++k) rows[k] = (indices[k] == kZeroRow ? zero_row_ : ring.row(indices[k])) + at;
}

void Upscaler::Strip::run_head(const Output& output, std::ptrdiff_t y) {
  const PackedHead& head = *output.head;
  const Ring& features = rings_.back();
  const std::ptrdiff_t rows = std::min(kBlock, src_.height - y);
  if (borders_differ_) {
    const std::ptrdiff_t last = std::min(src_.height, y + rows + reach_);
    for (std::ptrdiff_t r = std::max<std::ptrdiff_t>(0, y - reach_); r < last; ++r) {
      pad(features, r, columns(stage_count()), pad_reach_, head.border);
    }
  }
  const std::ptrdiff_t phases = head.stride * head.stride;
  const float* src_rows[kMaxKernel];
  if (head.subpixel) {
    const PackedConv& conv = *head.subpixel;
    gather(features, y - conv.kernel / 2, rows_read(conv), column(x0_) - conv.kernel / 2, head.border, src_rows);
    float* dst_rows[kBlock];
    for (std::ptrdiff_t r = 0; r < kBlock; ++r) dst_rows[r] = phases_ + r * phases * stride_;
    convolve(conv, src_rows, stride_, dst_rows, stride_, x1_ - x0_);
  }
  for (std::ptrdiff_t r = 0; r < rows; ++r) {
    float* const planes = phases_ + r * phases * stride_;
    if (!head.subpixel) {
      gather(features, y + r + head.first_tap(), head.last_tap() - head.first_tap() + 1, column(x0_) + head.first_tap(),
             head.border, src_rows);
      const Deconv2dArgs args{head.stride,         head.pad,  src_rows, stride_, head.ic,
                              head.weights.data(), head.bias, planes,   stride_, x1_ - x0_};
      upscaler_->kernels_.deconv2d(args);
    }
    const float* extra_rows[2 * kBicubicReach + 1] = {};
    if (src_.extras() > 0) {
      for (int i = 0; i <= 2 * kBicubicReach; ++i) {
        const std::ptrdiff_t row = std::clamp<std::ptrdiff_t>(y + r + i - kBicubicReach, 0, src_.height - 1);
        extra_rows[i] = extras_.row(row) + column(x0_);
      }
    }
    output.sink.store(y + r, x0_, x1_ - x0_, planes, stride_, extra_rows, stride_);
  }
}

Upscaler::Upscaler(const Model& model, const KernelTable& kernels, Algorithm algorithm)
    : kernels_(kernels), padding_(model.padding), free_list_(new FreeList{ThreadPool::fork_generation(), {}, {}}) {
  validate(model);
  for (const ConvLayer& layer : model.layers) layers_.push_back(pack(layer, kernels, algorithm));
  for (const Head& head : model.heads) heads_.push_back(pack(head, kernels, algorithm));

  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const bool narrows = i + 1 < layers_.size() && layers_[i + 1].kernel == 1 && layers_[i + 1].oc < layers_[i].oc;
    stages_.push_back({&layers_[i], narrows ? &layers_[i + 1] : nullptr});
    i += narrows;
  }

  int reach = 0;  // of all heads, so that the bits of one do not depend on which others run with it
  for (const PackedHead& head : heads_) reach = std::max(reach, head.reach());
  extents_.assign(stages_.size() + 1, {reach, reach, 0, 0});
  for (std::size_t i = stages_.size(); i-- > 0;) {
    Extent& out = extents_[i + 1];
    const int radius = stages_[i].conv->kernel / 2;
    if (stages_[i].conv->winograd) {
      // What whole blocks cover beyond what is read goes to the side that reaches less far: a sample that is not finite
      // spoils every tile it is in, and the tiles that read those, so this bounds how far it is seen.
      const int needed = out.before + out.after;
      const int more = static_cast<int>(round_up(needed, kWinogradTile)) - needed;
      out.late = out.after < out.before ? more : 0;
      out.before += more - out.late;
      out.after += out.late;
      out.anchor = out.after % kWinogradTile;
    }
    extents_[i] = {out.before + radius, out.after + radius, 0, 0};
  }
}

Upscaler::~Upscaler() { delete free_list_.load(); }

const PackedHead* Upscaler::find_head(int scale) const {
  for (const PackedHead& head : heads_) {
    if (head.stride == scale) return &head;
  }
  return nullptr;
}

std::ptrdiff_t Upscaler::choose_strip_width(std::ptrdiff_t width) const {
  std::ptrdiff_t floats_per_column = 0;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    const int rows = i + 1 == stages_.size() ? kWinogradTile + 2 : rows_read(*stages_[i + 1].conv);
    floats_per_column += static_cast<std::ptrdiff_t>(stages_[i].oc()) * rows;
  }
  const std::ptrdiff_t fits = kStripBytes / static_cast<std::ptrdiff_t>(sizeof(float)) / floats_per_column;
  const std::ptrdiff_t widest = std::max(kMinStripWidth, fits);
  // Strips of one width: the last one is not left with a sliver.
  return round_up(ceil_div(width, ceil_div(width, widest)), kMaxLanes);
}

Upscaler::FreeList& Upscaler::free_list() const {
  FreeList* list = free_list_.load(std::memory_order_acquire);
  const unsigned generation = ThreadPool::fork_generation();
  if (list->generation == generation) return *list;
  // A forked child: the parent's list may have been copied locked, so it is left alone.
  auto* fresh = new FreeList{generation, {}, {}};
  if (free_list_.compare_exchange_strong(list, fresh)) return *fresh;
  delete fresh;
  return *list;
}

std::unique_ptr<Upscaler::Context> Upscaler::take_context() const {
  FreeList& list = free_list();
  std::lock_guard lock(list.mutex);
  if (list.contexts.empty()) return std::make_unique<Context>();
  std::unique_ptr<Context> context = std::move(list.contexts.back());
  list.contexts.pop_back();
  return context;
}

void Upscaler::give_back(std::unique_ptr<Context> context) const {
  FreeList& list = free_list();
  std::lock_guard lock(list.mutex);
  list.contexts.push_back(std::move(context));
}

void Upscaler::run(const ImageView& src, std::span<const Target> targets, std::ptrdiff_t begin, std::ptrdiff_t end,
                   int threads, std::ptrdiff_t strip_width) const {
  const std::ptrdiff_t rows = end - begin;
  strip_width = strip_width == 0 ? choose_strip_width(src.width) : round_up(strip_width, kBlock);
  strip_width = std::min(strip_width, src.width);

  const std::ptrdiff_t strips = ceil_div(src.width, strip_width);
  const std::ptrdiff_t workers = std::min<std::ptrdiff_t>(threads, strips * ceil_div(rows, kMinBandRows));
  const std::ptrdiff_t bands =
      workers == 1
          ? 1
          : std::min(ceil_div(rows, kMinBandRows), workers * std::max<std::ptrdiff_t>(1, rows / (workers * kBandRows)));

  std::unique_ptr<Context> context = take_context();
  if (static_cast<std::ptrdiff_t>(context->strips.size()) < workers) context->strips.resize(workers);
  for (std::ptrdiff_t i = 0; i < workers; ++i) context->strips[i].prepare(*this, src, targets, strip_width);

  std::atomic<int> next_worker{0};
  std::atomic<std::ptrdiff_t> next_task{0};
  ThreadPool::instance().run(static_cast<int>(workers), [&] {
    Strip& strip = context->strips[next_worker++];
    for (std::ptrdiff_t task; (task = next_task++) < strips * bands;) {
      const std::ptrdiff_t x0 = task % strips * strip_width;
      const std::ptrdiff_t band = task / strips;
      const auto band_start = [&](std::ptrdiff_t b) { return begin + align_down(rows * b / bands, 0); };
      const std::ptrdiff_t y1 = band + 1 == bands ? end : band_start(band + 1);
      strip.run(x0, std::min(src.width, x0 + strip_width), band_start(band), y1);
    }
  });
  give_back(std::move(context));
}

void Upscaler::run_bicubic(const ImageView& src, const MutableImageView& dst, int scale, Siting siting,
                           int threads) const {
  const std::ptrdiff_t bands = std::min<std::ptrdiff_t>(threads, ceil_div(src.height, kMinBandRows));
  std::unique_ptr<Context> context = take_context();
  std::vector<AlignedBuffer>& rows = context->bicubic_rows;
  if (static_cast<std::ptrdiff_t>(rows.size()) < bands) rows.resize(bands);
  BicubicPlane plane(src, dst, scale, siting, kernels_);
  Arena count(nullptr);
  plane.carve(count);
  for (std::ptrdiff_t band = 0; band < bands; ++band) {
    if (rows[band].size() < count.used()) rows[band] = AlignedBuffer(count.used());
  }
  std::atomic<std::ptrdiff_t> next_band{0};
  ThreadPool::instance().run(static_cast<int>(bands), [&] {
    for (std::ptrdiff_t band; (band = next_band++) < bands;) {
      BicubicPlane mine = plane;
      Arena arena(rows[band].data());
      mine.carve(arena);
      mine.run(src.height * band / bands, src.height * (band + 1) / bands);
    }
  });
  give_back(std::move(context));
}

}  // namespace fsrcnn
