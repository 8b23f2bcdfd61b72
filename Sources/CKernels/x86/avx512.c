#if defined(__x86_64__)
#include "../tables.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), apply_to = function)
#include "avx512_operations.h"
#include "../vector/matmul.h"
#include "../vector/elementwise.h"
#include "../vector/attention.h"
#include "../vector/limits.h"
#pragma clang attribute pop

#define TABLE ck_avx512
#define TABLE_NAME "avx512"
#include "../vector/table.h"
#endif
