#include "packing.h"

#include <algorithm>
#include <vector>

namespace fsrcnn {
namespace {

AlignedBuffer to_buffer(const std::vector<float>& values) {
  AlignedBuffer buffer(values.size());
  std::copy(values.begin(), values.end(), buffer.data());
  return buffer;
}

/// Calls visit(first, size) for every block of output channels, in order.
template <typename Visit>
void for_each_block(int oc, int max_block, const Visit& visit) {
  for (int block = 0, first = 0; block < block_count(oc, max_block); ++block) {
    const int size = block_size(oc, max_block, block);
    visit(first, size);
    first += size;
  }
}

AlignedBuffer pack_direct(const ConvLayer& layer, int max_block) {
  AlignedBuffer packed(layer.weight.size());
  const std::size_t taps = static_cast<std::size_t>(layer.ic) * layer.kernel * layer.kernel;
  float* out = packed.data();
  for_each_block(layer.oc, max_block, [&](int first, int size) {
    for (std::size_t t = 0; t < taps; ++t) {
      for (int o = 0; o < size; ++o) *out++ = layer.weight[(first + o) * taps + t];
    }
  });
  return packed;
}

/// G g G^T for the points 0, a, -a, b, -b, infinity, in double. `g`: [3][3], `u`: [6][6].
void transform_3x3(const float* g, double* u) {
  static constexpr int kPoints = winograd_points(3);
  static constexpr double a = kWinograd3PointA, b = kWinograd3PointB;
  static constexpr double p0 = 1 / (a * a * b * b);
  static constexpr double pa = 1 / (2 * a * a * (a * a - b * b));
  static constexpr double pb = 1 / (2 * b * b * (b * b - a * a));
  static constexpr double kG[kPoints][3] = {{p0, 0, 0},
                                            {pa, pa * a, pa * a * a},
                                            {pa, -pa * a, pa * a * a},
                                            {pb, pb * b, pb * b * b},
                                            {pb, -pb * b, pb * b * b},
                                            {0, 0, 1}};
  for (int i = 0; i < kPoints * kPoints; ++i) {
    u[i] = 0;
    for (int k = 0; k < 9; ++k) u[i] += kG[i / kPoints][k / 3] * g[k] * kG[i % kPoints][k % 3];
  }
}

/// G g, down the columns, for the points 0, 1, -1, 2, -2, 1/2, -1/2, infinity, in double. `g`: [5][5], `u`: [8][5].
void transform_5x5(const float* g, double* u) {
  static constexpr int kPoints = winograd_points(5);
  static constexpr double kPoint[kPoints] = {0, 1, -1, 2, -2, 0.5, -0.5, 0};
  static constexpr double kScale[kPoints] = {1, -2.0 / 9, -2.0 / 9, 1.0 / 90, 1.0 / 90, 32.0 / 45, 32.0 / 45, 0};
  for (int i = 0; i < kPoints * 5; ++i) {
    const int p = i / 5;
    const int x = i % 5;
    double power = 1;
    u[i] = p == kPoints - 1 ? g[4 * 5 + x] : 0;
    for (int y = 0; y < 5; ++y, power *= kPoint[p]) u[i] += kScale[p] * power * g[y * 5 + x];
  }
}

/// [block][point][ic][tap that is left][channel of the block]; F(4x4, 3x3) leaves a single tap, F(4, 5) a row of five.
AlignedBuffer pack_winograd(const ConvLayer& layer, int max_block) {
  const int points = layer.kernel == 3 ? 36 : 8;
  const int taps = layer.kernel == 3 ? 1 : 5;
  AlignedBuffer packed(static_cast<std::size_t>(points) * taps * layer.ic * layer.oc);
  float* out = packed.data();
  for_each_block(layer.oc, max_block, [&](int first, int size) {
    for (int c = 0; c < layer.ic; ++c) {
      for (int o = 0; o < size; ++o) {
        double u[40];
        const float* g =
            &layer.weight[(static_cast<std::size_t>(first + o) * layer.ic + c) * layer.kernel * layer.kernel];
        layer.kernel == 3 ? transform_3x3(g, u) : transform_5x5(g, u);
        for (int i = 0; i < points * taps; ++i) {
          const std::ptrdiff_t row = (static_cast<std::ptrdiff_t>(i / taps) * layer.ic + c) * taps + i % taps;
          out[row * size + o] = static_cast<float>(u[i]);
        }
      }
    }
    out += static_cast<std::ptrdiff_t>(points) * taps * layer.ic * size;
  });
  return packed;
}

bool use_winograd(int kernel, const KernelTable& kernels, Algorithm algorithm) {
  return algorithm == Algorithm::winograd && has_winograd(kernel) && kernels.winograd3_conv2d;
}

/// The head as a convolution whose output channels are the phases; taps that a phase does not use are 0.
ConvLayer subpixel_layer(const Head& head, int reach) {
  const int s = head.stride;
  const std::size_t oc = static_cast<std::size_t>(s) * s;
  ConvLayer layer{head.ic,
                  s * s,
                  2 * reach + 1,
                  std::vector<float>(oc * head.ic * (2 * reach + 1) * (2 * reach + 1)),
                  std::vector<float>(oc, head.bias),
                  std::vector<float>(oc, 1.0f)};
  float* out = layer.weight.data();
  for (int phase = 0; phase < s * s; ++phase) {
    for (int c = 0; c < head.ic; ++c) {
      for (int ty = -reach; ty <= reach; ++ty) {
        for (int tx = -reach; tx <= reach; ++tx, ++out) {
          const int ky = deconv_kernel_index(phase / s, ty, s, head.pad);
          const int kx = deconv_kernel_index(phase % s, tx, s, head.pad);
          if (std::min(ky, kx) < 0 || std::max(ky, kx) >= head.kernel) continue;
          *out = head.weight[(static_cast<std::size_t>(c) * head.kernel + ky) * head.kernel + kx];
        }
      }
    }
  }
  return layer;
}

/// In passes of as many phase rows as the kernel computes at a time, used taps only.
AlignedBuffer pack_phases(const Head& head, int rows_per_pass) {
  const int s = head.stride;
  const int p = head.pad;
  const int first = deconv_first_tap(s, p);
  const int last = deconv_last_tap(s, p);
  AlignedBuffer packed(head.weight.size());
  float* out = packed.data();
  for (int y0 = 0; y0 < s; y0 += rows_per_pass) {
    for (int c = 0; c < head.ic; ++c) {
      for (int ty = first; ty <= last; ++ty) {
        for (int tx = first; tx <= last; ++tx) {
          for (int py = y0; py < std::min(y0 + rows_per_pass, s); ++py) {
            for (int px = 0; px < s; ++px) {
              if (!deconv_uses(py, ty, s, p) || !deconv_uses(px, tx, s, p)) continue;
              const int ky = deconv_kernel_index(py, ty, s, p);
              const int kx = deconv_kernel_index(px, tx, s, p);
              *out++ = head.weight[(static_cast<std::size_t>(c) * kDeconvKernel + ky) * kDeconvKernel + kx];
            }
          }
        }
      }
    }
  }
  return packed;
}

}  // namespace

PackedConv pack(const ConvLayer& layer, const KernelTable& kernels, Algorithm algorithm) {
  const bool winograd = use_winograd(layer.kernel, kernels, algorithm);
  return {layer.ic,
          layer.oc,
          layer.kernel,
          winograd,
          winograd ? pack_winograd(layer, kernels.max_block) : pack_direct(layer, kernels.max_block),
          to_buffer(layer.bias),
          to_buffer(layer.slope)};
}

PackedHead pack(const Head& head, const KernelTable& kernels, Algorithm algorithm) {
  PackedHead packed{.stride = head.stride,
                    .pad = head.pad,
                    .border = head.border,
                    .ic = head.ic,
                    .bias = head.bias,
                    .first_tap = head.first_tap(),
                    .last_tap = head.last_tap(),
                    .weights = {},
                    .subpixel = {}};
  const int reach = head.reach();
  const bool has_kernel = head.kernel == kDeconvKernel && head.output_padding >= 0;
  // Where the taps are not symmetric, the convolution is mostly zeros.
  const bool symmetric = head.first_tap() == -head.last_tap();
  if (!has_kernel || (symmetric && use_winograd(2 * reach + 1, kernels, algorithm))) {
    packed.subpixel = pack(subpixel_layer(head, reach), kernels, algorithm);
  } else {
    packed.weights = pack_phases(head, kernels.deconv2d_phase_rows[head.stride]);
  }
  return packed;
}

}  // namespace fsrcnn
