// Plans without a picture: every row that is read is in its slot of its ring, and no ring keeps a row too many.
#include <optional>

#include "graphs.h"
#include "upscaler_check.h"

namespace fsrcnn {
namespace {

/// Whether a band finds every row that it reads, where rings keep so many.
bool finds_all(const Plan& plan, int reach, const std::vector<int>& rows, std::ptrdiff_t height, std::ptrdiff_t y0,
               std::ptrdiff_t y1) {
  constexpr std::ptrdiff_t kEmpty = -1;
  std::vector<std::vector<std::ptrdiff_t>> tags;
  for (const int count : rows) tags.emplace_back(static_cast<std::size_t>(count), kEmpty);
  const auto tag = [&](int ring, std::ptrdiff_t y) -> std::ptrdiff_t* {
    std::vector<std::ptrdiff_t>& slots = tags[static_cast<std::size_t>(ring)];
    return slots.empty() ? nullptr : &slots[static_cast<std::size_t>(y) % slots.size()];
  };
  bool found = true;
  trace(
      plan, reach, height, y0, y1, [&](int ring, std::ptrdiff_t y) { found &= tag(ring, y) && *tag(ring, y) == y; },
      [&](int ring, std::ptrdiff_t y) {
        if (tag(ring, y)) *tag(ring, y) = y;
      });
  return found;
}

/// Bands that start and end anywhere in pictures of any height.
bool finds_all(const Plan& plan, int reach, const std::vector<int>& rows) {
  const Extent& extent = plan.rings[0].extent;
  const std::ptrdiff_t tall = extent.before + extent.after + 6 * kBlock + 2 * plan.span;
  for (std::ptrdiff_t height = 1; height <= tall; height += height < 24 ? 1 : 7) {
    for (std::ptrdiff_t y0 = 0; y0 < height; y0 += y0 < 3 * kBlock ? kBlock : 3 * kBlock) {
      const std::ptrdiff_t y1 = y0 + 6 * kBlock < height ? y0 + 6 * kBlock : height;
      if (!finds_all(plan, reach, rows, height, y0, y1)) return false;
    }
  }
  return finds_all(plan, reach, rows, 3 * tall, align_down(tall, 0), 2 * tall / kBlock * kBlock);
}

/// FSRCNN(56, 12, 4) with 3x3 layers in blocks or one row at a time.
Plan fsrcnn_plan(bool in_blocks) {
  std::vector<ConvLayer> layers{{1, 56, 5, {}, {}, {}}, {56, 12, 1, {}, {}, {}}};
  for (int i = 0; i < 4; ++i) layers.push_back({12, 12, 3, {}, {}, {}});
  layers.push_back({12, 56, 1, {}, {}, {}});
  Model model{.nodes = chain(std::move(layers)), .heads = {}, .padding = Padding::replicate};
  for (const auto& [stride, pad] : {std::pair{2, 4}, {3, 3}, {4, 3}}) {
    model.heads.push_back({stride, pad, stride - 9 + 2 * pad, Head::kFullBorder, 56, 9, {}, {0}});
  }
  std::vector<Access> access;
  for (const Node& node : model.nodes) {
    const bool blocks = in_blocks && node.conv.kernel > 1;
    access.push_back({blocks, blocks && node.conv.kernel == 3 ? 4 : node.conv.kernel / 2});
  }
  return Plan(model, access);
}

}  // namespace

void check_plans() {
  long cases = 0, failures = 0;
  for (unsigned seed = 1; seed <= 300; ++seed) {
    GraphMaker maker(seed);
    const Model model = maker.make();
    std::vector<Access> access;
    for (const Node& node : model.nodes) {
      const bool blocks = node.conv.kernel > 1 && maker.chance(2);
      access.push_back({blocks, blocks ? node.conv.kernel / 2 + 3 : node.conv.kernel / 2});
    }
    const Plan plan(model, access, maker.chance(2) ? 1 : kBlock * maker.integer(1, 4));
    for (const Head& head : model.heads) {
      const std::vector<int>& rows = plan.rows(head.reach());
      bool ok = finds_all(plan, head.reach(), rows);
      for (std::size_t i = 0; ok && i < rows.size(); ++i) {
        if (rows[i] == 0) continue;  // nobody reads it
        std::vector<int> fewer = rows;
        --fewer[i];
        ok = !finds_all(plan, head.reach(), fewer);
      }
      ++cases;
      failures += !ok;
      if (!ok) std::printf("  graph %u, x%d: rings keep too little or too much\n", seed, head.stride);
    }
  }
  report("plan", "rings keep what is read, and nothing more", cases, failures);

  // What docs/architecture.md says of FSRCNN: luma, before each mapping layer, the expansion, the head of x3 and of x2.
  const Plan plan = fsrcnn_plan(true);
  const std::vector<int> x3{18, 8, 6, 8, 6, 4, 6}, x2{18, 8, 6, 8, 6, 4, 8};
  const bool as_told = plan.rows(1) == x3 && plan.rows(2) == x2;
  if (!as_told) {
    for (const int reach : {1, 2}) {
      std::printf("  FSRCNN, reach %d:", reach);
      for (const int rows : plan.rows(reach)) std::printf(" %d", rows);
      std::printf("\n");
    }
  }
  report("plan", "FSRCNN's rings", 2, !as_told);
}

}  // namespace fsrcnn
