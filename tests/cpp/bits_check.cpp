// Bits: neither strips, threads, other scales nor what ran before change one. Numbers: those of the scalar twins.
#include "upscaler_check.h"

namespace fsrcnn {

/// Strips of every width, several threads, all scales at once, and scratch that other pictures have used.
void check_bits(const KernelTable& table) {
  const std::vector<Geometry> geometries = {{23, 61, 1, SampleType::u8},  {9, 70, 3, SampleType::u16},
                                            {40, 17, 4, SampleType::f32}, {1, 1, 1, SampleType::f32},
                                            {2, 5, 2, SampleType::u8},    {5, 3, 3, SampleType::f32},
                                            {33, 40, 1, SampleType::f32}};
  long cases = 0, failures = 0;
  for (const Setup& setup : kSetups) {
    const Upscaler upscaler(setup.model(), table, setup.algorithm);
    for (const Geometry& g : geometries) {
      std::vector<Picture> expected;
      for (const int scale : {2, 3, 4}) {
        const Upscaler fresh(setup.model(), table, setup.algorithm);
        expected.push_back(run(fresh, g, {scale}, 1, g.width, setup.finish)[0]);
      }
      const auto check = [&](std::vector<int> scales, int threads, std::ptrdiff_t strip_width) {
        if (left_out()) return;
        const std::vector<Picture> outputs = run(upscaler, g, scales, threads, strip_width, setup.finish);
        for (std::size_t i = 0; i < scales.size(); ++i) {
          ++cases;
          if (outputs[i] == expected[static_cast<std::size_t>(scales[i] - 2)]) continue;
          if (failures++ < 5) {
            std::printf("  %s: %tdx%td, %d channels, type %d, x%d of %zu, %d threads, strips of %td: other bits\n",
                        table.isa, g.width, g.height, g.channels, static_cast<int>(g.type), scales[i], scales.size(),
                        threads, strip_width);
          }
        }
      };
      for (std::ptrdiff_t strip_width = 0; strip_width < g.width + 4; strip_width += 4) {
        check({2, 3, 4}, 1 + static_cast<int>(strip_width / 4 % 3), strip_width);
      }
      for (const int threads : {1, 2, 3, 8}) {
        for (const int scale : {4, 2, 3}) check({scale}, threads, 0);
        check({4, 2}, threads, 16);
      }
    }
  }
  report(table.isa, "strips, threads and company change no bit", cases, failures);
}

/// The bicubic filter alone, as the chroma of video takes it: rounded-up planes are cut at the edges.
void check_bicubic(const KernelTable& table) {
  constexpr Siting kLeft{0.25, 0.5};
  const PlaneUpscaler upscaler(table);
  long cases = 0, failures = 0;
  const std::vector<Geometry> geometries = {{9, 5000, 1, SampleType::u8},
                                            {37, 21, 1, SampleType::u8},
                                            {1, 1, 1, SampleType::u16},
                                            {64, 50, 1, SampleType::u16}};
  for (const Geometry& g : geometries) {
    for (const int scale : {2, 3, 4}) {
      for (std::ptrdiff_t cut = 0; cut < scale; ++cut) {
        const Picture src = make_source(g);
        const auto upscale = [&](int threads, unsigned noise) {
          Picture dst(g.height * scale - cut, g.width * scale - cut, 1, g.type, noise);
          upscaler.enlarge(src.view(), dst.target(), scale, kLeft, threads);
          return dst;
        };
        const Picture expected = upscale(1, 1);
        for (const int threads : {1, 2, 3, 8}) {
          ++cases;
          failures += upscale(threads, 2) != expected;
        }
      }
    }
    const Picture src = make_source(g);
    const auto resize = [&](int threads, unsigned noise) {
      Picture dst(g.height * 7 / 3, g.width * 11 / 2, 1, g.type, noise);
      upscaler.resize(src.view(), dst.target(), {10, 30}, {55, 70}, kLeft, threads);
      return dst;
    };
    const Picture expected = resize(1, 1);
    for (const int threads : {2, 3, 8}) {
      ++cases;
      failures += resize(threads, 2) != expected;
    }
  }
  report(table.isa, "bicubic alone: threads change no bit", cases, failures);
}

namespace {

struct Resize {
  Geometry source;
  std::ptrdiff_t height, width;
  std::vector<int> scales;
};
const std::vector<Resize>& resizes() {
  static const std::vector<Resize> list = {
      {{23, 61, 1, SampleType::u8}, 35, 92, {2}},          {{19, 70, 3, SampleType::u16}, 48, 175, {3}},
      {{40, 17, 4, SampleType::f32}, 200, 85, {2, 3}},     {{1, 1, 1, SampleType::f32}, 3, 5, {2, 3}},
      {{2, 5, 2, SampleType::u8}, 2, 80, {4, 4}},          {{37, 6, 3, SampleType::u8}, 200, 7, {2, 3}},
      {{9, 14, 3, SampleType::f32}, 144, 16, {2, 2, 2, 2}}};
  return list;
}

Picture resize(const Upscaler& upscaler, const Resize& r, int threads, std::ptrdiff_t strip_width,
               const Finish& finish = {}) {
  static std::atomic<unsigned> noise{1};
  const Picture src = make_source(r.source);
  Picture dst(r.height, r.width, r.source.channels, r.source.type, ++noise);
  upscaler.run_resized(src.view(), dst.target(), finish, r.scales, threads, strip_width);
  return dst;
}

/// Whether a picture is `inside` in parts, which are so many times as large there, and `outside` elsewhere.
bool agrees(Picture& made, const Picture& inside, const Picture& outside, const std::vector<Tile>& parts, int scale) {
  const MutableImageView view = made.target();
  for (std::ptrdiff_t y = 0; y < view.height; ++y) {
    for (std::ptrdiff_t x = 0; x < view.width; ++x) {
      const bool is_inside = std::any_of(parts.begin(), parts.end(), [&](const Tile& part) {
        return x >= scale * part.columns.begin && x < scale * part.columns.end && y >= scale * part.y0 &&
               y < scale * part.y1;
      });
      const ImageView other = (is_inside ? inside : outside).view();
      const auto pixel = static_cast<std::size_t>(view.pixel_stride);
      if (std::memcmp(view.row(y) + x * view.pixel_stride, other.row(y) + x * other.pixel_stride, pixel) != 0)
        return false;
    }
  }
  return true;
}

}  // namespace

/// The same of any size, where passes of the network feed each other.
void check_resized_bits(const KernelTable& table) {
  long cases = 0, failures = 0;
  for (const Setup& setup : kSetups) {
    const Model model = setup.model();
    const Upscaler upscaler(model, table, setup.algorithm, 2 * kBlock);
    for (const Resize& r : resizes()) {
      const Picture expected = resize(Upscaler(model, table, setup.algorithm), r, 1, 1 << 20, setup.finish);
      for (const int threads : {1, 2, 3, 8}) {
        for (const std::ptrdiff_t strip_width : {0, 4, 8, 20, 64}) {
          if (left_out()) continue;
          ++cases;
          failures += resize(upscaler, r, threads, strip_width, setup.finish) != expected;
        }
      }
    }
  }
  report(table.isa, "any size: strips, spans and threads change no bit", cases, failures);
}

/// Parts of a picture become what they become within it, and nothing else is written.
void check_parts_bits(const KernelTable& table) {
  long cases = 0, failures = 0;
  for (const Setup& setup : kSetups) {
    const Upscaler upscaler(setup.model(), table, setup.algorithm);
    const Geometry g{37, 61, 3, SampleType::u8};
    const Picture src = make_source(g), expected = run(upscaler, g, {3}, 1, 0, setup.finish)[0];
    const std::vector<int> chain{2};
    Picture resized(50, 91, 3, SampleType::u8, 5);
    upscaler.run_resized(src.view(), resized.target(), setup.finish, chain, 1, 0);
    // Some overlap, some end with the picture, one is narrower than a vector.
    const std::vector<Tile> parts = {{{16, 40}, 0, 12}, {{32, 61}, 8, 37}, {{4, 8}, 16, 20}, {{0, 61}, 32, 36}};
    for (const int threads : {1, 3}) {
      for (const std::ptrdiff_t strip_width : {0, 8}) {
        Picture made(3 * 37, 3 * 61, 3, SampleType::u8, 9), untouched = made;
        const Target target{3, made.target()};
        upscaler.run(src.view(), {&target, 1}, setup.finish, threads, strip_width, parts);
        ++cases;
        failures += !agrees(made, expected, untouched, parts, 3);
        Picture other(50, 91, 3, SampleType::u8, 9), before = other;
        upscaler.run_resized(src.view(), other.target(), setup.finish, chain, threads, strip_width, parts);
        ++cases;
        failures += !agrees(other, resized, before, parts, 1);
      }
    }
  }
  report(table.isa, "parts become what they are within the whole", cases, failures);
}

/// Fixed point gives the picture of the scalar twins to the bit, whatever the samples, the strips and the threads.
void check_fixed_bits(const KernelTable& table) {
  const std::vector<Geometry> geometries = {{23, 61, 1, SampleType::u8},  {9, 70, 3, SampleType::u16},
                                            {12, 17, 4, SampleType::f32}, {1, 1, 1, SampleType::f32},
                                            {2, 5, 2, SampleType::u8},    {14, 37, 3, SampleType::u8}};
  const KernelTable& twins = table_by_name("reference", Precision::int16);
  long cases = 0, failures = 0;
  for (const Setup& setup : kSetups) {
    if (setup.enlarged) continue;
    const Upscaler upscaler(setup.model(), table, setup.algorithm), twin(setup.model(), twins, setup.algorithm);
    for (const Geometry& g : geometries) {
      const std::vector<Picture> expected = run(twin, g, {2, 3, 4}, 1, g.width, setup.finish);
      for (const int threads : {1, 3, 8}) {
        for (const std::ptrdiff_t strip_width : {0, 4, 16, 36}) {
          ++cases;
          failures += run(upscaler, g, {2, 3, 4}, threads, strip_width, setup.finish) != expected;
        }
        ++cases;
        failures += run(upscaler, g, {3}, threads, 0, setup.finish)[0] != expected[1];
      }
    }
    for (const Resize& r : resizes()) {
      ++cases;
      failures += resize(upscaler, r, 2, 20, setup.finish) != resize(twin, r, 1, 0, setup.finish);
    }
  }
  report(table.isa, "fixed point: the scalar twins' picture to the bit", cases, failures);
}

/// One pass and no filter, or one that leaves all as it is, must give what the network gives.
void check_resized_against_run(const KernelTable& table) {
  long cases = 0, failures = 0;
  for (const Setup& setup : kSetups) {
    // Of grey, colours are lost between passes that store it.
    if (setup.colour != Colour::luma) continue;
    const Upscaler upscaler(setup.model(), table, setup.algorithm);
    Finish finish = setup.finish;
    finish.strength = std::max(1.0f, finish.strength);  // below, it is a matter of the result and not of the passes
    for (const int scale : {2, 3, 4}) {
      const Geometry g{21, 43, 1, SampleType::f32};
      ++cases;
      failures += resize(upscaler, {g, g.height * scale, g.width * scale, {scale}}, 2, 16, finish) !=
                  run(upscaler, g, {scale}, 1, 0, finish)[0];
      // Two passes are a pass over what a pass gives.
      const Picture once = run(upscaler, g, {2}, 1, 0, finish)[0];
      Picture twice(g.height * 2 * scale, g.width * 2 * scale, 1, g.type, 1);
      const Target target{scale, twice.target()};
      upscaler.run(once.view(), {&target, 1}, finish, 1, 0);
      ++cases;
      failures += resize(upscaler, {g, g.height * 2 * scale, g.width * 2 * scale, {2, scale}}, 3, 16, finish) != twice;
    }
  }
  report(table.isa, "any size: a product of scales is pass upon pass", cases, failures);
}

/// Against the scalar twins, in units of full scale.
void check_numbers(const KernelTable& table) {
  // Errors of Winograd's algorithm stay below this: the promise to users.
  constexpr double kTolerance = 1e-5;
  double worst = 0;
  long cases = 0;
  const auto add_worst = [&](const Picture& got, const Picture& want, double passes) {
    for (std::size_t k = 0; k < got.bytes().size(); k += sizeof(float)) {
      float a, b;
      std::memcpy(&a, &got.bytes()[k], sizeof a);
      std::memcpy(&b, &want.bytes()[k], sizeof b);
      const double error = std::abs(static_cast<double>(a) - b) / passes;
      worst = error <= worst ? worst : error;  // NaN is worst
    }
  };
  for (const Setup& setup : kSetups) {
    const Model model = setup.model();
    const Upscaler upscaler(model, table, setup.algorithm);
    const Upscaler twin(model, table_by_name("reference"), Algorithm::direct);
    for (const int channels : {1, 4}) {
      const Geometry g{13, 38, channels, SampleType::f32};
      const std::vector<Picture> got = run(upscaler, g, {2, 3, 4}, 2, 16, setup.finish),
                                 want = run(twin, g, {2, 3, 4}, 1, 0, setup.finish);
      for (std::size_t i = 0; i < got.size(); ++i, ++cases) {
        add_worst(got[i], want[i], 1);
      }
    }
  }
  for (const Resize& r : resizes()) {
    if (r.source.type != SampleType::f32) continue;
    const Model model = make_model(Padding::replicate, Head::kFullBorder, false);
    const Picture got = resize(Upscaler(model, table, Algorithm::winograd), r, 2, 16);
    const Picture want = resize(Upscaler(model, table_by_name("reference"), Algorithm::direct), r, 1, 0);
    // Errors of one pass go through the next, which makes them larger by as much as its weights do.
    add_worst(got, want, static_cast<double>(r.scales.size()));
    ++cases;
  }
  char what[80];
  std::snprintf(what, sizeof what, "scalar twins agree within %.1e (worst %.1e)", kTolerance, worst);
  report(table.isa, what, cases, !(worst <= kTolerance));
}
}  // namespace fsrcnn
