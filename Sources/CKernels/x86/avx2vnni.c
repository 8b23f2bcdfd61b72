#if defined(__x86_64__)
#include "../tables.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avxvnni"))), apply_to = function)
#define VNNI
#include "avx2_operations.h"
#include "../vector/matmul.h"
#include "../vector/elementwise.h"
#include "../vector/attention.h"
#include "../vector/limits.h"
#pragma clang attribute pop

#define TABLE ck_avx2vnni
#define TABLE_NAME "avx2vnni"
#include "../vector/table.h"
#endif
