// How a network is run row by row: which nodes are computed together, what each must hold around an output, in which
// order rows are made, and how many rows a ring keeps. No weights, no memory, no picture.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "common.h"
#include "kernels/kernels.h"
#include "model.h"

namespace fsrcnn {

/// Output is produced in blocks of rows, and strips and bands start at multiples of them, whatever the algorithm.
inline constexpr std::ptrdiff_t kBlock = kWinogradTile;

/// The last multiple of kBlock, counted from `anchor`, that is not beyond `value`.
constexpr std::ptrdiff_t align_down(std::ptrdiff_t value, std::ptrdiff_t anchor) {
  const std::ptrdiff_t remainder = (value - anchor) % kBlock;
  return value - (remainder < 0 ? remainder + kBlock : remainder);
}

/// What follows the network reads the rows that went into it once more, so far around the block in work.
inline constexpr int kFinishReach = 2;

/// How the kernel of a convolution computes it.
struct Access {
  bool in_blocks;    // kBlock rows at a time, and as many columns
  int column_reach;  // columns that it reads around the picture: whole tiles, where tiles span columns
};

/// What a ring must hold around a block of output pixels whose start and end are multiples of kBlock, for the
/// farthest-reaching head: `before` its start and `after` its end. Both axes are alike. Blocks start where (position -
/// anchor) is a multiple of kBlock; the anchors are staggered so that the blocks of a stage end just where the farthest
/// of its readers stops, or up to two rows later.
struct Extent {
  int before = 0, after = 0, anchor = 0;
};

/// The last few rows of a result. Ring 0 is what goes into the network.
struct RingPlan {
  int channels = 1;
  bool in_blocks = false;  // made so
  Extent extent{};
  int column_reach = 0;  // how far its readers look beyond the picture; heads see to themselves
};

/// Channels first .. first + count - 1 of a ring.
struct Slice {
  int ring, first, count;
};

/// Makes ring i + 1, for stage i: a convolution, and the 1x1 convolution that narrows its output, if one follows, chunk
/// by chunk, so that the wide features between them are never stored as rows.
struct Stage {
  static constexpr int kNone = -1;

  int node, pointwise;  // indices of nodes
  Slice source;
  std::vector<Slice> adds;            // to what `node` makes
  std::vector<Slice> pointwise_adds;  // to what `pointwise` makes
  int radius;                         // of the kernel
  bool in_blocks;

  int result() const { return pointwise == kNone ? node : pointwise; }
  std::ptrdiff_t rows() const { return in_blocks ? kBlock : 1; }
  /// Rows that it reads at a time.
  int rows_read() const { return static_cast<int>(rows()) + 2 * radius; }
};

/// Immutable once made.
struct Plan {
  /// Of a valid model, and how each of its nodes is computed; `span` of 1, or a multiple of kBlock.
  Plan(const Model& model, const std::vector<Access>& access, int span = 1);

  int last_ring() const { return static_cast<int>(stages.size()); }
  /// Rows that every ring keeps while heads run that reach up to `reach` rows: one of those that the model has.
  const std::vector<int>& rows(int reach) const { return rows_by_reach[static_cast<std::size_t>(reach)]; }

  int span;  // rows that a stage makes before the next one runs, or as many as it makes at a time, if these are more
  std::vector<Stage> stages;
  std::vector<RingPlan> rings;                  // one more than stages
  std::vector<std::vector<int>> rows_by_reach;  // empty for a reach that no head has

 private:
  void make_stages(const Model& model, const std::vector<Access>& access);
  void make_extents(int reach);
  std::vector<int> count_rows(int reach) const;
};

/// The order in which rows are made: each ring's next ones when they are asked for, and before them what they read.
/// Running over a picture and counting the rows of rings both follow it.
class Schedule {
 public:
  /// For pictures of `height` rows, and heads that read up to `reach` rows around a block.
  void prepare(const Plan& plan, int reach, std::ptrdiff_t height) {
    plan_ = &plan;
    reach_ = reach;
    height_ = height;
    next_.resize(plan.rings.size());
  }

  /// Goes to the band of rows y0 .. y1 - 1.
  void begin(std::ptrdiff_t y0, std::ptrdiff_t y1) {
    end_ = std::min(height_, y1 + reach_);
    for (std::size_t i = 0; i < next_.size(); ++i) {
      const RingPlan& ring = plan_->rings[i];
      const std::ptrdiff_t first = std::max<std::ptrdiff_t>(0, y0 - ring.extent.before);
      next_[i] = ring.in_blocks ? align_down(first, ring.extent.anchor) : first;
    }
  }

  /// Has the rows made that heads read around the block at y: with them, where the span is larger, those that they read
  /// around the blocks below.
  template <typename Make>
  void advance(std::ptrdiff_t y, const Make& make) {
    const int last = plan_->last_ring();
    if (next_.back() >= std::min(height_, y + kBlock + reach_)) return;
    until(last, std::min(end_, y + std::max<std::ptrdiff_t>(kBlock, plan_->span) + reach_), make);
  }

  /// Has the rows of a ring made up to, not including, `end`, which is at most the height. `make(ring, y, rows)` makes
  /// rows y .. y + rows - 1, whole blocks where the stage works in blocks, of which rows may lie outside the picture.
  template <typename Make>
  void until(int ring, std::ptrdiff_t end, const Make& make) {
    std::ptrdiff_t& next = next_[static_cast<std::size_t>(ring)];
    while (next < end) {
      std::ptrdiff_t rows = 1;
      if (ring > 0) {
        const Stage& stage = plan_->stages[static_cast<std::size_t>(ring) - 1];
        const std::ptrdiff_t most = std::max<std::ptrdiff_t>(stage.rows(), plan_->span);
        rows = std::min(most, round_up(end - next, stage.rows()));
        until(stage.source.ring, std::min(height_, next + rows + stage.radius), make);
        for (const std::vector<Slice>* adds : {&stage.adds, &stage.pointwise_adds}) {
          for (const Slice& add : *adds) until(add.ring, std::min(height_, next + rows), make);
        }
      }
      make(ring, next, rows);
      next += rows;
    }
  }

 private:
  const Plan* plan_ = nullptr;
  int reach_ = 0;
  std::ptrdiff_t height_ = 0, end_ = 0;  // end_: of the rows that heads read in the band
  std::vector<std::ptrdiff_t> next_;     // row of every ring
};

/// Follows the schedule of a whole band and tells of every row: `read(ring, y)`, `write(ring, y)`, in order, all of
/// them inside the picture.
template <typename Read, typename Write>
void trace(const Plan& plan, int reach, std::ptrdiff_t height, std::ptrdiff_t y0, std::ptrdiff_t y1, const Read& read,
           const Write& write) {
  const auto read_rows = [&](int ring, std::ptrdiff_t first, std::ptrdiff_t end) {
    for (std::ptrdiff_t y = std::max<std::ptrdiff_t>(0, first); y < std::min(height, end); ++y) read(ring, y);
  };
  const auto make = [&](int ring, std::ptrdiff_t y, std::ptrdiff_t rows) {
    if (ring > 0) {
      const Stage& stage = plan.stages[static_cast<std::size_t>(ring) - 1];
      read_rows(stage.source.ring, y - stage.radius, y + rows + stage.radius);
      for (const std::vector<Slice>* adds : {&stage.adds, &stage.pointwise_adds}) {
        for (const Slice& add : *adds) read_rows(add.ring, y, y + rows);
      }
    }
    for (std::ptrdiff_t row = std::max<std::ptrdiff_t>(0, y); row < std::min(height, y + rows); ++row) write(ring, row);
  };
  Schedule schedule;
  schedule.prepare(plan, reach, height);
  schedule.begin(y0, y1);
  std::ptrdiff_t next_luma = std::max<std::ptrdiff_t>(0, y0 - kFinishReach);
  for (std::ptrdiff_t y = y0; y < y1; y += kBlock) {
    schedule.advance(y, make);
    for (; next_luma < std::min(height, y + kBlock + kFinishReach); ++next_luma) {
      schedule.until(0, next_luma + 1, make);
      read(0, next_luma);
    }
    read_rows(plan.last_ring(), y - reach, y + kBlock + reach);
  }
}

}  // namespace fsrcnn
