#if !defined(__aarch64__)
#error "NEON kernels are for AArch64"
#endif

#define FSRCNN_FIXED
#define FSRCNN_TABLE kNeonFixedTable
#define FSRCNN_ISA_NAME "neon"
#include "table-inl.h"
