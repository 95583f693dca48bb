#if !defined(__wasm_simd128__)
#error "compile with -msimd128"
#endif

#define FSRCNN_FIXED
#define FSRCNN_TABLE kSimd128FixedTable
#define FSRCNN_ISA_NAME "simd128"
#include "table-inl.h"
