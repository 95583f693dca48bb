/* fsrcnn: super-resolution on the CPU, for C and C++.
 *
 * A model is opened from the bytes of a model file (weights/fsrcnn.safetensors and the others; docs/model-file.md). An
 * upscaler is made of it, and enlarges pictures. Results are those of the Python package to the bit, of the same
 * options: fsrcnn_rt.upscale(picture, model=..., precision=...) and Upscaler.upscale_planes. Which weights a picture
 * gets is up to the caller here.
 *
 * Errors. Whatever a function is given is checked before it does anything: NULL, sizes, strides, overlapping memory.
 * What is refused returns a status other than FSRCNN_OK, and fsrcnn_error() tells in a line which argument it was and
 * what its value is. Nothing is written then, and nothing is thrown. That `data` is as large as it is said to be cannot
 * be checked.
 *
 * Ownership. Whoever opens or creates something closes it; NULL is closed too. An upscaler keeps what it needs of its
 * model, which may be closed before. Pictures belong to the caller, and nothing points to them after a call.
 *
 * Threads. Any number of threads may use a model or an upscaler at a time, but for closing it. fsrcnn_error() is of the
 * calling thread. An upscaler runs `threads` threads a call, which all upscalers of the process share.
 */
#ifndef FSRCNN_H
#define FSRCNN_H

#include <stddef.h>
#include <stdint.h>

#if defined(__EMSCRIPTEN__)
#define FSRCNN_API __attribute__((used, visibility("default")))
#elif defined(_WIN32)
#if defined(FSRCNN_BUILDS)
#define FSRCNN_API __declspec(dllexport)
#else
#define FSRCNN_API __declspec(dllimport)
#endif
#else
#define FSRCNN_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fsrcnn_status {
  FSRCNN_OK = 0,
  FSRCNN_BAD_ARGUMENT = 1,
  FSRCNN_BAD_MODEL = 2, /* bytes that are no model file, or a model that cannot do what is asked for */
  FSRCNN_NO_MEMORY = 3,
  FSRCNN_FAILED = 4 /* the system refused something else */
} fsrcnn_status;

/* Version of the library, as "0.1.0". */
FSRCNN_API const char *fsrcnn_version(void);

/* Why the last call of this thread that was refused was: one line of UTF-8, valid until the next such call. Ask for it behind the
 * call, not in the arguments of the same expression: C may ask first. */
FSRCNN_API const char *fsrcnn_error(void);

/* ---- models ----------------------------------------------------------------------------------------------------- */

typedef struct fsrcnn_model fsrcnn_model;

/* Opens a model from the `size` bytes of a model file, which are not needed afterwards. A header of more than 8 MiB,
 * more than 2^23 weights, and whatever else docs/model-file.md does not allow is FSRCNN_BAD_MODEL. */
FSRCNN_API fsrcnn_status fsrcnn_model_open(const void *bytes, size_t size, fsrcnn_model **model);
FSRCNN_API void fsrcnn_model_close(fsrcnn_model *model);
/* Its name, in UTF-8; valid as long as the model. */
FSRCNN_API const char *fsrcnn_model_name(const fsrcnn_model *model);
/* Whether the model has a head for a scale, 2 to 4. Any other size takes several passes. */
FSRCNN_API int fsrcnn_model_has_scale(const fsrcnn_model *model, int scale);
/* Pixels of the picture on each side of its own that a pixel of a result may depend on, by a scale of the model. So
 * large pictures can be upscaled in parts, which overlap by that; in int16 they fit together to the bit. */
FSRCNN_API int fsrcnn_model_reach(const fsrcnn_model *model);

/* ---- upscalers -------------------------------------------------------------------------------------------------- */

typedef enum fsrcnn_precision {
  FSRCNN_AUTO = 0,    /* int16 for 8 bits, of small networks that have it (FSRCNN), else float32 */
  FSRCNN_FLOAT32 = 1, /* rounds as the instruction set does */
  FSRCNN_INT16 = 2    /* the same to the bit everywhere; docs/fixed-point.md */
} fsrcnn_precision;

typedef enum fsrcnn_colour {
  FSRCNN_GUIDED = 0,  /* chroma by the bicubic filter, and where it goes with luma it follows the sharp luma */
  FSRCNN_BICUBIC = 1, /* chroma by the bicubic filter alone */
  FSRCNN_RGB = 2      /* the network on red, green and blue, one by one */
} fsrcnn_colour;

typedef struct fsrcnn_options {
  size_t size;                /* of this struct, as fsrcnn_options_init sets it */
  fsrcnn_precision precision; /* FSRCNN_AUTO */
  fsrcnn_colour colour;       /* FSRCNN_GUIDED */
  float strength;             /* 1: how much is taken of what the network adds to bicubic luma, 0 to 1.5 */
  int guard;                  /* 1: luma is kept near the range of the 5x5 input pixels around */
  int threads;                /* 0: as many as this process may use; 1 to 1024 */
  const char *isa;            /* NULL: the fastest; or "reference", "baseline", "avx2", ...; only read by the call */
} fsrcnn_options;

typedef struct fsrcnn_upscaler fsrcnn_upscaler;

/* Sets the defaults, which stand above. */
FSRCNN_API void fsrcnn_options_init(fsrcnn_options *options);
/* `options` may be NULL. Brings the weights into the order in which the kernels read them; some milliseconds. */
FSRCNN_API fsrcnn_status fsrcnn_upscaler_create(const fsrcnn_model *model, const fsrcnn_options *options,
                                                fsrcnn_upscaler **upscaler);
FSRCNN_API void fsrcnn_upscaler_close(fsrcnn_upscaler *upscaler);

/* ---- pictures --------------------------------------------------------------------------------------------------- */

/* Sides of pictures are 1 to FSRCNN_MAX_SIDE. */
#define FSRCNN_MAX_SIDE (1 << 24)

/* A picture whose channels lie beside each other: 1 grey, 2 grey and alpha, 3 red, green and blue, 4 these and alpha.
 * Samples are uint8_t of 8 bits, or uint16_t of 16, of full range; alpha is not premultiplied. Rows are `stride` bytes
 * apart, at least as many as a row has; negative where `data`, the first pixel of the top row, is not the lowest
 * address. */
typedef struct fsrcnn_picture {
  void *data;
  int32_t width, height;
  int32_t channels;
  int32_t bits;
  ptrdiff_t stride;
} fsrcnn_picture;

/* Makes `source`, which is only read, as large as `result`: at least as large and not the same size, at most 16 times
 * as large, of as many channels and bits, apart in memory. Two, three or four times is what the network gives; any
 * other size comes of several passes, and an antialiased bicubic filter behind them. */
FSRCNN_API fsrcnn_status fsrcnn_upscale(const fsrcnn_upscaler *upscaler, const fsrcnn_picture *source,
                                        const fsrcnn_picture *result);

typedef enum fsrcnn_location {
  FSRCNN_LEFT = 0,   /* MPEG-2, H.264, H.265 */
  FSRCNN_CENTER = 1, /* JPEG, MPEG-1 */
  FSRCNN_TOPLEFT = 2
} fsrcnn_location;

/* A frame of planar YUV: luma of width x height, and Cb and Cr, or NULL for both. `across` and `down` are the luma
 * samples for each of chroma, 1, 2 or 4 each (2 and 2 is 4:2:0); odd sizes are rounded up. Samples are uint8_t of 8
 * bits, or uint16_t of 9 to 16. */
typedef struct fsrcnn_frame {
  void *planes[3];
  ptrdiff_t strides[3]; /* bytes, as of fsrcnn_picture */
  int32_t width, height;
  int32_t bits;
  int32_t across, down;
  fsrcnn_location location; /* where subsampled chroma lies */
} fsrcnn_frame;

/* As fsrcnn_upscale: luma by the network, chroma by the bicubic filter. The frames differ in nothing but their size. */
FSRCNN_API fsrcnn_status fsrcnn_upscale_frame(const fsrcnn_upscaler *upscaler, const fsrcnn_frame *source,
                                              const fsrcnn_frame *result);

#ifdef __cplusplus
}
#endif

#endif
