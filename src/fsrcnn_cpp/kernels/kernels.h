// The contract between the network and its kernels: one table of functions per instruction set.
//
// Layout. A feature row holds its channels one after another: channel c of column x lies at `row[c * stride + x]`.
// Vectors run over the columns of a row, so no channel count wastes a lane and the weight is the broadcast operand.
// Padding is data: where a kernel reads beyond the picture, the caller has put the zeros or the replicated edge there.
// A kernel computes whole vectors: it may read and write up to `kMaxLanes` floats past `width` in every row; what it
// leaves there is finite for finite input and never read as a result.
//
// A cell of such a row has four bytes. In a table of floats it is a float. In a table of fixed point it is two int16,
// of channels 2c and 2c + 1: whoever moves rows moves cells, and need not know. `float` stands for both.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace fsrcnn {

inline constexpr int kMaxLanes = 16;   // floats in the widest vector of any table
inline constexpr int kMaxKernel = 17;  // taps a side of the largest convolution, transposed or not
inline constexpr int kMaxStride = 4;

/// What the cells of features are, and what a table computes with.
enum class Precision { float32, int16 };

// Output channels are computed in blocks of nearly equal size: 32 channels on a table that takes at most 14 are
// 11 + 11 + 10, never 14 + 14 + 4. Weights are packed block by block.
constexpr int block_count(int oc, int max_block) { return (oc + max_block - 1) / max_block; }
constexpr int block_size(int oc, int max_block, int index) {
  const int count = block_count(oc, max_block);
  return oc / count + (index < oc % count ? 1 : 0);
}

// ---- convolutions -------------------------------------------------------------------------------------------------
//
// All of stride 1 and followed by PReLU, which is max(x, 0) + slope * min(x, 0), whatever the slope. Kernels differ in
// how many rows they make at a time, in the order of the weights and in what they need for scratch: whoever packs the
// weights chooses the kernel, once.

struct ConvArgs {
  const float* const* src_rows;  // tap (ky, kx) of column x of row r: src_rows[r + ky][c * src_stride + x + kx]
  ptrdiff_t src_stride;
  float* const* dst_rows;  // channel o of column x of row r goes to dst_rows[r][o * dst_stride + x]
  ptrdiff_t dst_stride;
  int ic, oc;
  int kernel;  // taps a side, of either parity
  const float* weights;
  const float* bias;   // [oc]
  const float* slope;  // [oc]
  ptrdiff_t width;
  float* scratchpad;
  int step = 1;  // columns from a cell to the next that is read: 2 where a cell holds two columns
};
using ConvKernel = void (*)(const ConvArgs&);

// conv2d makes one row of anything, directly, and needs no scratch. Weights: [block][ic][ky][kx][channel of the block].

// conv2d_narrow makes one row of a few channels, for which conv2d would load more than it computes. Taps along a row
// are computed as channels, at the same column of the source all of them, and added where they meet. Weights:
// [block][ky][ic][channel of the block] of oc * kernel channels, of which o * kernel + kx is tap kx of o. Bias:
// [oc * kernel], 0 but for kx = 0. Slope: [oc * kernel] of 1, and then [oc].

inline constexpr int kNarrowColumns = 30 * kMaxLanes;  // computed at a time, at most: whole tiles of five channels

constexpr ptrdiff_t narrow_scratchpad(int kernel, ptrdiff_t oc) { return oc * kernel * (kNarrowColumns + kMaxLanes); }

// winograd3 and winograd5 make four rows with fewer multiplications: Lavin and Gray, "Fast Algorithms for Convolutional
// Neural Networks" (2016). winograd3 is F(4x4, 3x3): 36 products instead of 144 for a tile of 4x4 outputs, which reads
// 6x6 inputs. winograd5 is F(4, 5) down the columns and direct along the rows: 8 products instead of 20 for four
// outputs, which read 8 rows. An output rounds with all its tile reads, so the same picture gives the same bits only if
// tiles are anchored to it.
//
// Larger kernels are cut into parts of 3x3 taps, or of 5 rows, that start `winograd_part` taps further and are summed
// like channels: 9x9 takes 9 x 36 products instead of 1296, or 2 x 8 x 9 instead of 324. Where the last part reaches
// back into the one before it, the taps that both have are 0 in the last.
//
// Weights, transformed: winograd3: [block][6 * 6][ic][part_y][part_x][channel of the block]
//                       winograd5: [block][8][ic][part][kx][channel of the block]

inline constexpr int kWinogradTile = 4;           // output rows at a time, and columns of a winograd3 tile
inline constexpr int kWinogradChunkColumns = 64;  // columns transformed at a time, at most
/// Floats past `width` that may be read and written in every row; winograd3 computes whole tiles.
inline constexpr int kWinogradOverrun = kWinogradChunkColumns + kMaxLanes;
/// Rows that any kernel reads, at most.
inline constexpr int kMaxRowsRead = kMaxKernel + kWinogradTile - 1;

/// The interpolation points of winograd3 are 0, a, -a, b, -b and infinity.
inline constexpr float kWinograd3PointA = 0.75f, kWinograd3PointB = 1.5f;

/// Points of an axis of F(4, taps): also the inputs that a tile reads.
constexpr int winograd_points(int taps) { return kWinogradTile + taps - 1; }
/// Parts of `taps` taps that a kernel is cut into along an axis, and the tap that one of them starts at.
constexpr int winograd_parts(int kernel, int taps) { return (kernel + taps - 1) / taps; }
constexpr int winograd_part(int kernel, int taps, int index) {
  return (index + 1) * taps < kernel ? index * taps : kernel - taps;
}

constexpr ptrdiff_t winograd3_scratchpad(int kernel, ptrdiff_t ic, ptrdiff_t oc) {
  const ptrdiff_t parts = winograd_parts(kernel, 3);
  return 36 * (kWinogradChunkColumns / kWinogradTile) * (ic * parts * parts + 1 + oc + 1);
}
constexpr ptrdiff_t winograd5_scratchpad(int kernel, ptrdiff_t ic) {
  return 8 * (kWinogradChunkColumns + kMaxLanes) * (ic * winograd_parts(kernel, 5) + 16);
}

// deconv2d makes the stride x stride phases of one row of a transposed 9x9 convolution to one channel, as channels.
// Output pixel (s*q + phase) sums, per axis, the inputs q + t whose kernel index k = phase + pad - s*t there is. Each
// phase is thus a small convolution of its own, and no structural zero is multiplied. There is a kernel for each way to
// align a 9x9 kernel so that the output is stride times the input and nothing is cut off. `kernel` is last_tap -
// first_tap + 1, `bias` that of every phase; the slope is not read. Weights: per pass of `phase_rows` rows of phases
// [ic][t_y][t_x][phase_y][phase_x], used taps only.

inline constexpr int kDeconvKernel = 9;

constexpr int deconv_kernel_index(int phase, int t, int stride, int pad) { return phase + pad - stride * t; }
constexpr bool deconv_uses(int phase, int t, int stride, int pad, int kernel = kDeconvKernel) {
  const int k = deconv_kernel_index(phase, t, stride, pad);
  return k >= 0 && k < kernel;
}
/// Smallest and largest t that any phase uses.
constexpr int deconv_first_tap(int stride, int pad) { return -((kDeconvKernel - 1 - pad) / stride); }
constexpr int deconv_last_tap(int stride, int pad) { return (stride - 1 + pad) / stride; }

struct DeconvKernel {
  int stride, pad;
  int phase_rows;  // computed in one pass
  ConvKernel run;
};
inline constexpr int kDeconvKernels = 5;

// ---- fixed point ---------------------------------------------------------------------------------------------------
//
// Activations are int16 of at most kFixedMost in magnitude, weights int16 above -32768, sums int32. Whoever packs the
// weights proves that no sum overflows, so the order of a sum is free and every table gives the same bits.
//
// conv2d: `ic` and `oc` are planes of cells, two channels each. Weights: [block][ic][ky][cell of the row][channel of
// the block], a cell each, and a block is of planes. Bias: [2 * oc] int32, with half a unit of the shift that follows.
// Slope: [oc] of FixedActivation: sums are shifted, rounded down, saturated to int16, and multiplied by a factor in
// 1/32768, by its sign, rounded half up.
//
// conv2d_planes: the same sums as floats, times a power of two, which is exact but for the rounding of the sum to a
// float. `oc` are planes of floats. Weights as above, but blocks are of channels. Bias: [oc] int32. Slope: [oc] floats.
//
// winograd2 and winograd2_planes make four rows of the same, two at a time, with two thirds of the products: F(2, 3)
// down the columns, and F(2, 2) where the rows of a kernel are no multiple of three. What enters into both rows is
// summed twice over and halved, so that sums must stay below 2^30, and of a column of a part of a kernel the weights
// must sum to at most 32767 in magnitude: then nothing is lost, and the bits are those of a direct sum. Of 3 taps g and
// 4 inputs d:
//   both rows      (d1 + d2) (g0 + g1 + g2) + (d2 - d1) (g0 - g1 + g2), and the difference of these products
//   one for itself (d0 - d2) g0                                         (d3 - d1) g2
// and of 2 taps and 3 inputs: 2 d1 (g0 + g1) for both, (d0 - d1) g0 and (d2 - d1) g1.
//
// Weights, by block: a header of kWinograd2Header int32, and cells for the products above:
//   [part of 2 taps][ic][cell of the row][channel]  of 2 d1
//   [part of 3 taps][ic][cell of the row][channel]  of d1 + d2, and as many of d2 - d1
//   [part][ic][cell of the row][channel]            of the upper row for itself, and as many of the lower
// Bias: twice that of conv2d. The header says: how many channels the block has, the first of them, the step to the
// next, the first column of taps that is used, and how many are. The phases of a head that lie in one column use the
// same columns.

inline constexpr int kWinograd2Header = 5;
inline constexpr int kWinograd2Sums = 12;  // vectors of a tile, at most

/// How two rows or more of a kernel are cut: parts of three first.
struct Winograd2Parts {
  constexpr explicit Winograd2Parts(int kernel) : twos((3 - kernel % 3) % 3), threes((kernel - 2 * twos) / 3) {}

  constexpr int count() const { return threes + twos; }
  constexpr int first_row(int part) const { return part < threes ? 3 * part : 3 * threes + 2 * (part - threes); }
  constexpr int rows(int part) const { return part < threes ? 3 : 2; }
  /// Products for two outputs of a column.
  constexpr int products() const { return 4 * threes + 3 * twos; }

  int twos, threes;
};

inline constexpr ptrdiff_t kWinograd2Stride = kWinogradChunkColumns + kMaxLanes;  // cells between planes of points

/// Points, the sums of a tile, and where taps lie, for each column of phases.
constexpr ptrdiff_t winograd2_scratchpad(int kernel, ptrdiff_t ic) {
  const ptrdiff_t planes = Winograd2Parts(kernel).products() * ic;
  return planes * (kWinograd2Stride + kMaxStride * kernel) + kWinograd2Sums * kMaxLanes;
}

// Luma is one plane of cells that hold columns x and x + 1. Its kernels have `step` 2 and (kernel + 1) / 2 cells a row.

inline constexpr int kFixedMost = 16383;
/// What 1 is as luma: 32 for each code of 8 bits, with room for what overshoots between passes.
inline constexpr int kFixedLuma = 32 * 255;

/// How the sums of channels 2c and 2c + 1 become activations.
struct FixedActivation {
  int32_t shift[2];
  int16_t positive[2], negative[2];  // at most kFixedMost in magnitude
};
inline constexpr int kFixedActivationCells = sizeof(FixedActivation) / sizeof(float);

// ---- pixel I/O ----------------------------------------------------------------------------------------------------

enum class SampleType { u8, u16, f32 };
inline constexpr int kSampleTypes = 3;
constexpr int sample_bytes(SampleType type) { return type == SampleType::u8 ? 1 : type == SampleType::u16 ? 2 : 4; }

/// How samples are numbers: `full` stands for 1, and integers are clipped to 0 .. `max`.
struct SampleRange {
  float full, max;
};

struct StoreArgs {
  const float* const* planes;  // [phases][channels] rows of `width` floats
  int phases, channels;
  ptrdiff_t width;
  unsigned char* dst;  // pixel (x * phases + phase), channel c lies at dst + pixel * pixel_stride + c * channel_stride
  ptrdiff_t pixel_stride, channel_stride;  // bytes
  SampleRange range;
};

/// Y'CbCr to R'G'B', in place. Where luma is given as it would be without the network (`soft`), chroma follows it
/// first: chroma += slope * (luma - soft).
struct ColourArgs {
  float *y_r, *cb_g, *cr_b;
  ptrdiff_t n;
  const float* soft = nullptr;
  const float* slopes[2] = {};  // of Cb and Cr
};

// ---- resample: along a row, with taps of its own for every output ---------------------------------------------------

inline constexpr int kResampleRows = 16;     // computed side by side: vectors run down the rows
inline constexpr int kResampleColumns = 64;  // outputs computed at a time, at most

struct ResampleArgs {
  const float* const* src_rows;  // kResampleRows rows; tap t of output x is src_rows[r][first[x] - origin + t]
  ptrdiff_t origin;
  const ptrdiff_t* first;  // ascends by at most n * taps / 4 + 1 over n outputs
  const float* weights;    // [output][taps]
  int taps;
  ptrdiff_t width;         // outputs
  float* const* dst_rows;  // kResampleRows rows
  float* scratchpad;       // resample_scratchpad(taps) floats
};

constexpr ptrdiff_t resample_scratchpad(ptrdiff_t taps) {
  const ptrdiff_t span = kResampleColumns * taps / 4 + 1 + taps;  // of the source, under a chunk of outputs
  return kResampleRows * (span + kMaxLanes + kResampleColumns);
}

// ---- what follows the network -------------------------------------------------------------------------------------

/// Brings `count` planes into [lo - margin, hi + margin] of their column, where margin = part * (hi - lo) + slack. NaN
/// stays NaN. A bound that is not finite bounds nothing; lo > hi, of nothing but NaN, is met by NaN alone.
struct ClampArgs {
  const float *lo, *hi;
  float part, slack;
  float* planes;
  ptrdiff_t stride;  // between planes
  int count;
  ptrdiff_t n;
};

// How chroma goes with luma, in units of full scale: what is noise of luma to a regression, what keeps a correlation
// from being that of rounding, and a luma range that is none.
inline constexpr float kSlopeNoise = 3e-4f, kSlopeTiny = 1e-9f, kSlopeSlack = 1e-3f;

/// How much chroma changes with luma around a pixel: covariance / (variance of luma + kSlopeNoise) over 3x3 pixels,
/// times the fourth power of their correlation, and at most (chroma_hi - chroma_lo) / (luma_hi - luma_lo + kSlopeSlack)
/// in magnitude. The squared correlation is covariance^2 / (the variances' product + kSlopeTiny). NaN where one of the
/// 3x3 pixels is not finite. Of both chroma planes.
struct SlopeArgs {
  const float* const* luma;       // 3 rows; columns -1 .. n are read
  const float* const* chroma[2];  // the same
  const float *luma_lo, *luma_hi, *chroma_lo[2], *chroma_hi[2];
  ptrdiff_t n;
  float* dst[2];
};

// ---- training -----------------------------------------------------------------------------------------------------

/// dst[r][c] += sum over x of a[r][x] * b[c][x]. Whole vectors are read: past `n`, `a` is zero and `b` finite.
struct CorrelateArgs {
  const float* const* a;
  const float* const* b;
  int rows, columns;
  ptrdiff_t n;
  float* dst;  // [rows][columns]
};

/// Of one precision. Those of fixed point have pixel kernels that every one of them rounds alike.
struct KernelTable {
  const char* isa;
  Precision precision;
  int max_block;  // output channels that a convolution computes at a time
  ConvKernel conv2d;
  // Null where conv2d serves.
  ConvKernel conv2d_narrow = nullptr, winograd3 = nullptr, winograd5 = nullptr;
  DeconvKernel deconv2d[kDeconvKernels] = {};
  /// `n` samples, `pixel_stride` bytes apart; integers are divided by `full`, which is an integer too. By SampleType.
  void (*load[kSampleTypes])(const unsigned char* src, ptrdiff_t pixel_stride, ptrdiff_t n, float full, float* dst);
  /// Integers are multiplied by `full`, rounded half up and clipped; floats are stored as they are. By SampleType.
  void (*store[kSampleTypes])(const StoreArgs&);
  /// R'G'B' (0..1) to BT.601 luma (16..235)/255 and back; chroma is centred on 0.
  void (*rgb_to_y)(const float* r, const float* g, const float* b, ptrdiff_t n, float* y);
  void (*rgb_to_cbcr)(const float* r, const float* g, const float* b, ptrdiff_t n, float* cb, float* cr);
  void (*ycbcr_to_rgb)(const ColourArgs&);
  /// dst[x] = sum of weights[i] * src[i][x]: one axis of the bicubic filter, down rows or along shifted columns.
  void (*blend4)(const float* const* src, const float* weights, ptrdiff_t n, float* dst);
  /// The same of `count` sources, 1 or more: down rows, where what is larger is made smaller. `dst` may be a source.
  void (*blend)(const float* const* src, const float* weights, int count, ptrdiff_t n, float* dst);
  void (*resample)(const ResampleArgs&);
  /// lo[x]: the smallest of low[i][x] of five; hi[x]: the largest of high[i][x]. One axis of a 5x5 window, down rows or
  /// along shifted columns. NaN counts for nothing: of nothing but NaN they are infinity and -infinity.
  void (*range5)(const float* const* low, const float* const* high, ptrdiff_t n, float* lo, float* hi);
  void (*clamp)(const ClampArgs&);
  void (*slope)(const SlopeArgs&);

  // Of floats alone.
  void (*correlate)(const CorrelateArgs&) = nullptr;
  void (*prelu_forward)(const float* z, float slope, ptrdiff_t n, float* dst) = nullptr;
  /// Makes the gradient with respect to PReLU's output, in place, that with respect to its input `z`, and returns the
  /// one with respect to the slope. Whole vectors: past `n`, the gradient is zero.
  float (*prelu_backward)(const float* z, float slope, ptrdiff_t n, float* gradient) = nullptr;
  /// `iterations` rounds of independent multiply-adds; returns how many floating-point operations they were.
  double (*fma_loop)(long iterations) = nullptr;

  // Of fixed point alone.
  ConvKernel conv2d_planes = nullptr;
  int winograd2_block = 0;                                     // channels that it computes at a time, at most
  ConvKernel winograd2 = nullptr, winograd2_planes = nullptr;  // null where the others serve
  /// Cells of columns x and x + 1 of a row of luma, for n columns: in units of 1 / kFixedLuma, rounded half up and
  /// saturated; NaN is -kFixedMost. n + 1 floats are read, and whole vectors.
  void (*to_cells)(const float* src, ptrdiff_t n, float* cells) = nullptr;
};

}  // namespace fsrcnn
