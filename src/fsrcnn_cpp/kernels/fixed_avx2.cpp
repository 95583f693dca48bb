#if !defined(__AVX2__) || defined(__AVXVNNI__) || defined(__AVX512F__)
#error "compile with -mavx2"
#endif

#define FSRCNN_FIXED
#define FSRCNN_TABLE kAvx2FixedTable
#define FSRCNN_ISA_NAME "avx2"
#include "table-inl.h"
