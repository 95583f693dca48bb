#include "upscaler.h"

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "arguments.h"
#include "common.h"
#include "resize.h"

namespace fsrcnn {
namespace {

// What a strip keeps should stay in the caches, but its neighbour computes the columns at the seam once more. Speed is
// flat from 0.4 to 2.5 MB where a megabyte of second-level cache is backed by a third level, and falls off below.
constexpr std::ptrdiff_t kStripBytes = 2224 * 1024;
// Deep networks compute so much at the seam that it must be small beside the strip, whatever fits.
constexpr std::ptrdiff_t kSeams = 4;
constexpr std::ptrdiff_t kMinStripWidth = 64;
// The same of bands.
constexpr std::ptrdiff_t kBandRows = 256, kBandSeams = 8;

/// A chain of passes, each of which feeds the next, down to a size.
struct Chain {
  /// What each pass must compute, in blocks of what goes into it.
  using Parts = std::array<Tile, kMaxChain>;

  /// For a tile of the result.
  Parts parts(const Tile& tile, const ResizeFilters& filters) const {
    Parts parts{};
    Range x = filters.down_x.reads(tile.columns.begin, tile.columns.end), y = filters.down_y.reads(tile.y0, tile.y1);
    std::ptrdiff_t of_width = width, of_height = height;
    for (std::size_t i = scales.size(); i-- > 0;) {
      of_width /= scales[i];
      of_height /= scales[i];
      const auto blocks = [&](const Range& made, std::ptrdiff_t size) {
        return Range{align_down(made.begin / scales[i], 0),
                     std::min(size, round_up(ceil_div(made.end, scales[i]), kBlock))};
      };
      const Extent extent = network.extent(scales[i]);
      const auto around = [&](const Range& range, std::ptrdiff_t size) {
        return Range{std::max<std::ptrdiff_t>(0, range.begin - extent.before),
                     std::min(size, range.end + extent.after)};
      };
      x = blocks(x, of_width);
      y = blocks(y, of_height);
      parts[i] = {x, y.begin, y.end};
      x = around(x, of_width);
      y = around(y, of_height);
    }
    return parts;
  }

  const PackedNetwork& network;
  std::span<const int> scales;
  std::ptrdiff_t width, height;  // of what comes out of the last pass
};

/// One worker's chain.
struct Resizer {
  std::array<Pass, kMaxChain> passes;
  std::optional<RowSource> source;
  std::optional<ResizeSink> sink;
  Scratch scratch;  // of both

  void run(const Tile& tile, const Chain& chain, const ResizeFilters& filters, Team& team) {
    const Chain::Parts parts = chain.parts(tile, filters);
    PictureRows picture(*source);
    Rows* rows = &picture;
    for (std::size_t i = 0; i < chain.scales.size(); ++i) {
      passes[i].begin(parts[i], *rows, team);
      rows = &passes[i];
    }
    const std::size_t last = chain.scales.size() - 1;
    const std::ptrdiff_t at =
        filters.down_x.first_of(tile.columns.begin) - parts[last].columns.begin * chain.scales[last];
    sink->begin(tile);
    for (std::ptrdiff_t y = tile.y0; y < tile.y1; ++y) {
      const float* taps[kMaxTaps];
      for (int t = 0; t < filters.down_y.taps; ++t) taps[t] = passes[last].row(filters.down_y.first_of(y) + t) + at;
      sink->add(taps, passes[last].plane_stride());
    }
    sink->finish();
  }
};

std::string name_of(int scale) { return "dst[" + std::to_string(scale) + "]"; }

}  // namespace

struct Upscaler::Context {
  std::vector<Tiling> tilings;  // one a part
  std::deque<Team> teams;       // one a worker, as the others are
  std::vector<Strip> strips;
  std::vector<Resizer> resizers;
  ResizeFilters filters;  // as the last call had them
};

Upscaler::Upscaler(const Model& model, const KernelTable& kernels, Algorithm algorithm, int span)
    : network_(model, kernels, algorithm, span) {}

Upscaler::~Upscaler() = default;

std::ptrdiff_t Upscaler::reach(int scale) const {
  if (!network_.head(scale)) refuse("scale=" + std::to_string(scale) + ": the model has no head for it");
  const Extent extent = network_.extent(scale);
  return std::max<std::ptrdiff_t>({kBicubicReach, extent.before, extent.after});
}

std::ptrdiff_t Upscaler::choose_strip_width(std::ptrdiff_t width, int scale, std::ptrdiff_t asked) const {
  if (asked > 0) return std::min(round_up(std::min(asked, width), kBlock), width);
  const Extent extent = network_.extent(scale);
  const std::ptrdiff_t floor = std::max(kMinStripWidth, kSeams * (extent.before + extent.after));
  const std::ptrdiff_t floats = network_.floats_per_column() * (network_.enlarged ? scale : 1);
  const std::ptrdiff_t fits = kStripBytes / static_cast<std::ptrdiff_t>(sizeof(float)) / floats;
  const std::ptrdiff_t widest = std::max(floor, fits);
  // Strips of one width: the last one is not left with a sliver.
  return std::min(width, round_up(ceil_div(width, ceil_div(width, widest)), kMaxLanes));
}

std::ptrdiff_t Upscaler::band_rows(int scale) const {
  const Extent extent = network_.extent(scale);
  return std::max<std::ptrdiff_t>(kBandRows, kBandSeams * (extent.before + extent.after));
}

void Upscaler::run(const ImageView& src, std::span<const Target> targets, const Finish& finish, int threads,
                   std::ptrdiff_t strip_width, std::span<const Tile> parts) const {
  check_threads(threads);
  check_strength(finish);
  check_strip_width(strip_width);
  check_source(src);
  check_parts(parts, src.width, src.height, kBlock);
  if (targets.empty() || targets.size() > network_.heads.size()) {
    refuse("dst has " + std::to_string(targets.size()) + " scales");
  }
  for (const Target& target : targets) {
    const std::string name = name_of(target.scale);
    if (!network_.head(target.scale)) refuse(name + ": the model has no head for this scale");
    check_destination(target.image, name, src);
    if (target.image.height != src.height * target.scale || target.image.width != src.width * target.scale) {
      refuse_size(target.image, name, src);
    }
  }

  if (network_.enlarged && targets.size() > 1) {
    for (const Target& target : targets) run(src, {&target, 1}, finish, threads, strip_width, parts);
    return;
  }
  const int scale = targets.front().scale;
  const Tile whole{{0, src.width}, 0, src.height};
  if (parts.empty()) parts = {&whole, 1};
  const ContextPool<Context>::Lease context(contexts_);
  std::vector<Tiling>& tilings = context->tilings;
  tilings.clear();
  std::ptrdiff_t widest = 0;
  for (const Tile& part : parts) {
    const std::ptrdiff_t width = choose_strip_width(part.columns.size(), scale, strip_width);
    widest = std::max(widest, width);
    tilings.emplace_back(Work{.part = part,
                              .strip_width = width,
                              .row_step = kBlock,
                              .rows = part.y1 - part.y0,
                              .band_rows = band_rows(scale),
                              .team = network_.team()},
                         threads);
  }
  const std::size_t workers = most_workers(tilings);
  grow_to(context->teams, workers);
  grow_to(context->strips, workers);
  for (std::size_t i = 0; i < workers; ++i) {
    context->strips[i].prepare(network_, finish, src, targets, widest, tilings.front().team());
  }
  for (const Tiling& tiling : tilings) {
    tiling.run(context->teams,
               [&](std::size_t worker, const Tile& tile, Team& team) { context->strips[worker].run(tile, team); });
  }
}

void Upscaler::run_resized(const ImageView& src, const MutableImageView& dst, const Finish& finish,
                           std::span<const int> scales, int threads, std::ptrdiff_t strip_width,
                           std::span<const Tile> parts) const {
  check_threads(threads);
  check_strength(finish);
  check_strip_width(strip_width);
  const std::size_t count = scales.size();
  if (count < 1 || count > static_cast<std::size_t>(kMaxChain)) {
    refuse("scales has " + std::to_string(count) + " scales, not 1 to " + std::to_string(kMaxChain));
  }
  std::ptrdiff_t product = 1;
  for (const int scale : scales) {
    if (!network_.head(scale)) refuse("scales: the model has no head for " + std::to_string(scale));
    product *= scale;
  }
  check_source(src);
  check_destination(dst, "dst", src);
  const auto fits = [&](std::ptrdiff_t size, std::ptrdiff_t of) {
    return size >= of && size <= of * product && of * product <= kMaxTaps / 4 * size;
  };
  if (!fits(dst.height, src.height) || !fits(dst.width, src.width)) refuse_size(dst, "dst", src);
  check_parts(parts, dst.width, dst.height, 1);

  // Of what goes into the last pass.
  const std::ptrdiff_t height = src.height * (product / scales.back()), width = src.width * (product / scales.back());
  const std::ptrdiff_t strips = ceil_div(width, choose_strip_width(width, scales.back(), strip_width));
  const Tile whole{{0, dst.width}, 0, dst.height};
  if (parts.empty()) parts = {&whole, 1};
  const ContextPool<Context>::Lease context(contexts_);
  std::vector<Tiling>& tilings = context->tilings;
  tilings.clear();
  for (const Tile& part : parts) {
    tilings.emplace_back(Work{.part = part,
                              .strip_width = std::min(part.columns.size(), ceil_div(dst.width, strips)),
                              .row_step = 1,
                              .rows = ceil_div(height * (part.y1 - part.y0), dst.height),
                              .band_rows = band_rows(scales.back()),
                              .team = network_.team()},
                         threads);
  }
  const Chain chain{
      .network = network_, .scales = scales, .width = src.width * product, .height = src.height * product};

  ResizeFilters& filters = context->filters;
  const auto length = [](std::ptrdiff_t size) { return static_cast<double>(size); };
  const auto make = [&](AxisFilter& filter, std::ptrdiff_t from, std::ptrdiff_t to) {
    filter.make(from, to, length(from), length(to), Siting{}.x);
  };
  make(filters.down_x, src.width * product, dst.width);
  make(filters.down_y, src.height * product, dst.height);
  make(filters.extra_x, src.width, dst.width);
  make(filters.extra_y, src.height, dst.height);

  std::array<std::ptrdiff_t, kMaxChain> widest{};
  ResizeSink::Widths widths;
  for (const Tiling& tiling : tilings) {
    for (std::ptrdiff_t strip = 0; strip < tiling.strips(); ++strip) {
      const Chain::Parts passes = chain.parts(tiling.tile(strip), filters);
      for (std::size_t i = 0; i < count; ++i) widest[i] = std::max(widest[i], passes[i].columns.size());
    }
    widths.cover(tiling, filters);
  }
  Finish of_pass = finish, of_result = finish;
  of_pass.strength = std::max(1.0f, finish.strength);
  of_result.strength = std::min(1.0f, finish.strength);
  const std::size_t workers = most_workers(tilings);
  grow_to(context->teams, workers);
  grow_to(context->resizers, workers);
  for (std::size_t worker = 0; worker < workers; ++worker) {
    Resizer& resizer = context->resizers[worker];
    std::ptrdiff_t enlarged = 1;
    for (std::size_t i = 0; i < count; ++i) {
      resizer.passes[i].prepare(network_, of_pass, src.height * enlarged, src.width * enlarged, scales[i],
                                i + 1 == count ? filters.down_y.taps : 0, widest[i], tilings.front().team());
      enlarged *= scales[i];
    }
    resizer.source.emplace(src, network_.kernels, network_.colour);
    resizer.sink.emplace(src, dst, filters, of_result, network_.kernels, network_.colour);
    const Extent extent = network_.extent(scales.front());
    resizer.scratch.fit([&](Arena& arena) {
      resizer.source->carve(arena, widest[0] + extent.before + extent.after + kMaxLanes);
      resizer.sink->carve(arena, widths);
    });
  }
  for (const Tiling& tiling : tilings) {
    tiling.run(context->teams, [&](std::size_t worker, const Tile& tile, Team& team) {
      context->resizers[worker].run(tile, chain, filters, team);
    });
  }
}

}  // namespace fsrcnn
