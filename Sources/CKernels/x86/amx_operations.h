// Matrix tiles of AMX. vector/operations.md says what the operations mean.
//
// Tiles 0 to 3 hold sums. Tiles 4 and 5 hold inputs [tokens][bytes of the block], and tiles 6 and 7 hold weights, which
// are the steps of a panel.
#pragma once
#define MATRIX_TILES 1
#ifdef TILE_STAND_INS
#include TILE_STAND_INS // for tests: the vectors of another table, and plain C in place of tile instructions
#else
#include "avx512_operations.h"
INLINE void mt_store_codes(void *p, vi codes, vi offset) { _mm512_storeu_si512(p, _mm512_sub_epi8(codes, offset)); }
#endif

INLINE void mt_open(int tokens, int block_bytes) {
    _Alignas(64) struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shapes = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        shapes.row_bytes[t] = (uint16_t)(t / 2 == 2 ? block_bytes : 64);
        shapes.rows[t] = (uint8_t)(t / 2 == 3 ? block_bytes / 4 : tokens);
    }
    _tile_loadconfig(&shapes);
}
INLINE void mt_close(void) { _tile_release(); }

#define CODE_TILE(sum, inputs, weights)                                                                                        \
    INLINE void mt_start_##sum(const void *w, const void *x, int block) {                                                      \
        _tile_zero(sum);                                                                                                       \
        _tile_loadd(weights, w, 64);                                                                                           \
        _tile_loadd(inputs, x, block);                                                                                         \
        _tile_dpbssd(sum, inputs, weights);                                                                                    \
    }                                                                                                                          \
    INLINE void mt_store_##sum(int32_t *out) { _tile_stored(sum, out, 64); }
CODE_TILE(0, 4, 6)
CODE_TILE(1, 5, 7)
CODE_TILE(2, 4, 6)
CODE_TILE(3, 5, 7)

/// `count` blocks of weights and of inputs. Panels of weights lie `w_stride` bytes apart, and blocks of inputs
/// `x_stride` bytes.
typedef struct mt_blocks {
    const char *w, *x;
    int64_t w_stride, x_stride, count;
} mt_blocks;

INLINE void mt_pairs(float *out, mt_blocks b, int block, int P, int M) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (; b.count > 0; b.count--, b.w += block * 32, b.x += b.x_stride) {
        _tile_loadd(4, b.x, 2 * block);
        _tile_loadd(6, b.w, 64);
        _tile_dpbf16ps(0, 4, 6);
        if (P == 2) {
            _tile_loadd(7, b.w + b.w_stride, 64);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (M == 2) {
            _tile_loadd(5, b.x + 32 * block, 2 * block);
            _tile_dpbf16ps(2, 5, 6);
            if (P == 2) _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, out, 64);
    if (P == 2) _tile_stored(1, out + 256, 64);
    if (M == 2) _tile_stored(2, out + 512, 64);
    if (P == 2 && M == 2) _tile_stored(3, out + 768, 64);
}

/// Makes vectors take subnormal numbers for zero, as tiles do, for products by vectors that must give the bits of tiles.
/// Returns the mode to restore.
INLINE unsigned mt_flush_subnormals(void) {
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040);
    return mode;
}
INLINE void mt_restore(unsigned mode) { _mm_setcsr(mode); }

/// Multiplies full tiles in registers, four in each round.
INLINE void mt_peak(int64_t rounds, bool is_integer, float *out) {
    _Alignas(64) char bytes[1024];
    memset(bytes, (int)(rounds & 1), sizeof bytes);
    mt_open(16, 64);
    _tile_loadd(4, bytes, 64);
    _tile_loadd(6, bytes, 64);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (; rounds > 0; rounds--)
        if (is_integer) {
            _tile_dpbssd(0, 4, 6);
            _tile_dpbssd(1, 4, 6);
            _tile_dpbssd(2, 4, 6);
            _tile_dpbssd(3, 4, 6);
        } else {
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 6);
            _tile_dpbf16ps(2, 4, 6);
            _tile_dpbf16ps(3, 4, 6);
        }
    _tile_stored(0, bytes, 64);
    mt_close();
    memcpy(out, bytes, 4);
}
