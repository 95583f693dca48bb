// Convolutions with their input, as the kernels are called: for the checks and for timing.
#pragma once

#include "checks.h"
#include "model.h"
#include "packing.h"

namespace fsrcnn {

/// Of a Winograd kernel of parts of `taps` taps: filters of integers times this, and inputs of integers times that,
/// have transforms of integers. 0 stands for a direct kernel.
inline float winograd_unit(int taps) { return taps == 3 ? 576 : taps == 5 ? 90 : 1; }
inline float winograd_grain(int taps) { return taps == 5 ? 32 : 1; }

/// What `packed.run` takes to make rows of `width` columns; `dst` has, for each row, all channels. `dst_rows` is
/// filled.
inline ConvArgs args_of(const PackedConv& packed, const float* const* src_rows, std::ptrdiff_t src_stride,
                        float** dst_rows, const Planes& dst, std::ptrdiff_t width) {
  for (int i = 0; i < packed.rows_made; ++i) dst_rows[i] = dst.plane(static_cast<std::ptrdiff_t>(i) * packed.oc);
  ConvArgs args = packed.args(0);
  args.src_rows = src_rows;
  args.src_stride = src_stride;
  args.dst_rows = dst_rows;
  args.dst_stride = dst.stride;
  args.weights = memory().weights.copy(packed.weights);
  args.bias = memory().bias.copy(packed.bias);
  args.slope = memory().slope.copy(packed.slope);
  args.width = width;
  args.scratchpad = memory().scratchpad.floats(packed.scratchpad);
  return args;
}

/// A convolution of `out_rows` rows with its input; columns and rows as the kernels read them.
class ConvProblem {
 public:
  ConvProblem(int ic, int oc, int kernel, int out_rows, std::ptrdiff_t width, std::ptrdiff_t overrun, Kind kind,
              int taps = 0, int groups = 1)
      : ConvProblem(random_layer(ic, oc, kernel, kind, winograd_unit(taps), groups), out_rows, width, overrun, kind,
                    taps) {}

  ConvProblem(ConvLayer conv, int out_rows, std::ptrdiff_t out_width, std::ptrdiff_t overrun, Kind input_kind,
              int taps = 0)
      : layer(std::move(conv)),
        kind(input_kind),
        width(out_width),
        src(memory().src, (out_rows + layer.kernel - 1) * layer.ic, out_width + layer.kernel - 1, overrun),
        rows(static_cast<std::size_t>(out_rows + layer.kernel - 1)) {
    src.fill(kind, taps == 0 ? 4 : 1, winograd_grain(taps));
    for (std::size_t r = 0; r < rows.size(); ++r) rows[r] = src.plane(static_cast<std::ptrdiff_t>(r) * layer.ic);
    std::shuffle(rows.begin(), rows.end(), g_random);  // rings hand out rows in any order
  }

  /// What `packed.run` takes to make the rows from `row` on; `dst` has, for each row, all channels. `dst_rows` is
  /// filled.
  ConvArgs args(const PackedConv& packed, int row, float** dst_rows, const Planes& dst) const {
    return args_of(packed, &rows[static_cast<std::size_t>(row)], src.stride, dst_rows, dst, width);
  }

  Sum sum(int o, int row, std::ptrdiff_t x) const {
    const int k = layer.kernel;
    Sum result;
    result.add(layer.bias[static_cast<std::size_t>(o)]);
    for (int c = 0; c < layer.ic; ++c) {
      for (int ky = 0; ky < k; ++ky) {
        for (int kx = 0; kx < k; ++kx) {
          result.add(static_cast<double>(rows[static_cast<std::size_t>(row + ky)][c * src.stride + x + kx]) *
                     layer.weight[static_cast<std::size_t>(((o * layer.ic + c) * k + ky) * k + kx)]);
        }
      }
    }
    return result;
  }

  double prelu(int o, double sum) const {
    const float rounded = static_cast<float>(sum);
    return rounded > 0 ? rounded : layer.slope[static_cast<std::size_t>(o)] * rounded;
  }
  /// PReLU magnifies a difference at most by this.
  double prelu_gain(int o) const { return std::max(1.0f, std::abs(layer.slope[static_cast<std::size_t>(o)])); }

  /// Of a difference between two ways of summing directly.
  double tolerance(int o, double magnitude) const {
    const double roundings = layer.ic * layer.kernel * layer.kernel + 3;
    return exact(kind) ? 0 : prelu_gain(o) * 2 * roundings * (kUnit * magnitude + kTiny);
  }

  ConvLayer layer;
  Kind kind;
  std::ptrdiff_t width;
  Planes src;
  std::vector<const float*> rows;

 private:
  static ConvLayer random_layer(int ic, int oc, int kernel, Kind kind, float unit, int groups) {
    constexpr float kSlopes[] = {0.25f, 0.0f, -0.5f, 1.0f, 1.75f, -2.0f};
    ConvLayer layer{ic, oc, kernel, {}, {}, {}, groups};
    for (int i = 0; i < oc * (ic / groups) * kernel * kernel; ++i) {
      layer.weight.push_back(kind == Kind::mixed ? mixed_sample() : unit * static_cast<float>(random_int(-1, 1)));
    }
    for (int o = 0; o < oc; ++o) {
      layer.bias.push_back(sample(kind == Kind::special ? Kind::integers : kind, 9));
      layer.slope.push_back(kSlopes[random_int(0, 5)]);
    }
    return layer;
  }
};

inline Head random_head(int stride, int pad, int ic, Kind kind, float unit, int kernel = kDeconvKernel) {
  Head head{stride, pad, stride - kernel + 2 * pad, Head::kFullBorder, ic, kernel, {}, {sample(kind, 9)}};
  for (int i = 0; i < ic * kernel * kernel; ++i) {
    head.weight.push_back(kind == Kind::mixed ? mixed_sample() : unit * static_cast<float>(random_int(-1, 1)));
  }
  return head;
}

// Output phase (phase_y, phase_x) of a head as the kernel of a convolution that reads inputs first .. last around it:
// straight from what a transposed convolution is, which adds weight[k] * input[q] to output[stride * q - pad + k].
inline double head_weight(const Head& head, int c, int phase_y, int phase_x, int ty, int tx) {
  const int ky = phase_y + head.pad - head.stride * ty;
  const int kx = phase_x + head.pad - head.stride * tx;
  if (std::min(ky, kx) < 0 || std::max(ky, kx) >= head.kernel) return 0;
  return head.weight[static_cast<std::size_t>((c * head.kernel + ky) * head.kernel + kx)];
}

class DeconvProblem {
 public:
  DeconvProblem(int stride, int pad, int ic, std::ptrdiff_t out_width, Kind input_kind)
      : head(random_head(stride, pad, ic, input_kind == Kind::special ? Kind::integers : input_kind, 1)),
        kind(input_kind),
        width(out_width),
        first(deconv_first_tap(stride, pad)),
        last(deconv_last_tap(stride, pad)),
        src(memory().src, (last - first + 1) * ic, width + last - first, kOverrun) {
    // Weights of exact kinds are integers; only the input and the bias are scaled.
    src.fill(kind, 4);
    for (int t = 0; t <= last - first; ++t) rows.push_back(src.plane(static_cast<std::ptrdiff_t>(t) * ic));
    std::shuffle(rows.begin(), rows.end(), g_random);
  }

  ConvArgs args(const PackedConv& packed, float** dst_rows, const Planes& dst) const {
    dst_rows[0] = dst.data;
    ConvArgs args = packed.args(0);
    args.src_rows = rows.data();
    args.src_stride = src.stride;
    args.dst_rows = dst_rows;
    args.dst_stride = dst.stride;
    args.weights = memory().weights.copy(packed.weights);
    args.bias = memory().bias.copy(packed.bias);
    args.width = width;
    return args;
  }

  Sum sum(int phase, std::ptrdiff_t x) const {
    Sum result;
    result.add(head.bias[0]);
    for (int c = 0; c < head.ic; ++c) {
      for (int ty = first; ty <= last; ++ty) {
        for (int tx = first; tx <= last; ++tx) {
          const double weight = head_weight(head, c, phase / head.stride, phase % head.stride, ty, tx);
          // A tap that the phase does not use is not there, which shows where the input is infinite.
          if (!deconv_uses(phase / head.stride, ty, head.stride, head.pad) ||
              !deconv_uses(phase % head.stride, tx, head.stride, head.pad)) {
            continue;
          }
          result.add(weight * rows[static_cast<std::size_t>(ty - first)][c * src.stride + x + tx - first]);
        }
      }
    }
    return result;
  }

  Head head;
  Kind kind;
  std::ptrdiff_t width;
  int first, last;
  Planes src;
  std::vector<const float*> rows;
};

}  // namespace fsrcnn
