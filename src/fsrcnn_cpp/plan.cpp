#include "plan.h"

namespace fsrcnn {
namespace {

/// How many nodes read each result, as source or add; heads are not counted.
std::vector<int> count_readers(const Model& model) {
  std::vector<int> readers(model.nodes.size() + 1);
  for (const Node& node : model.nodes) {
    ++readers[static_cast<std::size_t>(node.source.of)];
    for (const Channels& add : node.adds) ++readers[static_cast<std::size_t>(add.of)];
  }
  return readers;
}

/// Whether node i + 1 is a 1x1 convolution that alone reads node i, and narrows it.
bool is_narrowed(const Model& model, const std::vector<int>& readers, std::size_t i) {
  if (i + 1 >= model.nodes.size()) return false;
  const ConvLayer& conv = model.nodes[i].conv;
  const Node& next = model.nodes[i + 1];
  return next.conv.kernel == 1 && next.conv.groups == 1 && next.conv.oc < conv.oc && readers[i + 1] == 1 &&
         next.source.of == static_cast<int>(i) + 1 && next.source.count == conv.oc;
}

}  // namespace

Plan::Plan(const Model& model, const std::vector<Access>& access, int rows_in_turn) : span(rows_in_turn) {
  make_stages(model, access);
  int farthest = 0;  // of all heads, so that the bits of one do not depend on which others run with it
  for (const Head& head : model.heads) farthest = std::max(farthest, head.reach());
  make_extents(farthest);
  rows_by_reach.resize(static_cast<std::size_t>(farthest) + 1);
  for (const Head& head : model.heads) {
    std::vector<int>& rows = rows_by_reach[static_cast<std::size_t>(head.reach())];
    if (rows.empty()) rows = count_rows(head.reach());
  }
}

void Plan::make_stages(const Model& model, const std::vector<Access>& access) {
  const std::vector<int> readers = count_readers(model);
  std::vector<int> ring_of(model.nodes.size() + 1, 0);  // by result
  const auto slice = [&](const Channels& range) {
    return Slice{ring_of[static_cast<std::size_t>(range.of)], range.first, range.count};
  };
  const auto slices = [&](const std::vector<Channels>& ranges) {
    std::vector<Slice> result;
    for (const Channels& range : ranges) result.push_back(slice(range));
    return result;
  };
  rings.push_back({.channels = model.channels(0)});
  for (std::size_t i = 0; i < model.nodes.size(); ++i) {
    const Node& node = model.nodes[i];
    Stage stage{.node = static_cast<int>(i),
                .pointwise = Stage::kNone,
                .source = slice(node.source),
                .adds = slices(node.adds),
                .pointwise_adds = {},
                .radius = node.conv.kernel / 2,
                .in_blocks = access[i].in_blocks};
    int& reach = rings[static_cast<std::size_t>(stage.source.ring)].column_reach;
    reach = std::max(reach, access[i].column_reach);
    if (is_narrowed(model, readers, i)) {
      stage.pointwise = static_cast<int>(++i);
      stage.pointwise_adds = slices(model.nodes[i].adds);
    }
    stages.push_back(std::move(stage));
    ring_of[i + 1] = static_cast<int>(stages.size());
    rings.push_back({.channels = model.nodes[i].conv.oc, .in_blocks = stages.back().in_blocks});
  }
}

void Plan::make_extents(int reach) {
  const auto widen = [&](int ring, int before, int after) {
    Extent& extent = rings[static_cast<std::size_t>(ring)].extent;
    extent.before = std::max(extent.before, before);
    extent.after = std::max(extent.after, after);
  };
  widen(last_ring(), reach, reach);
  for (std::size_t i = stages.size(); i-- > 0;) {
    const Stage& stage = stages[i];
    Extent& out = rings[i + 1].extent;
    if (stage.in_blocks) {
      // What whole blocks cover beyond what is read goes to the side that reaches less far: a sample that is not finite
      // spoils every tile it is in, and the tiles that read those, so this bounds how far it is seen.
      const int needed = out.before + out.after;
      const int more = static_cast<int>(round_up(needed, kBlock)) - needed;
      (out.after < out.before ? out.after : out.before) += more;
      out.anchor = out.after % kBlock;
    }
    widen(stage.source.ring, out.before + stage.radius, out.after + stage.radius);
    for (const Slice& add : stage.adds) widen(add.ring, out.before, out.after);
    for (const Slice& add : stage.pointwise_adds) widen(add.ring, out.before, out.after);
  }
  widen(0, kFinishReach, kFinishReach);
}

/// Runs the schedule, noting how old the oldest row is that each ring is asked for. Bands that start near the top of
/// the picture and far from it, and pictures that end anywhere in a block, see all there is.
std::vector<int> Plan::count_rows(int reach) const {
  std::vector<int> rows(rings.size());
  std::vector<std::ptrdiff_t> newest(rings.size());
  const Extent& whole = rings[0].extent;
  const std::ptrdiff_t last_start = round_up(whole.before, kBlock) + kBlock;
  for (std::ptrdiff_t y0 = 0; y0 <= last_start; y0 += kBlock) {
    const std::ptrdiff_t height = y0 + round_up(whole.after, kBlock) + 4 * kBlock + 2 * span + y0 / kBlock % kBlock;
    trace(
        *this, reach, height, y0, height,
        [&](int ring, std::ptrdiff_t y) {
          const auto i = static_cast<std::size_t>(ring);
          rows[i] = std::max(rows[i], static_cast<int>(newest[i] - y) + 1);
        },
        [&](int ring, std::ptrdiff_t y) { newest[static_cast<std::size_t>(ring)] = y; });
  }
  return rows;
}

}  // namespace fsrcnn
