#pragma once
#include "CKernels.h"

extern const ck_kernels ck_scalar;
#if defined(__x86_64__)
extern const ck_kernels ck_avx2, ck_avx2vnni, ck_avx512, ck_avx512vnni, ck_avx512bf16, ck_amx;
#elif defined(__aarch64__)
extern const ck_kernels ck_neon;
#endif
