#include "upscaler.h"

#include <algorithm>
#include <atomic>

#include "aligned_buffer.h"
#include "arena.h"
#include "common.h"
#include "thread_pool.h"

namespace fsrcnn {
namespace {

// The rows a strip keeps should stay in the second-level cache of one core, with room for what streams by.
constexpr std::ptrdiff_t kStripBytes = 512 * 1024;
constexpr std::ptrdiff_t kMinStripWidth = 64;
// A band recomputes a few rows that its neighbour also computes, so bands are tall unless the picture is small.
constexpr std::ptrdiff_t kBandRows = 256;
constexpr std::ptrdiff_t kMinBandRows = 8;
constexpr int kMaxHeadTaps = 2 * kDeconvKernel;

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

/// One worker's scratch and the state of the strip it is streaming. Column x of the picture lies at index
/// `column(x)` of every row, so all layers of a strip share one coordinate.
class Upscaler::Strip {
 public:
  /// Sizes the scratch for strips of up to `width` columns. Allocates only if it has to grow.
  void prepare(const Upscaler& upscaler, const ImageView& src, std::span<const Target> targets, std::ptrdiff_t width);
  /// Computes columns x0 .. x1 - 1 of rows y0 .. y1 - 1.
  void run(std::ptrdiff_t x0, std::ptrdiff_t x1, std::ptrdiff_t y0, std::ptrdiff_t y1);

 private:
  struct Output {
    const PackedHead* head;
    RowSink sink;
  };

  void carve(Arena& arena, std::ptrdiff_t width);
  std::ptrdiff_t column(std::ptrdiff_t x) const { return margin_ + x - x0_; }
  int layer_count() const { return static_cast<int>(upscaler_->layers_.size()); }

  void produce_until(int stage, std::ptrdiff_t y);
  void produce(int stage, std::ptrdiff_t y);
  void produce_extras_until(std::ptrdiff_t y);
  void pad(const Ring& ring, std::ptrdiff_t y, std::ptrdiff_t begin, std::ptrdiff_t end, int reach, int border);
  void run_head(const Output& output, std::ptrdiff_t y, const float* const* extra_rows);

  const Upscaler* upscaler_ = nullptr;
  ImageView src_{};
  std::vector<RowSource> source_;  // one; a vector because it is made anew for every picture
  std::vector<Output> outputs_;
  int reach_ = 0;              // of the farthest-reaching head
  bool borders_differ_ = false;  // between heads: the last ring is then padded anew for each

  AlignedBuffer memory_;
  std::ptrdiff_t margin_ = 0, stride_ = 0;
  std::vector<Ring> rings_;  // [0] luma, [i] output of layer i - 1
  std::vector<int> halo_;    // columns and rows that ring i must reach beyond the strip
  std::vector<std::ptrdiff_t> next_;  // next row of ring i
  Ring extras_;
  std::ptrdiff_t next_extra_ = 0;
  float* zero_row_ = nullptr;
  float* phases_ = nullptr;  // phase planes of one head
  std::ptrdiff_t geometry_[5] = {};

  std::ptrdiff_t x0_ = 0, x1_ = 0;
};

struct Upscaler::Context {
  std::vector<Strip> strips;  // one a thread
};

void Upscaler::Strip::prepare(const Upscaler& upscaler, const ImageView& src, std::span<const Target> targets,
                              std::ptrdiff_t width) {
  upscaler_ = &upscaler;
  src_ = src;
  source_.clear();
  source_.emplace_back(src, upscaler.kernels_);
  outputs_.clear();
  reach_ = 0;
  borders_differ_ = false;
  int scales = 0;
  for (const Target& target : targets) {
    const PackedHead* head = upscaler.find_head(target.scale);
    outputs_.push_back({head, RowSink(target.image, target.scale, upscaler.kernels_)});
    reach_ = std::max(reach_, head->reach());
    borders_differ_ |= head->border != outputs_.front().head->border;
    scales |= 1 << target.scale;
  }

  halo_.assign(upscaler.layers_.size() + 1, reach_);
  for (int i = layer_count(); i-- > 0;) {
    halo_[i] = halo_[i + 1] + upscaler.layers_[i].kernel / 2;
  }
  margin_ = round_up(std::max(halo_[0], kBicubicReach), kCacheLineFloats);
  // An odd number of cache lines between channels: a power of two would map all of them to a few cache sets.
  stride_ = ceil_div(margin_ + width + std::max(halo_[0], kBicubicReach) + kMaxLanes, kCacheLineFloats);
  stride_ = (stride_ | 1) * kCacheLineFloats;
  rings_.resize(halo_.size());
  next_.resize(halo_.size());

  Arena count(nullptr);
  carve(count, width);
  const std::ptrdiff_t geometry[5] = {width, src.channels, scales, margin_, reach_};
  if (count.used() > memory_.size()) {
    memory_ = AlignedBuffer(count.used());
  } else if (!std::equal(geometry, geometry + 5, geometry_)) {
    memory_.clear();  // what was a feature may now be a row of zeros
  }
  std::copy(geometry, geometry + 5, geometry_);
  Arena arena(memory_.data());
  carve(arena, width);
}

void Upscaler::Strip::carve(Arena& arena, std::ptrdiff_t width) {
  std::ptrdiff_t max_channels = 1;
  for (int i = 0; i <= layer_count(); ++i) {
    const std::ptrdiff_t channels = i == 0 ? 1 : upscaler_->layers_[i - 1].oc;
    const std::ptrdiff_t rows = i < layer_count() ? upscaler_->layers_[i].kernel : 2 * reach_ + 1;
    rings_[i].carve(arena, channels, rows, stride_);
    max_channels = std::max(max_channels, channels);
  }
  extras_.carve(arena, src_.extras(), 2 * kBicubicReach + 1, stride_);
  zero_row_ = arena.take(max_channels * stride_);
  source_[0].carve(arena, stride_);
  int max_phases = 0;
  for (Output& output : outputs_) {
    output.sink.carve(arena, width + kMaxLanes);
    max_phases = std::max(max_phases, output.head->stride * output.head->stride);
  }
  phases_ = arena.take(max_phases * stride_);
}

void Upscaler::Strip::run(std::ptrdiff_t x0, std::ptrdiff_t x1, std::ptrdiff_t y0, std::ptrdiff_t y1) {
  x0_ = x0;
  x1_ = x1;
  for (std::size_t i = 0; i < next_.size(); ++i) next_[i] = std::max<std::ptrdiff_t>(0, y0 - halo_[i]);
  next_extra_ = std::max<std::ptrdiff_t>(0, y0 - kBicubicReach);
  const std::ptrdiff_t last = src_.height - 1;
  for (std::ptrdiff_t y = y0; y < y1; ++y) {
    produce_until(layer_count(), std::min(last, y + reach_));
    const float* extra_rows[2 * kBicubicReach + 1] = {};
    if (src_.extras() > 0) {
      produce_extras_until(std::min(last, y + kBicubicReach));
      for (int i = 0; i <= 2 * kBicubicReach; ++i) {
        extra_rows[i] = extras_.row(std::clamp<std::ptrdiff_t>(y + i - kBicubicReach, 0, last)) + column(x0);
      }
    }
    for (const Output& output : outputs_) run_head(output, y, extra_rows);
  }
}

void Upscaler::Strip::produce_until(int stage, std::ptrdiff_t y) {
  for (; next_[stage] <= y; ++next_[stage]) {
    if (stage > 0) {
      const int radius = upscaler_->layers_[stage - 1].kernel / 2;
      produce_until(stage - 1, std::min(src_.height - 1, next_[stage] + radius));
    }
    produce(stage, next_[stage]);
  }
}

void Upscaler::Strip::produce(int stage, std::ptrdiff_t y) {
  const Ring& ring = rings_[stage];
  const std::ptrdiff_t begin = std::max<std::ptrdiff_t>(0, x0_ - halo_[stage]);
  const std::ptrdiff_t end = std::min(src_.width, x1_ + halo_[stage]);
  float* const dst = ring.row(y) + column(begin);
  if (stage == 0) {
    source_[0].load_luma(y, begin, end - begin, dst);
  } else {
    const PackedConv& conv = upscaler_->layers_[stage - 1];
    const Ring& input = rings_[stage - 1];
    const int radius = conv.kernel / 2;
    std::ptrdiff_t indices[kMaxKernel];
    gather_rows(y - radius, conv.kernel, src_.height, upscaler_->padding_, Head::kFullBorder, indices);
    const float* src_rows[kMaxKernel];
    for (int k = 0; k < conv.kernel; ++k) {
      src_rows[k] = (indices[k] == kZeroRow ? zero_row_ : input.row(indices[k])) + column(begin) - radius;
    }
    for (const PackedConv::Block& block : conv.blocks) {
      const Conv2dArgs args{src_rows, stride_, conv.ic, conv.kernel, conv.kernel, block.oc, block.weights, block.bias,
                            block.slope, dst + block.first_oc * stride_, stride_, end - begin};
      upscaler_->kernels_.conv2d(args);
    }
  }
  if (stage < layer_count()) {
    pad(ring, y, begin, end, upscaler_->layers_[stage].kernel / 2, Head::kFullBorder);
  } else if (!borders_differ_) {
    pad(ring, y, begin, end, reach_, outputs_.front().head->border);
  }
}

void Upscaler::Strip::produce_extras_until(std::ptrdiff_t y) {
  const std::ptrdiff_t begin = std::max<std::ptrdiff_t>(0, x0_ - kBicubicReach);
  const std::ptrdiff_t end = std::min(src_.width, x1_ + kBicubicReach);
  for (; next_extra_ <= y; ++next_extra_) {
    float* const row = extras_.row(next_extra_);
    source_[0].load_extras(next_extra_, begin, end - begin, row + column(begin), stride_);
    for (std::ptrdiff_t e = 0; e < extras_.channels; ++e) {
      float* const plane = row + e * stride_;
      for (int i = 1; i <= kBicubicReach; ++i) {
        if (begin == 0) plane[column(-i)] = plane[column(0)];
        if (end == src_.width) plane[column(end - 1 + i)] = plane[column(end - 1)];
      }
    }
  }
}

/// Where columns begin .. end - 1 touch the edge of the picture, writes what the next layer sees beyond it.
void Upscaler::Strip::pad(const Ring& ring, std::ptrdiff_t y, std::ptrdiff_t begin, std::ptrdiff_t end, int reach,
                          int border) {
  if (begin > 0 && end < src_.width) return;
  const bool full = border == Head::kFullBorder;
  const int replicated = upscaler_->padding_ == Padding::zeros ? 0 : full ? reach : std::min(border, reach);
  for (std::ptrdiff_t c = 0; c < ring.channels; ++c) {
    float* const plane = ring.row(y) + c * stride_;
    for (int i = 1; i <= reach; ++i) {
      if (begin == 0) plane[column(-i)] = i <= replicated ? plane[column(0)] : 0.0f;
      if (end == src_.width) plane[column(end - 1 + i)] = i <= replicated ? plane[column(end - 1)] : 0.0f;
    }
  }
}

void Upscaler::Strip::run_head(const Output& output, std::ptrdiff_t y, const float* const* extra_rows) {
  const PackedHead& head = *output.head;
  const Ring& features = rings_.back();
  const int taps = head.last_tap() - head.first_tap() + 1;
  std::ptrdiff_t indices[kMaxHeadTaps];
  const float* src_rows[kMaxHeadTaps];
  gather_rows(y + head.first_tap(), taps, src_.height, upscaler_->padding_, head.border, indices);
  for (int t = 0; t < taps; ++t) {
    if (borders_differ_ && indices[t] != kZeroRow) {
      pad(features, indices[t], std::max<std::ptrdiff_t>(0, x0_ - reach_), std::min(src_.width, x1_ + reach_), reach_,
          head.border);
    }
    src_rows[t] = (indices[t] == kZeroRow ? zero_row_ : features.row(indices[t])) + column(x0_) + head.first_tap();
  }
  const Deconv2dArgs args{head.stride, head.pad, src_rows, stride_, head.ic, head.weights.data(), head.bias,
                          phases_, stride_, x1_ - x0_};
  upscaler_->kernels_.deconv2d(args);
  output.sink.store(y, x0_, x1_ - x0_, phases_, stride_, extra_rows, stride_);
}

Upscaler::Upscaler(const Model& model, const KernelTable& kernels) : kernels_(kernels), padding_(model.padding) {
  validate(model);
  for (const ConvLayer& layer : model.layers) layers_.push_back(pack(layer, kernels));
  for (const Head& head : model.heads) heads_.push_back(pack(head, kernels));
}

Upscaler::~Upscaler() = default;

const PackedHead* Upscaler::find_head(int scale) const {
  for (const PackedHead& head : heads_) {
    if (head.stride == scale) return &head;
  }
  return nullptr;
}

std::ptrdiff_t Upscaler::choose_strip_width(std::ptrdiff_t width, int reach) const {
  std::ptrdiff_t floats_per_column = 0;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const int rows = i + 1 < layers_.size() ? layers_[i + 1].kernel : 2 * reach + 1;
    floats_per_column += static_cast<std::ptrdiff_t>(layers_[i].oc) * rows;
  }
  const std::ptrdiff_t fits = kStripBytes / static_cast<std::ptrdiff_t>(sizeof(float)) / floats_per_column;
  const std::ptrdiff_t widest = std::max(kMinStripWidth, fits);
  // Strips of one width: the last one is not left with a sliver.
  return round_up(ceil_div(width, ceil_div(width, widest)), kMaxLanes);
}

std::unique_ptr<Upscaler::Context> Upscaler::take_context() const {
  {
    std::lock_guard lock(contexts_mutex_);
    if (!contexts_.empty()) {
      std::unique_ptr<Context> context = std::move(contexts_.back());
      contexts_.pop_back();
      return context;
    }
  }
  return std::make_unique<Context>();
}

void Upscaler::give_back(std::unique_ptr<Context> context) const {
  std::lock_guard lock(contexts_mutex_);
  contexts_.push_back(std::move(context));
}

void Upscaler::run(const ImageView& src, std::span<const Target> targets, int threads,
                   std::ptrdiff_t strip_width) const {
  int reach = 0;
  for (const Target& target : targets) reach = std::max(reach, find_head(target.scale)->reach());
  if (strip_width == 0) strip_width = choose_strip_width(src.width, reach);
  strip_width = std::min(strip_width, src.width);

  const std::ptrdiff_t strips = ceil_div(src.width, strip_width);
  const std::ptrdiff_t workers = std::min<std::ptrdiff_t>(threads, strips * ceil_div(src.height, kMinBandRows));
  const std::ptrdiff_t bands =
      workers == 1 ? 1
                   : std::min(ceil_div(src.height, kMinBandRows),
                              workers * std::max<std::ptrdiff_t>(1, src.height / (workers * kBandRows)));

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
      strip.run(x0, std::min(src.width, x0 + strip_width), src.height * band / bands,
                src.height * (band + 1) / bands);
    }
  });
  give_back(std::move(context));
}

}  // namespace fsrcnn
