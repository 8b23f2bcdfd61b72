#if defined(__aarch64__)
#include "../tables.h"
#include <arm_neon.h>
#include <math.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#include "neon_operations.h"
#include "../vector/matmul.h"
#include "../vector/elementwise.h"
#include "../vector/attention.h"
#include "../vector/limits.h"
#pragma clang attribute pop

#define TABLE ck_neon
#define TABLE_NAME "neon"
#include "../vector/table.h"
#endif
