// Vectors of 256 bits.
#if defined(__x86_64__)
#define TABLE ck_avx2
#define NAME "avx2"
#define TARGET "avx2,fma,f16c"
#define OPERATIONS "../x86/avx2_operations.h"
#include "../vector/table_of.inc"
#endif
