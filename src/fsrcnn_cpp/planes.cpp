#include "planes.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "arguments.h"
#include "common.h"
#include "resize.h"

namespace fsrcnn {
namespace {

// Columns of a strip: those of every plane and row in work fit the second-level cache.
constexpr std::ptrdiff_t kColumns = 2048;
constexpr std::ptrdiff_t kBandRows = 256;

/// What a row by a whole scale needs.
struct Enlarger {
  Ring rows;  // of the source, kBicubicReach columns of edge on either side
  float* scratch;
  float* phases[kMaxStride];

  void carve(Arena& arena, std::ptrdiff_t width, int scale) {
    const std::ptrdiff_t stride = round_up(width + 2 * kBicubicReach + kMaxLanes, kCacheLineFloats);
    rows = {.channels = 1, .rows = kWindowRows, .margin = kBicubicReach, .stride = stride};
    rows.carve(arena);
    scratch = arena.take(stride);
    for (int i = 0; i < scale; ++i) phases[i] = arena.take(stride);
  }
};

/// Stores what a tile of source rows becomes.
void enlarge_tile(const KernelTable& kernels, const ImageView& src, const MutableImageView& dst,
                  const EnlargeFilter& filter, const Tile& tile, const Enlarger& work) {
  const int scale = filter.scale;
  const std::ptrdiff_t begin = tile.columns.begin, width = tile.columns.size(), last = src.height - 1;
  const StripView view{.height = src.height, .width = src.width, .columns = tile.columns};
  const Range range = view.around(kBicubicReach, kBicubicReach);
  const auto load = kernels.load[static_cast<int>(src.type)];
  const auto store = kernels.store[static_cast<int>(dst.type)];
  std::ptrdiff_t next = std::max<std::ptrdiff_t>(0, tile.y0 - kBicubicReach);
  for (std::ptrdiff_t y = tile.y0; y < tile.y1; ++y) {
    for (; next <= std::min(last, y + kBicubicReach); ++next) {
      float* const row = work.rows.row(next);
      load(src.row(next) + range.begin * src.pixel_stride, src.pixel_stride, range.size(), src.range.full,
           row + view.offset(range.begin));
      view.pad(row, range, kBicubicReach, kBicubicReach);
    }
    const float* window[kWindowRows];
    for (int i = 0; i < kWindowRows; ++i) {
      window[i] = work.rows.row(std::clamp<std::ptrdiff_t>(y + i - kBicubicReach, 0, last));
    }
    const std::ptrdiff_t end = std::min(dst.height, (y + 1) * scale);
    for (std::ptrdiff_t dst_y = y * scale; dst_y < end; ++dst_y) {
      enlarge_row(kernels, window, filter, static_cast<int>(dst_y - y * scale), width, work.scratch, work.phases);
      // Whole pixels, then the phases of the last one that are still in the picture.
      const std::ptrdiff_t whole = std::min(width, dst.width / scale - begin);
      StoreArgs args{.planes = work.phases,
                     .phases = scale,
                     .channels = 1,
                     .width = whole,
                     .dst = dst.row(dst_y) + begin * scale * dst.pixel_stride,
                     .pixel_stride = dst.pixel_stride,
                     .channel_stride = 0,
                     .range = dst.range};
      store(args);
      if (whole == width) continue;
      const float* ends[kMaxStride];
      args.phases = static_cast<int>(dst.width % scale);
      for (int phase = 0; phase < args.phases; ++phase) ends[phase] = work.phases[phase] + whole;
      args.planes = ends;
      args.width = 1;
      args.dst += whole * scale * dst.pixel_stride;
      store(args);
    }
  }
}

/// What an image is cut into.
Work work_on(std::ptrdiff_t width, std::ptrdiff_t height, std::ptrdiff_t rows) {
  return {.part = {{0, width}, 0, height},
          .strip_width = std::min(width, kColumns),
          .row_step = 1,
          .rows = rows,
          .band_rows = kBandRows};
}

void check_plane(const ImageView& src) {
  check_source(src);
  if (src.channels != 1) refuse("src has " + std::to_string(src.channels) + " channels, and a plane has one");
}

void check_siting(const Siting& siting) {
  const auto is_inside = [](double at) { return at >= 0 && at <= 1; };
  if (is_inside(siting.x) && is_inside(siting.y)) return;
  refuse("siting=(" + std::to_string(siting.x) + ", " + std::to_string(siting.y) + ") is not 0 to 1");
}

}  // namespace

struct PlaneUpscaler::Context {
  struct Worker {
    Scratch scratch;
    Enlarger enlarger;
    std::optional<ResizeSink> sink;
    Ring rows;
  };
  std::deque<Team> teams;       // one a worker, which is alone in it
  std::vector<Worker> workers;  // one a thread
  ResizeFilters filters;        // as the last call had them
};

PlaneUpscaler::PlaneUpscaler(const KernelTable& kernels) : kernels_(kernels) {}

PlaneUpscaler::~PlaneUpscaler() = default;

void PlaneUpscaler::enlarge(const ImageView& src, const MutableImageView& dst, int scale, Siting siting,
                            int threads) const {
  check_threads(threads);
  if (scale < 1 || scale > kMaxStride) refuse("scale=" + std::to_string(scale) + " is not 1 to 4");
  check_siting(siting);
  check_plane(src);
  check_destination(dst, "dst", src);
  const auto fits = [&](std::ptrdiff_t size, std::ptrdiff_t of) {
    return size <= of * scale && size > (of - 1) * scale;
  };
  if (!fits(dst.height, src.height) || !fits(dst.width, src.width)) refuse_size(dst, "dst", src);

  const EnlargeFilter filter(scale, siting);
  const Tiling tiling(work_on(src.width, src.height, src.height), threads);
  const ContextPool<Context>::Lease context(contexts_);
  grow_to(context->workers, tiling.workers());
  grow_to(context->teams, tiling.workers());
  for (std::size_t i = 0; i < tiling.workers(); ++i) {
    Context::Worker& worker = context->workers[i];
    worker.scratch.fit([&](Arena& arena) { worker.enlarger.carve(arena, std::min(src.width, kColumns), scale); });
  }
  tiling.run(context->teams, [&](std::size_t worker, const Tile& tile, Team&) {
    enlarge_tile(kernels_, src, dst, filter, tile, context->workers[worker].enlarger);
  });
}

void PlaneUpscaler::resize(const ImageView& src, const MutableImageView& dst, const Lengths& from, const Lengths& to,
                           Siting siting, int threads) const {
  check_threads(threads);
  check_siting(siting);
  check_plane(src);
  const auto grows = [](double of, double size) { return of > 0 && size >= of && size < 1e15; };
  if (!grows(from.x, to.x) || !grows(from.y, to.y)) {
    refuse("source_size and result_size are not sizes, of which the second is no smaller");
  }
  check_destination(dst, "dst", src);

  const Tiling tiling(work_on(dst.width, dst.height, src.height), threads);
  const ContextPool<Context>::Lease context(contexts_);
  ResizeFilters& filters = context->filters;
  filters.down_x.make(src.width, dst.width, from.x, to.x, siting.x);
  filters.down_y.make(src.height, dst.height, from.y, to.y, siting.y);
  ResizeSink::Widths widths;
  widths.cover(tiling, filters);
  const RowSource source(src, kernels_);
  grow_to(context->workers, tiling.workers());
  grow_to(context->teams, tiling.workers());
  for (std::size_t i = 0; i < tiling.workers(); ++i) {
    Context::Worker& worker = context->workers[i];
    worker.sink.emplace(src, dst, filters, Finish{.strength = 1, .guard = false, .guided = false}, kernels_,
                        Colour::luma);
    worker.rows = {
        .channels = 1, .rows = filters.down_y.taps, .stride = round_up(widths.down + kMaxLanes, kCacheLineFloats)};
    worker.scratch.fit([&](Arena& arena) {
      worker.sink->carve(arena, widths);
      worker.rows.carve(arena);
    });
  }
  tiling.run(context->teams, [&](std::size_t index, const Tile& tile, Team&) {
    Context::Worker& worker = context->workers[index];
    const Range reads = filters.down_x.reads(tile.columns.begin, tile.columns.end);
    std::ptrdiff_t next = filters.down_y.first_of(tile.y0);
    worker.sink->begin(tile);
    for (std::ptrdiff_t y = tile.y0; y < tile.y1; ++y) {
      for (; next < filters.down_y.end(y); ++next) {
        source.load_luma(next, reads.begin, reads.size(), worker.rows.row(next));
      }
      const float* taps[kMaxTaps];
      for (int t = 0; t < filters.down_y.taps; ++t) taps[t] = worker.rows.row(filters.down_y.first_of(y) + t);
      worker.sink->add(taps, worker.rows.stride);
    }
    worker.sink->finish();
  });
}

}  // namespace fsrcnn
