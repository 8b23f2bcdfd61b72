#if defined(__x86_64__)
#include "../tables.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "avx2_operations.h"
#include "../vector/matmul.h"
#include "../vector/elementwise.h"
#include "../vector/attention.h"
#include "../vector/limits.h"
#pragma clang attribute pop

#define TABLE ck_avx2
#define TABLE_NAME "avx2"
#include "../vector/table.h"
#endif
