// Products of packed weights, for 16 output rows in the lanes of a vector. See operations.md.
//
// A tile is P panels by M tokens held in registers. Loop order: panels, blocks of tokens, slices, tiles of
// tokens: a panel's slice stays in the first-level cache while all tokens of the block pass over it.

enum kind { KIND_F32, KIND_F16, KIND_BF16, KIND_INT8, KIND_INT4, KIND_INT8_FLOAT, KIND_INT4_FLOAT };
enum { TOKEN_BLOCK = 48, LEVELS = 3 };

/// Room for any tile. Fixed sizes with constant indices become registers; arrays sized by a parameter would not.
enum {
    MOST_PANELS = TILE_PANELS_ONE_TOKEN,
    MOST_TILE = TILE_PANELS * TILE_TOKENS > MOST_PANELS ? TILE_PANELS * TILE_TOKENS : MOST_PANELS,
};

#define INLINE static inline __attribute__((always_inline))

/// Asks for the weights one page further on. The processor's own prefetchers stop at the end of a page and start anew in
/// the next: a product of one token, which waits for memory only, reads up to 1.4 times as fast with this.
INLINE void prefetch(const void *weights) { __builtin_prefetch((const char *)weights + 4096); }

INLINE void tile_floats(const ck_matmul *a, int64_t panel, int64_t token, int64_t begin, int64_t end, vf *acc,
                        const int kind, const int P, const int M) {
    const ck_matrix *w = a->weight;
    int64_t bytes = ck_panel_bytes(w->format, w->columns, 1), stride = a->input.value_stride;
    const char *base = (const char *)w->data + panel * bytes;
    const float *x = a->input.values + token * stride;
    if (kind == KIND_BF16) {
        int64_t k = begin;
        for (; k + 1 < end; k += 2) {
#pragma unroll
            for (int p = 0; p < P; p++) {
                vf even, odd;
                vf_load_bf16_pairs(base + p * bytes + k * 32, &even, &odd);
                if (M == 1) prefetch(base + p * bytes + k * 32);
#pragma unroll
                for (int m = 0; m < M; m++) {
                    acc[p * M + m] = vf_fma(even, vf_set1(x[m * stride + k]), acc[p * M + m]);
                    acc[p * M + m] = vf_fma(odd, vf_set1(x[m * stride + k + 1]), acc[p * M + m]);
                }
            }
        }
        if (k < end) {
#pragma unroll
            for (int p = 0; p < P; p++) {
                vf even, odd;
                vf_load_bf16_pairs(base + p * bytes + k * 32, &even, &odd);
#pragma unroll
                for (int m = 0; m < M; m++) acc[p * M + m] = vf_fma(even, vf_set1(x[m * stride + k]), acc[p * M + m]);
            }
        }
        return;
    }
    for (int64_t k = begin; k < end; k++) {
#pragma unroll
        for (int p = 0; p < P; p++) {
            const char *step = base + p * bytes + k * (kind == KIND_F32 ? 64 : 32);
            if (M == 1) prefetch(step);
            vf weight = kind == KIND_F32 ? vf_load((const float *)step) : vf_load_f16((const uint16_t *)step);
#pragma unroll
            for (int m = 0; m < M; m++) acc[p * M + m] = vf_fma(weight, vf_set1(x[m * stride + k]), acc[p * M + m]);
        }
    }
}

/// Adds one group's sums, scaled, to the slice's.
INLINE void close_group(const ck_matrix *w, int64_t panel, int64_t group, const vf *sums, const float *inputs, vf *acc,
                        const int P, const int M) {
#pragma unroll
    for (int p = 0; p < P; p++) {
        int64_t at = ((panel + p) * w->group_count + group) * 16;
        vf scale = vf_load(w->scales + at);
        if (M == 1) __builtin_prefetch(w->scales + at + P * w->group_count * 16);
#pragma unroll
        for (int m = 0; m < M; m++) {
            vf sum = sums[p * M + m];
            if (w->zeros) sum = vf_fma(vf_negate(vf_load(w->zeros + at)), vf_set1(inputs[m]), sum);
            acc[p * M + m] = vf_fma(sum, scale, acc[p * M + m]);
        }
    }
}

/// Integer weights by integer inputs, in blocks of `block` columns.
INLINE void tile_codes(const ck_matmul *a, int64_t panel, int64_t token, int64_t begin, int64_t end, vf *acc,
                       const int kind, const int block, const int P, const int M) {
    const ck_matrix *w = a->weight;
    const ck_input *in = &a->input;
    const int shift = kind == KIND_INT8 ? 4 : 3;
    int64_t bytes = ck_panel_bytes(w->format, w->columns, w->block);
    const char *base = (const char *)w->data + panel * bytes;
    const int8_t *x = in->codes + token * in->code_stride;
    const float *scales = in->scales + token * in->block_stride;
    const int32_t *corrections = in->corrections + token * in->block_stride;
    while (begin < end) {
        int64_t piece_end = ck_piece_end(w, begin, end), group = ck_group_of(w, begin);
        vf sums[MOST_TILE];
        float inputs[TILE_TOKENS];
#pragma unroll
        for (int i = 0; i < P * M; i++) sums[i] = vf_zero();
#pragma unroll
        for (int m = 0; m < M; m++) inputs[m] = 0;
        for (; begin < piece_end; begin += block) {
            int64_t b = begin / block;
            vi dots[MOST_TILE];
#pragma unroll
            for (int m = 0; m < M; m++) {
                // Weights are stored as code + 128, or + 8: the sixteenth part.
                vi start = vi_set1(corrections[m * in->block_stride + b]);
                if (kind == KIND_INT4) start = vi_shift_right_signed(start, 4);
#pragma unroll
                for (int p = 0; p < P; p++) dots[p * M + m] = start;
            }
            const char *steps = base + (begin << shift);
            const int8_t *codes = x + begin;
            if (kind == KIND_INT8) {
                for (int j = 0; j < block / 4; j++) {
                    vq weight[MOST_PANELS];
#pragma unroll
                    for (int p = 0; p < P; p++) {
                        weight[p] = vq_load(steps + p * bytes + j * 64);
                        if (M == 1) prefetch(steps + p * bytes + j * 64);
                    }
#pragma unroll
                    for (int m = 0; m < M; m++) {
                        vc input = vc_broadcast(codes + m * in->code_stride + j * 4);
#pragma unroll
                        for (int p = 0; p < P; p++) dots[p * M + m] = vi_dot(dots[p * M + m], weight[p], input);
                    }
                }
            } else {
                for (int j = 0; j < block / 8; j++) {
                    vq low[MOST_PANELS], high[MOST_PANELS];
#pragma unroll
                    for (int p = 0; p < P; p++) {
                        vq_load_nibbles(steps + p * bytes + j * 64, &low[p], &high[p]);
                        if (M == 1) prefetch(steps + p * bytes + j * 64);
                    }
#pragma unroll
                    for (int m = 0; m < M; m++) {
                        vc input = vc_broadcast(codes + m * in->code_stride + j * 4);
#pragma unroll
                        for (int p = 0; p < P; p++) dots[p * M + m] = vi_dot(dots[p * M + m], low[p], input);
                    }
#pragma unroll
                    for (int m = 0; m < M; m++) {
                        vc input = vc_broadcast(codes + m * in->code_stride + block / 2 + j * 4);
#pragma unroll
                        for (int p = 0; p < P; p++) dots[p * M + m] = vi_dot(dots[p * M + m], high[p], input);
                    }
                }
            }
#pragma unroll
            for (int m = 0; m < M; m++) {
                float scale = scales[m * in->block_stride + b];
#pragma unroll
                for (int p = 0; p < P; p++)
                    sums[p * M + m] = vf_fma(vf_from_vi(dots[p * M + m]), vf_set1(scale), sums[p * M + m]);
                if (w->zeros)
                    inputs[m] = __builtin_fmaf((float)ck_code_sum(corrections[m * in->block_stride + b]), scale, inputs[m]);
            }
        }
        close_group(w, panel, group, sums, inputs, acc, P, M);
        begin = piece_end;
    }
}

/// Integer weights by float inputs: four columns lie in the bytes of each 32-bit lane.
INLINE void tile_codes_by_floats(const ck_matmul *a, int64_t panel, int64_t token, int64_t begin, int64_t end, vf *acc,
                                 const int kind, const int P, const int M) {
    const ck_matrix *w = a->weight;
    const int block = w->block, half = block / 2;
    const bool bytes_wide = kind == KIND_INT8_FLOAT;
    const vf offset = vf_set1((float)(bytes_wide ? 128 : 8));
    int64_t bytes = ck_panel_bytes(w->format, w->columns, w->block), stride = a->input.value_stride;
    const char *base = (const char *)w->data + panel * bytes;
    const float *x = a->input.values + token * stride;
    while (begin < end) {
        int64_t piece_end = ck_piece_end(w, begin, end), group = ck_group_of(w, begin);
        vf sums[MOST_TILE];
        float inputs[TILE_TOKENS];
#pragma unroll
        for (int i = 0; i < P * M; i++) sums[i] = vf_zero();
#pragma unroll
        for (int m = 0; m < M; m++) inputs[m] = 0;
        for (int64_t k = begin; k < piece_end; k++) {
            int64_t first = k / block * block;
            int i = (int)(k - first), j = bytes_wide || i < half ? i : i - half;
            int shift = (j & 3) * 8 + (bytes_wide || i < half ? 0 : 4);
            const char *step = base + (bytes_wide ? first * 16 : first * 8) + (j >> 2) * 64;
#pragma unroll
            for (int p = 0; p < P; p++) {
                vi codes = vi_and(vi_shift_right(vi_load(step + p * bytes), shift), vi_set1(bytes_wide ? 255 : 15));
                vf weight = vf_sub(vf_from_vi(codes), offset);
#pragma unroll
                for (int m = 0; m < M; m++)
                    sums[p * M + m] = vf_fma(weight, vf_set1(x[m * stride + k]), sums[p * M + m]);
            }
#pragma unroll
            for (int m = 0; m < M; m++) inputs[m] += x[m * stride + k];
        }
        close_group(w, panel, group, sums, inputs, acc, P, M);
        begin = piece_end;
    }
}

/// The tokens' partial sums of slices that wait for their neighbours, by level of the tree.
typedef struct partials {
    _Alignas(64) float at[LEVELS][TOKEN_BLOCK][TILE_PANELS_ONE_TOKEN * 16];
} partials;

INLINE void tile(const ck_matmul *a, partials *partial, int64_t panel, int64_t first_token, int64_t token, int slice,
                 const int kind, const int P, const int M) {
    const ck_matrix *w = a->weight;
    vf acc[MOST_TILE];
#pragma unroll
    for (int i = 0; i < P * M; i++) acc[i] = vf_zero();
    int64_t begin = slice ? w->slice_ends[slice - 1] : 0, end = w->slice_ends[slice], at = first_token + token;
    if (kind <= KIND_BF16) tile_floats(a, panel, at, begin, end, acc, kind, P, M);
    else if (kind <= KIND_INT4 && w->block == 32) tile_codes(a, panel, at, begin, end, acc, kind, 32, P, M);
    else if (kind <= KIND_INT4) tile_codes(a, panel, at, begin, end, acc, kind, w->block, P, M);
    else tile_codes_by_floats(a, panel, at, begin, end, acc, kind, P, M);

    int level = 0;
    for (; (slice >> level) & 1; level++)
#pragma unroll
        for (int i = 0; i < P * M; i++)
            acc[i] = vf_add(vf_load(&partial->at[level][token + i % M][i / M * 16]), acc[i]);
    if (slice + 1 < w->slice_count) {
#pragma unroll
        for (int i = 0; i < P * M; i++) vf_store(&partial->at[level][token + i % M][i / M * 16], acc[i]);
        return;
    }
#pragma unroll
    for (int i = 0; i < P * M; i++) {
        int64_t row = (panel + i / M) * 16, lanes = ck_min(16, w->rows - row);
        float *out = a->output + (at + i % M) * a->output_stride + row;
        if (lanes == 16) {
            if (a->bias) acc[i] = vf_add(acc[i], vf_load(a->bias + row));
            vf_store(out, acc[i]);
        } else {
            if (a->bias) acc[i] = vf_add(acc[i], vf_load_n(a->bias + row, lanes));
            vf_store_n(out, acc[i], lanes);
        }
    }
}

INLINE void run_panels(const ck_matmul *a, partials *partial, int64_t panel, const int kind, const int P) {
    for (int64_t first = 0; first < a->tokens; first += TOKEN_BLOCK) {
        int64_t count = ck_min(TOKEN_BLOCK, a->tokens - first);
        for (int slice = 0; slice < a->weight->slice_count; slice++) {
            int64_t t = 0;
            for (; t + TILE_TOKENS <= count; t += TILE_TOKENS) tile(a, partial, panel, first, t, slice, kind, P, TILE_TOKENS);
#if TILE_TOKENS > 2
            for (; t + 2 <= count; t += 2) tile(a, partial, panel, first, t, slice, kind, P, 2);
#endif
            for (; t < count; t++) tile(a, partial, panel, first, t, slice, kind, P, 1);
        }
    }
}

/// One token: more panels at once, so that more loads of weights are in flight.
INLINE void run_panels_one_token(const ck_matmul *a, partials *partial, int64_t panel, const int kind) {
    for (int slice = 0; slice < a->weight->slice_count; slice++)
        tile(a, partial, panel, 0, 0, slice, kind, TILE_PANELS_ONE_TOKEN, 1);
}

INLINE void run_kind(const ck_matmul *a, ck_part part, const int kind) {
    partials partial;
    ck_range panels = ck_share(ck_ceil_div(a->weight->rows, 16), part);
    int64_t p = panels.begin;
    if (a->tokens == 1)
        for (; p + TILE_PANELS_ONE_TOKEN <= panels.end; p += TILE_PANELS_ONE_TOKEN) run_panels_one_token(a, &partial, p, kind);
    for (; p + TILE_PANELS <= panels.end; p += TILE_PANELS) run_panels(a, &partial, p, kind, TILE_PANELS);
#if TILE_PANELS > 1
    for (; p < panels.end; p++) run_panels(a, &partial, p, kind, 1);
#endif
}

static void matmul_f32(const ck_matmul *a, ck_part part) { run_kind(a, part, KIND_F32); }
static void matmul_f16(const ck_matmul *a, ck_part part) { run_kind(a, part, KIND_F16); }
static void matmul_bf16(const ck_matmul *a, ck_part part) { run_kind(a, part, KIND_BF16); }
static void matmul_int8(const ck_matmul *a, ck_part part) { run_kind(a, part, KIND_INT8); }
static void matmul_int4(const ck_matmul *a, ck_part part) { run_kind(a, part, KIND_INT4); }
static void matmul_int8_float(const ck_matmul *a, ck_part part) { run_kind(a, part, KIND_INT8_FLOAT); }
static void matmul_int4_float(const ck_matmul *a, ck_part part) { run_kind(a, part, KIND_INT4_FLOAT); }

static void matmul(const ck_matmul *a, ck_part part) {
    switch (a->weight->format) {
    case CK_F32: matmul_f32(a, part); break;
    case CK_F16: matmul_f16(a, part); break;
    case CK_BF16: matmul_bf16(a, part); break;
    case CK_INT8: a->input.codes ? matmul_int8(a, part) : matmul_int8_float(a, part); break;
    default: a->input.codes ? matmul_int4(a, part) : matmul_int4_float(a, part);
    }
}
