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
      double sum = head.bias[0];
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

/// A plain convolution to the planes of the large picture.
Planes run_plain_head(const Head& head, const Planes& features, Padding padding) {
  const std::ptrdiff_t height = features[0].height, width = features[0].width;
  const std::ptrdiff_t border = head.border == Head::kFullBorder ? kFar : head.border;
  const int k = head.kernel;
  Planes out(head.bias.size(), Plane(height, width));
  for (std::size_t p = 0; p < out.size(); ++p) {
    for (std::ptrdiff_t y = 0; y < height; ++y) {
      for (std::ptrdiff_t x = 0; x < width; ++x) {
        double sum = head.bias[p];
        for (int i = 0; i < head.ic * k * k; ++i) {
          const Plane& in = features[static_cast<std::size_t>(i / (k * k))];
          sum += head.weight[p * static_cast<std::size_t>(head.ic * k * k) + static_cast<std::size_t>(i)] *
                 in.seen(y + i / k % k - k / 2, x + i % k - k / 2, padding, border);
        }
        out[p].at(y, x) = sum;
      }
    }
  }
  return out;
}

double keys(double x) {
  x = std::abs(x);
  return x <= 1 ? 1.5 * x * x * x - 2.5 * x * x + 1 : x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

/// MATLAB's, which mirrors the picture at its edges, over and over.
Plane bicubic(const Plane& plane, int scale) {
  const auto mirrored = [](std::ptrdiff_t x, std::ptrdiff_t size) {
    const std::ptrdiff_t turn = ((x % (2 * size)) + 2 * size) % (2 * size);
    return std::min(turn, 2 * size - 1 - turn);
  };
  Plane out(plane.height * scale, plane.width * scale);
  for (std::ptrdiff_t y = 0; y < out.height; ++y) {
    for (std::ptrdiff_t x = 0; x < out.width; ++x) {
      const double at_y = (static_cast<double>(y) + 0.5) / scale - 0.5;
      const double at_x = (static_cast<double>(x) + 0.5) / scale - 0.5;
      for (std::ptrdiff_t v = y / scale - 3; v <= y / scale + 3; ++v) {
        for (std::ptrdiff_t u = x / scale - 3; u <= x / scale + 3; ++u) {
          const double weight = keys(at_y - static_cast<double>(v)) * keys(at_x - static_cast<double>(u));
          out.at(y, x) += weight * plane.seen(mirrored(v, plane.height), mirrored(u, plane.width), Padding::zeros, 0);
        }
      }
    }
  }
  return out;
}

// ITU-R BT.601 as MATLAB prints it, over 255.
constexpr double kToYcbcr[3][3] = {{65.481, 128.553, 24.966}, {-37.797, -74.203, 112.0}, {112.0, -93.786, -18.214}};
constexpr double kYcbcrOffset[3] = {16, 128, 128};

/// The inverse, by Cramer's rule.
void to_rgb(double (&sample)[3]) {
  double c[3], result[3];
  for (int i = 0; i < 3; ++i) c[i] = sample[i] * 255 - kYcbcrOffset[i];
  const auto determinant = [](const double(&m)[3][3]) {
    return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
           m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
  };
  for (int i = 0; i < 3; ++i) {
    double m[3][3];
    for (int j = 0; j < 9; ++j) m[j / 3][j % 3] = j % 3 == i ? c[j / 3] : kToYcbcr[j / 3][j % 3];
    result[i] = determinant(m) / determinant(kToYcbcr);
  }
  std::copy_n(result, 3, sample);
}

/// What a network of one colour sees of a float picture, and what a float picture shows of what it has made.
Planes planes_of(const ImageView& src, Colour colour) {
  const bool rgb = src.channels == 3;
  Planes planes(static_cast<std::size_t>(plane_count(colour)), Plane(src.height, src.width));
  for (std::size_t i = 0; i < planes[0].samples.size(); ++i) {
    float sample[3];
    std::memcpy(sample, src.data + i * static_cast<std::size_t>(src.pixel_stride),
                static_cast<std::size_t>(src.pixel_stride));
    for (std::size_t p = 0; p < planes.size(); ++p) {
      double value = p == 0 || colour == Colour::rgb ? sample[rgb ? p : 0] : 128.0 / 255;
      if (rgb && colour != Colour::rgb) {
        value = kYcbcrOffset[p];
        for (int c = 0; c < 3; ++c) value += kToYcbcr[p][c] * sample[c];
        value /= 255;
      }
      planes[p].samples[i] = value;
    }
  }
  return planes;
}

std::vector<double> samples_of(const Planes& planes, Colour colour, int channels) {
  std::vector<double> samples;
  for (std::size_t i = 0; i < planes[0].samples.size(); ++i) {
    double sample[3] = {planes[0].samples[i], 0, 0};
    for (std::size_t p = 1; p < planes.size(); ++p) sample[p] = planes[p].samples[i];
    if (colour == Colour::ycbcr && channels == 3) to_rgb(sample);
    if (colour == Colour::rgb && channels == 1) sample[0] = (sample[0] + sample[1] + sample[2]) / 3;
    samples.insert(samples.end(), sample, sample + channels);
  }
  return samples;
}

struct Interpreted {
  std::vector<std::vector<double>> outputs;  // by head, as the samples of a picture
  double largest = 1;                        // magnitude of anything on the way

  Interpreted(const Model& model, const ImageView& src) {
    const Planes picture = planes_of(src, model.colour);
    std::vector<Planes> results;
    if (!model.enlarged) results = run_nodes(model, picture);
    for (const Head& head : model.heads) {
      Planes planes;
      if (model.enlarged) {
        Planes large;
        for (const Plane& plane : picture) large.push_back(bicubic(plane, head.stride));
        results = run_nodes(model, large);
        planes = run_plain_head(head, results.back(), model.padding);
      } else {
        planes.push_back(run_head(head, results.back(), model.padding));
      }
      if (model.plus_bicubic) {
        const Plane smooth = bicubic(picture[0], head.stride);
        for (std::size_t i = 0; i < smooth.samples.size(); ++i) planes[0].samples[i] += smooth.samples[i];
      }
      outputs.push_back(samples_of(planes, model.colour, src.channels));
    }
  }

 private:
  std::vector<Planes> run_nodes(const Model& model, const Planes& input) {
    std::vector<Planes> results{input};
    for (const Node& node : model.nodes) {
      results.push_back(run_node(node, results, model.padding));
      for (const Plane& plane : results.back()) {
        for (const double sample : plane.samples) largest = std::max(largest, std::abs(sample));
      }
    }
    return results;
  }
};

double worst_error(const Picture& got, const std::vector<double>& want) {
  double worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    float value;
    std::memcpy(&value, &got.bytes()[i * sizeof value], sizeof value);
    const double error = std::abs(value - want[i]);
    worst = error <= worst ? worst : error;  // NaN is worst
  }
  return worst;
}

}  // namespace

void check_graphs(const KernelTable& table) {
  // Of the largest number on the way. Winograd's algorithm loses a few bits in every layer, of which there are up to
  // sixteen; a wrong row, channel or tap is off by a tenth.
  constexpr double kTolerance = 1e-4;
  constexpr unsigned kGraphs = 500;
  constexpr Finish kPlain{.strength = 1, .guard = false, .guided = false};
  double worst = 0;
  long cases = 0, failures = 0;
  for (unsigned seed = 1; seed <= kGraphs; seed += g_every) {
    GraphMaker maker(seed);
    const Model model = maker.make();
    const Algorithm algorithm = maker.chance(4) ? Algorithm::direct : Algorithm::winograd;
    const Upscaler upscaler(model, table, algorithm, maker.chance(2) ? 1 : kBlock * maker.integer(1, 4));
    const Upscaler row_by_row(model, table, algorithm, 1);
    const int most = model.enlarged ? 2 : 1;  // times as small, for what is computed at the large size
    const Geometry g{maker.integer(1, 29 / most), maker.integer(1, 37 / most),
                     model.colour != Colour::luma && maker.chance(2) ? 3 : 1, SampleType::f32};
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
      const bool same = run(row_by_row, g, {scales[i]}, 1, g.width, kPlain)[0] == got[i];
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
  std::snprintf(what, sizeof what, "%u random graphs within %.0e (worst %.1e)", (kGraphs + g_every - 1) / g_every,
                kTolerance, worst);
  report(table.isa, what, cases, failures);
}

}  // namespace fsrcnn
