#include "stream.h"

#include <algorithm>
#include <cassert>

#include "common.h"

namespace fsrcnn {
namespace {

// Columns that a convolution and the pointwise one after it compute at a time. Kernels that work in blocks write
// nothing beyond columns that are whole chunks.
constexpr std::ptrdiff_t kChunkColumns = kWinogradChunkColumns;
constexpr std::ptrdiff_t kChunkStride = kChunkColumns + kWinogradOverrun;  // an odd number of cache lines

/// How a team shares out columns: in so many pieces of whole chunks.
struct Pieces {
  Pieces(std::ptrdiff_t columns, std::ptrdiff_t most)
      : width(round_up(ceil_div(columns, most), kChunkColumns)), count(static_cast<int>(ceil_div(columns, width))) {}

  Range of(int piece, Range columns) const {
    const std::ptrdiff_t begin = columns.begin + piece * width;
    return {begin, std::min(columns.end, begin + width)};
  }

  std::ptrdiff_t width;
  int count;
};

}  // namespace

void gather_rows(std::ptrdiff_t first, int count, std::ptrdiff_t height, Padding padding, int border,
                 std::ptrdiff_t* rows) {
  for (int i = 0; i < count; ++i) {
    const std::ptrdiff_t y = first + i;
    const std::ptrdiff_t nearest = std::clamp<std::ptrdiff_t>(y, 0, height - 1);
    const std::ptrdiff_t distance = y < nearest ? nearest - y : y - nearest;
    const bool inside = padding == Padding::replicate && (border == Head::kFullBorder || distance <= border);
    rows[i] = distance == 0 || inside ? nearest : kZeroRow;
  }
}

void Stream::prepare(const PackedNetwork& network, std::span<const PackedHead* const> heads, std::ptrdiff_t height,
                     std::ptrdiff_t width, std::ptrdiff_t strip_width, int members) {
  network_ = &network;
  heads_.assign(heads.begin(), heads.end());
  reach_ = 0;
  pad_reach_ = 0;
  borders_differ_ = false;
  for (const PackedHead* head : heads_) {
    reach_ = std::max(reach_, head->reach());
    pad_reach_ = std::max(pad_reach_, head->conv.column_reach);
    borders_differ_ |= head->border != heads_.front()->border;
  }
  view_ = {.height = height, .width = width};
  members_.resize(static_cast<std::size_t>(members));
  schedule_.prepare(network.plan, reach_, height);
  stride_ = spread(strip_width + kWinogradOverrun);
  rings_.resize(network.plan.rings.size());
  std::ptrdiff_t largest = 0;
  for (std::size_t i = 0; i < rings_.size(); ++i) {
    const RingPlan& plan = network.plan.rings[i];
    const std::ptrdiff_t around = i + 1 == rings_.size() ? pad_reach_ : plan.column_reach;
    // What is read beyond the picture lies left of what the ring holds, and so do blocks that start before it.
    rings_[i].margin = round_up(plan.extent.before + std::max<std::ptrdiff_t>(around, kBlock), kCacheLineFloats);
    rings_[i].stride =
        spread(rings_[i].margin + strip_width + plan.extent.after + std::max<std::ptrdiff_t>(around, kWinogradOverrun));
    rings_[i].channels = network.planes(i);
    rings_[i].rows = network.plan.rows(reach_)[i];
    largest = std::max(largest, rings_[i].channels * rings_[i].stride);
  }
  luma_cells_ = rings_[0];
  source_stride_ = rings_[0].stride;
  if (zeros_.size() < static_cast<std::size_t>(largest)) zeros_ = AlignedBuffer(static_cast<std::size_t>(largest));
}

void Stream::carve(Arena& arena) {
  std::ptrdiff_t wide_channels = 0, scratchpad = 0, planes = 0;
  for (Ring& ring : rings_) ring.carve(arena);
  if (network_->is_fixed()) luma_cells_.carve(arena);
  for (const PackedConv& conv : network_->convs) scratchpad = std::max(scratchpad, conv.scratchpad);
  for (const Stage& stage : network_->plan.stages) {
    if (stage.pointwise == Stage::kNone) continue;
    wide_channels = std::max<std::ptrdiff_t>(wide_channels, network_->convs[static_cast<std::size_t>(stage.node)].oc);
  }
  for (const PackedHead* head : heads_) {
    planes = std::max<std::ptrdiff_t>(planes, head->conv.oc);
    scratchpad = std::max(scratchpad, head->conv.scratchpad);
  }
  planes_ = arena.take(kBlock * planes * stride_);
  for (Member& member : members_) {
    member.spare_row = arena.take(static_cast<std::ptrdiff_t>(zeros_.size()));
    member.wide = arena.take(kBlock * wide_channels * kChunkStride);
    member.scratchpad = arena.take(scratchpad);
  }
}

void Stream::begin(const Tile& tile, Rows& source, Team& team) {
  const Range& columns = tile.columns;
  assert(columns.begin % kBlock == 0 && (columns.end % kBlock == 0 || columns.end == view_.width));
  assert(tile.y0 % kBlock == 0 && (tile.y1 % kBlock == 0 || tile.y1 == view_.height));
  assert(team.most() <= static_cast<int>(members_.size()));
  view_.columns = columns;
  source_ = &source;
  team_ = &team;
  schedule_.begin(tile.y0, tile.y1);
}

void Stream::advance(std::ptrdiff_t y) {
  schedule_.advance(y, [this](int ring, std::ptrdiff_t first, std::ptrdiff_t rows) { make(ring, first, rows); });
}

const float* Stream::source_row(std::ptrdiff_t y) {
  schedule_.until(0, y + 1, [this](int ring, std::ptrdiff_t first, std::ptrdiff_t rows) { make(ring, first, rows); });
  return ring(0).row(y);
}

/// Rows of a ring: one that is read, or those that a stage makes in turn, its blocks shared out among the team.
void Stream::make(int ring, std::ptrdiff_t y, std::ptrdiff_t rows) {
  if (ring == 0) {
    const Range range = columns(0);
    source_->read(y, range, this->ring(0).row(y) + view_.offset(range.begin), source_stride_);
    pad_rows(0, y, 1, range);
    if (network_->is_fixed()) to_cells(y, range);
    return;
  }
  const Stage& stage = stage_of(ring);
  const Range whole{first_column(ring), columns(ring).end};
  if (rows == stage.rows() && team_->most() == 1) {  // nothing to share out: 1 to 2 % of FSRCNN-s
    run_stage(ring, y, whole, members_.front());
    return pad_rows(ring, y, rows, whole);
  }
  const int blocks = static_cast<int>(rows / stage.rows());
  const Pieces pieces(whole.size(), stage.in_blocks ? ceil_div(team_->most(), blocks) : 1);
  team_->run(blocks * pieces.count, [&](int index, int member) {
    const std::ptrdiff_t block = y + index / pieces.count * stage.rows();
    const Range piece = pieces.of(index % pieces.count, whole);
    run_stage(ring, block, piece, members_[static_cast<std::size_t>(member)]);
    pad_rows(ring, block, stage.rows(), piece);
  });
}

// Its inputs left of the picture, and right of it where the last tile ends there, are padding.
std::ptrdiff_t Stream::first_column(int ring) const {
  const std::ptrdiff_t begin = columns(ring).begin;
  if (!stage_of(ring).in_blocks) return begin;
  return align_down(begin, network_->plan.rings[static_cast<std::size_t>(ring)].extent.anchor);
}

/// Pads rows as far as their readers look beyond the picture, where the columns touch its edge.
void Stream::pad_rows(int ring, std::ptrdiff_t y, std::ptrdiff_t rows, Range columns) {
  for (std::ptrdiff_t r = std::max<std::ptrdiff_t>(0, y); r < std::min(view_.height, y + rows); ++r) {
    if (ring < last_ring()) {
      pad(ring, r, columns, network_->plan.rings[static_cast<std::size_t>(ring)].column_reach, Head::kFullBorder);
    } else if (!borders_differ_) {
      pad(ring, r, columns, pad_reach_, heads_.front()->border);
    }
  }
}

/// Makes of a row of luma what the network reads of it.
void Stream::to_cells(std::ptrdiff_t y, Range columns) {
  const int reach = network_->plan.rings[0].column_reach;
  const std::ptrdiff_t first = view_.offset(columns.begin) - reach;
  network_->kernels.to_cells(ring(0).row(y) + first, columns.size() + 2 * reach, luma_cells_.row(y) + first);
}

/// One block of rows, of some columns.
void Stream::run_stage(int made, std::ptrdiff_t y, Range columns, const Member& member) {
  const Stage& stage = stage_of(made);
  const PackedConv& conv = network_->convs[static_cast<std::size_t>(stage.node)];
  const std::ptrdiff_t rows = stage.rows();
  const Ring &src = source_of(stage), &dst = ring(made);
  const float* src_rows[kMaxRowsRead];
  assert(conv.rows_read == stage.rows_read() && conv.before == stage.radius);
  gather(src, y - stage.radius, stage.rows_read(),
         stage.source.first * src.stride + view_.offset(columns.begin) - stage.radius, Head::kFullBorder, src_rows);
  float* dst_rows[kBlock];
  for (std::ptrdiff_t r = 0; r < rows; ++r) {
    const bool inside = y + r >= 0 && y + r < view_.height;
    dst_rows[r] = (inside ? dst.row(y + r) : member.spare_row + dst.margin) + view_.offset(columns.begin);
  }
  if (stage.pointwise == Stage::kNone) {
    convolve(conv, src_rows, src.stride, dst_rows, dst.stride, columns.size(), member.scratchpad);
    return add(stage.adds, y, rows, columns.begin, dst_rows, dst.stride, columns.size());
  }

  const PackedConv& pointwise = network_->convs[static_cast<std::size_t>(stage.pointwise)];
  float* wide_rows[kBlock];
  for (std::ptrdiff_t r = 0; r < rows; ++r) wide_rows[r] = member.wide + r * conv.oc * kChunkStride;
  for (std::ptrdiff_t x = columns.begin; x < columns.end; x += kChunkColumns) {
    const std::ptrdiff_t width = std::min(kChunkColumns, columns.end - x);
    convolve(conv, src_rows, src.stride, wide_rows, kChunkStride, width, member.scratchpad);
    add(stage.adds, y, rows, x, wide_rows, kChunkStride, width);
    for (std::ptrdiff_t r = 0; r < rows; ++r) {
      convolve(pointwise, wide_rows + r, kChunkStride, dst_rows + r, dst.stride, width, member.scratchpad);
    }
    add(stage.pointwise_adds, y, rows, x, dst_rows, dst.stride, width);
    for (std::ptrdiff_t r = 0; r < rows; ++r) dst_rows[r] += kChunkColumns;
    for (int k = 0; k < stage.rows_read(); ++k) src_rows[k] += kChunkColumns;
  }
}

/// Adds channel ranges side by side to rows y .. y + rows - 1, of which those outside the picture are nobody's, from
/// column x on.
void Stream::add(const std::vector<Slice>& adds, std::ptrdiff_t y, std::ptrdiff_t rows, std::ptrdiff_t x,
                 float* const* dst_rows, std::ptrdiff_t dst_stride, std::ptrdiff_t width) {
  static constexpr float kOnes[] = {1, 1};
  std::ptrdiff_t channel = 0;
  for (const Slice& slice : adds) {
    const Ring& added = ring(slice.ring);
    for (std::ptrdiff_t r = std::max<std::ptrdiff_t>(0, -y); r < std::min(rows, view_.height - y); ++r) {
      const float* const src = added.row(y + r) + slice.first * added.stride + view_.offset(x);
      float* const dst = dst_rows[r] + channel * dst_stride;
      for (std::ptrdiff_t c = 0; c < slice.count; ++c) {
        const float* const terms[] = {dst + c * dst_stride, src + c * added.stride};
        network_->kernels.blend(terms, kOnes, 2, width, dst + c * dst_stride);
      }
    }
    channel += slice.count;
  }
}

/// Where columns of a row touch the edge of the picture, writes what its readers see beyond it.
void Stream::pad(int index, std::ptrdiff_t y, Range columns, int reach, int border) {
  const Range range{std::max<std::ptrdiff_t>(0, columns.begin), columns.end};
  if (range.begin > 0 && range.end < view_.width) return;
  const bool full = border == Head::kFullBorder;
  const int replicated = network_->padding == Padding::zeros ? 0 : full ? reach : std::min(border, reach);
  // Copies: a store to a row may, for all the compiler knows, change the ring, and where a row lies takes a division.
  const StripView view = view_;
  const Ring padded = ring(index);
  float* row = padded.row(y);
  for (std::ptrdiff_t c = 0; c < padded.channels; ++c, row += padded.stride) view.pad(row, range, reach, replicated);
}

/// Pointers to what lies `offset` floats from the first column of the strip in rows first .. first + count - 1 of a
/// ring, or in what stands for them outside the picture.
void Stream::gather(const Ring& ring, std::ptrdiff_t first, int count, std::ptrdiff_t offset, int border,
                    const float** rows) const {
  std::ptrdiff_t indices[kMaxRowsRead];
  gather_rows(first, count, view_.height, network_->padding, border, indices);
  for (int k = 0; k < count; ++k) {
    rows[k] = (indices[k] == kZeroRow ? zeros_.data() + ring.margin : ring.row(indices[k])) + offset;
  }
}

void Stream::run_head(const PackedHead& head, std::ptrdiff_t y) {
  const Ring& features = rings_.back();
  const std::ptrdiff_t rows = std::min(kBlock, view_.height - y);
  if (borders_differ_) {
    const std::ptrdiff_t last = std::min(view_.height, y + rows + reach_);
    for (std::ptrdiff_t r = std::max<std::ptrdiff_t>(0, y - reach_); r < last; ++r) {
      pad(last_ring(), r, columns(last_ring()), pad_reach_, head.border);
    }
  }
  const PackedConv& conv = head.conv;
  const Pieces pieces(view_.columns.size(), conv.in_blocks() ? team_->most() : 1);
  team_->run(pieces.count, [&](int index, int member) {
    const Range piece = pieces.of(index, view_.columns);
    const std::ptrdiff_t offset = view_.offset(piece.begin);
    const float* src_rows[kMaxRowsRead];
    float* dst_rows[kBlock];
    for (std::ptrdiff_t r = 0; r < kBlock; ++r) dst_rows[r] = planes(head, r) + offset;
    for (std::ptrdiff_t r = 0; r < rows; r += conv.rows_made) {
      gather(features, y + r - conv.before, conv.rows_read, offset - conv.before, head.border, src_rows);
      convolve(conv, src_rows, features.stride, dst_rows + r, stride_, piece.size(),
               members_[static_cast<std::size_t>(member)].scratchpad);
    }
  });
}

}  // namespace fsrcnn
