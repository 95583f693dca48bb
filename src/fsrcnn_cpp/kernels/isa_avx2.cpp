#if !defined(__AVX2__) || !defined(__FMA__) || defined(__AVX512F__)
#error "compile with -mavx2 -mfma"
#endif

#define FSRCNN_TABLE kAvx2Table
#define FSRCNN_ISA_NAME "avx2"
#include "table-inl.h"
