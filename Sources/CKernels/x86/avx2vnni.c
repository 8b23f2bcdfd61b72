// Vectors of 256 bits, with dot products of bytes.
#if defined(__x86_64__)
#define TABLE ck_avx2vnni
#define NAME "avx2vnni"
#define TARGET "avx2,fma,f16c,avxvnni"
#define OPERATIONS "../x86/avx2_operations.h"
#define VNNI
#include "../vector/table_of.inc"
#endif
