// Vectors of 512 bits, with dot products of bytes and of pairs of bfloat16.
#if defined(__x86_64__)
#define TABLE ck_avx512bf16
#define NAME "avx512bf16"
#define TARGET "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,avx2,fma,f16c"
#define OPERATIONS "../x86/avx512_operations.h"
#define VNNI
#define BF16
#include "../vector/table_of.inc"
#endif
