#if defined(__x86_64__)
#include "../tables.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,amx-tile,amx-int8,amx-bf16,avx2,fma,f16c"))), apply_to = function)
#define VNNI
#define BF16
#include "amx_operations.h"
#include "../vector/matmul.h"
#include "../vector/elementwise.h"
#include "../vector/attention.h"
#include "../vector/limits.h"
#pragma clang attribute pop

#define TABLE ck_amx
#define TABLE_NAME "amx"
#include "../vector/table.h"
#endif
