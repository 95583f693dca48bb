// Scalar twins of the kernels: naive loops, one output at a time, obviously right. Always compiled and always
// reachable as isa="reference"; every other table is tested against this one.
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

void ycbcr_to_rgb(float* y_r, float* cb_g, float* cr_b, ptrdiff_t n) {
  // Kr = 0.299, Kb = 0.114; luma spans 219 codes, chroma 224.
  for (ptrdiff_t x = 0; x < n; ++x) {
    const double y = (y_r[x] - 16.0 / 255.0) * 255.0 / 219.0;
    const double cb = cb_g[x] * 255.0 / 224.0;
    const double cr = cr_b[x] * 255.0 / 224.0;
    y_r[x] = static_cast<float>(y + 1.402 * cr);
    cb_g[x] = static_cast<float>(y - 0.114 * 1.772 / 0.587 * cb - 0.299 * 1.402 / 0.587 * cr);
    cr_b[x] = static_cast<float>(y + 1.772 * cb);
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
  for (ptrdiff_t x = 0; x < a.n; ++x) {
    double mean_y = 0, mean_c = 0;
    for (int j = 0; j < 3; ++j) {
      for (ptrdiff_t i = x - 1; i <= x + 1; ++i) mean_y += a.luma[j][i] / 9.0, mean_c += a.chroma[j][i] / 9.0;
    }
    double variance_y = 0, variance_c = 0, covariance = 0;
    for (int j = 0; j < 3; ++j) {
      for (ptrdiff_t i = x - 1; i <= x + 1; ++i) {
        const double dy = a.luma[j][i] - mean_y, dc = a.chroma[j][i] - mean_c;
        variance_y += dy * dy / 9;
        variance_c += dc * dc / 9;
        covariance += dy * dc / 9;
      }
    }
    const double squared = covariance * covariance / (variance_y * variance_c + kSlopeTiny);
    const float steep = static_cast<float>(covariance / (variance_y + kSlopeNoise) * squared * squared);
    const float limit = (a.chroma_hi[x] - a.chroma_lo[x]) / (a.luma_hi[x] - a.luma_lo[x] + kSlopeSlack);
    a.dst[x] = steep > limit ? limit : steep < -limit ? -limit : steep;
  }
}

void guide(const float* luma, const float* soft, const float* slope, ptrdiff_t n, float* chroma) {
  for (ptrdiff_t x = 0; x < n; ++x) chroma[x] += slope[x] * (luma[x] - soft[x]);
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

}  // namespace

extern const KernelTable kReferenceTable;
const KernelTable kReferenceTable = {
    "reference",
    1 << 20,  // one block
    conv2d,
    nullptr,
    nullptr,
    nullptr,
    {{2, 4, 1, deconv2d<2, 4>},
     {3, 3, 1, deconv2d<3, 3>},
     {3, 4, 1, deconv2d<3, 4>},
     {4, 3, 1, deconv2d<4, 3>},
     {4, 4, 1, deconv2d<4, 4>}},
    {load_samples<uint8_t>, load_samples<uint16_t>, load_samples<float>},
    {store_samples<uint8_t>, store_samples<uint16_t>, store_samples<float>},
    rgb_to_y,
    rgb_to_cbcr,
    ycbcr_to_rgb,
    blend4,
    blend,
    resample,
    range5,
    clamp,
    slope,
    guide,
    correlate,
    prelu_forward,
    prelu_backward,
    fma_loop,
};

}  // namespace fsrcnn
