#include "TileStandIns.h"
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define BF16
#define TILE_STAND_INS "../../../Tests/TileStandIns/tile_registers.h"
#include "../../Sources/CKernels/x86/amx_operations.h"
#include "../../Sources/CKernels/vector/matmul.h"
#include "../../Sources/CKernels/vector/elementwise.h"
#include "../../Sources/CKernels/vector/attention.h"
#include "../../Sources/CKernels/vector/limits.h"
#pragma clang attribute pop

#define TABLE stand_ins
#define TABLE_NAME "amx by stand-ins"
static
#include "../../Sources/CKernels/vector/table.h"

const ck_kernels *tile_stand_ins(void) {
    bool runs = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    return runs ? &stand_ins : NULL;
}
#else
const ck_kernels *tile_stand_ins(void) { return 0; }
#endif
