// AMX's tile registers and instructions in plain C (Intel SDM, volume 2: LDTILECFG, TILELOADD, TDPBSSD, TDPBF16PS).
//
// Shapes that the processor refuses end the process: a kernel that uses them would fail on the real instructions.
#pragma once
#include "../../Sources/CKernels/x86/avx2_operations.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct tile_register {
    int rows, row_bytes;
    _Alignas(64) uint8_t data[16][64];
} tile_register;

static _Thread_local tile_register tile_registers[8];

static void tile_require(bool holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "tile_registers.h: the processor would refuse: %s\n", what);
    abort();
}

static void tile_configure(const void *shapes) {
    const uint8_t *bytes = shapes;
    tile_require(bytes[0] == 1, "a palette other than 1");
    for (int t = 0; t < 8; t++) {
        tile_register *tile = &tile_registers[t];
        *tile = (tile_register){.rows = bytes[48 + t], .row_bytes = bytes[16 + 2 * t] | bytes[17 + 2 * t] << 8};
        tile_require(tile->rows <= 16 && tile->row_bytes <= 64, "a tile of more than 16 rows of 64 bytes");
    }
}

static void tile_forget(void) { memset(tile_registers, 0, sizeof tile_registers); }

static void tile_clear(int t) { memset(tile_registers[t].data, 0, sizeof tile_registers[t].data); }

static void tile_load(int t, const void *base, int64_t stride) {
    tile_register *tile = &tile_registers[t];
    tile_require(tile->rows > 0 && tile->row_bytes > 0, "a tile that is not configured");
    tile_clear(t);
    for (int r = 0; r < tile->rows; r++) memcpy(tile->data[r], (const char *)base + r * stride, (size_t)tile->row_bytes);
}

static void tile_store(int t, void *base, int64_t stride) {
    const tile_register *tile = &tile_registers[t];
    for (int r = 0; r < tile->rows; r++) memcpy((char *)base + r * stride, tile->data[r], (size_t)tile->row_bytes);
}

static void tile_require_product(const tile_register *c, const tile_register *a, const tile_register *b) {
    tile_require(c->rows == a->rows && c->row_bytes == b->row_bytes && a->row_bytes % 4 == 0 && a->row_bytes / 4 == b->rows,
                 "a product of shapes that do not fit");
}

static void tile_multiply_bytes(int sum, int inputs, int weights) {
    tile_register *c = &tile_registers[sum];
    const tile_register *a = &tile_registers[inputs], *b = &tile_registers[weights];
    tile_require_product(c, a, b);
    for (int m = 0; m < c->rows; m++)
        for (int n = 0; n < c->row_bytes / 4; n++) {
            int32_t total;
            memcpy(&total, &c->data[m][4 * n], 4);
            for (int k = 0; k < a->row_bytes; k++) total += (int8_t)a->data[m][k] * (int8_t)b->data[k / 4][4 * n + k % 4];
            memcpy(&c->data[m][4 * n], &total, 4);
        }
}

/// Even columns and odd ones are added up apart, with fused operations that round to nearest and take subnormal numbers
/// for zero; then both, then the sum that was there.
static void tile_multiply_pairs(int sum, int inputs, int weights) {
    tile_register *c = &tile_registers[sum];
    const tile_register *a = &tile_registers[inputs], *b = &tile_registers[weights];
    tile_require_product(c, a, b);
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040);
    for (int m = 0; m < c->rows; m++)
        for (int n = 0; n < c->row_bytes / 4; n++) {
            float parts[2] = {0, 0}, total;
            for (int k = 0; k < a->row_bytes / 2; k++) {
                uint16_t x, w;
                memcpy(&x, &a->data[m][2 * k], 2);
                memcpy(&w, &b->data[k / 2][4 * n + k % 2 * 2], 2);
                parts[k % 2] = fmaf(ck_from_bf16(x), ck_from_bf16(w), parts[k % 2]);
            }
            memcpy(&total, &c->data[m][4 * n], 4);
            total += parts[0] + parts[1];
            memcpy(&c->data[m][4 * n], &total, 4);
        }
    _mm_setcsr(mode);
}

INLINE void mt_write(float *p, vf x) { vf_store(p, x); }
INLINE void mt_fence(void) {}
INLINE void mt_store_codes(void *p, vi codes, vi offset) {
    __m256i low = _mm256_sub_epi8(codes.low, offset.low), high = _mm256_sub_epi8(codes.high, offset.high);
    vi_store(p, (vi)BOTH(low, high));
}

#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbssd
#undef _tile_dpbf16ps
#define _tile_loadconfig tile_configure
#define _tile_release tile_forget
#define _tile_zero tile_clear
#define _tile_loadd tile_load
#define _tile_stored tile_store
#define _tile_dpbssd tile_multiply_bytes
#define _tile_dpbf16ps tile_multiply_pairs
