// Scalar twins of the kernels: naive loops, one output at a time, obviously right. Always compiled and always
// reachable as isa="reference"; every other table is tested against this one. The twins of floats round as little as
// they can, and others come close. Those of fixed point round as all do, to the bit: this file is compiled without
// contraction.
#include <cmath>
#include <cstring>

#include "kernels.h"

namespace fsrcnn {
namespace {

void conv2d(const ConvArgs& a) {
  const int k = a.kernel;
  for (int o = 0; o < a.oc; ++o) {
    for (ptrdiff_t x = 0; x < a.width; ++x) {
      float sum = a.bias[o];
      for (int c = 0; c < a.ic; ++c) {
        for (int ky = 0; ky < k; ++ky) {
          for (int kx = 0; kx < k; ++kx) {
            sum += a.src_rows[ky][c * a.src_stride + x + kx] * a.weights[((c * k + ky) * k + kx) * a.oc + o];
          }
        }
      }
      a.dst_rows[0][o * a.dst_stride + x] = sum > 0.0f ? sum : a.slope[o] * sum;
    }
  }
}

// One phase row at a time; `w` walks the packed weights in the order the contract gives.
template <int Stride, int Pad>
void deconv2d(const ConvArgs& a) {
  const int first = deconv_first_tap(Stride, Pad);
  const int last = deconv_last_tap(Stride, Pad);
  const float* w = a.weights;
  for (int phase_y = 0; phase_y < Stride; ++phase_y) {
    float* dst = a.dst_rows[0] + phase_y * Stride * a.dst_stride;
    for (int phase_x = 0; phase_x < Stride; ++phase_x) {
      for (ptrdiff_t x = 0; x < a.width; ++x) dst[phase_x * a.dst_stride + x] = a.bias[0];
    }
    for (int c = 0; c < a.ic; ++c) {
      for (int ty = first; ty <= last; ++ty) {
        if (!deconv_uses(phase_y, ty, Stride, Pad)) continue;
        const float* src = a.src_rows[ty - first] + c * a.src_stride;
        for (int tx = first; tx <= last; ++tx) {
          for (int phase_x = 0; phase_x < Stride; ++phase_x) {
            if (!deconv_uses(phase_x, tx, Stride, Pad)) continue;
            for (ptrdiff_t x = 0; x < a.width; ++x) dst[phase_x * a.dst_stride + x] += src[x + tx - first] * *w;
            ++w;
          }
        }
      }
    }
  }
}

template <typename T>
void load_samples(const unsigned char* src, ptrdiff_t pixel_stride, ptrdiff_t n, float full, float* dst) {
  for (ptrdiff_t x = 0; x < n; ++x) {
    T value;
    std::memcpy(&value, src + x * pixel_stride, sizeof value);
    dst[x] = sizeof(T) == 4 ? static_cast<float>(value) : static_cast<float>(value) / full;
  }
}

template <typename T>
void store_samples(const StoreArgs& a) {
  for (ptrdiff_t x = 0; x < a.width; ++x) {
    for (int phase = 0; phase < a.phases; ++phase) {
      for (int c = 0; c < a.channels; ++c) {
        const float value = a.planes[phase * a.channels + c][x];
        T sample;
        if (sizeof(T) == 4) {
          sample = static_cast<T>(value);
        } else {
          const float scaled = std::floor(value * a.range.full + 0.5f);
          sample = static_cast<T>(std::fmin(std::fmax(scaled, 0.0f), a.range.max));
        }
        std::memcpy(a.dst + (x * a.phases + phase) * a.pixel_stride + c * a.channel_stride, &sample, sizeof sample);
      }
    }
  }
}

// ITU-R BT.601, 8-bit studio swing (MATLAB's rgb2ycbcr).
void rgb_to_y(const float* r, const float* g, const float* b, ptrdiff_t n, float* y) {
  for (ptrdiff_t x = 0; x < n; ++x) {
    y[x] = static_cast<float>((16.0 + 65.481 * r[x] + 128.553 * g[x] + 24.966 * b[x]) / 255.0);
  }
}

void rgb_to_cbcr(const float* r, const float* g, const float* b, ptrdiff_t n, float* cb, float* cr) {
  for (ptrdiff_t x = 0; x < n; ++x) {
    cb[x] = static_cast<float>((-37.797 * r[x] - 74.203 * g[x] + 112.0 * b[x]) / 255.0);
    cr[x] = static_cast<float>((112.0 * r[x] - 93.786 * g[x] - 18.214 * b[x]) / 255.0);
  }
}

/// Chroma follows luma, in place, where it shall.
void guide(const ColourArgs& a) {
  if (!a.soft) return;
  for (ptrdiff_t x = 0; x < a.n; ++x) {
    const float gain = a.y_r[x] - a.soft[x];
    a.cb_g[x] += a.slopes[0][x] * gain;
    a.cr_b[x] += a.slopes[1][x] * gain;
  }
}

void ycbcr_to_rgb(const ColourArgs& a) {
  guide(a);
  // Kr = 0.299, Kb = 0.114; luma spans 219 codes, chroma 224.
  for (ptrdiff_t x = 0; x < a.n; ++x) {
    const double y = (a.y_r[x] - 16.0 / 255.0) * 255.0 / 219.0;
    const double cb = a.cb_g[x] * 255.0 / 224.0;
    const double cr = a.cr_b[x] * 255.0 / 224.0;
    a.y_r[x] = static_cast<float>(y + 1.402 * cr);
    a.cb_g[x] = static_cast<float>(y - 0.114 * 1.772 / 0.587 * cb - 0.299 * 1.402 / 0.587 * cr);
    a.cr_b[x] = static_cast<float>(y + 1.772 * cb);
  }
}

void blend4(const float* const* src, const float* weights, ptrdiff_t n, float* dst) {
  for (ptrdiff_t x = 0; x < n; ++x) {
    dst[x] = 0;
    for (int i = 0; i < 4; ++i) dst[x] += weights[i] * src[i][x];
  }
}

void blend(const float* const* src, const float* weights, int count, ptrdiff_t n, float* dst) {
  for (ptrdiff_t x = 0; x < n; ++x) {
    float sum = 0;
    for (int i = 0; i < count; ++i) sum += weights[i] * src[i][x];
    dst[x] = sum;
  }
}

void resample(const ResampleArgs& a) {
  for (int r = 0; r < kResampleRows; ++r) {
    for (ptrdiff_t x = 0; x < a.width; ++x) {
      float sum = 0;
      for (int t = 0; t < a.taps; ++t) sum += a.weights[x * a.taps + t] * a.src_rows[r][a.first[x] - a.origin + t];
      a.dst_rows[r][x] = sum;
    }
  }
}

// fmin and fmax take NaN for nothing.
void range5(const float* const* low, const float* const* high, ptrdiff_t n, float* lo, float* hi) {
  for (ptrdiff_t x = 0; x < n; ++x) {
    lo[x] = INFINITY;
    hi[x] = -INFINITY;
    for (int i = 0; i < 5; ++i) {
      lo[x] = std::fmin(lo[x], low[i][x]);
      hi[x] = std::fmax(hi[x], high[i][x]);
    }
  }
}

void clamp(const ClampArgs& a) {
  for (ptrdiff_t x = 0; x < a.n; ++x) {
    const float margin = a.part * (a.hi[x] - a.lo[x]) + a.slack;
    for (int i = 0; i < a.count; ++i) {
      float& value = a.planes[i * a.stride + x];
      if (value < a.lo[x] - margin) value = a.lo[x] - margin;
      if (value > a.hi[x] + margin) value = a.hi[x] + margin;
    }
  }
}

void slope(const SlopeArgs& a) {
  for (int plane = 0; plane < 2; ++plane) {
    for (ptrdiff_t x = 0; x < a.n; ++x) {
      double mean_y = 0, mean_c = 0;
      for (int j = 0; j < 3; ++j) {
        for (ptrdiff_t i = x - 1; i <= x + 1; ++i) mean_y += a.luma[j][i] / 9.0, mean_c += a.chroma[plane][j][i] / 9.0;
      }
      double variance_y = 0, variance_c = 0, covariance = 0;
      for (int j = 0; j < 3; ++j) {
        for (ptrdiff_t i = x - 1; i <= x + 1; ++i) {
          const double dy = a.luma[j][i] - mean_y, dc = a.chroma[plane][j][i] - mean_c;
          variance_y += dy * dy / 9;
          variance_c += dc * dc / 9;
          covariance += dy * dc / 9;
        }
      }
      const double squared = covariance * covariance / (variance_y * variance_c + kSlopeTiny);
      const float steep = static_cast<float>(covariance / (variance_y + kSlopeNoise) * squared * squared);
      const float limit = (a.chroma_hi[plane][x] - a.chroma_lo[plane][x]) / (a.luma_hi[x] - a.luma_lo[x] + kSlopeSlack);
      a.dst[plane][x] = steep > limit ? limit : steep < -limit ? -limit : steep;
    }
  }
}

void correlate(const CorrelateArgs& a) {
  for (int r = 0; r < a.rows; ++r) {
    for (int c = 0; c < a.columns; ++c) {
      double sum = 0;
      for (ptrdiff_t x = 0; x < a.n; ++x) sum += static_cast<double>(a.a[r][x]) * a.b[c][x];
      a.dst[static_cast<ptrdiff_t>(r) * a.columns + c] += static_cast<float>(sum);
    }
  }
}

void prelu_forward(const float* z, float slope, ptrdiff_t n, float* dst) {
  for (ptrdiff_t x = 0; x < n; ++x) dst[x] = std::fmax(z[x], 0.0f) + slope * std::fmin(z[x], 0.0f);
}

float prelu_backward(const float* z, float slope, ptrdiff_t n, float* gradient) {
  double sum = 0;
  for (ptrdiff_t x = 0; x < n; ++x) {
    if (z[x] > 0) continue;
    sum += static_cast<double>(gradient[x]) * z[x];
    gradient[x] *= slope;
  }
  return static_cast<float>(sum);
}

double fma_loop(long iterations) {
  volatile float sink = 0;
  float value = 0.5f;  // not 1, a fixed point that the compiler would find
  for (long k = 0; k < iterations; ++k) value = value * 0.999f + 0.001f;
  sink = value;
  static_cast<void>(sink);
  return 2.0 * static_cast<double>(iterations);
}

// ---- fixed point --------------------------------------------------------------------------------------------------

/// Two int16 with the bits of a float.
struct Cell {
  int16_t half[2];
};

Cell read_cell(const float* p) {
  Cell cell;
  std::memcpy(&cell, p, sizeof cell);
  return cell;
}

void write_cell(float* p, Cell cell) { std::memcpy(p, &cell, sizeof cell); }

int32_t read_int(const float* p) {
  int32_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

/// The sum of channel `o` of `channels` at column x.
int32_t fixed_sum(const ConvArgs& a, int o, int channels, ptrdiff_t x) {
  const int columns = (a.kernel + a.step - 1) / a.step;
  int32_t sum = read_int(a.bias + o);
  for (int c = 0; c < a.ic; ++c) {
    for (int ky = 0; ky < a.kernel; ++ky) {
      for (int t = 0; t < columns; ++t) {
        const Cell v = read_cell(a.src_rows[ky] + c * a.src_stride + x + t * a.step);
        const Cell w = read_cell(a.weights + ((c * a.kernel + ky) * columns + t) * channels + o);
        for (int i = 0; i < 2; ++i) sum += static_cast<int32_t>(v.half[i]) * w.half[i];
      }
    }
  }
  return sum;
}

int saturated(int value, int least, int most) { return value < least ? least : value > most ? most : value; }

void conv2d_fixed(const ConvArgs& a) {
  for (int plane = 0; plane < a.oc; ++plane) {
    FixedActivation activation;
    std::memcpy(&activation, a.slope + plane * kFixedActivationCells, sizeof activation);
    for (ptrdiff_t x = 0; x < a.width; ++x) {
      Cell cell;
      for (int i = 0; i < 2; ++i) {
        const int32_t sum = fixed_sum(a, 2 * plane + i, 2 * a.oc, x) >> activation.shift[i];
        const int value = saturated(sum, -32768, 32767);
        const int factor = value > 0 ? activation.positive[i] : activation.negative[i];
        cell.half[i] = static_cast<int16_t>((value * factor + 16384) >> 15);
      }
      write_cell(a.dst_rows[0] + plane * a.dst_stride + x, cell);
    }
  }
}

void conv2d_planes(const ConvArgs& a) {
  for (int o = 0; o < a.oc; ++o) {
    for (ptrdiff_t x = 0; x < a.width; ++x) {
      a.dst_rows[0][o * a.dst_stride + x] = static_cast<float>(fixed_sum(a, o, a.oc, x)) * a.slope[o];
    }
  }
}

void to_cells(const float* src, ptrdiff_t n, float* cells) {
  const auto fixed = [](float value) {
    const float scaled = value * kFixedLuma;
    const float raised = scaled > -kFixedMost ? scaled : -kFixedMost;  // of NaN, too
    const float cut = raised > kFixedMost ? kFixedMost : raised;
    return static_cast<int16_t>(static_cast<int>(cut + (kFixedMost + 0.5f)) - kFixedMost);
  };
  for (ptrdiff_t x = 0; x < n; ++x) write_cell(cells + x, {{fixed(src[x]), fixed(src[x + 1])}});
}

// The order of every operation is that of pixel_io-inl.h and finish-inl.h.

void rgb_to_y_ordered(const float* r, const float* g, const float* b, ptrdiff_t n, float* y) {
  for (ptrdiff_t x = 0; x < n; ++x) {
    float sum = 16.0f / 255 + 65.481f / 255 * r[x];
    sum += 128.553f / 255 * g[x];
    y[x] = sum + 24.966f / 255 * b[x];
  }
}

void rgb_to_cbcr_ordered(const float* r, const float* g, const float* b, ptrdiff_t n, float* cb, float* cr) {
  for (ptrdiff_t x = 0; x < n; ++x) {
    const float cb_rg = -37.797f / 255 * r[x] + -74.203f / 255 * g[x];
    const float cr_rg = 112.0f / 255 * r[x] + -93.786f / 255 * g[x];
    cb[x] = cb_rg + 112.0f / 255 * b[x];
    cr[x] = cr_rg + -18.214f / 255 * b[x];
  }
}

void ycbcr_to_rgb_ordered(const ColourArgs& a) {
  guide(a);
  for (ptrdiff_t x = 0; x < a.n; ++x) {
    const float y = (a.y_r[x] - 16.0f / 255) * (255.0f / 219), cb = a.cb_g[x], cr = a.cr_b[x];
    a.y_r[x] = y + 1.5960267f * cr;
    const float y_and_cb = y + -0.3917623f * cb;
    a.cb_g[x] = y_and_cb + -0.8129676f * cr;
    a.cr_b[x] = y + 2.0172321f * cb;
  }
}

void blend_ordered(const float* const* src, const float* weights, int count, ptrdiff_t n, float* dst) {
  for (ptrdiff_t x = 0; x < n; ++x) {
    float sum = weights[0] * src[0][x];
    for (int i = 1; i < count; ++i) sum += weights[i] * src[i][x];
    dst[x] = sum;
  }
}

void blend4_ordered(const float* const* src, const float* weights, ptrdiff_t n, float* dst) {
  blend_ordered(src, weights, 4, n, dst);
}

void slope_ordered(const SlopeArgs& a) {
  for (int plane = 0; plane < 2; ++plane) {
    for (ptrdiff_t x = 0; x < a.n; ++x) {
      float sum_y = 0, sum_c = 0, sum_yy = 0, sum_cc = 0, sum_yc = 0;
      for (int j = 0; j < 3; ++j) {
        for (ptrdiff_t i = x - 1; i <= x + 1; ++i) {
          const float dy = a.luma[j][i] - a.luma[1][x], dc = a.chroma[plane][j][i] - a.chroma[plane][1][x];
          sum_y += dy;
          sum_c += dc;
          sum_yy += dy * dy;
          sum_cc += dc * dc;
          sum_yc += dy * dc;
        }
      }
      constexpr float kNinth = 1.0f / 9;
      const float mean_y = sum_y * kNinth, mean_c = sum_c * kNinth;
      const float variance_y = sum_yy * kNinth - mean_y * mean_y, variance_c = sum_cc * kNinth - mean_c * mean_c;
      const float covariance = sum_yc * kNinth - mean_y * mean_c;
      const float spread_y = 0 > variance_y ? 0 : variance_y, spread_c = 0 > variance_c ? 0 : variance_c;
      const float squared = covariance * covariance / (spread_y * spread_c + kSlopeTiny);
      const float fit = 1 < squared ? 1 : squared;
      const float steep = covariance / (spread_y + kSlopeNoise) * (fit * fit);
      const float limit = (a.chroma_hi[plane][x] - a.chroma_lo[plane][x]) / (a.luma_hi[x] - a.luma_lo[x] + kSlopeSlack);
      const float bounded = steep > limit ? limit : steep;
      a.dst[plane][x] = bounded < -limit ? -limit : bounded;
    }
  }
}

}  // namespace

extern const KernelTable kReferenceTable;
const KernelTable kReferenceTable = {
    .isa = "reference",
    .precision = Precision::float32,
    .max_block = 1 << 20,  // one block
    .conv2d = conv2d,
    .deconv2d = {{2, 4, 1, deconv2d<2, 4>},
                 {3, 3, 1, deconv2d<3, 3>},
                 {3, 4, 1, deconv2d<3, 4>},
                 {4, 3, 1, deconv2d<4, 3>},
                 {4, 4, 1, deconv2d<4, 4>}},
    .load = {load_samples<uint8_t>, load_samples<uint16_t>, load_samples<float>},
    .store = {store_samples<uint8_t>, store_samples<uint16_t>, store_samples<float>},
    .rgb_to_y = rgb_to_y,
    .rgb_to_cbcr = rgb_to_cbcr,
    .ycbcr_to_rgb = ycbcr_to_rgb,
    .blend4 = blend4,
    .blend = blend,
    .resample = resample,
    .range5 = range5,
    .clamp = clamp,
    .slope = slope,
    .correlate = correlate,
    .prelu_forward = prelu_forward,
    .prelu_backward = prelu_backward,
    .fma_loop = fma_loop,
};

extern const KernelTable kReferenceFixedTable;
const KernelTable kReferenceFixedTable = {
    .isa = "reference",
    .precision = Precision::int16,
    .max_block = 1 << 20,
    .conv2d = conv2d_fixed,
    .load = {load_samples<uint8_t>, load_samples<uint16_t>, load_samples<float>},
    .store = {store_samples<uint8_t>, store_samples<uint16_t>, store_samples<float>},
    .rgb_to_y = rgb_to_y_ordered,
    .rgb_to_cbcr = rgb_to_cbcr_ordered,
    .ycbcr_to_rgb = ycbcr_to_rgb_ordered,
    .blend4 = blend4_ordered,
    .blend = blend_ordered,
    .resample = resample,
    .range5 = range5,
    .clamp = clamp,
    .slope = slope_ordered,
    .conv2d_planes = conv2d_planes,
    .to_cells = to_cells,
};

}  // namespace fsrcnn
