#pragma once
#include "CKernels.h"

/// The table of AMX with plain C in place of the tile instructions and AVX2 in place of AVX-512: the same layouts, loops and
/// sums on any x86-64 processor of the last ten years. NULL on others.
const ck_kernels *_Nullable tile_stand_ins(void);
