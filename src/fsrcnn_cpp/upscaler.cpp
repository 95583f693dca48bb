#include "upscaler.h"

#include <algorithm>
#include <array>
#include <mutex>

#include "aligned_buffer.h"
#include "arena.h"
#include "common.h"
#include "resize.h"
#include "thread_pool.h"

namespace fsrcnn {
namespace {

// What a strip keeps should stay in the caches, but its neighbour computes the columns at the seam once more. Speed is
// flat from 0.4 to 2.5 MB where a megabyte of second-level cache is backed by a third level, and falls off below.
constexpr std::ptrdiff_t kStripBytes = 1664 * 1024;
constexpr std::ptrdiff_t kMinStripWidth = 64;
// A band recomputes a few rows that its neighbour also computes, so bands are tall unless the picture is small.
constexpr std::ptrdiff_t kBandRows = 256;
constexpr std::ptrdiff_t kMinBandRows = 8;
// Columns of a strip where there is no network: those of every plane and row in work fit the second-level cache.
constexpr std::ptrdiff_t kBicubicColumns = 2048;

constexpr double kCentre = Siting{}.x;

/// A picture cut into strips of columns and bands of rows, and how many workers share them.
struct Tiling {
  /// `height`: rows that make the work, of which bands are made.
  Tiling(const MutableImageView& dst, std::ptrdiff_t strip_count, std::ptrdiff_t rows, int threads)
      : height(dst.height), width(dst.width), strips(strip_count) {
    const std::ptrdiff_t most = std::min(height, ceil_div(rows, kMinBandRows));
    workers = std::min<std::ptrdiff_t>(threads, strips * most);
    bands = workers == 1 ? 1 : std::min(most, workers * std::max<std::ptrdiff_t>(1, rows / (workers * kBandRows)));
  }

  Tile tile(std::ptrdiff_t index) const {
    const std::ptrdiff_t strip = index % strips, band = index / strips;
    return {width * strip / strips, width * (strip + 1) / strips, height * band / bands, height * (band + 1) / bands};
  }

  /// Calls `work(worker, next_tile)` for each worker; `next_tile(tile)` gives tiles until it returns false.
  template <typename Work>
  void run(const Work& work) const {
    std::atomic<int> next_worker{0};
    std::atomic<std::ptrdiff_t> next_index{0};
    ThreadPool::instance().run(static_cast<int>(workers), [&] {
      work(next_worker++, [&](Tile& next) {
        const std::ptrdiff_t index = next_index++;
        if (index >= strips * bands) return false;
        next = tile(index);
        return true;
      });
    });
  }

  std::ptrdiff_t height, width, strips, bands, workers;
};

}  // namespace

/// What one thread needs for any size: a strip for each network pass, each of which feeds the next.
struct Upscaler::Resizer {
  std::array<Strip, kMaxChain> passes;
  AlignedBuffer memory;  // of the sink
};

struct Upscaler::Context {
  std::vector<Strip> strips;                // one a thread
  std::vector<AlignedBuffer> bicubic_rows;  // one a thread
  std::vector<Resizer> resizers;            // one a thread
  ResizeFilters filters, plane_filters;     // as the last call had them
};

struct Upscaler::FreeList {
  const unsigned generation;  // of ThreadPool::fork_generation
  std::mutex mutex;
  std::vector<std::unique_ptr<Context>> contexts;
};

Upscaler::Upscaler(const Model& model, const KernelTable& kernels, Algorithm algorithm)
    : network_(model, kernels, algorithm), free_list_(new FreeList{ThreadPool::fork_generation(), {}, {}}) {}

Upscaler::~Upscaler() { delete free_list_.load(); }

std::ptrdiff_t Upscaler::choose_strip_width(std::ptrdiff_t width) const {
  std::ptrdiff_t floats_per_column = 0;
  for (std::size_t i = 0; i < network_.stages.size(); ++i) {
    const int rows = i + 1 == network_.stages.size() ? kWinogradTile + 2 : network_.stages[i + 1].conv->rows_read;
    floats_per_column += static_cast<std::ptrdiff_t>(network_.stages[i].oc()) * rows;
  }
  const std::ptrdiff_t fits = kStripBytes / static_cast<std::ptrdiff_t>(sizeof(float)) / floats_per_column;
  const std::ptrdiff_t widest = std::max(kMinStripWidth, fits);
  // Strips of one width: the last one is not left with a sliver.
  return round_up(ceil_div(width, ceil_div(width, widest)), kMaxLanes);
}

Upscaler::FreeList& Upscaler::free_list() const {
  FreeList* list = free_list_.load(std::memory_order_acquire);
  const unsigned generation = ThreadPool::fork_generation();
  if (list->generation == generation) return *list;
  // A forked child: the parent's list may have been copied locked, so it is left alone.
  auto* fresh = new FreeList{generation, {}, {}};
  if (free_list_.compare_exchange_strong(list, fresh)) return *fresh;
  delete fresh;
  return *list;
}

std::unique_ptr<Upscaler::Context> Upscaler::take_context() const {
  FreeList& list = free_list();
  std::lock_guard lock(list.mutex);
  if (list.contexts.empty()) return std::make_unique<Context>();
  std::unique_ptr<Context> context = std::move(list.contexts.back());
  list.contexts.pop_back();
  return context;
}

void Upscaler::give_back(std::unique_ptr<Context> context) const {
  FreeList& list = free_list();
  std::lock_guard lock(list.mutex);
  list.contexts.push_back(std::move(context));
}

void Upscaler::run(const ImageView& src, std::span<const Target> targets, const Finish& finish, std::ptrdiff_t begin,
                   std::ptrdiff_t end, int threads, std::ptrdiff_t strip_width) const {
  const std::ptrdiff_t rows = end - begin;
  strip_width = strip_width == 0 ? choose_strip_width(src.width) : round_up(strip_width, kBlock);
  strip_width = std::min(strip_width, src.width);

  const std::ptrdiff_t strips = ceil_div(src.width, strip_width);
  const std::ptrdiff_t workers = std::min<std::ptrdiff_t>(threads, strips * ceil_div(rows, kMinBandRows));
  const std::ptrdiff_t bands =
      workers == 1
          ? 1
          : std::min(ceil_div(rows, kMinBandRows), workers * std::max<std::ptrdiff_t>(1, rows / (workers * kBandRows)));

  std::unique_ptr<Context> context = take_context();
  if (static_cast<std::ptrdiff_t>(context->strips.size()) < workers) context->strips.resize(workers);
  for (std::ptrdiff_t i = 0; i < workers; ++i) context->strips[i].prepare(network_, finish, src, targets, strip_width);

  std::atomic<int> next_worker{0};
  std::atomic<std::ptrdiff_t> next_task{0};
  ThreadPool::instance().run(static_cast<int>(workers), [&] {
    Strip& strip = context->strips[next_worker++];
    for (std::ptrdiff_t task; (task = next_task++) < strips * bands;) {
      const std::ptrdiff_t x0 = task % strips * strip_width;
      const std::ptrdiff_t band = task / strips;
      const auto band_start = [&](std::ptrdiff_t b) { return begin + align_down(rows * b / bands, 0); };
      const std::ptrdiff_t y1 = band + 1 == bands ? end : band_start(band + 1);
      strip.run(x0, std::min(src.width, x0 + strip_width), band_start(band), y1);
    }
  });
  give_back(std::move(context));
}

void Upscaler::run_resized(const ImageView& src, const MutableImageView& dst, const Finish& finish,
                           std::span<const int> scales, int threads, std::ptrdiff_t strip_width) const {
  const int count = static_cast<int>(scales.size());
  std::ptrdiff_t height = src.height, width = src.width;  // of what goes into the last pass, and then comes out of it
  for (int i = 0; i + 1 < count; ++i) height *= scales[i], width *= scales[i];
  strip_width = strip_width == 0 ? choose_strip_width(width) : round_up(strip_width, kBlock);
  const std::ptrdiff_t strips = std::min(dst.width, ceil_div(width, strip_width));
  const Tiling tiling(dst, strips, height, threads);
  height *= scales[count - 1], width *= scales[count - 1];

  std::unique_ptr<Context> context = take_context();
  ResizeFilters& filters = context->filters;
  const auto length = [](std::ptrdiff_t size) { return static_cast<double>(size); };
  filters.down_x.make(width, dst.width, length(width), length(dst.width), kCentre);
  filters.down_y.make(height, dst.height, length(height), length(dst.height), kCentre);
  filters.extra_x.make(src.width, dst.width, length(src.width), length(dst.width), kCentre);
  filters.extra_y.make(src.height, dst.height, length(src.height), length(dst.height), kCentre);

  // What every pass must compute for a tile, from the last to the first: blocks of columns, and from which row on.
  struct Part {
    std::ptrdiff_t x0, x1, y0;
  };
  const auto parts_of = [&](const Tile& tile) {
    std::array<Part, kMaxChain> parts{};
    std::ptrdiff_t begin = filters.down_x.first_of(tile.x0), end = filters.down_x.end(tile.x1 - 1);
    std::ptrdiff_t y = filters.down_y.first_of(tile.y0), enlarged = width;
    for (int i = count; i-- > 0;) {
      enlarged /= scales[i];
      const std::ptrdiff_t x1 = std::min(enlarged, round_up(ceil_div(end, scales[i]), kBlock));
      parts[i] = {align_down(begin / scales[i], 0), x1, align_down(y / scales[i], 0)};
      const Extent& extent = network_.extents[0];
      begin = std::max<std::ptrdiff_t>(0, parts[i].x0 - extent.before);
      end = std::min(enlarged, x1 + extent.after);
      y = std::max<std::ptrdiff_t>(0, parts[i].y0 - extent.before);
    }
    return parts;
  };
  std::ptrdiff_t widest[kMaxChain] = {}, widest_tile = 0, widest_down = 0, widest_extra = 0;
  for (std::ptrdiff_t strip = 0; strip < strips; ++strip) {
    const Tile tile = tiling.tile(strip);
    const std::array<Part, kMaxChain> parts = parts_of(tile);
    for (int i = 0; i < count; ++i) widest[i] = std::max(widest[i], parts[i].x1 - parts[i].x0);
    const auto reads = [&](const AxisFilter& filter) { return filter.end(tile.x1 - 1) - filter.first_of(tile.x0); };
    widest_tile = std::max(widest_tile, tile.x1 - tile.x0);
    widest_down = std::max(widest_down, reads(filters.down_x));
    widest_extra = std::max(widest_extra, reads(filters.extra_x));
  }

  std::vector<Resizer>& resizers = context->resizers;
  if (static_cast<std::ptrdiff_t>(resizers.size()) < tiling.workers) resizers.resize(tiling.workers);
  Finish of_pass = finish, of_result = finish;
  of_pass.strength = std::max(1.0f, finish.strength);
  of_result.strength = std::min(1.0f, finish.strength);
  const ResizeSink sink(src, dst, filters, of_result, network_.kernels);
  for (std::ptrdiff_t worker = 0; worker < tiling.workers; ++worker) {
    Resizer& resizer = resizers[worker];
    for (int i = 0; i < count; ++i) {
      resizer.passes[i].prepare_luma(network_, of_pass, src, i == 0 ? nullptr : &resizer.passes[i - 1], scales[i],
                                     i + 1 == count ? filters.down_y.taps : 0, widest[i]);
    }
    Arena size(nullptr);
    ResizeSink(sink).carve(size, widest_tile, widest_down, widest_extra);
    if (resizer.memory.size() < size.used()) resizer.memory = AlignedBuffer(size.used());
  }
  tiling.run([&](std::ptrdiff_t worker, const auto& next_tile) {
    Resizer& resizer = resizers[worker];
    ResizeSink mine(sink);
    Arena arena(resizer.memory.data());
    mine.carve(arena, widest_tile, widest_down, widest_extra);
    for (Tile tile; next_tile(tile);) {
      const std::array<Part, kMaxChain> parts = parts_of(tile);
      for (int i = 0; i < count; ++i) resizer.passes[i].begin(parts[i].x0, parts[i].x1, parts[i].y0);
      Strip& last = resizer.passes[count - 1];
      const std::ptrdiff_t at = filters.down_x.first_of(tile.x0) - parts[count - 1].x0 * scales[count - 1];
      mine.begin(tile);
      for (std::ptrdiff_t y = tile.y0; y < tile.y1; ++y) {
        const float* rows[kMaxTaps];
        for (int t = 0; t < filters.down_y.taps; ++t) rows[t] = last.luma_row(filters.down_y.first_of(y) + t) + at;
        mine.add(rows);
      }
      mine.finish();
    }
  });
  give_back(std::move(context));
}

void Upscaler::run_bicubic_resized(const ImageView& src, const MutableImageView& dst, const Lengths& from,
                                   const Lengths& to, Siting siting, int threads) const {
  const Tiling tiling(dst, ceil_div(dst.width, kBicubicColumns), src.height, threads);
  std::unique_ptr<Context> context = take_context();
  ResizeFilters& filters = context->plane_filters;
  filters.down_x.make(src.width, dst.width, from.x, to.x, siting.x);
  filters.down_y.make(src.height, dst.height, from.y, to.y, siting.y);
  std::ptrdiff_t widest_tile = 0, widest_down = 0;
  const auto reads = [&](const Tile& tile) {
    return filters.down_x.end(tile.x1 - 1) - filters.down_x.first_of(tile.x0);
  };
  for (std::ptrdiff_t strip = 0; strip < tiling.strips; ++strip) {
    const Tile tile = tiling.tile(strip);
    widest_tile = std::max(widest_tile, tile.x1 - tile.x0);
    widest_down = std::max(widest_down, reads(tile));
  }
  const ResizeSink sink(src, dst, filters, {1, false, false}, network_.kernels);
  const RowSource source(src, network_.kernels);
  Ring ring;
  const auto carve = [&](Arena& arena, ResizeSink& mine, Ring& rows) {
    mine.carve(arena, widest_tile, widest_down, 0);
    rows.carve(arena, 1, filters.down_y.taps, round_up(widest_down + kMaxLanes, kCacheLineFloats));
  };
  std::vector<AlignedBuffer>& memory = context->bicubic_rows;
  if (static_cast<std::ptrdiff_t>(memory.size()) < tiling.workers) memory.resize(tiling.workers);
  for (std::ptrdiff_t worker = 0; worker < tiling.workers; ++worker) {
    Arena size(nullptr);
    ResizeSink counted(sink);
    carve(size, counted, ring);
    if (memory[worker].size() < size.used()) memory[worker] = AlignedBuffer(size.used());
  }
  tiling.run([&](std::ptrdiff_t worker, const auto& next_tile) {
    ResizeSink mine(sink);
    Ring rows;
    Arena arena(memory[worker].data());
    carve(arena, mine, rows);
    for (Tile tile; next_tile(tile);) {
      mine.begin(tile);
      std::ptrdiff_t next = filters.down_y.first_of(tile.y0);
      for (std::ptrdiff_t y = tile.y0; y < tile.y1; ++y) {
        for (; next < filters.down_y.end(y); ++next) {
          source.load_luma(next, filters.down_x.first_of(tile.x0), reads(tile), rows.row(next));
        }
        const float* taps[kMaxTaps];
        for (int t = 0; t < filters.down_y.taps; ++t) taps[t] = rows.row(filters.down_y.first_of(y) + t);
        mine.add(taps);
      }
      mine.finish();
    }
  });
  give_back(std::move(context));
}

void Upscaler::run_bicubic(const ImageView& src, const MutableImageView& dst, int scale, Siting siting,
                           int threads) const {
  const std::ptrdiff_t bands = std::min<std::ptrdiff_t>(threads, ceil_div(src.height, kMinBandRows));
  std::unique_ptr<Context> context = take_context();
  std::vector<AlignedBuffer>& rows = context->bicubic_rows;
  if (static_cast<std::ptrdiff_t>(rows.size()) < bands) rows.resize(bands);
  BicubicPlane plane(src, dst, scale, siting, network_.kernels);
  Arena count(nullptr);
  plane.carve(count);
  for (std::ptrdiff_t band = 0; band < bands; ++band) {
    if (rows[band].size() < count.used()) rows[band] = AlignedBuffer(count.used());
  }
  std::atomic<std::ptrdiff_t> next_band{0};
  ThreadPool::instance().run(static_cast<int>(bands), [&] {
    for (std::ptrdiff_t band; (band = next_band++) < bands;) {
      BicubicPlane mine = plane;
      Arena arena(rows[band].data());
      mine.carve(arena);
      mine.run(src.height * band / bands, src.height * (band + 1) / bands);
    }
  });
  give_back(std::move(context));
}

}  // namespace fsrcnn
