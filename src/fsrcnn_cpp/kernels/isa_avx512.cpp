#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512DQ__) || !defined(__AVX512VL__)
#error "compile with -mavx512f -mavx512bw -mavx512dq -mavx512vl"
#endif

#define FSRCNN_TABLE kAvx512Table
#define FSRCNN_ISA_NAME "avx512"
#include "table-inl.h"
