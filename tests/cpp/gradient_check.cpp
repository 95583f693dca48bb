// What training needs of the kernels: correlations of planes, PReLU there and back.
#include "checks.h"
#include "kernel_check.h"

namespace fsrcnn {
namespace {

bool check_correlate(const KernelTable& table) {
  Tally tally(table, "correlate");
  const auto check = [&](Kind kind, int rows, int columns, std::ptrdiff_t n) {
    describe("correlate %s rows=%d columns=%d n=%td", kKindNames[static_cast<int>(kind)], rows, columns, n);
    const Planes a(memory().a, rows, n, kOverrun), b(memory().b, columns, n, kOverrun);
    a.fill(kind, 15);
    b.fill(kind == Kind::mixed ? kind : Kind::integers, 15);
    std::vector<const float*> a_planes, b_planes;
    for (int r = 0; r < rows; ++r) {
      std::fill(a.plane(r) + n, a.plane(r) + a.used, 0.0f);
      a_planes.push_back(a.plane(r));
    }
    for (int c = 0; c < columns; ++c) b_planes.push_back(b.plane(c));
    // The result is one block without gaps, to which the sums are added.
    float* const sums = memory().c.floats(rows * columns);
    for (int i = 0; i < rows * columns; ++i) sums[i] = scale_of(kind) * static_cast<float>(i % 5);
    table.correlate({a_planes.data(), b_planes.data(), rows, columns, n, sums});
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < columns; ++c) {
        Sum sum;
        sum.add(static_cast<double>(scale_of(kind)) * ((r * columns + c) % 5));
        for (std::ptrdiff_t x = 0; x < n; ++x) sum.add(static_cast<double>(a.plane(r)[x]) * b.plane(c)[x]);
        const double rounding = kUnit * sum.magnitude + kTiny;
        tally.compare(sums[r * columns + c], sum.value, exact(kind) ? 0 : static_cast<double>(n + 2) * rounding, r, c);
      }
    }
    tally.check_before(sums);
    tally.next_case();
  };
  for (const Kind kind : {Kind::integers, Kind::denormals, Kind::huge, Kind::mixed}) {
    for (int rows = 1; rows <= 13; ++rows) {
      for (int columns = 1; columns <= 9; ++columns) check(kind, rows, columns, random_int(1, 200));
    }
    for (const std::ptrdiff_t n : widths()) check(kind, 6, 4, n);
    check(kind, 56, 109, 1000);
  }
  return tally.report();
}

bool check_prelu(const KernelTable& table) {
  Tally tally(table, "prelu");
  const auto check = [&](Kind kind, std::ptrdiff_t n, float slope) {
    describe("prelu %s n=%td slope=%g", kKindNames[static_cast<int>(kind)], n, static_cast<double>(slope));
    const Planes z(memory().src, 1, n, kOverrun), dst(memory().dst, 1, n, kOverrun), g(memory().a, 1, n, kOverrun);
    z.fill(kind, 9);
    g.fill(kind == Kind::mixed ? kind : Kind::integers, 9);
    std::fill(g.data + n, g.data + g.used, 0.0f);
    const std::vector<float> before(g.data, g.data + n);
    table.prelu_forward(z.data, slope, n, dst.data);
    const float of_slope = table.prelu_backward(z.data, slope, n, g.data);
    Sum sum;
    for (std::ptrdiff_t x = 0; x < n; ++x) {
      const bool positive = z.data[x] > 0;
      tally.compare(dst.data[x], positive ? z.data[x] : z.data[x] * slope, 0, 0, x);
      tally.compare(g.data[x], positive ? before[x] : before[x] * slope, 0, 0, x);
      if (!positive) sum.add(static_cast<double>(before[x]) * z.data[x]);
    }
    const double rounding = kUnit * sum.magnitude + kTiny;
    tally.compare(of_slope, sum.value, exact(kind) ? 0 : static_cast<double>(n + 1) * rounding, 0, n);
    for (std::ptrdiff_t x = n; x < g.used; ++x) tally.expect(g.data[x] == 0, "a gradient of zero has changed");
    tally.check_surroundings(dst, true);
    tally.check_before(g.data);
    tally.next_case();
  };
  for (const Kind kind : {Kind::integers, Kind::denormals, Kind::huge, Kind::mixed}) {
    for (const float slope : {0.25f, 0.0f, -0.5f, 1.0f, 2.0f}) {
      for (const std::ptrdiff_t n : widths()) check(kind, n, slope);
    }
  }
  return tally.report();
}

}  // namespace

bool check_gradient(const KernelTable& table) {
  const bool correlate = check_correlate(table);
  return check_prelu(table) && correlate;
}

}  // namespace fsrcnn
