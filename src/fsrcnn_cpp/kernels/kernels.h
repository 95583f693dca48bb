// The contract between the network and its kernels: one table of functions per instruction set.
//
// Layout. A feature row holds its channels one after another: channel c of column x lies at `row[c * stride + x]`.
// Vectors run over the columns of a row, so no channel count wastes a lane and the weight is the broadcast operand.
// Padding is data: where a kernel reads beyond the picture, the caller has put the zeros or the replicated edge there.
// A kernel computes whole vectors: it may read and write up to `kMaxLanes` floats past `width` in every row; what it
// leaves there is finite for finite input and never read as a result.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace fsrcnn {

inline constexpr int kMaxLanes = 16;     // floats in the widest vector of any table
inline constexpr int kMaxKernel = 15;    // most rows that a kernel reads: the largest convolution
inline constexpr int kDeconvKernel = 9;  // rows and columns of every transposed convolution
inline constexpr int kMaxStride = 4;

// Output channels are computed in blocks of nearly equal size: 32 channels on a table that takes at most 14 are
// 11 + 11 + 10, never 14 + 14 + 4. Weights are packed block by block.
constexpr int block_count(int oc, int max_block) { return (oc + max_block - 1) / max_block; }
constexpr int block_size(int oc, int max_block, int index) {
  const int count = block_count(oc, max_block);
  return oc / count + (index < oc % count ? 1 : 0);
}

// ---- conv2d: one row, stride 1, then PReLU ------------------------------------------------------------------------

struct Conv2dArgs {
  const float* const* src_rows;  // kh rows; tap (ky, kx) of column x is src_rows[ky][c * src_stride + x + kx]
  ptrdiff_t src_stride;
  int ic, kh, kw;
  int oc;
  const float* weights;  // [block][ic][kh][kw][channel of the block]
  const float* bias;     // [oc]
  const float* slope;    // [oc]; PReLU is max(x, 0) + slope * min(x, 0), whatever the slope
  float* dst;            // [oc][dst_stride]
  ptrdiff_t dst_stride;
  ptrdiff_t width;
};

// ---- winograd: four rows of a convolution with fewer multiplications, then PReLU ----------------------------------
//
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016). winograd3_conv2d is F(4x4, 3x3): 36
// products instead of 144 for a tile of 4x4 outputs, which reads 6x6 inputs. winograd5_conv2d is F(4, 5) down the
// columns of a 5x5 kernel and direct along its rows: 8 products instead of 20 for four outputs, which read 8 rows. An
// output rounds with all its tile reads, so the same picture gives the same bits only if tiles are anchored to it.

inline constexpr int kWinogradTile = 4;           // output rows at a time, and columns of a winograd3 tile
inline constexpr int kWinogradChunkColumns = 64;  // columns transformed at a time, at most
/// Floats past `width` that may be read and written in every row.
inline constexpr int kWinogradOverrun = kWinogradChunkColumns + kMaxLanes;

/// The interpolation points of winograd3 are 0, a, -a, b, -b and infinity.
inline constexpr float kWinograd3PointA = 0.75f, kWinograd3PointB = 1.5f;

constexpr bool has_winograd(int kernel) { return kernel == 3 || kernel == 5; }
/// Input rows of a block: also the points of one axis.
constexpr int winograd_points(int kernel) { return kWinogradTile + kernel - 1; }

struct WinogradArgs {
  const float* const* src_rows;  // winograd_points(kernel) rows; tap kx of column x at [i][c * src_stride + x + kx]
  ptrdiff_t src_stride;
  int ic, oc;
  const float* weights;  // transformed: 3x3: [block][6 * 6][ic][channel], 5x5: [block][8][ic][kx][channel of the block]
  const float* bias;     // [oc]
  const float* slope;    // [oc]
  float* const* dst_rows;  // 4 rows; column x goes to dst_rows[i][o * dst_stride + x]
  ptrdiff_t dst_stride;
  ptrdiff_t width;    // winograd3 computes whole tiles
  float* scratchpad;  // winograd_scratchpad(kernel, ic, oc) floats
};

constexpr ptrdiff_t winograd_scratchpad(int kernel, ptrdiff_t ic, ptrdiff_t oc) {
  return kernel == 3 ? 36 * (kWinogradChunkColumns / kWinogradTile) * (ic + 1 + oc)
                     : 8 * (kWinogradChunkColumns + kMaxLanes) * (ic + 16);
}

// ---- deconv2d: all stride x stride phases of one row --------------------------------------------------------------
//
// Output pixel (s*q + phase) of a transposed convolution sums, per axis, the inputs q + t whose kernel index
// k = phase + pad - s*t lies in 0..8. Each phase is thus a small convolution of its own, and no structural zero is
// multiplied.

constexpr int deconv_kernel_index(int phase, int t, int stride, int pad) { return phase + pad - stride * t; }
constexpr bool deconv_uses(int phase, int t, int stride, int pad) {
  const int k = deconv_kernel_index(phase, t, stride, pad);
  return k >= 0 && k < kDeconvKernel;
}
/// Smallest and largest t that any phase uses.
constexpr int deconv_first_tap(int stride, int pad) { return -((kDeconvKernel - 1 - pad) / stride); }
constexpr int deconv_last_tap(int stride, int pad) { return (stride - 1 + pad) / stride; }

struct Deconv2dArgs {
  int stride, pad;
  const float* const* src_rows;  // rows q + first_tap .. q + last_tap; of column x, tap t is at x + t - first_tap
  ptrdiff_t src_stride;
  int ic;
  const float* weights;  // per pass of `deconv2d_phase_rows`: [ic][t_y][t_x][phase_y][phase_x], used taps only
  float bias;
  float* dst;  // [stride * stride][dst_stride]: phase plane (phase_y * stride + phase_x)
  ptrdiff_t dst_stride;
  ptrdiff_t width;
};

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
/// 3x3 pixels is not finite.
struct SlopeArgs {
  const float* const* luma;    // 3 rows; columns -1 .. n are read
  const float* const* chroma;  // the same of one chroma plane
  const float *luma_lo, *luma_hi, *chroma_lo, *chroma_hi;
  ptrdiff_t n;
  float* dst;
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

struct KernelTable {
  const char* isa;
  int max_block;                            // output channels that conv2d and winograd_conv2d compute at a time
  int deconv2d_phase_rows[kMaxStride + 1];  // by stride: phase rows computed in one pass
  void (*conv2d)(const Conv2dArgs&);
  void (*winograd3_conv2d)(const WinogradArgs&);  // null, like the next, where conv2d serves
  void (*winograd5_conv2d)(const WinogradArgs&);
  void (*deconv2d)(const Deconv2dArgs&);
  /// `n` samples, `pixel_stride` bytes apart; integers are divided by `full`. By SampleType.
  void (*load[kSampleTypes])(const unsigned char* src, ptrdiff_t pixel_stride, ptrdiff_t n, float full, float* dst);
  /// Integers are multiplied by `full`, rounded half up and clipped; floats are stored as they are. By SampleType.
  void (*store[kSampleTypes])(const StoreArgs&);
  /// R'G'B' (0..1) to BT.601 luma (16..235)/255 and back; chroma is centred on 0.
  void (*rgb_to_y)(const float* r, const float* g, const float* b, ptrdiff_t n, float* y);
  void (*rgb_to_cbcr)(const float* r, const float* g, const float* b, ptrdiff_t n, float* cb, float* cr);
  void (*ycbcr_to_rgb)(float* y_r, float* cb_g, float* cr_b, ptrdiff_t n);  // in place
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
  /// chroma += slope * (luma - soft)
  void (*guide)(const float* luma, const float* soft, const float* slope, ptrdiff_t n, float* chroma);
  void (*correlate)(const CorrelateArgs&);
  void (*prelu_forward)(const float* z, float slope, ptrdiff_t n, float* dst);
  /// Makes the gradient with respect to PReLU's output, in place, that with respect to its input `z`, and returns the
  /// one with respect to the slope. Whole vectors: past `n`, the gradient is zero.
  float (*prelu_backward)(const float* z, float slope, ptrdiff_t n, float* gradient);
  /// `iterations` rounds of independent multiply-adds; returns how many floating-point operations they were.
  double (*fma_loop)(long iterations);
};

}  // namespace fsrcnn
