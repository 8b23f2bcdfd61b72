#define _GNU_SOURCE
#include "CKernels.h"
#include "tables.h"
#include <string.h>
#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

static bool always(void) { return true; }

#if defined(__x86_64__)
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
static bool has_avx2vnni(void) { return has_avx2() && __builtin_cpu_supports("avxvnni"); }
static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
static bool has_avx512vnni(void) { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }
static bool has_avx512bf16(void) { return has_avx512vnni() && __builtin_cpu_supports("avx512bf16"); }

/// Tells whether the processor has tiles, and asks the system for permission to use them, without which their first use
/// ends the process (Linux, Documentation/arch/x86/xstate.rst).
static bool has_amx(void) {
    const int request_permission = 0x1023, tile_data = 18;
    return has_avx512bf16() && __builtin_cpu_supports("amx-int8") && __builtin_cpu_supports("amx-bf16") &&
           syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#elif defined(__aarch64__)
static bool has_dot_products(void) { return getauxval(AT_HWCAP) & HWCAP_ASIMDDP; }
#endif

enum { any_vendor = 1 << CK_OTHER_VENDOR | 1 << CK_INTEL | 1 << CK_AMD };

/// The tables in order of preference. `fast_on` holds the vendors on whose processors the table is fast (Kernels.md has
/// the measurements).
static const struct {
    const ck_kernels *table;
    bool (*runs)(void);
    int fast_on;
} tables[] = {
    {&ck_scalar, always, any_vendor},
#if defined(__x86_64__)
    {&ck_avx2, has_avx2, any_vendor},
    {&ck_avx2vnni, has_avx2vnni, any_vendor},
    {&ck_avx512, has_avx512, any_vendor},
    {&ck_avx512vnni, has_avx512vnni, any_vendor},
    // On AMD's processors vdpbf16ps does twice the operations of float32 multiply-adds, on Intel's half as many (`bench
    // limits`; figures in Kernels.md).
    {&ck_avx512bf16, has_avx512bf16, 1 << CK_AMD},
    {&ck_amx, has_amx, any_vendor},
#elif defined(__aarch64__)
    {&ck_neon, has_dot_products, any_vendor},
#endif
};

enum { table_count = sizeof tables / sizeof tables[0] };

const ck_kernels *ck_table(int32_t index, bool *runs) {
    if (index < 0 || index >= table_count) return NULL;
    *runs = tables[index].runs();
    return tables[index].table;
}

bool ck_is_fast(int32_t index, int32_t vendor) {
    return index >= 0 && index < table_count && (tables[index].fast_on >> vendor & 1);
}

int32_t ck_vendor(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_is("intel")) return CK_INTEL;
    if (__builtin_cpu_is("amd")) return CK_AMD;
#endif
    return CK_OTHER_VENDOR;
}

const ck_kernels *ck_select(const char *name) {
    for (int i = 0; i < table_count; i++)
        if (strcmp(name, tables[i].table->name) == 0) return tables[i].runs() ? tables[i].table : NULL;
    return NULL;
}
