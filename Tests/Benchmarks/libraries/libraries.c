// Measures products of 480 tokens by 2048 x 2048 on one thread: ours, and those of OpenBLAS and oneDNN, whole and in pieces.
// Pieces are what one answer at every plan (float32: eight slices) or scales of groups (int8: 128 columns) would need. Prints
// Gop/s, the best of 10.
#include "CKernels.h"
#include <cblas.h>
#include <math.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TOKENS = 480, ROWS = 2048, COLUMNS = 2048, SLICES = 8, GROUP = 128, GROUPS = COLUMNS / GROUP };

static float *inputs, *weights, *output;
static uint8_t *input_codes;
static int8_t *weight_codes;
static int32_t *sums;
static const ck_kernels *kernels;
static ck_matmul product;

static void *memory(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!p) abort();
    return p;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void measure(const char *name, void (*work)(void)) {
    double best = 1e9;
    for (int i = 0; i < 10; i++) {
        const double start = now();
        work();
        best = fmin(best, now() - start);
    }
    printf("%-36s %6.0f\n", name, 2.0 * TOKENS * ROWS * COLUMNS / best / 1e9);
}

static void ours(void) { kernels->matmul(&product, (ck_part){0, 1}); }

static void open_blas(int64_t pieces) {
    const int64_t some = COLUMNS / pieces;
    for (int64_t i = 0; i < pieces; i++)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, TOKENS, ROWS, (int)some, 1, inputs + i * some, COLUMNS,
                    weights + i * some, COLUMNS, i > 0, output, ROWS);
}
static void open_blas_whole(void) { open_blas(1); }
static void open_blas_slices(void) { open_blas(SLICES); }

static void one_dnn(void) {
    dnnl_sgemm('N', 'T', TOKENS, ROWS, COLUMNS, 1, inputs, COLUMNS, weights, COLUMNS, 0, output, ROWS);
}

static void one_dnn_codes(int64_t pieces) {
    const int64_t some = COLUMNS / pieces;
    const int32_t zero = 0;
    for (int64_t i = 0; i < pieces; i++)
        dnnl_gemm_u8s8s32('N', 'T', 'F', TOKENS, ROWS, some, 1, input_codes + i * some, COLUMNS, 0, weight_codes + i * some,
                          COLUMNS, 0, 0, sums, ROWS, &zero);
}
static void one_dnn_codes_whole(void) { one_dnn_codes(1); }
static void one_dnn_codes_groups(void) { one_dnn_codes(GROUPS); }

/// Measures our product of the same shapes, in a format and with a kernel table.
static void measure_ours(const char *table, int format) {
    kernels = ck_select(table);
    if (!kernels) return;
    const bool is_codes = format == CK_INT8;
    const int64_t panel = ck_panel_bytes(format, COLUMNS, 1), scale_count = (int64_t)ROWS * GROUPS;
    char *data = memory((size_t)(panel * ROWS / CK_LANES));
    float *scales = memory((size_t)scale_count * sizeof *scales);
    for (int64_t i = 0; i < scale_count; i++) scales[i] = 0.01f;
    for (int64_t first = 0; first < ROWS; first += CK_LANES) {
        char *at = data + first / CK_LANES * panel;
        if (is_codes)
            ck_pack_codes(format, weight_codes + first * COLUMNS, CK_LANES, COLUMNS, COLUMNS, at);
        else
            ck_pack_floats(format, weights + first * COLUMNS, CK_LANES, COLUMNS, COLUMNS, 1, at);
    }
    // Groups have the length of the longest blocks, and slices consist of whole groups.
    ck_block blocks[GROUPS];
    for (int i = 0; i < GROUPS; i++) blocks[i] = (ck_block){i * GROUP, (i + 1) * GROUP, i, true, true};
    ck_matrix matrix = {.data = data,
                        .scales = scales,
                        .rows = ROWS,
                        .columns = COLUMNS,
                        .group_count = GROUPS,
                        .format = format,
                        .run = 1,
                        .slice_count = SLICES,
                        .blocks = blocks};
    for (int i = 0; i < SLICES; i++) {
        matrix.slice_ends[i] = COLUMNS / SLICES * (i + 1);
        matrix.slice_blocks[i] = GROUPS / SLICES * (i + 1);
    }
    int8_t *codes = memory((size_t)TOKENS * COLUMNS + 2048); // tiles read past the last token
    float *code_scales = memory((size_t)(TOKENS * GROUPS) * sizeof *code_scales + 64);
    int32_t *corrections = memory((size_t)(TOKENS * GROUPS) * sizeof *corrections + 64);
    ck_quantize quantize = {inputs, COLUMNS, TOKENS, COLUMNS, blocks, GROUPS, codes, code_scales, corrections};
    kernels->quantize(&quantize, (ck_part){0, 1});
    product = (ck_matmul){.weight = &matrix,
                          .input = {.values = inputs,
                                    .value_stride = COLUMNS,
                                    .codes = is_codes ? codes : NULL,
                                    .scales = code_scales,
                                    .corrections = corrections},
                          .tokens = TOKENS,
                          .output = output,
                          .output_stride = ROWS};
    char name[64];
    snprintf(name, sizeof name, "ours, %s, %s", is_codes ? "int8 by groups" : "float32 by slices", table);
    measure(name, ours);
    free(data), free(scales), free(codes), free(code_scales), free(corrections);
}

int main(void) {
    inputs = memory(sizeof *inputs * TOKENS * COLUMNS);
    weights = memory(sizeof *weights * ROWS * COLUMNS);
    output = memory(sizeof *output * TOKENS * ROWS);
    input_codes = memory((size_t)TOKENS * COLUMNS);
    weight_codes = memory((size_t)ROWS * COLUMNS);
    sums = memory(sizeof *sums * TOKENS * ROWS);
    for (int64_t i = 0; i < (int64_t)TOKENS * COLUMNS; i++) inputs[i] = (float)(i % 7) * 0.1f, input_codes[i] = i % 7;
    for (int64_t i = 0; i < (int64_t)ROWS * COLUMNS; i++) weights[i] = (float)(i % 5) * 0.1f, weight_codes[i] = i % 5;
    puts("480 tokens x 2048 x 2048, one thread     Gop/s");
    measure_ours("avx512", CK_F32);
    measure("OpenBLAS sgemm, whole", open_blas_whole);
    measure("OpenBLAS sgemm, by slices", open_blas_slices);
    measure("oneDNN sgemm, whole", one_dnn);
    measure_ours("avx512vnni", CK_INT8);
    measure_ours("amx", CK_INT8);
    measure("oneDNN u8s8s32, whole", one_dnn_codes_whole);
    measure("oneDNN u8s8s32, by groups, unscaled", one_dnn_codes_groups);
}
