// Random graphs against an interpreter that computes whole planes in double, straight from what a network means.
#include "graphs.h"
#include "upscaler_check.h"

namespace fsrcnn {
namespace {

struct Plane {
  std::ptrdiff_t height, width;
  std::vector<double> samples;

  Plane(std::ptrdiff_t h, std::ptrdiff_t w) : height(h), width(w), samples(static_cast<std::size_t>(h * w)) {}
  double& at(std::ptrdiff_t y, std::ptrdiff_t x) { return samples[static_cast<std::size_t>(y * width + x)]; }
  /// What is seen there, inside the picture or not.
  double seen(std::ptrdiff_t y, std::ptrdiff_t x, Padding padding, std::ptrdiff_t border) const {
    const std::ptrdiff_t v = std::clamp<std::ptrdiff_t>(y, 0, height - 1);
    const std::ptrdiff_t u = std::clamp<std::ptrdiff_t>(x, 0, width - 1);
    const bool inside = v == y && u == x;
    const bool replicated = padding == Padding::replicate && std::max(std::abs(y - v), std::abs(x - u)) <= border;
    return inside || replicated ? samples[static_cast<std::size_t>(v * width + u)] : 0;
  }
};
using Planes = std::vector<Plane>;
constexpr std::ptrdiff_t kFar = 1 << 20;

Planes run_node(const Node& node, const std::vector<Planes>& results, Padding padding) {
  const ConvLayer& conv = node.conv;
  const Planes& source = results[static_cast<std::size_t>(node.source.of)];
  const std::ptrdiff_t height = source[0].height, width = source[0].width;
  const int of_group = conv.oc / conv.groups, read = conv.ic / conv.groups, r = conv.kernel / 2;
  Planes out(static_cast<std::size_t>(conv.oc), Plane(height, width));
  for (int o = 0; o < conv.oc; ++o) {
    for (std::ptrdiff_t y = 0; y < height; ++y) {
      for (std::ptrdiff_t x = 0; x < width; ++x) {
        double sum = conv.bias[static_cast<std::size_t>(o)];
        for (int c = 0; c < read; ++c) {
          const Plane& in = source[static_cast<std::size_t>(node.source.first + o / of_group * read + c)];
          const float* weight = &conv.weight[static_cast<std::size_t>((o * read + c) * conv.kernel * conv.kernel)];
          for (int k = 0; k < conv.kernel * conv.kernel; ++k) {
            sum += weight[k] * in.seen(y + k / conv.kernel - r, x + k % conv.kernel - r, padding, kFar);
          }
        }
        out[static_cast<std::size_t>(o)].at(y, x) = sum > 0 ? sum : conv.slope[static_cast<std::size_t>(o)] * sum;
      }
    }
  }
  std::size_t channel = 0;
  for (const Channels& add : node.adds) {
    for (int c = 0; c < add.count; ++c, ++channel) {
      const Plane& term = results[static_cast<std::size_t>(add.of)][static_cast<std::size_t>(add.first + c)];
      for (std::size_t i = 0; i < term.samples.size(); ++i) out[channel].samples[i] += term.samples[i];
    }
  }
  return out;
}

/// A transposed convolution adds weight[k] * input[q] to output[stride * q - pad + k]. Border pixels lie before zeros
/// on each axis by itself, as the rows and columns of a picture are extended one after the other.
Plane run_head(const Head& head, const Planes& features, Padding padding) {
  const std::ptrdiff_t height = features[0].height, width = features[0].width, s = head.stride;
  const std::ptrdiff_t border = head.border == Head::kFullBorder ? kFar : head.border;
  Plane out(height * s, width * s);
  const std::ptrdiff_t reach = head.kernel;  // more than there is
  for (std::ptrdiff_t y = 0; y < out.height; ++y) {
    for (std::ptrdiff_t x = 0; x < out.width; ++x) {
      double sum = head.bias;
      for (std::ptrdiff_t qy = y / s - reach; qy <= y / s + reach; ++qy) {
        const std::ptrdiff_t ky = y + head.pad - s * qy;
        if (ky < 0 || ky >= head.kernel) continue;
        for (std::ptrdiff_t qx = x / s - reach; qx <= x / s + reach; ++qx) {
          const std::ptrdiff_t kx = x + head.pad - s * qx;
          if (kx < 0 || kx >= head.kernel) continue;
          for (int c = 0; c < head.ic; ++c) {
            sum += head.weight[static_cast<std::size_t>((c * head.kernel + ky) * head.kernel + kx)] *
                   features[static_cast<std::size_t>(c)].seen(qy, qx, padding, border);
          }
        }
      }
      out.at(y, x) = sum;
    }
  }
  return out;
}

double keys(double x) {
  x = std::abs(x);
  return x <= 1 ? 1.5 * x * x * x - 2.5 * x * x + 1 : x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

void add_bicubic(const Plane& luma, int scale, Plane& out) {
  for (std::ptrdiff_t y = 0; y < out.height; ++y) {
    for (std::ptrdiff_t x = 0; x < out.width; ++x) {
      const double at_y = (static_cast<double>(y) + 0.5) / scale - 0.5;
      const double at_x = (static_cast<double>(x) + 0.5) / scale - 0.5;
      for (std::ptrdiff_t v = y / scale - 3; v <= y / scale + 3; ++v) {
        for (std::ptrdiff_t u = x / scale - 3; u <= x / scale + 3; ++u) {
          const double weight = keys(at_y - static_cast<double>(v)) * keys(at_x - static_cast<double>(u));
          out.at(y, x) += weight * luma.seen(v, u, Padding::replicate, kFar);
        }
      }
    }
  }
}

struct Interpreted {
  std::vector<Plane> outputs;  // by head
  double largest = 1;          // magnitude of anything on the way

  Interpreted(const Model& model, const ImageView& src) {
    Plane luma(src.height, src.width);
    for (std::size_t i = 0; i < luma.samples.size(); ++i) {
      float value;
      std::memcpy(&value, src.data + i * sizeof value, sizeof value);
      luma.samples[i] = value;
    }
    std::vector<Planes> results{{luma}};
    for (const Node& node : model.nodes) {
      results.push_back(run_node(node, results, model.padding));
      for (const Plane& plane : results.back()) {
        for (const double sample : plane.samples) largest = std::max(largest, std::abs(sample));
      }
    }
    for (const Head& head : model.heads) {
      outputs.push_back(run_head(head, results.back(), model.padding));
      if (model.plus_bicubic) add_bicubic(luma, head.stride, outputs.back());
    }
  }
};

double worst_error(const Picture& got, const Plane& want) {
  double worst = 0;
  for (std::size_t i = 0; i < want.samples.size(); ++i) {
    float value;
    std::memcpy(&value, &got.bytes()[i * sizeof value], sizeof value);
    const double error = std::abs(value - want.samples[i]);
    worst = error <= worst ? worst : error;  // NaN is worst
  }
  return worst;
}

}  // namespace

void check_graphs(const KernelTable& table) {
  // Of the largest number on the way. Winograd's algorithm loses a few bits in every layer, of which there are up to
  // sixteen; a wrong row, channel or tap is off by a tenth.
  constexpr double kTolerance = 1e-4;
#if defined(NDEBUG)
  constexpr unsigned kGraphs = 500;
#else
  constexpr unsigned kGraphs = 60;
#endif
  constexpr Finish kPlain{.strength = 1, .guard = false, .guided = false};
  double worst = 0;
  long cases = 0, failures = 0;
  for (unsigned seed = 1; seed <= kGraphs; ++seed) {
    GraphMaker maker(seed);
    const Model model = maker.make();
    const Algorithm algorithm = maker.chance(4) ? Algorithm::direct : Algorithm::winograd;
    const Upscaler upscaler(model, table, algorithm);
    const Geometry g{maker.integer(1, 29), maker.integer(1, 37), 1, SampleType::f32};
    const Interpreted want(model, make_source(g).view());
    std::vector<int> scales;
    for (const Head& head : model.heads) scales.push_back(head.stride);
    const int threads = maker.integer(1, 3);
    const std::ptrdiff_t strip_width = 4 * maker.integer(0, 4);
    const std::vector<Picture> got = run(upscaler, g, scales, threads, strip_width, kPlain);
    for (std::size_t i = 0; i < scales.size(); ++i) {
      const double error = worst_error(got[i], want.outputs[i]) / want.largest;
      worst = error <= worst ? worst : error;
      // Alone, in one piece.
      const bool same = run(upscaler, g, {scales[i]}, 1, g.width, kPlain)[0] == got[i];
      ++cases;
      if (same && error <= kTolerance) continue;
      if (failures++ < 5) {
        std::printf("  %s: graph %u, x%d of %zu, %tdx%td, %d threads, strips of %td: error %.1e, %s bits\n", table.isa,
                    seed, scales[i], scales.size(), g.width, g.height, threads, strip_width, error,
                    same ? "same" : "other");
      }
    }
  }
  char what[80];
  std::snprintf(what, sizeof what, "%u random graphs within %.0e (worst %.1e)", kGraphs, kTolerance, worst);
  report(table.isa, what, cases, failures);
}

}  // namespace fsrcnn
