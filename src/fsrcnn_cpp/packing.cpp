#include "packing.h"

#include <algorithm>
#include <cassert>
#include <utility>
#include <vector>

namespace fsrcnn {
namespace {

/// The kernels to choose from.
enum class Form { direct, narrow, winograd3, winograd5 };

/// A convolution without groups, which may read more to one side than to the other.
struct Taps {
  int ic, oc, kernel;
  const float* weight;  // oihw

  float at(int o, int c, int y, int x) const {
    return weight[((static_cast<std::size_t>(o) * ic + c) * kernel + y) * kernel + x];
  }
};

float* pack_direct(const Taps& taps, int max_block, float* out) {
  for_each_block(taps.oc, max_block, [&](int first, int size) {
    for (int c = 0; c < taps.ic; ++c) {
      for (int t = 0; t < taps.kernel * taps.kernel; ++t) {
        for (int o = 0; o < size; ++o) *out++ = taps.at(first + o, c, t / taps.kernel, t % taps.kernel);
      }
    }
  });
  return out;
}

float* pack_narrow(const Taps& taps, int max_block, float* out) {
  for_each_block(taps.oc * taps.kernel, max_block, [&](int first, int size) {
    for (int ky = 0; ky < taps.kernel; ++ky) {
      for (int c = 0; c < taps.ic; ++c) {
        for (int i = first; i < first + size; ++i) *out++ = taps.at(i / taps.kernel, c, ky, i % taps.kernel);
      }
    }
  });
  return out;
}

/// G g G^T for the points 0, a, -a, b, -b, infinity, in double. `g`: [3][3], `u`: [6][6].
void transform_3x3(const float (&g)[3 * 3], double* u) {
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

/// G g for the points 0, 1, -1, 2, -2, 1/2, -1/2, infinity, in double.
void transform_column(const float (&g)[5], double* u) {
  static constexpr int kPoints = winograd_points(5);
  static constexpr double kPoint[kPoints] = {0, 1, -1, 2, -2, 0.5, -0.5, 0};
  static constexpr double kScale[kPoints] = {1, -2.0 / 9, -2.0 / 9, 1.0 / 90, 1.0 / 90, 32.0 / 45, 32.0 / 45, 0};
  for (int p = 0; p < kPoints; ++p) {
    double power = 1;
    u[p] = p == kPoints - 1 ? g[4] : 0;
    for (int y = 0; y < 5; ++y, power *= kPoint[p]) u[p] += kScale[p] * power * g[y];
  }
}

/// Tap `t` of the part that starts at tap `first` of an axis, or whether the part before has it.
bool owned(int kernel, int taps, int part, int t) { return winograd_part(kernel, taps, part) + t >= part * taps; }

float* pack_winograd3(const Taps& taps, int max_block, float* out) {
  constexpr int kPoints = winograd_points(3) * winograd_points(3);
  const int parts = winograd_parts(taps.kernel, 3);
  for_each_block(taps.oc, max_block, [&](int first, int size) {
    const std::ptrdiff_t point_stride = static_cast<std::ptrdiff_t>(taps.ic) * parts * parts * size;
    for (int c = 0; c < taps.ic; ++c) {
      for (int part = 0; part < parts * parts; ++part) {
        const int part_y = part / parts, part_x = part % parts;
        for (int o = 0; o < size; ++o) {
          float g[3 * 3] = {};
          for (int t = 0; t < 3 * 3; ++t) {
            if (!owned(taps.kernel, 3, part_y, t / 3) || !owned(taps.kernel, 3, part_x, t % 3)) continue;
            g[t] = taps.at(first + o, c, winograd_part(taps.kernel, 3, part_y) + t / 3,
                           winograd_part(taps.kernel, 3, part_x) + t % 3);
          }
          double u[kPoints];
          transform_3x3(g, u);
          float* const to = out + (c * parts * parts + part) * size + o;
          for (int p = 0; p < kPoints; ++p) to[p * point_stride] = static_cast<float>(u[p]);
        }
      }
    }
    out += kPoints * point_stride;
  });
  return out;
}

float* pack_winograd5(const Taps& taps, int max_block, float* out) {
  constexpr int kPoints = winograd_points(5);
  const int parts = winograd_parts(taps.kernel, 5);
  for_each_block(taps.oc, max_block, [&](int first, int size) {
    const std::ptrdiff_t point_stride = static_cast<std::ptrdiff_t>(taps.ic) * parts * taps.kernel * size;
    for (int c = 0; c < taps.ic; ++c) {
      for (int part = 0; part < parts; ++part) {
        for (int kx = 0; kx < taps.kernel; ++kx) {
          for (int o = 0; o < size; ++o) {
            float g[5] = {};
            for (int t = 0; t < 5; ++t) {
              if (!owned(taps.kernel, 5, part, t)) continue;
              g[t] = taps.at(first + o, c, winograd_part(taps.kernel, 5, part) + t, kx);
            }
            double u[kPoints];
            transform_column(g, u);
            float* const to = out + ((c * parts + part) * taps.kernel + kx) * size + o;
            for (int p = 0; p < kPoints; ++p) to[p * point_stride] = static_cast<float>(u[p]);
          }
        }
      }
    }
    out += kPoints * point_stride;
  });
  return out;
}

/// What takes least time, by what was measured of every way on AVX-512 and AVX2. A Winograd transform of an input
/// channel must be worth it to all output channels.
Form choose(int ic, int oc, int kernel, const KernelTable& kernels, Algorithm algorithm) {
  if (algorithm == Algorithm::direct || kernel == 1) return Form::direct;
  if (oc <= 2) return kernels.conv2d_narrow ? Form::narrow : Form::direct;
  if (!kernels.winograd3 || kernel > 9) return Form::direct;
  if (kernel == 3) return ic > 1 ? Form::winograd3 : Form::direct;
  if (kernel == 5) return Form::winograd5;
  return kernel == 6 || (kernel > 6 && oc >= 8) ? Form::winograd3 : kernel > 6 ? Form::winograd5 : Form::direct;
}

/// Floats of the packed weights of a group.
std::size_t packed_size(Form form, int ic, int oc, int kernel) {
  const std::size_t planes = static_cast<std::size_t>(ic) * oc;
  const std::size_t parts3 = winograd_parts(kernel, 3), parts5 = winograd_parts(kernel, 5);
  if (form == Form::winograd3) return planes * 36 * parts3 * parts3;
  if (form == Form::winograd5) return planes * 8 * parts5 * kernel;
  return planes * kernel * kernel;
}

PackedConv pack_conv(const ConvLayer& layer, int before, const KernelTable& kernels, Algorithm algorithm) {
  const int groups = layer.groups, ic = layer.ic / groups, oc = layer.oc / groups, kernel = layer.kernel;
  assert(groups >= 1 && ic * groups == layer.ic && oc * groups == layer.oc && kernel >= 1 && kernel <= kMaxKernel);
  const Form form = choose(ic, oc, kernel, kernels, algorithm);
  const int after = kernel - 1 - before, reach = std::max(before, after);
  PackedConv packed{kernels.conv2d, layer.ic, layer.oc, groups, kernel, before, kernel, 1, reach, 0, {}, {}, {}};
  auto* pack_group = pack_direct;
  if (form == Form::narrow) {
    packed.run = kernels.conv2d_narrow;
    packed.scratchpad = narrow_scratchpad(kernel, oc);
    pack_group = pack_narrow;
  } else if (form == Form::winograd3) {
    packed.run = kernels.winograd3;
    packed.column_reach = std::max(before, after + kWinogradTile - 1);
    packed.scratchpad = winograd3_scratchpad(kernel, ic, oc);
    pack_group = pack_winograd3;
  } else if (form == Form::winograd5) {
    packed.run = kernels.winograd5;
    packed.scratchpad = winograd5_scratchpad(kernel, ic);
    pack_group = pack_winograd5;
  }
  if (form == Form::winograd3 || form == Form::winograd5) {
    packed.rows_made = kWinogradTile;
    packed.rows_read = kernel + kWinogradTile - 1;
  }
  const std::size_t size = packed_size(form, ic, oc, kernel);
  packed.weights = AlignedBuffer(groups * size);
  // A narrow convolution makes its channels of the taps of a row.
  const int taps = form == Form::narrow ? kernel : 1;
  packed.bias = AlignedBuffer(static_cast<std::size_t>(layer.oc) * taps);
  packed.slope = AlignedBuffer(static_cast<std::size_t>(layer.oc) * (taps > 1 ? taps + 1 : 1));
  float* weights = packed.weights.data();
  float* slope = packed.slope.data();
  for (int g = 0; g < groups; ++g) {
    weights =
        pack_group({ic, oc, kernel, layer.weight.data() + static_cast<std::size_t>(g) * oc * ic * kernel * kernel},
                   kernels.max_block, weights);
    for (int o = g * oc; o < (g + 1) * oc; ++o) packed.bias.data()[o * taps] = layer.bias[o];
    if (taps > 1) slope = std::fill_n(slope, oc * taps, 1.0f);
    slope = std::copy_n(layer.slope.begin() + g * oc, oc, slope);
  }
  assert(weights == packed.weights.data() + packed.weights.size());
  return packed;
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

ConvArgs PackedConv::args(int index) const {
  const auto part = [&](const AlignedBuffer& buffer) { return buffer.data() + buffer.size() / groups * index; };
  return {nullptr,       0,          nullptr,     0, ic / groups, oc / groups, kernel,
          part(weights), part(bias), part(slope), 0, nullptr,     step};
}

ConvLayer subpixel_layer(const Head& head, int first, int last) {
  const int s = head.stride, k = last - first + 1;
  const std::size_t oc = static_cast<std::size_t>(s) * s;
  ConvLayer layer{head.ic,
                  s * s,
                  k,
                  std::vector<float>(oc * head.ic * k * k),
                  std::vector<float>(oc, head.bias[0]),
                  std::vector<float>(oc, 1.0f)};
  float* out = layer.weight.data();
  for (int phase = 0; phase < s * s; ++phase) {
    for (int c = 0; c < head.ic; ++c) {
      for (int ty = first; ty <= last; ++ty) {
        for (int tx = first; tx <= last; ++tx, ++out) {
          const int ky = deconv_kernel_index(phase / s, ty, s, head.pad);
          const int kx = deconv_kernel_index(phase % s, tx, s, head.pad);
          if (deconv_uses(phase / s, ty, s, head.pad, head.kernel) &&
              deconv_uses(phase % s, tx, s, head.pad, head.kernel)) {
            *out = head.weight[(static_cast<std::size_t>(c) * head.kernel + ky) * head.kernel + kx];
          }
        }
      }
    }
  }
  return layer;
}

PackedConv pack(const ConvLayer& layer, const KernelTable& kernels, Algorithm algorithm) {
  return pack_conv(layer, layer.kernel / 2, kernels, algorithm);
}

PackedHead pack(const Head& head, const KernelTable& kernels, Algorithm algorithm) {
  const int first = head.first_tap(), last = head.last_tap(), taps = last - first + 1;
  if (!head.enlarges) {
    const int planes = static_cast<int>(head.bias.size());
    const std::vector<float> slope(head.bias.size(), 1.0f);
    return {head.stride, head.border,
            pack({head.ic, planes, head.kernel, head.weight, head.bias, slope}, kernels, algorithm)};
  }
  const DeconvKernel* const end = kernels.deconv2d + kDeconvKernels;
  const DeconvKernel* const deconv = std::find_if(kernels.deconv2d, end, [&](const DeconvKernel& candidate) {
    return head.kernel == kDeconvKernel && candidate.stride == head.stride && candidate.pad == head.pad;
  });
  // Where the taps of a 9x9 head are not symmetric, the convolution would be mostly zeros.
  const bool subpixel = deconv == end || (algorithm == Algorithm::winograd && kernels.winograd3 && first == -last);
  if (subpixel) {
    return {head.stride, head.border, pack_conv(subpixel_layer(head, first, last), -first, kernels, algorithm)};
  }
  const int phases = head.stride * head.stride;
  PackedConv packed{deconv->run, head.ic, phases, 1, taps, -first, taps, 1, std::max(-first, last), 0, {}, {}, {}};
  packed.weights = pack_phases(head, deconv->phase_rows);
  packed.bias = AlignedBuffer(phases);
  std::fill_n(packed.bias.data(), phases, head.bias[0]);
  return {head.stride, head.border, std::move(packed)};
}

void convolve(const PackedConv& conv, const float* const* src_rows, std::ptrdiff_t src_stride, float* const* dst_rows,
              std::ptrdiff_t dst_stride, std::ptrdiff_t width, float* scratchpad) {
  ConvArgs args = conv.args(0);
  args.src_stride = src_stride;
  args.dst_stride = dst_stride;
  args.width = width;
  args.scratchpad = scratchpad;
  const float* group_src[kMaxRowsRead];
  float* group_dst[kWinogradTile];
  for (int g = 0; g < conv.groups; ++g) {
    args.src_rows = src_rows;
    args.dst_rows = dst_rows;
    if (g > 0) {
      const ConvArgs group = conv.args(g);
      args.weights = group.weights, args.bias = group.bias, args.slope = group.slope;
      for (int i = 0; i < conv.rows_read; ++i) group_src[i] = src_rows[i] + g * args.ic * src_stride;
      for (int i = 0; i < conv.rows_made; ++i) group_dst[i] = dst_rows[i] + g * args.oc * dst_stride;
      args.src_rows = group_src;
      args.dst_rows = group_dst;
    }
    conv.run(args);
  }
}

}  // namespace fsrcnn
