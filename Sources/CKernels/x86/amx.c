// Vectors of 512 bits and tiles of 1 KiB.
#if defined(__x86_64__)
#define TABLE ck_amx
#define NAME "amx"
#define TARGET "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,amx-tile,amx-int8,amx-bf16,avx2,fma,f16c"
#define OPERATIONS "../x86/amx_operations.h"
#define VNNI
#define BF16
#include "../vector/table_of.inc"
#endif
