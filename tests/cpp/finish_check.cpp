// What follows the network: ranges, the clamp to them, the slope of chroma over luma.
#include "checks.h"
#include "finish.h"
#include "kernel_check.h"

namespace fsrcnn {
namespace {

bool check_range5(const KernelTable& table) {
  Tally tally(table, "range5");
  for (const std::ptrdiff_t n : widths()) {
    for (int turn = 0; turn < 2 * kKinds; ++turn) {
      const Kind kind = static_cast<Kind>(turn % kKinds);
      describe("range5 n=%td %s", n, kKindNames[turn % kKinds]);
      // Along a row the five sources are one row, shifted; down the rows they are five.
      const bool shifted = turn >= kKinds;
      const Planes low(memory().a, shifted ? 1 : 5, n + (shifted ? 4 : 0), kOverrun);
      const Planes high(memory().b, shifted ? 1 : 5, n + (shifted ? 4 : 0), kOverrun);
      low.fill(kind, 1000);
      high.fill(kind, 1000);
      for (int i = 0; kind == Kind::special && i < low.count; ++i) low.plane(i)[0] = high.plane(i)[0] = kNan;
      const float *lows[5], *highs[5];
      for (int i = 0; i < 5; ++i) {
        lows[i] = shifted ? low.data + i : low.plane(i);
        highs[i] = shifted ? high.data + i : high.plane(i);
      }
      const Planes dst(memory().dst, 2, n, kOverrun);
      table.range5(lows, highs, n, dst.plane(0), dst.plane(1));
      for (std::ptrdiff_t x = 0; x < n; ++x) {
        double smallest = kInfinity, largest = -kInfinity;
        for (int i = 0; i < 5; ++i) {
          if (lows[i][x] < smallest) smallest = lows[i][x];
          if (highs[i][x] > largest) largest = highs[i][x];
        }
        tally.compare(dst.plane(0)[x], smallest, 0, 0, x);
        tally.compare(dst.plane(1)[x], largest, 0, 1, x);
      }
      tally.check_surroundings(dst, kind != Kind::special);
      tally.next_case();
    }
  }
  return tally.report();
}

bool check_clamp(const KernelTable& table) {
  Tally tally(table, "clamp");
  for (const std::ptrdiff_t n : widths()) {
    for (const Kind kind : {Kind::integers, Kind::mixed, Kind::special}) {
      const int count = random_int(1, 16);
      describe("clamp n=%td count=%d %s", n, count, kKindNames[static_cast<int>(kind)]);
      const Planes bounds(memory().a, 2, n, kOverrun), dst(memory().dst, count, n, kOverrun);
      bounds.fill(kind, 8);
      dst.fill(kind, 16);
      for (std::ptrdiff_t x = 0; x < bounds.used; ++x) {
        if (bounds.plane(0)[x] > bounds.plane(1)[x]) std::swap(bounds.plane(0)[x], bounds.plane(1)[x]);
      }
      const std::vector<float> before(dst.data, dst.data + (count - 1) * dst.stride + dst.used);
      // Sums of integers are exact with these.
      const float part = kind == Kind::mixed ? kGuardPart : 0.25f, slack = kind == Kind::mixed ? kGuardSlack : 0.5f;
      table.clamp({bounds.plane(0), bounds.plane(1), part, slack, dst.data, dst.stride, count, n});
      for (std::ptrdiff_t x = 0; x < n; ++x) {
        const double low = bounds.plane(0)[x], high = bounds.plane(1)[x];
        const double margin = static_cast<double>(part) * (high - low) + static_cast<double>(slack);
        const double least = low - margin, most = high + margin;
        const double error = kind == Kind::mixed ? 8 * kUnit * (std::abs(low) + std::abs(high) + 1) : 0;
        for (int i = 0; i < count; ++i) {
          // Comparisons with NaN are false: what is NaN stays so, and no bound that is NaN is one.
          const double value = before[static_cast<std::size_t>(i * dst.stride + x)];
          const double raised = value < least ? least : value, want = raised > most ? most : raised;
          tally.compare(dst.plane(i)[x], want, error, i, x);
        }
      }
      tally.check_surroundings(dst, false);
      tally.next_case();
    }
  }
  return tally.report();
}

/// The slope by its definition, in double, and how far a computation in float may be from it.
std::pair<double, double> slope_of(const SlopeArgs& a, int plane, std::ptrdiff_t x) {
  const float* const* const chroma = a.chroma[plane];
  double mean_y = 0, mean_c = 0, swing = 0;
  for (int k = 0; k < 9; ++k) {
    const double y = a.luma[k / 3][x + k % 3 - 1], c = chroma[k / 3][x + k % 3 - 1];
    mean_y += y / 9, mean_c += c / 9;
    swing = std::max({swing, std::abs(y - a.luma[1][x]), std::abs(c - chroma[1][x])});
  }
  double yy = 0, cc = 0, yc = 0;
  for (int k = 0; k < 9; ++k) {
    const double y = a.luma[k / 3][x + k % 3 - 1] - mean_y, c = chroma[k / 3][x + k % 3 - 1] - mean_c;
    yy += y * y / 9, cc += c * c / 9, yc += y * c / 9;
  }
  const double fit = yc * yc / (yy * cc + static_cast<double>(kSlopeTiny));
  const double noise = static_cast<double>(kSlopeNoise);
  const double steep = yc / (yy + noise) * fit * fit;
  const double limit = (double{a.chroma_hi[plane][x]} - a.chroma_lo[plane][x]) /
                       (double{a.luma_hi[x]} - a.luma_lo[x] + static_cast<double>(kSlopeSlack));
  // Each moment is wrong by so much, a few roundings of nine squares; the fit, which is at most 1, by that in
  // proportion to what it is made of.
  const double moment = 24 * kUnit * swing * swing;
  const double of_fit =
      std::min(1.0, (2 * std::abs(yc) + yy + cc) * moment / (yy * cc + static_cast<double>(kSlopeTiny)));
  const double of_slope = moment * (1 + std::abs(yc) / (yy + noise)) / (yy + noise);
  return {std::clamp(steep, -limit, limit),
          of_slope + 2 * of_fit * std::abs(yc) / (yy + noise) + 16 * kUnit * (std::abs(limit) + std::abs(steep))};
}

bool check_slope(const KernelTable& table) {
  Tally tally(table, "slope");
  enum class Scene { edge, noise, flat, faint, special };
  for (const std::ptrdiff_t n : widths()) {
    for (const Scene scene : {Scene::edge, Scene::noise, Scene::flat, Scene::faint, Scene::special}) {
      describe("slope n=%td scene=%d", n, static_cast<int>(scene));
      const Planes luma(memory().a, 3, n + 2, kOverrun), chroma(memory().b, 6, n + 2, kOverrun);
      const Planes range(memory().c, 6, n, kOverrun);
      const float ratio = static_cast<float>(random_int(-32, 32)) / 16;
      for (int j = 0; j < 3; ++j) {
        float* const cb = chroma.plane(j);
        float* const cr = chroma.plane(3 + j);
        for (std::ptrdiff_t x = 0; x < luma.used; ++x) {
          const float step = static_cast<float>(random_int(0, 1)), code = static_cast<float>(random_int(0, 255)) / 255;
          const float tremor = scene == Scene::faint ? code / 256 : code / 64;
          luma.plane(j)[x] = scene == Scene::flat ? 0.3f : scene == Scene::faint ? 0.3f + tremor : step;
          cb[x] = scene == Scene::edge || scene == Scene::faint ? ratio * luma.plane(j)[x] + tremor
                  : scene == Scene::flat                        ? -0.1f
                                                                : code - 0.5f;
        }
        // The same in other units, but where there is noise: then of another plane.
        for (std::ptrdiff_t x = 0; x < chroma.used; ++x) {
          cr[x] = scene == Scene::noise ? static_cast<float>(random_int(0, 255)) / 255 - 0.5f : -0.5f * cb[x];
        }
        if (scene == Scene::special) luma.plane(j)[random_int(0, static_cast<int>(n))] = j ? kInfinity : kNan;
      }
      for (std::ptrdiff_t x = 0; x < range.used; ++x) {
        const float code = static_cast<float>(random_int(0, 255)) / 255;
        for (int i = 0; i < 6; ++i) range.plane(i)[x] = i % 2 ? (i == 1 ? 0.5f : 0.25f) * (1 + code) : 0.0f;
      }
      const float *luma_rows[3], *chroma_rows[6];
      for (int j = 0; j < 3; ++j) luma_rows[j] = luma.plane(j) + 1;
      for (int j = 0; j < 6; ++j) chroma_rows[j] = chroma.plane(j) + 1;
      const Planes dst(memory().dst, 2, n, kOverrun);
      const SlopeArgs args{.luma = luma_rows,
                           .chroma = {chroma_rows, chroma_rows + 3},
                           .luma_lo = range.plane(0),
                           .luma_hi = range.plane(1),
                           .chroma_lo = {range.plane(2), range.plane(4)},
                           .chroma_hi = {range.plane(3), range.plane(5)},
                           .n = n,
                           .dst = {dst.plane(0), dst.plane(1)}};
      table.slope(args);
      for (int plane = 0; plane < 2; ++plane) {
        for (std::ptrdiff_t x = 0; x < n; ++x) {
          const auto [want, error] = slope_of(args, plane, x);
          tally.compare(dst.plane(plane)[x], want, error, plane, x);
          if (scene == Scene::flat) tally.expect(dst.plane(plane)[x] == 0, "a slope where nothing changes");
        }
      }
      tally.check_surroundings(dst, scene != Scene::special);
      tally.next_case();
    }
  }
  return tally.report();
}

/// How far the bicubic filter leaves the range of its pixels, by its weights: no farther than the guard lets pass.
bool check_overshoot(const KernelTable& table) {
  Tally tally(table, "bicubic in guard");
  for (int scale = 2; scale <= kMaxStride; ++scale) {
    for (int phase_y = 0; phase_y < scale; ++phase_y) {
      describe("overshoot x%d phase=%d", scale, phase_y);
      double below[kMaxStride] = {}, above[kMaxStride] = {};
      for (int impulse = 0; impulse < kWindowRows * kWindowRows; ++impulse) {
        float window[kWindowRows * kWindowRows] = {}, scratch[kWindowRows], weights[kMaxStride];
        window[impulse] = 1;
        const float* rows[kWindowRows];
        float* planes[kMaxStride];
        for (int i = 0; i < kWindowRows; ++i) rows[i] = window + i * kWindowRows + kBicubicReach;
        for (int i = 0; i < kMaxStride; ++i) planes[i] = weights + i;
        enlarge_row(table, rows, centred(scale), phase_y, 1, scratch, planes);
        for (int i = 0; i < scale; ++i) (weights[i] < 0 ? below : above)[i] += double{weights[i]};
      }
      for (int i = 0; i < scale; ++i) {
        tally.expect(below[i] > -double{kGuardPart} && above[i] < 1 + double{kGuardPart}, "the guard changes bicubic");
        tally.expect(std::abs(above[i] + below[i] - 1) < 1e-6, "the weights do not sum to 1");
      }
      tally.next_case();
    }
  }
  return tally.report();
}

}  // namespace

bool check_finish(const KernelTable& table) {
  bool ok = check_range5(table);
  ok &= check_clamp(table);
  ok &= check_slope(table);
  ok &= check_overshoot(table);
  return ok;
}

}  // namespace fsrcnn
