// Loads, stores, colour and the bicubic filter against their scalar twins, and those against the definitions.
#include "checks.h"
#include "kernel_check.h"
#include "resize.h"

namespace fsrcnn {
namespace {

/// 8 and 16 bits, and 10 and 12 bits of video, whose full scale is that of 8 bits shifted.
std::vector<SampleRange> ranges(SampleType type) {
  if (type == SampleType::u8) return {{255, 255}};
  if (type == SampleType::u16) return {{65535, 65535}, {1020, 1023}, {4080, 4095}};
  return {{1, 1}};
}

float read_sample(const unsigned char* p, SampleType type) {
  if (type == SampleType::u8) return *p;
  if (type == SampleType::u16) {
    unsigned short value;
    std::memcpy(&value, p, sizeof value);
    return value;
  }
  float value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

bool same_bits(float a, float b) { return std::bit_cast<unsigned>(a) == std::bit_cast<unsigned>(b); }

bool check_load(const KernelTable& table, SampleType type) {
  const std::string name = std::string("load ") + kTypeNames[static_cast<int>(type)];
  Tally tally(table, name.c_str());
  const int size = sample_bytes(type);
  const std::vector<SampleRange> some_ranges = ranges(type);
  std::size_t turn = 0;
  const auto check = [&](std::ptrdiff_t n, std::ptrdiff_t stride, bool extremes) {
    const float full = some_ranges[turn++ % some_ranges.size()].full;
    describe("load n=%td pixel_stride=%td full=%g", n, stride, static_cast<double>(full));
    const std::ptrdiff_t span = (n - 1) * std::abs(stride) + size;
    // Half of the rows end where nobody may read, and the others are aligned to nothing.
    unsigned char* const low = memory().src.bytes(span + static_cast<std::ptrdiff_t>(turn % 2));
    for (std::ptrdiff_t i = 0; i < span; ++i) low[i] = static_cast<unsigned char>(g_random());
    unsigned char* const first = stride < 0 ? low + span - size : low;
    for (std::ptrdiff_t x = 0; extremes && x < n; ++x) {
      // All 0 or all 1; for floats that is 0 and a NaN with a payload.
      std::memset(first + x * stride, random_int(0, 1) ? 0xff : 0, static_cast<std::size_t>(size));
    }
    if (n == 65536) {
      for (int i = 0; i < n; ++i) {
        const unsigned short value = static_cast<unsigned short>(i);  // every code, of u8 many times
        std::memcpy(first + i * stride, &value, static_cast<std::size_t>(std::min(size, 2)));
      }
    }
    const Planes dst(memory().dst, 1, n, kOverrun), twin(memory().twin, 1, n, kOverrun);
    table.load[static_cast<int>(type)](first, stride, n, full, dst.data);
    reference().load[static_cast<int>(type)](first, stride, n, full, twin.data);
    for (std::ptrdiff_t x = 0; x < n; ++x) {
      const float code = read_sample(first + x * stride, type);
      if (type == SampleType::f32) {
        tally.expect(same_bits(dst.data[x], code), "a float was not loaded as it is");
        continue;
      }
      const double value = static_cast<double>(code) / full;
      // A division rounds in one way only; of the reference, the bound of one rounding.
      const double want = is_reference(table) ? value : static_cast<double>(twin.data[x]);
      const bool ends = value == 0 || value == 1;
      tally.compare(dst.data[x], want, is_reference(table) && !ends ? kUnit * value : 0, 0, x);
    }
    tally.check_surroundings(dst, type != SampleType::f32);
    tally.next_case();
  };
  for (const std::ptrdiff_t n : widths()) {
    for (const int stride : {1, 2, 3, 4, -1, -3}) check(n, stride * size, false);
    for (const int stride : {1, 3}) check(n, stride * size, true);
    check(n, 2 * size + 1, false);  // samples aligned to nothing
  }
  for (std::size_t i = 0; i < some_ranges.size(); ++i) check(65536, size, false);
  return tally.report();
}

/// A value at, next to, or far from where rounding to a code turns, or no code at all.
float value_to_store(const SampleRange& range) {
  const int code = random_int(-1, static_cast<int>(range.max) + 1);
  const double full = range.full;
  const float tie = static_cast<float>((code + 0.5) / full);
  switch (random_int(0, 9)) {
    case 0: return tie;
    case 1: return std::nextafter(tie, kInfinity);
    case 2: return std::nextafter(tie, -kInfinity);
    case 3: return static_cast<float>(code / full);
    case 4: return 0.5f;  // with an odd number of codes the one tie that a float hits
    case 5: return mixed_sample();
    case 6: {
      const float odd[] = {0, -0.0f, 1, -1, 0x1p-149f, 1e10f, -1e10f, 3e38f, -3e38f, kInfinity, -kInfinity, kNan};
      return odd[random_int(0, 11)];
    }
    default: return static_cast<float>(random_int(0, 1 << 24)) * 0x1p-24f;
  }
}

bool check_store(const KernelTable& table, SampleType type) {
  const std::string name = std::string("store ") + kTypeNames[static_cast<int>(type)];
  Tally tally(table, name.c_str());
  const int size = sample_bytes(type);
  const std::vector<SampleRange> some_ranges = ranges(type);
  std::size_t turn = 0;
  enum class Layout { interleaved, padded, planar, flipped, backwards };
  const auto check = [&](std::ptrdiff_t width, int phases, int channels, Layout layout) {
    const SampleRange range = some_ranges[turn++ % some_ranges.size()];
    describe("store width=%td phases=%d channels=%d layout=%d max=%g", width, phases, channels,
             static_cast<int>(layout), static_cast<double>(range.max));
    const Planes src(memory().src, phases * channels, width, kOverrun);
    std::vector<const float*> planes;
    for (std::ptrdiff_t i = 0; i < src.count; ++i) {
      for (std::ptrdiff_t x = 0; x < src.used; ++x) src.plane(i)[x] = value_to_store(range);
      planes.push_back(src.plane(i));
    }
    const std::ptrdiff_t pixels = width * phases;
    const bool planar = layout == Layout::planar;
    std::ptrdiff_t pixel_stride = planar ? size : channels * size + (layout == Layout::padded ? 1 : 0);
    std::ptrdiff_t channel_stride = planar ? pixels * size + 3 : size;
    const std::ptrdiff_t span = (pixels - 1) * pixel_stride + (channels - 1) * channel_stride + size;
    // Half of the rows end where nobody may write, and the others are aligned to nothing.
    const std::ptrdiff_t bytes = 64 + span + static_cast<std::ptrdiff_t>(turn % 2);
    unsigned char* const low = memory().dst.bytes(bytes);
    for (std::ptrdiff_t i = 0; i < bytes; ++i) low[i] = static_cast<unsigned char>(g_random());
    unsigned char* const twin_low = memory().twin.bytes(bytes);
    std::memcpy(twin_low, low, static_cast<std::size_t>(bytes));
    std::ptrdiff_t at = 64;
    if (layout == Layout::flipped) {
      at += (pixels - 1) * pixel_stride;
      pixel_stride = -pixel_stride;
    } else if (layout == Layout::backwards) {  // BGR
      at += (channels - 1) * channel_stride;
      channel_stride = -channel_stride;
    }
    StoreArgs args{planes.data(), phases, channels, width, low + at, pixel_stride, channel_stride, range};
    table.store[static_cast<int>(type)](args);
    args.dst = twin_low + at;
    reference().store[static_cast<int>(type)](args);
    for (std::ptrdiff_t i = 0; i < src.count; ++i) {
      for (std::ptrdiff_t x = 0; x < width; ++x) {
        const std::ptrdiff_t offset = at + (x * phases + i / channels) * pixel_stride + i % channels * channel_stride;
        const float value = src.plane(i)[x];
        const float got = read_sample(low + offset, type), want = read_sample(twin_low + offset, type);
        if (type == SampleType::f32) {
          tally.expect(same_bits(got, value), "a float was not stored as it is");
          continue;
        }
        // The right code is within half of the value; a product and a sum in float may move the value a little.
        const double ideal = std::isnan(value) ? 0 : std::clamp(double{value} * range.full, 0.0, double{range.max});
        const double slack = 2 * kUnit * (ideal + 0.5);
        tally.compare(static_cast<float>(std::max(0.0, std::abs(got - ideal) - 0.5)), 0, slack, i, x);
        if (got - ideal == -0.5) tally.fail("a tie was not rounded up");
        if (got != want && std::abs(std::abs(got - ideal) - 0.5) > slack) tally.fail("differs from its twin, no tie");
        std::memcpy(twin_low + offset, low + offset, static_cast<std::size_t>(size));
      }
    }
    tally.expect(std::memcmp(low, twin_low, static_cast<std::size_t>(bytes)) == 0, "wrote beside a sample");
    tally.next_case();
  };
  constexpr Layout kLayouts[] = {Layout::interleaved, Layout::padded, Layout::planar, Layout::flipped,
                                 Layout::backwards};
  for (const std::ptrdiff_t width : widths()) {
    for (const Layout layout : kLayouts) {
      check(width, random_int(1, kMaxStride), random_int(1, 4), layout);
    }
  }
  for (int phases = 1; phases <= kMaxStride; ++phases) {
    for (int channels = 1; channels <= 4; ++channels) {
      for (const std::ptrdiff_t width : {1, 5, 16, 33, 130}) check(width, phases, channels, Layout::interleaved);
    }
    for (const Layout layout : kLayouts) check(240, phases, 3, layout);
  }
  // What was loaded from a code is stored as that code.
  for (const SampleRange& range : some_ranges) {
    const int codes = type == SampleType::f32 ? 0 : static_cast<int>(range.max) + 1;
    for (int code = 0; code < codes; ++code) {
      describe("store code=%d full=%g", code, static_cast<double>(range.full));
      const Planes row(memory().src, 1, 1, kOverrun);
      const unsigned short sample = static_cast<unsigned short>(code);
      unsigned short stored = 0;
      const int t = static_cast<int>(type);
      table.load[t](reinterpret_cast<const unsigned char*>(&sample), size, 1, range.full, row.data);
      const float* const plane = row.data;
      table.store[t]({&plane, 1, 1, 1, reinterpret_cast<unsigned char*>(&stored), size, size, range});
      tally.expect(stored == sample, "a code did not come back");
    }
  }
  return tally.report();
}

// Colour as the recommendation defines it: luma weights, and colour differences scaled to 8-bit studio swing.
constexpr double kRed = 0.299, kBlue = 0.114, kGreen = 1 - kRed - kBlue;
constexpr double kLumaSwing = 219.0 / 255, kChromaSwing = 224.0 / 255, kBlack = 16.0 / 255;

// MATLAB's matrix is printed with three decimals of a code: as far from the definition as half the last one, over 255.
constexpr double kPrinted = 0.0005 / 255;

Sum luma(float r, float g, float b) {
  Sum sum;
  sum.add(kBlack);
  for (const double term : {kRed * r, kGreen * g, kBlue * b}) sum.add(kLumaSwing * term);
  return sum;
}
Sum blue_difference(float r, float g, float b) {
  Sum sum;
  for (const double term : {-kRed * r, -kGreen * g, (1 - kBlue) * b}) sum.add(kChromaSwing * 0.5 / (1 - kBlue) * term);
  return sum;
}
Sum red_difference(float r, float g, float b) {
  Sum sum;
  for (const double term : {(1 - kRed) * r, -kGreen * g, -kBlue * b}) sum.add(kChromaSwing * 0.5 / (1 - kRed) * term);
  return sum;
}
void rgb(float y, const std::vector<double>& cb_terms, const std::vector<double>& cr_terms, Sum (&out)[3]) {
  for (Sum& sum : out) {
    sum.add(y / kLumaSwing);
    sum.add(-kBlack / kLumaSwing);
  }
  for (const double cb : cb_terms) {
    const double blue = cb * 2 * (1 - kBlue) / kChromaSwing;
    out[1].add(-blue * kBlue / kGreen);
    out[2].add(blue);
  }
  for (const double cr : cr_terms) {
    const double red = cr * 2 * (1 - kRed) / kChromaSwing;
    out[0].add(red);
    out[1].add(-red * kRed / kGreen);
  }
}

/// Compares a row of a kernel with its twin's; the twin's with the definition.
template <typename Definition>
void compare_row(Tally& tally, const KernelTable& table, const Planes& dst, const Planes& twin, std::ptrdiff_t plane,
                 double roundings, double printed, const Definition& definition) {
  for (std::ptrdiff_t x = 0; x < dst.width; ++x) {
    const Sum sum = definition(x);
    const double want = is_reference(table) ? sum.value : static_cast<double>(twin.plane(plane)[x]);
    // Each coefficient is rounded too.
    double tolerance = (roundings + 1) * 2 * kUnit * sum.magnitude + 2 * roundings * kTiny;
    if (is_reference(table)) tolerance += printed;
    tally.compare(dst.plane(plane)[x], want, tolerance, plane, x);
  }
}

bool check_colour(const KernelTable& table) {
  Tally to_y(table, "rgb_to_y"), to_cbcr(table, "rgb_to_cbcr"), to_rgb(table, "ycbcr_to_rgb");
  for (const std::ptrdiff_t n : widths()) {
    for (int turn = 0; turn < 6; ++turn) {
      describe("colour n=%td turn=%d", n, turn);
      const Planes r(memory().a, 1, n, kOverrun), g(memory().b, 1, n, kOverrun), b(memory().c, 1, n, kOverrun);
      for (const Planes* plane : {&r, &g, &b}) {
        for (std::ptrdiff_t x = 0; x < plane->used; ++x) {
          const float unit = static_cast<float>(random_int(0, 1 << 24)) * 0x1p-24f;
          plane->data[x] = turn == 0   ? static_cast<float>(random_int(0, 1))
                           : turn == 1 ? static_cast<float>(random_int(0, 255)) / 255
                           : turn == 2 ? mixed_sample()
                                       : unit;
        }
      }
      double largest = 1;
      for (const Planes* plane : {&r, &g, &b}) {
        for (std::ptrdiff_t x = 0; x < n; ++x) largest = std::max(largest, std::abs(double{plane->data[x]}));
      }
      const double printed = 3 * kPrinted * largest;
      const auto at = [&](auto function) {
        return [&, function](std::ptrdiff_t x) { return function(r.data[x], g.data[x], b.data[x]); };
      };
      const Planes y(memory().dst, 1, n, kOverrun), y_twin(memory().twin, 1, n, kOverrun);
      table.rgb_to_y(r.data, g.data, b.data, n, y.data);
      reference().rgb_to_y(r.data, g.data, b.data, n, y_twin.data);
      compare_row(to_y, table, y, y_twin, 0, 4, printed, at(luma));
      to_y.check_surroundings(y, true);
      to_y.next_case();

      const Planes c(memory().dst, 2, n, kOverrun), c_twin(memory().twin, 2, n, kOverrun);
      table.rgb_to_cbcr(r.data, g.data, b.data, n, c.plane(0), c.plane(1));
      reference().rgb_to_cbcr(r.data, g.data, b.data, n, c_twin.plane(0), c_twin.plane(1));
      compare_row(to_cbcr, table, c, c_twin, 0, 3, printed, at(blue_difference));
      compare_row(to_cbcr, table, c, c_twin, 1, 3, printed, at(red_difference));
      to_cbcr.check_surroundings(c, true);
      to_cbcr.next_case();

      // In place: the three rows are what was colour.
      const Planes guide(memory().src, 3, n, kOverrun);
      for (std::ptrdiff_t i = 0; i < 3; ++i) {
        for (std::ptrdiff_t x = 0; x < guide.used; ++x) guide.plane(i)[x] = mixed_sample();
      }
      for (const bool guided : {false, true}) {
        const Planes out(memory().dst, 3, n, kOverrun), out_twin(memory().twin, 3, n, kOverrun);
        for (const Planes* planes : {&out, &out_twin}) {
          std::copy(r.data, r.data + r.used, planes->plane(0));
          std::copy(g.data, g.data + g.used, planes->plane(1));
          std::copy(b.data, b.data + b.used, planes->plane(2));
        }
        ColourArgs args{out.plane(0), out.plane(1), out.plane(2), n};
        if (guided) args.soft = guide.plane(0), args.slopes[0] = guide.plane(1), args.slopes[1] = guide.plane(2);
        table.ycbcr_to_rgb(args);
        args.y_r = out_twin.plane(0), args.cb_g = out_twin.plane(1), args.cr_b = out_twin.plane(2);
        reference().ycbcr_to_rgb(args);
        for (int channel = 0; channel < 3; ++channel) {
          compare_row(to_rgb, table, out, out_twin, channel, guided ? 8 : 5, 0, [&](std::ptrdiff_t x) {
            std::vector<double> cb{g.data[x]}, cr{b.data[x]};
            for (const float luma : {r.data[x], -guide.plane(0)[x]}) {
              if (!guided) break;
              cb.push_back(double{guide.plane(1)[x]} * luma);
              cr.push_back(double{guide.plane(2)[x]} * luma);
            }
            Sum sums[3];
            rgb(r.data[x], cb, cr, sums);
            return sums[channel];
          });
        }
        to_rgb.check_surroundings(out, true);
        to_rgb.next_case();
      }
    }
  }
  const bool y_ok = to_y.report(), cbcr_ok = to_cbcr.report();
  return to_rgb.report() && y_ok && cbcr_ok;
}

bool check_blend4(const KernelTable& table) {
  Tally tally(table, "blend4");
  for (const std::ptrdiff_t n : widths()) {
    for (int turn = 0; turn < 2 * kKinds; ++turn) {
      const Kind kind = static_cast<Kind>(turn % kKinds);
      describe("blend4 n=%td %s", n, kKindNames[turn % kKinds]);
      // Along a row the four sources are one row, shifted; down the rows they are four.
      const bool shifted = turn >= kKinds;
      const Planes src(memory().src, shifted ? 1 : 4, n + (shifted ? 3 : 0), kOverrun);
      src.fill(kind, 1000);
      const float* rows[4];
      float weights[4];
      for (int i = 0; i < 4; ++i) {
        rows[i] = shifted ? src.data + i : src.plane(i);
        weights[i] = kind == Kind::mixed ? mixed_sample() : static_cast<float>(random_int(-9, 9));
      }
      const Planes dst(memory().dst, 1, n, kOverrun), twin(memory().twin, 1, n, kOverrun);
      table.blend4(rows, weights, n, dst.data);
      reference().blend4(rows, weights, n, twin.data);
      for (std::ptrdiff_t x = 0; x < n; ++x) {
        Sum sum;
        for (int i = 0; i < 4; ++i) sum.add(static_cast<double>(weights[i]) * rows[i][x]);
        const double want = is_reference(table) ? sum.value : static_cast<double>(twin.data[x]);
        tally.compare(dst.data[x], want, exact(kind) ? 0 : 2 * 4 * (kUnit * sum.magnitude + kTiny), 0, x);
      }
      tally.check_surroundings(dst, kind != Kind::special);
      tally.next_case();
    }
  }
  return tally.report();
}

bool check_blend(const KernelTable& table) {
  Tally tally(table, "blend");
  for (const std::ptrdiff_t n : widths()) {
    for (int turn = 0; turn < 2 * kKinds; ++turn) {
      const Kind kind = static_cast<Kind>(turn % kKinds);
      const int count = turn < kKinds ? random_int(1, 9) : random_int(10, kMaxTaps);
      describe("blend n=%td count=%d %s", n, count, kKindNames[turn % kKinds]);
      const Planes src(memory().src, count, n, kOverrun);
      src.fill(kind, 1000);
      std::vector<const float*> rows;
      std::vector<float> weights;
      for (int i = 0; i < count; ++i) {
        rows.push_back(src.plane(i));
        weights.push_back(kind == Kind::mixed ? mixed_sample() : static_cast<float>(random_int(-9, 9)));
      }
      const Planes dst(memory().dst, 1, n, kOverrun), twin(memory().twin, 1, n, kOverrun);
      table.blend(rows.data(), weights.data(), count, n, dst.data);
      reference().blend(rows.data(), weights.data(), count, n, twin.data);
      for (std::ptrdiff_t x = 0; x < n; ++x) {
        Sum sum;
        for (int i = 0; i < count; ++i)
          sum.add(static_cast<double>(weights[static_cast<std::size_t>(i)]) * rows[static_cast<std::size_t>(i)][x]);
        const double want = is_reference(table) ? sum.value : static_cast<double>(twin.data[x]);
        tally.compare(dst.data[x], want, exact(kind) ? 0 : 2 * count * (kUnit * sum.magnitude + kTiny), 0, x);
      }
      tally.check_surroundings(dst, kind != Kind::special);
      tally.next_case();
    }
  }
  return tally.report();
}

bool check_resample(const KernelTable& table) {
  Tally tally(table, "resample");
  const auto check = [&](std::ptrdiff_t width, int taps, Kind kind) {
    // From one output to the next, as far as the taps allow: what the scratchpad is sized for.
    const int step = random_int(0, taps / 4), origin = random_int(0, 1000);
    describe("resample width=%td taps=%d step=%d %s", width, taps, step, kKindNames[static_cast<int>(kind)]);
    std::vector<std::ptrdiff_t> first;
    std::ptrdiff_t at = origin;
    for (std::ptrdiff_t x = 0; x < width; ++x, at += random_int(0, 9) ? step : taps / 4) first.push_back(at);
    const std::ptrdiff_t reads = first.back() + taps - origin;
    const Planes src(memory().src, kResampleRows, reads, kOverrun);
    src.fill(kind, 1000);
    std::vector<float> weights;
    for (std::ptrdiff_t i = 0; i < width * taps; ++i) {
      weights.push_back(kind == Kind::mixed ? mixed_sample() : static_cast<float>(random_int(-9, 9)));
    }
    const Planes dst(memory().dst, kResampleRows, width, kOverrun), twin(memory().twin, kResampleRows, width, kOverrun);
    const float* src_rows[kResampleRows];
    float *dst_rows[kResampleRows], *twin_rows[kResampleRows];
    for (int r = 0; r < kResampleRows; ++r) {
      src_rows[r] = src.plane(r), dst_rows[r] = dst.plane(r), twin_rows[r] = twin.plane(r);
    }
    ResampleArgs args{src_rows, origin, first.data(), weights.data(),
                      taps,     width,  dst_rows,     memory().scratchpad.floats(resample_scratchpad(taps))};
    table.resample(args);
    tally.check_before(args.scratchpad);
    args.dst_rows = twin_rows;
    reference().resample(args);
    for (int r = 0; r < kResampleRows; ++r) {
      for (std::ptrdiff_t x = 0; x < width; ++x) {
        Sum sum;
        for (int t = 0; t < taps; ++t) {
          sum.add(static_cast<double>(weights[static_cast<std::size_t>(x * taps + t)]) *
                  src_rows[r][first[static_cast<std::size_t>(x)] - origin + t]);
        }
        const double want = is_reference(table) ? sum.value : static_cast<double>(twin.plane(r)[x]);
        tally.compare(dst.plane(r)[x], want, exact(kind) ? 0 : 2 * taps * (kUnit * sum.magnitude + kTiny), r, x);
      }
    }
    tally.check_surroundings(dst, kind != Kind::special);
    tally.next_case();
  };
  for (const std::ptrdiff_t width : widths()) {
    for (int kind = 0; kind < kKinds; ++kind) check(width, random_int(1, 12), static_cast<Kind>(kind));
  }
  for (const int taps : {1, 2, 3, 4, 5, 8, 16, 64, kMaxTaps}) check(kResampleColumns + 1, taps, Kind::integers);
  return tally.report();
}

}  // namespace

bool check_pixel_io(const KernelTable& table) {
  bool ok = true;
  for (const SampleType type : kTypes) ok &= check_load(table, type);
  for (const SampleType type : kTypes) ok &= check_store(table, type);
  ok &= check_colour(table);
  ok &= check_blend4(table);
  ok &= check_blend(table);
  ok &= check_resample(table);
  return ok;
}

}  // namespace fsrcnn
