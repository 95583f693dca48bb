#include "packing.h"

#include "arena.h"
#include "common.h"

namespace fsrcnn {

PackedConv pack(const ConvLayer& layer, const KernelTable& kernels) {
  PackedConv packed{layer.ic, layer.oc, layer.kernel, {}, {}};
  const int taps = layer.ic * layer.kernel * layer.kernel;
  // Blocks of nearly equal size: 32 channels on a table that takes 14 are 11 + 11 + 10, never 14 + 14 + 4.
  const int count = static_cast<int>(ceil_div(layer.oc, kernels.conv2d_max_oc));
  const auto block_oc = [&](int i) { return layer.oc / count + (i < layer.oc % count ? 1 : 0); };

  const auto carve = [&](float* base) {
    Arena arena(base);
    packed.blocks.clear();
    for (int i = 0, first = 0; i < count; first += block_oc(i++)) {
      const int oc = block_oc(i);
      float* weights = arena.take(static_cast<std::ptrdiff_t>(taps) * oc);
      float* bias = arena.take(oc);
      float* slope = arena.take(oc);
      packed.blocks.push_back({first, oc, weights, bias, slope});
      if (!base) continue;
      for (int o = 0; o < oc; ++o) {
        const std::size_t from = static_cast<std::size_t>(first + o);
        for (int t = 0; t < taps; ++t) weights[static_cast<std::ptrdiff_t>(t) * oc + o] = layer.weight[from * taps + t];
        bias[o] = layer.bias[from];
        slope[o] = layer.slope[from];
      }
    }
    return arena.used();
  };
  packed.storage = AlignedBuffer(carve(nullptr));
  carve(packed.storage.data());
  return packed;
}

PackedHead pack(const Head& head, const KernelTable& kernels) {
  PackedHead packed{head.stride, head.pad, head.border, head.ic, head.bias, AlignedBuffer(head.weight.size())};
  const int rows_per_pass = kernels.deconv2d_phase_rows[head.stride];
  const int s = head.stride;
  const int p = head.pad;
  float* out = packed.weights.data();
  for (int y0 = 0; y0 < s; y0 += rows_per_pass) {
    const int y1 = y0 + rows_per_pass < s ? y0 + rows_per_pass : s;
    for (int c = 0; c < head.ic; ++c) {
      for (int ty = packed.first_tap(); ty <= packed.last_tap(); ++ty) {
        for (int tx = packed.first_tap(); tx <= packed.last_tap(); ++tx) {
          for (int py = y0; py < y1; ++py) {
            if (!deconv_uses(py, ty, s, p)) continue;
            for (int px = 0; px < s; ++px) {
              if (!deconv_uses(px, tx, s, p)) continue;
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

}  // namespace fsrcnn
