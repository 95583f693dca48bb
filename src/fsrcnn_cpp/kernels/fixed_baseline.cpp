#if defined(__AVX__)
#error "baseline is compiled without ISA flags"
#endif

#define FSRCNN_FIXED
#define FSRCNN_TABLE kBaselineFixedTable
#define FSRCNN_ISA_NAME "baseline"
#include "table-inl.h"
