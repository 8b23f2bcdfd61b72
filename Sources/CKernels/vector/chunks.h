// Products of integer weights with several tokens: part of matmul.h.

/// Some columns of some panels, in one group: at most CHUNK of them, whole blocks but for the matrix's last.
typedef struct chunk {
    const char *steps; // of the first panel, 8 bits a code
    int64_t stride;    // bytes from panel to panel
    const char *packed; // the same columns, as they lie in memory
    int64_t packed_stride, packed_bytes; // of a panel
    int64_t first_block, block_count, group;
    bool opens_slice, opens_group, closes_group;
} chunk;

/// Stores bytes of codes + 8, which come from 4 bits, as products of several tokens take them.
INLINE void store_widened(char *out, vi codes, const bool by_tiles) {
#if MATRIX_TILES
    if (by_tiles) {
        mt_store_codes(out, codes, vi_set1(0x08080808));
        return;
    }
#endif
    vi_store(out, LOADED_CODES_ARE_SIGNED ? vi_add(codes, vi_set1(0x78787878)) : codes);
}

/// Codes of 4 bits, widened to 8.
INLINE void widen_codes(const char *steps, int64_t count, const int block, char *out, const bool by_tiles) {
    vi mask = vi_set1(0x0F0F0F0F);
    for (; count > 0; count--, out += block * 16)
        for (int j = 0; j < block / 8; j++, steps += 64) {
            vi codes = vi_load(steps);
            if (by_tiles) prefetch(steps);
            store_widened(out + j * 64, vi_and(codes, mask), by_tiles);
            store_widened(out + (block / 8 + j) * 64, vi_and(vi_shift_right(codes, 4), mask), by_tiles);
        }
}

#if MATRIX_TILES
INLINE void copy_codes(const char *steps, int64_t count, char *out) {
    vi offset = vi_set1((int32_t)0x80808080);
    for (int64_t i = 0; i < count; i += 64) {
        prefetch(steps + i);
        mt_store_codes(out + i, vi_load(steps + i), offset);
    }
}
#endif

/// The chunk of `panels` panels that starts at a column, ready to be multiplied: 4-bit codes are widened into `sums`.
///
/// `is_new`: no tokens were multiplied by these weights yet, so that they come from memory.
INLINE chunk open_chunk(const ck_matmul *a, token_sums *sums, int64_t panel, int64_t panels, int64_t begin,
                        int64_t slice_begin, int64_t piece_begin, int64_t piece_end, bool is_new, const int block,
                        const bool by_tiles) {
    const ck_matrix *w = a->weight;
    int64_t bytes = ck_panel_bytes(w->format, w->columns, block), end = ck_min(begin + CHUNK, piece_end);
    const char *packed = (const char *)w->data + panel * bytes;
    const int64_t column_bytes = w->format == CK_INT4 ? 8 : 16;
    chunk c = {.packed = packed + begin * column_bytes,
               .packed_stride = bytes,
               .packed_bytes = is_new && !by_tiles ? (end - begin) * column_bytes : 0,
               .first_block = begin / block,
               .block_count = ck_ceil_div(end - begin, block),
               .group = ck_group_of(w, begin),
               .opens_slice = piece_begin == slice_begin,
               .opens_group = begin == piece_begin,
               .closes_group = end == piece_end};
    if (w->format == CK_INT8 && !by_tiles) {
        c.steps = c.packed;
        c.stride = bytes;
    } else {
        c.steps = sums->steps;
        c.stride = CHUNK * 16;
        for (int64_t p = 0; p < panels; p++) {
            char *steps = sums->steps + p * c.stride;
            if (w->format == CK_INT4) widen_codes(c.packed + p * bytes, c.block_count, block, steps, by_tiles);
#if MATRIX_TILES
            else copy_codes(c.packed + p * bytes, c.block_count * block * 16, steps);
#endif
        }
    }
    return c;
}

/// The products of panels [at, at + P) of a chunk with M tokens, added to the tokens' sums.
INLINE void tile_chunk(const ck_matmul *a, token_sums *sums, float (*slice)[PANEL_BLOCK * 16], int64_t panel, int64_t at,
                       int64_t first_token, int64_t token, const chunk *c, const int block, const int P, const int M) {
    vf group[MOST_TILE], acc[MOST_TILE];
#pragma unroll
    for (int i = 0; i < P * M; i++) group[i] = vf_zero();
    if (!c->opens_group)
#pragma unroll
        for (int i = 0; i < P * M; i++) group[i] = vf_load(&sums->group[token + i % M][(at + i / M) * 16]);
    coded_tokens x = coded_tokens_at(a, first_token + token, c->first_block);
    if (a->weight->format == CK_INT4 && !LOADED_CODES_ARE_SIGNED)
        add_blocks(c->steps + at * c->stride, c->stride, x, c->block_count, group, KIND_WIDENED, block, P, M);
    else add_blocks(c->steps + at * c->stride, c->stride, x, c->block_count, group, KIND_INT8, block, P, M);
    if (!c->closes_group) {
#pragma unroll
        for (int i = 0; i < P * M; i++) vf_store(&sums->group[token + i % M][(at + i / M) * 16], group[i]);
        return;
    }
#pragma unroll
    for (int i = 0; i < P * M; i++) acc[i] = vf_zero();
    if (!c->opens_slice)
#pragma unroll
        for (int i = 0; i < P * M; i++) acc[i] = vf_load(&slice[token + i % M][(at + i / M) * 16]);
    close_group(a->weight, panel + at, c->group, group, sums->inputs + token, acc, P, M);
#pragma unroll
    for (int i = 0; i < P * M; i++) vf_store(&slice[token + i % M][(at + i / M) * 16], acc[i]);
}

#if MATRIX_TILES
/// One panel of a chunk by 16 tokens, whose sums are in registers.
typedef struct code_tile {
    const ck_matmul *a;
    token_sums *sums;
    float (*slice)[PANEL_BLOCK * 16];
    const chunk *c;
    int64_t panel, first; // of the block of panels, of tokens
    int64_t at, token;    // within them
} code_tile;

/// Continues a group's sums, or starts them. `is_group`: the chunk is a whole group.
INLINE void open_tile(code_tile t, vf *group, const bool is_group) {
#pragma unroll
    for (int m = 0; m < 16; m++) group[m] = vf_zero();
    if (is_group || t.c->opens_group) return;
#pragma unroll
    for (int m = 0; m < 16; m++) group[m] = vf_load(&t.sums->group[t.token + m][t.at * 16]);
}

/// Adds a block's dot products [token][16 rows], times its inputs' scales.
INLINE void add_dots(code_tile t, int64_t block, const int32_t *dots, vf *group) {
    const float *scales = t.a->input.scales + (t.c->first_block + block) * t.a->tokens + t.first + t.token;
#pragma unroll
    for (int m = 0; m < 16; m++) group[m] = vf_fma(vf_from_vi(vi_load(dots + m * 16)), vf_set1(scales[m]), group[m]);
}

INLINE void close_tile(code_tile t, vf *group, const bool is_group) {
    if (!is_group && !t.c->closes_group) {
#pragma unroll
        for (int m = 0; m < 16; m++) vf_store(&t.sums->group[t.token + m][t.at * 16], group[m]);
        return;
    }
    const ck_matrix *w = t.a->weight;
    int64_t at = ((t.panel + t.at) * w->group_count + t.c->group) * 16;
    vf scale = load_scales(w, at);
    if (w->zeros) {
        vf zeros = vf_negate(vf_load_int8(w->zeros + at));
#pragma unroll
        for (int m = 0; m < 16; m++) group[m] = vf_fma(zeros, vf_set1(t.sums->inputs[t.token + m]), group[m]);
    }
    float *slice = &t.slice[t.token][t.at * 16];
    const int64_t stride = PANEL_BLOCK * 16;
    if (t.c->opens_slice)
#pragma unroll
        for (int m = 0; m < 16; m++) vf_store(slice + m * stride, vf_fma(group[m], scale, vf_zero()));
    else
#pragma unroll
        for (int m = 0; m < 16; m++) vf_store(slice + m * stride, vf_fma(group[m], scale, vf_load(slice + m * stride)));
}

/// Adds product `at` of a round's four, which belong to one tile or to several of B blocks each.
INLINE void add_step(const code_tile *tiles, int at, const int32_t *dots, vf *group, const int B, const bool is_group) {
    code_tile tile = tiles[at / B];
    if (at % B == 0) open_tile(tile, group, is_group);
    add_dots(tile, at % B, dots, group);
    if (at % B == B - 1) close_tile(tile, group, is_group);
}

INLINE code_tile tile_after(code_tile tile, int64_t tokens) {
    tile.token += 16;
    if (tile.token >= tokens) tile.token = 0, tile.at++;
    return tile;
}

/// Adds the tiles of a chunk of B blocks (1, 2 or 4), from `next` on, as long as four products are left.
///
/// The products go through four tile registers and four places in memory, in turn: while one is multiplied, the one before
/// is under way, the next older is written, and the oldest added. Written later, sums would have to wait for products; and
/// 4 KiB in all, because loads wait for stores that are pending at the same offset in another page.
INLINE code_tile multiply_rounds(code_tile next, int64_t rounds, int64_t tokens, const int block, const int B,
                                 const bool is_group) {
    _Alignas(64) int32_t dots[4][256];
    const ck_matmul *a = next.a;
    const chunk *c = next.c;
    vf group[16];
    code_tile last[4], tiles[4];
    for (int64_t round = 0; round <= rounds; round++) {
        const bool any = round < rounds, any_last = round > 0;
        const char *w[4];
        const int8_t *x[4];
#pragma unroll
        for (int i = 0; any && i < 4; i++) {
            if (i % B == 0) {
                tiles[i / B] = next;
                next = tile_after(next, tokens);
            }
            const code_tile tile = tiles[i / B];
            w[i] = c->steps + tile.at * c->stride + i % B * block * 16;
            x[i] = a->input.codes + ((c->first_block + i % B) * a->tokens + tile.first + tile.token) * block;
        }
        if (any) mt_start_0(w[0], x[0], block);
        if (any_last) mt_store_2(dots[2]), add_step(last, 1, dots[1], group, B, is_group);
        if (any) mt_start_1(w[1], x[1], block);
        if (any_last) mt_store_3(dots[3]), add_step(last, 2, dots[2], group, B, is_group);
        if (any) mt_start_2(w[2], x[2], block), mt_store_0(dots[0]);
        if (any_last) add_step(last, 3, dots[3], group, B, is_group);
        if (!any) break;
        mt_start_3(w[3], x[3], block);
        mt_store_1(dots[1]);
        add_step(tiles, 0, dots[0], group, B, is_group);
#pragma unroll
        for (int i = 0; i < 4 / B; i++) last[i] = tiles[i];
    }
    return next;
}

/// Adds all tiles of a chunk. Tiles reach past the last token: what they find there goes to rows that nobody reads.
INLINE void multiply_chunk_by_tiles(const ck_matmul *a, token_sums *sums, float (*slice)[PANEL_BLOCK * 16], int64_t panel,
                           int64_t panels, int64_t first, int64_t tokens, const chunk *c, const int block) {
    code_tile tile = {a, sums, slice, c, panel, first, 0, 0};
    const int64_t blocks = c->block_count, rounds = panels * ck_ceil_div(tokens, 16) * blocks / 4;
    if (c->opens_group && c->closes_group) {
        if (blocks == 4) tile = multiply_rounds(tile, rounds, tokens, block, 4, true);
        else if (blocks == 2) tile = multiply_rounds(tile, rounds, tokens, block, 2, true);
        else if (blocks == 1) tile = multiply_rounds(tile, rounds, tokens, block, 1, true);
    } else {
        if (blocks == 4) tile = multiply_rounds(tile, rounds, tokens, block, 4, false);
        else if (blocks == 2) tile = multiply_rounds(tile, rounds, tokens, block, 2, false);
        else if (blocks == 1) tile = multiply_rounds(tile, rounds, tokens, block, 1, false);
    }
    for (; tile.at < panels; tile = tile_after(tile, tokens)) {
        _Alignas(64) int32_t dots[256];
        vf group[16];
        open_tile(tile, group, false);
        for (int64_t b = 0; b < blocks; b++) {
            const int8_t *x = a->input.codes + ((c->first_block + b) * a->tokens + first + tile.token) * block;
            mt_start_0(c->steps + tile.at * c->stride + b * block * 16, x, block);
            mt_store_0(dots);
            add_dots(tile, b, dots, group);
        }
        close_tile(tile, group, false);
    }
}
#endif

/// Asks for what comes after some panels of a chunk, a few at a time: more requests than the processor can have under way
/// would keep it from computing.
INLINE void prefetch_panels(const chunk *c, int64_t at, int count) {
    for (int p = 0; p < count; p++)
        for (int64_t i = 0; i < c->packed_bytes; i += 64) prefetch(c->packed + (at + p) * c->packed_stride + i);
}

INLINE void multiply_chunk(const ck_matmul *a, token_sums *sums, float (*slice)[PANEL_BLOCK * 16], int64_t panel,
                           int64_t panels, int64_t first, int64_t tokens, const chunk *c, const int block) {
    // What is left after whole tiles, of tokens or panels. More panels by fewer tokens, so that products still overlap.
    int64_t at = 0, whole = tokens / TILE_TOKENS * TILE_TOKENS, even = whole + (tokens - whole) / 2 * 2;
    for (; at + TILE_PANELS <= panels; at += TILE_PANELS) {
        if (whole > 0) prefetch_panels(c, at, TILE_PANELS);
        for (int64_t t = 0; t < whole; t += TILE_TOKENS)
            tile_chunk(a, sums, slice, panel, at, first, t, c, block, TILE_PANELS, TILE_TOKENS);
    }
    for (; at < panels; at++)
        for (int64_t t = 0; t < whole; t++) tile_chunk(a, sums, slice, panel, at, first, t, c, block, 1, 1);
    for (at = 0; at + MOST_PANELS <= panels; at += MOST_PANELS) {
        if (whole == 0) prefetch_panels(c, at, MOST_PANELS);
        for (int64_t t = whole; t < even; t += 2) tile_chunk(a, sums, slice, panel, at, first, t, c, block, MOST_PANELS, 2);
        if (even < tokens) tile_chunk(a, sums, slice, panel, at, first, even, c, block, MOST_PANELS, 1);
    }
    for (; at < panels; at++)
        for (int64_t t = whole; t < tokens; t++) tile_chunk(a, sums, slice, panel, at, first, t, c, block, 1, 1);
}

/// Adds a block of tokens' finished slice to the tree, P panels at a time.
INLINE void finish_slices(const ck_matmul *a, token_sums *sums, int64_t panel, int64_t panels, int64_t first, int64_t tokens,
                          int slice, float (*finished)[PANEL_BLOCK * 16]) {
    for (int64_t t = 0; t < tokens; t++) {
        int64_t p = 0;
        for (; p + MOST_PANELS <= panels; p += MOST_PANELS) {
            vf acc[MOST_PANELS];
#pragma unroll
            for (int i = 0; i < MOST_PANELS; i++) acc[i] = vf_load(&finished[t][(p + i) * 16]);
            finish_slice(a, sums, panel + p, p * 16, first, t, slice, acc, MOST_PANELS, 1);
        }
        for (; p < panels; p++) {
            vf acc = vf_load(&finished[t][p * 16]);
            finish_slice(a, sums, panel + p, p * 16, first, t, slice, &acc, 1, 1);
        }
    }
}

/// Integer weights by the integer inputs of several tokens, `panels` panels (at most PANEL_BLOCK): a chunk of weights is
/// widened if need be and stays in the first-level cache, with the sums, while a block of tokens passes over it.
INLINE void run_panels_of_codes(const ck_matmul *a, token_sums *sums, int64_t panel, int64_t panels, const int block,
                                const bool by_tiles) {
    const ck_matrix *w = a->weight;
    for (int64_t first = 0; first < a->tokens; first += TOKEN_BLOCK) {
        int64_t tokens = ck_min(TOKEN_BLOCK, a->tokens - first), begin = 0;
        for (int s = 0; s < w->slice_count; s++) {
            // The left one of two neighbours is summed where it will wait for the other.
            bool waits = s % 2 == 0 && s + 1 < w->slice_count;
            float(*slice)[PANEL_BLOCK * 16] = waits ? sums->levels[0] : sums->slice;
            if (begin == w->slice_ends[s]) memset(slice, 0, (size_t)tokens * sizeof slice[0]);
            for (int64_t slice_begin = begin; begin < w->slice_ends[s];) {
                int64_t piece_begin = begin, piece_end = ck_piece_end(w, begin, w->slice_ends[s]);
                for (; begin < piece_end; begin = ck_min(begin + CHUNK, piece_end)) {
                    chunk c = open_chunk(a, sums, panel, panels, begin, slice_begin, piece_begin, piece_end, first == 0, block,
                                         by_tiles);
                    for (int64_t t = 0; w->zeros && t < tokens; t++)
                        sums->inputs[t] = add_inputs(coded_tokens_at(a, first + t, c.first_block), c.block_count,
                                                     c.opens_group ? 0 : sums->inputs[t]);
#if MATRIX_TILES
                    if (by_tiles) multiply_chunk_by_tiles(a, sums, slice, panel, panels, first, tokens, &c, block);
                    else
#endif
                        multiply_chunk(a, sums, slice, panel, panels, first, tokens, &c, block);
                }
            }
            if (!waits) finish_slices(a, sums, panel, panels, first, tokens, s, slice);
        }
    }
}
