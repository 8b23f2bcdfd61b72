// Vectors of 128 bits, with dot products of bytes.
#if defined(__aarch64__)
#define TABLE ck_neon
#define NAME "neon"
#define TARGET "dotprod"
#define OPERATIONS "../arm/neon_operations.h"
#include "../vector/table_of.inc"
#endif
