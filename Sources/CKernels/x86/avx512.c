// Vectors of 512 bits.
#if defined(__x86_64__)
#define TABLE ck_avx512
#define NAME "avx512"
#define TARGET "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"
#define OPERATIONS "../x86/avx512_operations.h"
#include "../vector/table_of.inc"
#endif
