#include "TileStandIns.h"
#if defined(__x86_64__)
#define TABLE tile_stand_in_kernels
#define NAME "amx by stand-ins"
#define TARGET "avx2,fma,f16c"
#define BF16
#define TILE_STAND_INS "../../../Tests/TileStandIns/tile_registers.h"
#define OPERATIONS "../x86/amx_operations.h"
#include "../../Sources/CKernels/vector/table_of.inc"

const ck_kernels *tile_stand_ins(void) {
    bool runs = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    return runs ? &TABLE : NULL;
}
#else
const ck_kernels *tile_stand_ins(void) { return 0; }
#endif
