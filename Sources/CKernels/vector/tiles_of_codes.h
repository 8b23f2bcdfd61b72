// Products of integers by matrix tiles: part of matmul.h, for tables that have them.
//
// Loop order: panels, blocks of tokens, slices, chunks of columns, tiles. A chunk of weights is copied as tiles take it and
// stays in the first-level cache while a block of tokens passes over it.

/// Up to so many tokens are multiplied by vectors, which share the weights' way from memory better; measured.
enum { FEW_TOKENS = 24, CHUNK = 128 };

/// What passes over a block of tokens add up: of the slice and the group at hand, with the sum of the group's inputs. And
/// the chunk's weights.
typedef struct code_sums {
    token_sums tree;
    _Alignas(64) float slice[TOKEN_BLOCK][PANEL_BLOCK * 16];
    _Alignas(64) float group[TOKEN_BLOCK][PANEL_BLOCK * 16];
    float inputs[TOKEN_BLOCK];
    _Alignas(64) char steps[PANEL_BLOCK * CHUNK * 16];
} code_sums;

/// Some columns of some panels, in one group: at most CHUNK of them, whole blocks but for the matrix's last.
typedef struct chunk {
    const char *steps; // of the first panel, CHUNK * 16 bytes a panel
    int64_t first_block, block_count, group;
    bool opens_slice, opens_group, closes_group;
} chunk;

/// Codes of 4 bits, as tiles take them.
INLINE void widen_codes(const char *steps, int64_t count, const int block, char *out) {
    const vi mask = vi_set1(0x0F0F0F0F), offset = vi_set1(0x08080808);
    for (; count > 0; count--, out += block * 16)
        for (int j = 0; j < block / 8; j++, steps += 64) {
            vi codes = vi_load(steps);
            prefetch(steps, 4096);
            mt_store_codes(out + j * 64, vi_and(codes, mask), offset);
            mt_store_codes(out + (block / 8 + j) * 64, vi_and(vi_shift_right(codes, 4), mask), offset);
        }
}

INLINE void copy_codes(const char *steps, int64_t count, char *out) {
    const vi offset = vi_set1((int32_t)0x80808080);
    for (int64_t i = 0; i < count; i += 64) {
        prefetch(steps + i, 4096);
        mt_store_codes(out + i, vi_load(steps + i), offset);
    }
}

/// The chunk of `panels` panels that starts at a column.
INLINE chunk open_chunk(const ck_matmul *a, code_sums *sums, int64_t panel, int64_t panels, int64_t begin,
                        int64_t slice_begin, int64_t piece_begin, int64_t piece_end, const int block) {
    const ck_matrix *w = a->weight;
    int64_t bytes = ck_panel_bytes(w->format, w->columns, block), end = ck_min(begin + CHUNK, piece_end);
    const char *packed = (const char *)w->data + panel * bytes + begin * ck_column_bytes(w->format);
    chunk c = {.steps = sums->steps,
               .first_block = begin / block,
               .block_count = ck_ceil_div(end - begin, block),
               .group = ck_group_of(w, begin),
               .opens_slice = piece_begin == slice_begin,
               .opens_group = begin == piece_begin,
               .closes_group = end == piece_end};
    for (int64_t p = 0; p < panels; p++) {
        char *steps = sums->steps + p * CHUNK * 16;
        switch (w->format) {
        case CK_INT8: copy_codes(packed + p * bytes, c.block_count * block * 16, steps); break;
        case CK_INT4: widen_codes(packed + p * bytes, c.block_count, block, steps); break;
        case CK_F32:
        case CK_F16:
        case CK_BF16:
        case CK_FP8: __builtin_trap();
        }
    }
    return c;
}

/// One panel of a chunk by 16 tokens, whose sums are in registers.
typedef struct code_tile {
    const ck_matmul *a;
    code_sums *sums;
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
    vf scale;
    load_scales(w, t.panel + t.at, t.c->group, &scale, 1);
    if (w->zeros) subtract_zeros(w, t.panel + t.at, t.c->group, &t.sums->inputs[t.token], group, 1, 16);
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
            w[i] = c->steps + tile.at * CHUNK * 16 + i % B * block * 16;
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
INLINE void multiply_chunk(const ck_matmul *a, code_sums *sums, float (*slice)[PANEL_BLOCK * 16], int64_t panel,
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
            mt_start_0(c->steps + tile.at * CHUNK * 16 + b * block * 16, x, block);
            mt_store_0(dots);
            add_dots(tile, b, dots, group);
        }
        close_tile(tile, group, false);
    }
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

/// `panels` panels (at most PANEL_BLOCK).
INLINE void run_panels_of_codes(const ck_matmul *a, code_sums *sums, int64_t panel, int64_t panels, const int block) {
    const ck_matrix *w = a->weight;
    for (int64_t first = 0; first < a->tokens; first += TOKEN_BLOCK) {
        int64_t tokens = ck_min(TOKEN_BLOCK, a->tokens - first), begin = 0;
        for (int s = 0; s < w->slice_count; s++) {
            // The left one of two neighbours is summed where it will wait for the other.
            bool waits = s % 2 == 0 && s + 1 < w->slice_count;
            float(*slice)[PANEL_BLOCK * 16] = waits ? sums->tree.levels[0] : sums->slice;
            if (begin == w->slice_ends[s]) memset(slice, 0, (size_t)tokens * sizeof slice[0]);
            for (int64_t slice_begin = begin; begin < w->slice_ends[s];) {
                int64_t piece_begin = begin, piece_end = ck_piece_end(w, begin, w->slice_ends[s]);
                for (; begin < piece_end; begin = ck_min(begin + CHUNK, piece_end)) {
                    chunk c = open_chunk(a, sums, panel, panels, begin, slice_begin, piece_begin, piece_end, block);
                    if (w->zeros) {
                        if (c.opens_group) memset(sums->inputs, 0, (size_t)tokens * sizeof(float));
                        add_inputs(coded_tokens_at(a, first, c.first_block), c.block_count, sums->inputs, tokens);
                    }
                    multiply_chunk(a, sums, slice, panel, panels, first, tokens, &c, block);
                }
            }
            if (!waits) finish_slices(a, &sums->tree, panel, panels, first, tokens, s, slice);
        }
    }
}

INLINE void run_tiles_of_codes(const ck_matmul *a, ck_part part, const int block) {
    code_sums sums;
    ck_range panels = ck_share(ck_ceil_div(a->weight->rows, 16), part);
    mt_open(16, block);
    for (int64_t p = panels.begin; p < panels.end; p += PANEL_BLOCK)
        run_panels_of_codes(a, &sums, p, ck_min(PANEL_BLOCK, panels.end - p), block);
    mt_close();
}
