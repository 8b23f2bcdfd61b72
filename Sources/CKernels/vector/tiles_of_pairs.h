// Products of bfloat16 by matrix tiles: part of matmul.h, for tables that have them.

INLINE void finish_row(const ck_matmul *a, token_sums *sums, int64_t panel, int64_t lane, int64_t first, int64_t token,
                       int slice, const float *row, int64_t stride, const int P) {
    vf acc[MOST_PANELS];
#pragma unroll
    for (int p = 0; p < P; p++) acc[p] = vf_load(row + p * stride);
    finish_slice(a, sums, panel, lane, first, token, slice, acc, P, 1);
}

/// One slice of P panels (1 or 2) by up to 16 M tokens.
INLINE void tile_pairs_32(const ck_matmul *a, token_sums *sums, int64_t panel, int64_t at, int64_t first, int64_t token,
                          int64_t tokens, int slice, int64_t begin, int64_t end, const int P, const int M) {
    const ck_matrix *w = a->weight;
    const int block = w->block;
    int64_t bytes = ck_panel_bytes(w->format, w->columns, block);
    _Alignas(64) float out[4 * 256];
    mt_pairs(out, (const char *)w->data + (panel + at) * bytes + begin * 32, bytes,
             (const char *)(a->input.rounded + (begin / block * a->tokens + first + token) * block), a->tokens * block * 2,
             ck_ceil_div(end - begin, block), block, P, M);
    for (int64_t t = 0; t < ck_min(16 * M, tokens - token); t++)
        finish_row(a, sums, panel + at, at * 16, first, token + t, slice, out + t / 16 * 512 + t % 16 * 16, 256, P);
}

/// `panels` panels: their weights stay in the second-level cache while blocks of tokens pass over them.
INLINE void run_panels_of_pairs(const ck_matmul *a, token_sums *sums, int64_t panel, int64_t panels) {
    const ck_matrix *w = a->weight;
    for (int64_t first = 0; first < a->tokens; first += TOKEN_BLOCK) {
        int64_t tokens = ck_min(TOKEN_BLOCK, a->tokens - first);
        for (int s = 0; s < w->slice_count; s++) {
            int64_t begin = s ? w->slice_ends[s - 1] : 0, end = w->slice_ends[s], at = 0;
            for (; at < panels; at += 2)
                for (int64_t t = 0; t < tokens; t += 32) {
                    bool two = at + 1 < panels, wide = t + 16 < tokens;
                    if (two && wide) tile_pairs_32(a, sums, panel, at, first, t, tokens, s, begin, end, 2, 2);
                    else if (two) tile_pairs_32(a, sums, panel, at, first, t, tokens, s, begin, end, 2, 1);
                    else if (wide) tile_pairs_32(a, sums, panel, at, first, t, tokens, s, begin, end, 1, 2);
                    else tile_pairs_32(a, sums, panel, at, first, t, tokens, s, begin, end, 1, 1);
                }
        }
    }
}

/// One token by vectors, which wait less for memory than tiles do, in the order of a tile: a block's even columns, its odd
/// ones, their sum (Intel SDM, TDPBF16PS).
INLINE void run_panels_of_pairs_one_token(const ck_matmul *a, token_sums *sums, int64_t panel, const int P) {
    const ck_matrix *w = a->weight;
    int64_t bytes = ck_panel_bytes(w->format, w->columns, w->block), k = 0;
    const char *steps = (const char *)w->data + panel * bytes;
    for (int s = 0; s < w->slice_count; s++) {
        vf acc[MOST_PANELS];
#pragma unroll
        for (int p = 0; p < P; p++) acc[p] = vf_zero();
        while (k < w->slice_ends[s]) {
            vf even[MOST_PANELS], odd[MOST_PANELS];
#pragma unroll
            for (int p = 0; p < P; p++) even[p] = odd[p] = vf_zero();
            const int64_t ahead = prefetch_distance(k * 32, bytes, P);
            for (int64_t end = k + w->block; k < end; k += 2)
#pragma unroll
                for (int p = 0; p < P; p++) {
                    vf first, second;
                    prefetch(steps + p * bytes + k * 32, ahead);
                    vf_load_bf16_pairs(steps + p * bytes + k * 32, &first, &second);
                    even[p] = vf_fma(first, vf_set1(ck_from_bf16(a->input.rounded[k])), even[p]);
                    odd[p] = vf_fma(second, vf_set1(ck_from_bf16(a->input.rounded[k + 1])), odd[p]);
                }
#pragma unroll
            for (int p = 0; p < P; p++) acc[p] = vf_add(acc[p], vf_add(even[p], odd[p]));
        }
        finish_slice(a, sums, panel, 0, 0, 0, s, acc, P, 1);
    }
}

INLINE void run_tiles_of_pairs(const ck_matmul *a, ck_part part) {
    token_sums sums;
    ck_range panels = ck_share(ck_ceil_div(a->weight->rows, 16), part);
    int64_t p = panels.begin;
    if (a->tokens == 1) {
        unsigned mode = mt_flush_subnormals();
        for (; p + MOST_PANELS <= panels.end; p += MOST_PANELS) run_panels_of_pairs_one_token(a, &sums, p, MOST_PANELS);
        for (; p < panels.end; p++) run_panels_of_pairs_one_token(a, &sums, p, 1);
        mt_restore(mode);
        return;
    }
    mt_open((int)ck_min(16, a->tokens), a->weight->block * 2);
    for (; p < panels.end; p += PANEL_BLOCK) run_panels_of_pairs(a, &sums, p, ck_min(PANEL_BLOCK, panels.end - p));
    mt_close();
}
