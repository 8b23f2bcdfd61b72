// Matrix tiles of AMX. vector/operations.md says what the operations mean.
//
// Tiles 0 to 3 hold sums, tiles 4 and 5 inputs [tokens][row bytes], and tiles 6 and 7 weights, which are steps of a panel.
#pragma once
#define MATRIX_TILES 1
#ifdef TILE_STAND_INS
#include TILE_STAND_INS // for tests: the vectors of another table, and plain C in place of tile instructions
#else
#include "avx512_operations.h"
INLINE void mt_store_codes(void *p, vi codes, vi offset) { _mm512_storeu_si512(p, _mm512_sub_epi8(codes, offset)); }
INLINE void mt_write(float *p, vf x) {
    if ((uintptr_t)p % 64 == 0)
        _mm512_stream_ps(p, x);
    else
        _mm512_storeu_ps(p, x);
}
INLINE void mt_fence(void) { _mm_sfence(); }
#endif

INLINE void mt_open(int tokens, int row_bytes) {
    _Alignas(64) struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shapes = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        shapes.row_bytes[t] = (uint16_t)(t / 2 == 2 ? row_bytes : 64);
        shapes.rows[t] = (uint8_t)(t / 2 == 3 ? row_bytes / 4 : tokens);
    }
    _tile_loadconfig(&shapes);
}
INLINE void mt_close(void) { _tile_release(); }

// The instructions take the numbers of tiles as constants.
#define FOR_SUM(m, p, ACTION)                                                                                                  \
    switch (2 * (m) + (p)) {                                                                                                   \
    case 0: ACTION(0, 4, 6); break;                                                                                            \
    case 1: ACTION(1, 4, 7); break;                                                                                            \
    case 2: ACTION(2, 5, 6); break;                                                                                            \
    case 3: ACTION(3, 5, 7); break;                                                                                            \
    }
#define ZERO(sum, inputs, weights) _tile_zero(sum)
#define STORE(sum, inputs, weights) _tile_stored(sum, out, 64)
#define CODES(sum, inputs, weights) _tile_dpbssd(sum, inputs, weights)
#define PAIRS(sum, inputs, weights) _tile_dpbf16ps(sum, inputs, weights)
INLINE void mt_zero(int m, int p){FOR_SUM(m, p, ZERO)} INLINE
    void mt_store(int m, int p, void *out){FOR_SUM(m, p, STORE)} INLINE
    void mt_dot_codes(int m, int p){FOR_SUM(m, p, CODES)} INLINE void mt_dot_pairs(int m, int p){FOR_SUM(m, p, PAIRS)} INLINE
    void mt_load_inputs(int m, const void *x, int64_t stride) {
    if (m == 0)
        _tile_loadd(4, x, stride);
    else
        _tile_loadd(5, x, stride);
}
INLINE void mt_load_weights(int p, const void *steps) {
    if (p == 0)
        _tile_loadd(6, steps, 64);
    else
        _tile_loadd(7, steps, 64);
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
