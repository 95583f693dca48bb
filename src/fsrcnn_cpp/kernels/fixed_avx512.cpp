#if !defined(__AVX512F__) || !defined(__AVX512BW__) || defined(__AVX512VNNI__)
#error "compile with -mavx512f -mavx512bw"
#endif

#define FSRCNN_FIXED
#define FSRCNN_TABLE kAvx512FixedTable
#define FSRCNN_ISA_NAME "avx512"
#include "table-inl.h"
