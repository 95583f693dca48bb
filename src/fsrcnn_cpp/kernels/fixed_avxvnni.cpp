#if !defined(__AVX2__) || !defined(__AVXVNNI__) || defined(__AVX512F__)
#error "compile with -mavx2 -mavxvnni"
#endif

#define FSRCNN_FIXED
#define FSRCNN_TABLE kAvxVnniFixedTable
#define FSRCNN_ISA_NAME "avxvnni"
#include "table-inl.h"
