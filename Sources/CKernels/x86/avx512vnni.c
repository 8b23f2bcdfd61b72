// Vectors of 512 bits, with dot products of bytes.
#if defined(__x86_64__)
#define TABLE ck_avx512vnni
#define NAME "avx512vnni"
#define TARGET "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"
#define OPERATIONS "../x86/avx512_operations.h"
#define VNNI
#include "../vector/table_of.inc"
#endif
