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

/// G g G^T for the points 0, 1, -1, 2, -2, infinity, in double.
void transform_filter(const float* g, double (&u)[kWinogradPoints][kWinogradPoints]) {
  static constexpr double kG[kWinogradPoints][3] = {{1.0 / 4, 0, 0},
                                                    {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                                    {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                                    {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                                    {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                                    {0, 0, 1}};
  for (int i = 0; i < kWinogradPoints; ++i) {
    for (int j = 0; j < kWinogradPoints; ++j) {
      u[i][j] = 0;
      for (int y = 0; y < 3; ++y) {
        for (int x = 0; x < 3; ++x) u[i][j] += kG[i][y] * g[y * 3 + x] * kG[j][x];
      }
    }
  }
}

AlignedBuffer pack_winograd(const ConvLayer& layer, int max_block) {
  constexpr int kPoints = kWinogradPoints * kWinogradPoints;
  AlignedBuffer packed(static_cast<std::size_t>(kPoints) * layer.ic * layer.oc);
  float* out = packed.data();
  for_each_block(layer.oc, max_block, [&](int first, int size) {
    for (int c = 0; c < layer.ic; ++c) {
      for (int o = 0; o < size; ++o) {
        double u[kWinogradPoints][kWinogradPoints];
        transform_filter(&layer.weight[(static_cast<std::size_t>(first + o) * layer.ic + c) * 9], u);
        for (int p = 0; p < kPoints; ++p) {
          out[(static_cast<std::ptrdiff_t>(p) * layer.ic + c) * size + o] =
              static_cast<float>(u[p / kWinogradPoints][p % kWinogradPoints]);
        }
      }
    }
    out += static_cast<std::ptrdiff_t>(kPoints) * layer.ic * size;
  });
  return packed;
}

/// The head as a convolution whose output channels are the phases; taps that a phase does not use are 0.
ConvLayer subpixel_layer(const Head& head) {
  const int s = head.stride;
  const std::size_t oc = static_cast<std::size_t>(s) * s;
  ConvLayer layer{head.ic, s * s, 3, std::vector<float>(oc * head.ic * 9), std::vector<float>(oc, head.bias),
                  std::vector<float>(oc, 1.0f)};
  float* out = layer.weight.data();
  for (int phase = 0; phase < s * s; ++phase) {
    for (int c = 0; c < head.ic; ++c) {
      for (int ty = -1; ty <= 1; ++ty) {
        for (int tx = -1; tx <= 1; ++tx, ++out) {
          const int ky = deconv_kernel_index(phase / s, ty, s, head.pad);
          const int kx = deconv_kernel_index(phase % s, tx, s, head.pad);
          if (deconv_uses(phase / s, ty, s, head.pad) && deconv_uses(phase % s, tx, s, head.pad)) {
            *out = head.weight[(static_cast<std::size_t>(c) * kDeconvKernel + ky) * kDeconvKernel + kx];
          }
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
  const bool winograd = algorithm == Algorithm::winograd && layer.kernel == 3 && kernels.winograd_conv2d;
  return {layer.ic,
          layer.oc,
          layer.kernel,
          winograd,
          winograd ? pack_winograd(layer, kernels.max_block) : pack_direct(layer, kernels.max_block),
          to_buffer(layer.bias),
          to_buffer(layer.slope)};
}

PackedHead pack(const Head& head, const KernelTable& kernels, Algorithm algorithm) {
  PackedHead packed{head.stride, head.pad, head.border, head.ic, head.bias, {}, {}};
  const bool is_3x3 = packed.first_tap() == -1 && packed.last_tap() == 1;
  if (is_3x3 && algorithm == Algorithm::winograd && kernels.winograd_conv2d) {
    packed.subpixel = pack(subpixel_layer(head), kernels, algorithm);
  } else {
    packed.weights = pack_phases(head, kernels.deconv2d_phase_rows[head.stride]);
  }
  return packed;
}

}  // namespace fsrcnn
