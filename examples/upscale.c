/* Makes a picture three times as large: upscale MODEL IN.pgm OUT.pgm, or .ppm; 8 bits. */
#include <fsrcnn.h>
#include <stdio.h>
#include <stdlib.h>

static void check(int is_fine, const char *problem) {
  if (is_fine) return;
  fprintf(stderr, "upscale: %s\n", problem);
  exit(1);
}

static void check_call(fsrcnn_status status) { check(status == FSRCNN_OK, fsrcnn_error()); }

int main(int argc, char **argv) {
  static unsigned char bytes[1 << 23];
  fsrcnn_model *model;
  fsrcnn_upscaler *upscaler;
  fsrcnn_picture small = {.bits = 8}, large;
  char kind;
  check(argc == 4, "usage: upscale MODEL IN.pgm OUT.pgm");

  FILE *file = fopen(argv[1], "rb");
  check(file != NULL, "the model cannot be read");
  check_call(fsrcnn_model_open(bytes, fread(bytes, 1, sizeof bytes, file), &model));
  check_call(fsrcnn_upscaler_create(model, NULL, &upscaler));

  check((file = freopen(argv[2], "rb", file)) != NULL, "the picture cannot be read");
  check(fscanf(file, "P%c %d %d 255", &kind, &small.width, &small.height) == 3 && fgetc(file) != EOF &&
            small.width > 0 && small.width < 20000 && small.height > 0 && small.height < 20000,
        "the picture is no plain PGM or PPM");
  small.channels = kind == '6' ? 3 : 1;
  small.stride = (ptrdiff_t)small.width * small.channels;
  small.data = malloc((size_t)small.stride * small.height);
  check(small.data && fread(small.data, small.stride, small.height, file) == (size_t)small.height, "it is cut short");

  large = small;
  large.width *= 3, large.height *= 3, large.stride *= 3;
  check((large.data = malloc((size_t)large.stride * large.height)) != NULL, "there is not enough memory");
  check_call(fsrcnn_upscale(upscaler, &small, &large));

  check((file = freopen(argv[3], "wb", file)) != NULL, "the result cannot be written");
  fprintf(file, "P%c\n%d %d\n255\n", kind, large.width, large.height);
  check(fwrite(large.data, large.stride, large.height, file) == (size_t)large.height && !fclose(file), "disk full");
  free(small.data), free(large.data), fsrcnn_upscaler_close(upscaler), fsrcnn_model_close(model);
  return 0;
}
