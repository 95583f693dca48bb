#include "gradient.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <stdexcept>
#include <string>

#include "aligned_buffer.h"
#include "arena.h"
#include "common.h"
#include "packing.h"
#include "thread_pool.h"

namespace fsrcnn {
namespace {

// Sums of floats depend on their order: patches are dealt to so many sums, however many threads there are.
constexpr std::ptrdiff_t kSums = 8;

/// Planes of a patch and the margin around it, row after row, so that a kernel runs over a plane as over one long row.
/// What it leaves in the margins is overwritten or, beside a gradient of zero, without effect.
struct Geometry {
  std::ptrdiff_t side, margin;

  std::ptrdiff_t pitch() const { return side + 2 * margin; }
  std::ptrdiff_t plane() const { return round_up(pitch() * pitch() + kMaxLanes, kMaxLanes); }
  /// Where the pixel `reach` up and left of the first lies.
  std::ptrdiff_t corner(std::ptrdiff_t reach) const { return (margin - reach) * (pitch() + 1); }
  /// Floats from there to the pixel `reach` down and right of the last.
  std::ptrdiff_t span(std::ptrdiff_t reach) const { return (side + 2 * reach - 1) * (pitch() + 1) + 1; }
};

/// A layer as its two convolutions read it.
struct Layer {
  const ConvLayer* conv;
  PackedConv forward;
  PackedConv backward;  // from the gradient of the output to that of the input

  int reach() const { return conv->kernel / 2; }
  std::ptrdiff_t columns() const { return static_cast<std::ptrdiff_t>(conv->ic) * conv->kernel * conv->kernel + 1; }
};

PackedConv pack_linear(ConvLayer layer, const KernelTable& kernels) {
  layer.slope.assign(layer.slope.size(), 1.0f);
  return pack(layer, kernels, Algorithm::direct);
}

/// The transposed convolution as a convolution: channels exchanged, kernel turned by half a circle.
ConvLayer transpose(const ConvLayer& layer) {
  const int taps = layer.kernel * layer.kernel;
  ConvLayer result{layer.oc,
                   layer.ic,
                   layer.kernel,
                   std::vector<float>(layer.weight.size()),
                   std::vector<float>(layer.ic),
                   std::vector<float>(layer.ic)};
  for (int o = 0; o < layer.oc; ++o) {
    for (int c = 0; c < layer.ic; ++c) {
      for (int t = 0; t < taps; ++t) {
        result.weight[(c * layer.oc + o) * taps + taps - 1 - t] = layer.weight[(o * layer.ic + c) * taps + t];
      }
    }
  }
  return result;
}

/// The gradients of some patches: per layer [oc][tap of the input, and at the end the bias], and [oc] of the slopes.
struct Sums {
  std::vector<AlignedBuffer> weights, slopes;
  double loss = 0;

  explicit Sums(const std::vector<Layer>& layers) {
    for (const Layer& layer : layers) {
      weights.emplace_back(layer.conv->oc * layer.columns());
      slopes.emplace_back(layer.conv->oc);
    }
  }

  void add_to(const std::vector<Layer>& layers, std::vector<ConvGradient>& gradients) const {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const std::ptrdiff_t columns = layers[i].columns();
      for (std::ptrdiff_t o = 0; o < layers[i].conv->oc; ++o) {
        const float* row = weights[i].data() + o * columns;
        for (std::ptrdiff_t c = 0; c + 1 < columns; ++c) gradients[i].weight[o * (columns - 1) + c] += row[c];
        gradients[i].bias[o] += row[columns - 1];
        gradients[i].slope[o] += slopes[i].data()[o];
      }
    }
  }
};

/// Takes one patch after the other through the layers and back.
class Pass {
 public:
  Pass(const KernelTable& kernels, const std::vector<Layer>& layers, Geometry geometry)
      : kernels_(kernels), layers_(layers), geometry_(geometry), inputs_(layers.size()), outputs_(layers.size()) {
    std::size_t outputs = 0, taps = 0;
    for (const Layer& layer : layers) {
      outputs = std::max(outputs, static_cast<std::size_t>(layer.conv->oc));
      taps = std::max(taps, static_cast<std::size_t>(layer.columns()));
    }
    a_.reserve(outputs);
    b_.reserve(taps);
  }

  void carve(Arena& arena) {
    std::ptrdiff_t most = 1;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      inputs_[i] = arena.take(geometry_.plane() * layers_[i].conv->ic);
      outputs_[i] = arena.take(geometry_.plane() * layers_[i].conv->oc);
      most = std::max<std::ptrdiff_t>(most, layers_[i].conv->oc);
    }
    gradient_ = arena.take(geometry_.plane() * most);
    next_gradient_ = arena.take(geometry_.plane() * most);
    ones_ = arena.take(geometry_.plane());
    low_ = arena.take(geometry_.side * geometry_.side);
    high_ = arena.take(geometry_.side * geometry_.side);
  }

  /// Allocates nothing and cannot fail.
  void run(const PatchBatch& batch, std::ptrdiff_t index, Loss loss, double pixels, Sums& sums) {
    std::fill_n(ones_, geometry_.plane(), 1.0f);
    forward(batch.lr + index * batch.side * batch.side);
    const std::ptrdiff_t hr_side = batch.scale * batch.side;
    if (batch.overshoot != 0) find_range(batch.lr + index * batch.side * batch.side);
    sums.loss += compare(batch, batch.hr + index * hr_side * hr_side, loss, pixels);
    backward(sums);
  }

 private:
  void forward(const float* patch) {
    const Geometry& g = geometry_;
    float* first = inputs_[0] + g.corner(0);
    for (std::ptrdiff_t y = 0; y < g.side; ++y) std::copy_n(patch + y * g.side, g.side, first + y * g.pitch());
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      for (int c = 0; c < layer.conv->ic && layer.reach(); ++c) replicate(inputs_[i] + c * g.plane());
      convolve(layer.forward, inputs_[i] + g.corner(layer.reach()), g.span(0), outputs_[i] + g.corner(0));
      if (i + 1 == layers_.size()) break;
      for (int c = 0; c < layer.conv->oc; ++c) {
        const std::ptrdiff_t at = c * g.plane() + g.corner(0);
        kernels_.prelu_forward(outputs_[i] + at, layer.conv->slope[c], g.span(0), inputs_[i + 1] + at);
      }
    }
  }

  /// The range of the 5x5 pixels around each one, widened.
  void find_range(const float* patch) {
    constexpr std::ptrdiff_t kReach = 2;
    const std::ptrdiff_t side = geometry_.side;
    for (std::ptrdiff_t y = 0; y < side; ++y) {
      for (std::ptrdiff_t x = 0; x < side; ++x) {
        float low = patch[y * side + x], high = low;
        for (std::ptrdiff_t v = std::max<std::ptrdiff_t>(0, y - kReach); v <= std::min(side - 1, y + kReach); ++v) {
          for (std::ptrdiff_t u = std::max<std::ptrdiff_t>(0, x - kReach); u <= std::min(side - 1, x + kReach); ++u) {
            low = std::min(low, patch[v * side + u]);
            high = std::max(high, patch[v * side + u]);
          }
        }
        const float more = kTolerance * (high - low);
        low_[y * side + x] = low - more;
        high_[y * side + x] = high + more;
      }
    }
  }

  /// Returns the loss, and leaves its gradient with respect to the phases.
  double compare(const PatchBatch& batch, const float* hr, Loss loss, double pixels) {
    const Geometry& g = geometry_;
    const int scale = batch.scale;
    const auto unit = static_cast<float>(1 / pixels);
    std::fill_n(gradient_, scale * scale * g.plane(), 0.0f);
    double sum = 0;
    for (int phase = 0; phase < scale * scale; ++phase) {
      for (std::ptrdiff_t y = batch.border; y < g.side - batch.border; ++y) {
        const std::ptrdiff_t at = phase * g.plane() + g.corner(0) + y * g.pitch();
        const float* out = outputs_.back() + at;
        const float* truth = hr + (scale * y + phase / scale) * scale * g.side + phase % scale;
        float* gradient = gradient_ + at;
        float row = 0;
        for (std::ptrdiff_t x = batch.border; x < g.side - batch.border; ++x) {
          const float error = out[x] - truth[scale * x];
          if (loss == Loss::l1) {
            row += std::fabs(error);
            gradient[x] = static_cast<float>((error > 0) - (error < 0)) * unit;
          } else {
            row += error * error;
            gradient[x] = 2 * error * unit;
          }
          if (batch.overshoot == 0) continue;
          const float low = low_[y * g.side + x], high = high_[y * g.side + x];
          const float beyond = out[x] < low ? out[x] - low : out[x] > high ? out[x] - high : 0.0f;
          if (beyond == 0) continue;
          row += batch.overshoot * (loss == Loss::l1 ? std::fabs(beyond) : beyond * beyond);
          gradient[x] += batch.overshoot * unit * (loss == Loss::l1 ? std::copysign(1.0f, beyond) : 2 * beyond);
        }
        sum += row;
      }
    }
    return sum / pixels;
  }

  void backward(Sums& sums) {
    const Geometry& g = geometry_;
    for (std::size_t i = layers_.size(); i-- > 0;) {
      const Layer& layer = layers_[i];
      correlate(i, sums);
      if (i == 0) break;
      convolve(layer.backward, gradient_ + g.corner(2 * layer.reach()), g.span(layer.reach()),
               next_gradient_ + g.corner(layer.reach()));
      std::swap(gradient_, next_gradient_);
      for (int c = 0; c < layer.conv->ic; ++c) {
        float* plane = gradient_ + c * g.plane();
        fold(plane, layer.reach());
        sums.slopes[i - 1].data()[c] +=
            kernels_.prelu_backward(outputs_[i - 1] + c * g.plane() + g.corner(0), layers_[i - 1].conv->slope[c],
                                    g.span(0), plane + g.corner(0));
      }
    }
  }

  /// Sums the gradient of weights and biases: of every output channel with every tap of the input and with ones.
  void correlate(std::size_t index, Sums& sums) {
    const Geometry& g = geometry_;
    const Layer& layer = layers_[index];
    a_.clear();
    b_.clear();
    for (int o = 0; o < layer.conv->oc; ++o) a_.push_back(gradient_ + o * g.plane() + g.corner(0));
    for (int c = 0; c < layer.conv->ic; ++c) {
      const float* input = inputs_[index] + c * g.plane() + g.corner(layer.reach());
      for (int t = 0; t < layer.conv->kernel * layer.conv->kernel; ++t) {
        b_.push_back(input + t / layer.conv->kernel * g.pitch() + t % layer.conv->kernel);
      }
    }
    b_.push_back(ones_);
    kernels_.correlate({.a = a_.data(),
                        .b = b_.data(),
                        .rows = layer.conv->oc,
                        .columns = static_cast<int>(b_.size()),
                        .n = g.span(0),
                        .dst = sums.weights[index].data()});
  }

  void convolve(const PackedConv& conv, const float* src, std::ptrdiff_t width, float* dst) const {
    const float* rows[kMaxKernel];
    for (int y = 0; y < conv.kernel; ++y) rows[y] = src + y * geometry_.pitch();
    fsrcnn::convolve(conv, rows, geometry_.plane(), &dst, geometry_.plane(), width, nullptr);
  }

  /// Fills the margin of a plane with the nearest pixels.
  void replicate(float* plane) const {
    const Geometry& g = geometry_;
    for (std::ptrdiff_t y = g.margin; y < g.margin + g.side; ++y) {
      float* row = plane + y * g.pitch();
      std::fill_n(row, g.margin, row[g.margin]);
      std::fill_n(row + g.margin + g.side, g.margin, row[g.margin + g.side - 1]);
    }
    for (std::ptrdiff_t y = 0; y < g.margin; ++y) {
      std::copy_n(plane + g.margin * g.pitch(), g.pitch(), plane + y * g.pitch());
      std::copy_n(plane + (g.margin + g.side - 1) * g.pitch(), g.pitch(), plane + (g.margin + g.side + y) * g.pitch());
    }
  }

  /// The opposite: adds the gradient of `reach` pixels of margin to the pixels they repeat, and clears the margin.
  void fold(float* plane, std::ptrdiff_t reach) const {
    const Geometry& g = geometry_;
    const std::ptrdiff_t first = g.margin, last = g.margin + g.side - 1;
    for (std::ptrdiff_t y = first - reach; y < first; ++y) {
      for (std::ptrdiff_t x = first - reach; x <= last + reach; ++x) {
        plane[first * g.pitch() + x] += plane[y * g.pitch() + x];
        plane[last * g.pitch() + x] += plane[(first + last - y) * g.pitch() + x];
      }
    }
    for (std::ptrdiff_t y = first; y <= last; ++y) {
      float* row = plane + y * g.pitch();
      for (std::ptrdiff_t x = first - reach; x < first; ++x) {
        row[first] += row[x];
        row[last] += row[first + last - x];
      }
      std::fill_n(row, g.margin, 0.0f);
      std::fill_n(row + last + 1, g.margin, 0.0f);
    }
    std::fill_n(plane, first * g.pitch(), 0.0f);
    std::fill(plane + (last + 1) * g.pitch(), plane + g.plane(), 0.0f);
  }

  const KernelTable& kernels_;
  const std::vector<Layer>& layers_;
  Geometry geometry_;
  std::vector<float*> inputs_, outputs_;  // of every layer; outputs before PReLU
  float *gradient_ = nullptr, *next_gradient_ = nullptr, *ones_ = nullptr;
  float *low_ = nullptr, *high_ = nullptr;  // [side][side]
  std::vector<const float*> a_, b_;
};

void check(const std::vector<ConvLayer>& layers, const PatchBatch& batch, int threads) {
  if (threads < 1) throw std::invalid_argument("threads=" + std::to_string(threads) + " is not positive");
  if (layers.empty()) throw std::invalid_argument("layers is empty");
  int channels = 1;
  for (const ConvLayer& layer : layers) {
    const auto taps = static_cast<std::size_t>(layer.kernel) * layer.kernel;
    const auto oc = static_cast<std::size_t>(layer.oc);
    if (layer.ic != channels || layer.groups != 1 || layer.kernel % 2 == 0 || layer.kernel > kMaxKernel ||
        layer.weight.size() != oc * layer.ic * taps || layer.bias.size() != oc || layer.slope.size() != oc) {
      throw std::invalid_argument("layers: layer of " + std::to_string(layer.oc) + " channels does not fit");
    }
    channels = layer.oc;
  }
  if (channels != batch.scale * batch.scale) {
    throw std::invalid_argument("layers: the last has " + std::to_string(channels) + " channels, not scale * scale");
  }
  if (batch.count < 1 || batch.border < 0 || batch.side <= 2 * batch.border) {
    throw std::invalid_argument("border=" + std::to_string(batch.border) + " leaves nothing of the patches");
  }
}

}  // namespace

double GradientEngine::run(const std::vector<ConvLayer>& layers, const PatchBatch& batch, Loss loss, int threads,
                           std::vector<ConvGradient>& gradients) {
  check(layers, batch, threads);
  std::vector<Layer> prepared;
  Geometry geometry{batch.side, layers.front().kernel / 2};
  gradients.clear();
  for (const ConvLayer& layer : layers) {
    if (&layer != &layers.front()) geometry.margin = std::max<std::ptrdiff_t>(geometry.margin, 2 * (layer.kernel / 2));
    prepared.push_back({&layer, pack_linear(layer, kernels_), pack_linear(transpose(layer), kernels_)});
    gradients.push_back({std::vector<float>(layer.weight.size()), std::vector<float>(layer.bias.size()),
                         std::vector<float>(layer.slope.size())});
  }
  const double side = static_cast<double>(batch.scale) * static_cast<double>(batch.side - 2 * batch.border);
  const double pixels = side * side * static_cast<double>(batch.count);
  std::vector<Sums> sums;
  for (std::ptrdiff_t i = 0; i < std::min(batch.count, kSums); ++i) sums.emplace_back(prepared);

  threads = std::min(threads, static_cast<int>(sums.size()));
  if (planes_.size() < static_cast<std::size_t>(threads)) planes_.resize(threads);
  std::vector<Pass> passes;
  passes.reserve(threads);
  for (int i = 0; i < threads; ++i) {
    passes.emplace_back(kernels_, prepared, geometry);
    // What margins hold is multiplied by a gradient of zero: it must be finite.
    planes_[i].fit([&](Arena& arena) { passes.back().carve(arena); }, 1000.0f);
  }
  std::atomic<std::size_t> next_pass{0}, next_sum{0};
  ThreadPool::instance().run(threads, [&] {
    Pass& pass = passes[next_pass.fetch_add(1)];
    for (std::size_t i; (i = next_sum.fetch_add(1)) < sums.size();) {
      for (std::ptrdiff_t p = i; p < batch.count; p += sums.size()) pass.run(batch, p, loss, pixels, sums[i]);
    }
  });
  double total = 0;
  for (const Sums& sum : sums) {
    total += sum.loss;
    sum.add_to(prepared, gradients);
  }
  return total;
}

}  // namespace fsrcnn
