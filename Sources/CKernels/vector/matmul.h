// Products of packed weights, for 16 output rows in the lanes of a vector. See operations.md.
//
// A tile is P panels by M tokens held in registers. Loop order: panels, blocks of tokens, slices, tiles of tokens: a slice
// of the weights stays in the first-level cache while all tokens of the block pass over it.

/// What is multiplied: weights of a format by floats, pairs of bfloat16 by pairs, or codes by codes.
enum kind { KIND_F32, KIND_F16, KIND_BF16, KIND_PAIRS, KIND_INT8, KIND_INT4, KIND_INT8_FLOAT, KIND_INT4_FLOAT };
enum { LEVELS = 3 };

/// Whether the processor multiplies pairs of bfloat16, for which inputs are rounded.
#ifdef BF16
enum { ROUNDS_INPUTS = true };
#else
enum { ROUNDS_INPUTS = false };
#endif

/// Room for any tile. Fixed sizes with constant indices become registers; arrays sized by a parameter would not.
enum {
    MOST_PANELS = TILE_PANELS_ONE_TOKEN,
    PACKED_TOKENS = PACKED_SUMS / TILE_PANELS,
    MOST_TILE = TILE_PANELS * TILE_TOKENS > PACKED_SUMS ? TILE_PANELS * TILE_TOKENS : PACKED_SUMS,
};

#define INLINE static inline __attribute__((always_inline))

/// How far ahead of byte `at` of a panel to ask for weights: a page; past the panel's end, in the panel that comes after
/// these P. The processor's own prefetchers stop at the end of a page and start anew in the next: a product of one token,
/// which waits for memory only, reads up to 1.4 times as fast with this.
INLINE int64_t prefetch_distance(int64_t at, int64_t panel_bytes, const int P) {
    return 4096 + (at + 4096 < panel_bytes ? 0 : (P - 1) * panel_bytes);
}

INLINE void prefetch(const void *weights, int64_t distance) { __builtin_prefetch((const char *)weights + distance); }

/// The format of a kind's weights.
INLINE ck_format weight_format(const enum kind kind) {
    switch (kind) {
    case KIND_F32: return CK_F32;
    case KIND_F16: return CK_F16;
    case KIND_BF16:
    case KIND_PAIRS: return CK_BF16;
    case KIND_INT8:
    case KIND_INT8_FLOAT: return CK_INT8;
    case KIND_INT4:
    case KIND_INT4_FLOAT: return CK_INT4;
    }
}

/// 16 rows' weights or scales of a float format.
INLINE vf load_floats(const void *p, const ck_format format) {
    switch (format) {
    case CK_F32: return vf_load(p);
    case CK_F16: return vf_load_f16(p);
    case CK_BF16: return vf_load_bf16(p);
    case CK_INT8:
    case CK_INT4:
    case CK_FP8: __builtin_trap();
    }
}

/// Weights of float32 or float16.
INLINE void tile_floats(const ck_matmul *a, int64_t panel, int64_t token, int64_t begin, int64_t end, vf *acc,
                        const ck_format format, const int P, const int M) {
    const ck_matrix *w = a->weight;
    const int64_t column_bytes = ck_column_bytes(format);
    int64_t bytes = ck_panel_bytes(w->format, w->columns, w->block), stride = a->input.value_stride;
    const char *base = (const char *)w->data + panel * bytes;
    const float *x = a->input.values + token * stride;
    const int64_t ahead = prefetch_distance(begin * column_bytes, bytes, P);
    for (int64_t k = begin; k < end; k++) {
#pragma unroll
        for (int p = 0; p < P; p++) {
            const char *step = base + p * bytes + k * column_bytes;
            if (M == 1) prefetch(step, ahead);
            vf weight = load_floats(step, format);
#pragma unroll
            for (int m = 0; m < M; m++) acc[p * M + m] = vf_fma(weight, vf_set1(x[m * stride + k]), acc[p * M + m]);
        }
    }
}

/// Weights of bfloat16, which lie in pairs of columns.
INLINE void tile_bfloats(const ck_matmul *a, int64_t panel, int64_t token, int64_t begin, int64_t end, vf *acc,
                         const int P, const int M) {
    const ck_matrix *w = a->weight;
    int64_t bytes = ck_panel_bytes(w->format, w->columns, w->block), stride = a->input.value_stride;
    const char *base = (const char *)w->data + panel * bytes;
    const float *x = a->input.values + token * stride;
    const int64_t ahead = prefetch_distance(begin * 32, bytes, P);
    int64_t k = begin;
    for (; k + 1 < end; k += 2) {
#pragma unroll
        for (int p = 0; p < P; p++) {
            vf even, odd;
            vf_load_bf16_pairs(base + p * bytes + k * 32, &even, &odd);
            if (M == 1) prefetch(base + p * bytes + k * 32, ahead);
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
}

/// Pairs of bfloat16 weights by pairs of bfloat16 inputs.
INLINE void tile_pairs(const ck_matmul *a, int64_t panel, int64_t token, int64_t begin, int64_t end, vf *acc, const int P,
                       const int M) {
    const ck_matrix *w = a->weight;
    const int block = w->block;
    int64_t bytes = ck_panel_bytes(w->format, w->columns, block);
    const char *steps = (const char *)w->data + panel * bytes + begin * 32;
    const uint16_t *x = a->input.rounded + (begin / block * a->tokens + token) * block;
    const int64_t ahead = prefetch_distance(begin * 32, bytes, P);
    for (; begin < end; begin += block, x += a->tokens * block)
        for (int j = 0; j < block; j += 2, steps += 64) {
            vp weight[MOST_PANELS];
#pragma unroll
            for (int p = 0; p < P; p++) {
                weight[p] = vp_load(steps + p * bytes);
                prefetch(steps + p * bytes, ahead);
            }
#pragma unroll
            for (int m = 0; m < M; m++) {
                vp input = vp_broadcast(x + m * block + j);
#pragma unroll
                for (int p = 0; p < P; p++) acc[p * M + m] = vf_dot(acc[p * M + m], weight[p], input);
            }
        }
}

/// The scales of a group of P panels, in one format: scale[p].
INLINE void load_scales_as(const ck_matrix *w, int64_t panel, int64_t group, vf *scale, const ck_format format,
                           const int P) {
    const int64_t bytes = ck_element_bytes(format) * 16, at = panel * w->group_count + group;
#pragma unroll
    for (int p = 0; p < P; p++)
        scale[p] = load_floats((const char *)w->scales + (at + p * w->group_count) * bytes, format);
}

INLINE void load_scales(const ck_matrix *w, int64_t panel, int64_t group, vf *scale, const int P) {
    switch (w->scale_format) {
    case CK_F32: load_scales_as(w, panel, group, scale, CK_F32, P); break;
    case CK_F16: load_scales_as(w, panel, group, scale, CK_F16, P); break;
    case CK_BF16: load_scales_as(w, panel, group, scale, CK_BF16, P); break;
    case CK_INT8:
    case CK_INT4:
    case CK_FP8: __builtin_trap();
    }
}

/// Takes the zero points of a group off its sums: P panels by M tokens, `inputs` the tokens' sums of inputs.
INLINE void subtract_zeros(const ck_matrix *w, int64_t panel, int64_t group, const float *inputs, vf *sums, const int P,
                           const int M) {
#pragma unroll
    for (int p = 0; p < P; p++) {
        vf zeros = vf_negate(vf_load_int8(w->zeros + ((panel + p) * w->group_count + group) * 16));
#pragma unroll
        for (int m = 0; m < M; m++) sums[p * M + m] = vf_fma(zeros, vf_set1(inputs[m]), sums[p * M + m]);
    }
}

/// Adds a group's sums, scaled, to the slice's.
INLINE void close_group(const ck_matrix *w, int64_t panel, int64_t group, vf *sums, const float *inputs, vf *acc, const int P,
                        const int M) {
    vf scale[MOST_PANELS];
    load_scales(w, panel, group, scale, P);
    if (w->zeros) subtract_zeros(w, panel, group, inputs, sums, P, M);
#pragma unroll
    for (int p = 0; p < P; p++) {
        int64_t ahead = ((panel + P + p) * w->group_count + group) * 16;
        __builtin_prefetch((const char *)w->scales + ahead * ck_element_bytes(w->scale_format));
#pragma unroll
        for (int m = 0; m < M; m++) acc[p * M + m] = vf_fma(sums[p * M + m], scale[p], acc[p * M + m]);
    }
}

/// The integer inputs of a block of tokens, from one block of columns on: [block][tokens][block's columns].
typedef struct coded_tokens {
    const int8_t *codes;
    const float *scales;
    const int32_t *corrections;
    int64_t tokens; // a row of scales
} coded_tokens;

INLINE coded_tokens coded_tokens_at(const ck_matmul *a, int64_t token, int64_t block_index) {
    int64_t at = block_index * a->tokens + token;
    return (coded_tokens){a->input.codes + at * a->weight->block, a->input.scales + at, a->input.corrections + at, a->tokens};
}

/// Packed weights of some panels from a step on, and how far ahead of it to prefetch.
typedef struct panel_steps {
    const char *steps; // of the first panel
    int64_t stride;    // bytes from one panel to the next
    int64_t ahead;
} panel_steps;

/// What the dot products of a block start with: matrices hold code + 128, or code + 8, the sixteenth part of that.
INLINE vi first_dots(int32_t correction, const ck_format format) {
    switch (format) {
    case CK_INT8: return vi_set1(LOADED_CODES_ARE_SIGNED ? 0 : correction);
    case CK_INT4: return vi_shift_right_signed(vi_set1(correction), 4);
    case CK_F32:
    case CK_F16:
    case CK_BF16:
    case CK_FP8: __builtin_trap();
    }
}

/// dots += the products of a step of 8-bit codes; its first column is column `at` of the block.
INLINE void add_bytes(panel_steps w, const int8_t *codes, int64_t at, vi *dots, const int block, const int P, const int M) {
    vq weight[MOST_PANELS];
#pragma unroll
    for (int p = 0; p < P; p++) {
        weight[p] = vq_load(w.steps + p * w.stride);
        prefetch(w.steps + p * w.stride, w.ahead);
    }
#pragma unroll
    for (int m = 0; m < M; m++) {
        vc input = vc_broadcast(codes + m * block + at);
#pragma unroll
        for (int p = 0; p < P; p++) dots[p * M + m] = vi_dot(dots[p * M + m], weight[p], input);
    }
}

/// The same for 4-bit codes, which are those of two places, half a block apart.
INLINE void add_nibbles(panel_steps w, const int8_t *codes, int64_t at, vi *dots, const int block, const int P,
                        const int M) {
    vq low[MOST_PANELS], high[MOST_PANELS];
#pragma unroll
    for (int p = 0; p < P; p++) {
        vq_load_nibbles(w.steps + p * w.stride, &low[p], &high[p]);
        prefetch(w.steps + p * w.stride, w.ahead);
    }
#pragma unroll
    for (int m = 0; m < M; m++) {
        vc first = vc_broadcast(codes + m * block + at);
        vc second = vc_broadcast(codes + m * block + block / 2 + at);
#pragma unroll
        for (int p = 0; p < P; p++) {
            dots[p * M + m] = vi_dot(dots[p * M + m], low[p], first);
            dots[p * M + m] = vi_dot(dots[p * M + m], high[p], second);
        }
    }
}

/// sums += the products of `count` blocks of columns, each times its inputs' scales.
INLINE void add_blocks(panel_steps w, coded_tokens x, int64_t count, vf *sums, const ck_format format, const int block,
                       const int P, const int M) {
    const int step_count = block * (int)ck_column_bytes(format) / 64;
    for (; count > 0; count--) {
        vi dots[MOST_TILE];
#pragma unroll
        for (int m = 0; m < M; m++) {
            vi start = first_dots(x.corrections[m], format);
#pragma unroll
            for (int p = 0; p < P; p++) dots[p * M + m] = start;
        }
        // The next block of inputs lies too far away for the processor to see that it comes next.
#pragma unroll
        for (int m = 0; M > 2 && m < M; m++) __builtin_prefetch(x.codes + x.tokens * block + m * block);
        for (int j = 0; j < step_count; j++, w.steps += 64)
            switch (format) {
            case CK_INT8: add_bytes(w, x.codes, j * 4, dots, block, P, M); break;
            case CK_INT4: add_nibbles(w, x.codes, j * 4, dots, block, P, M); break;
            case CK_F32:
            case CK_F16:
            case CK_BF16:
            case CK_FP8: __builtin_trap();
            }
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int p = 0; p < P; p++)
                sums[p * M + m] = vf_fma(vf_from_vi(dots[p * M + m]), vf_set1(x.scales[m]), sums[p * M + m]);
        x.codes += x.tokens * block;
        x.scales += x.tokens;
        x.corrections += x.tokens;
    }
}

/// sums[m] += the inputs of `count` blocks, for zero points. (Not inlined: seldom needed, in many places.)
static __attribute__((noinline)) void add_inputs(coded_tokens x, int64_t count, float *sums, int64_t tokens) {
    for (int64_t m = 0; m < tokens; m++)
        for (int64_t b = 0; b < count; b++) {
            int64_t at = b * x.tokens + m;
            sums[m] = __builtin_fmaf((float)ck_code_sum(x.corrections[at]), x.scales[at], sums[m]);
        }
}

/// Integer weights by integer inputs.
INLINE void tile_codes(const ck_matmul *a, int64_t panel, int64_t token, int64_t begin, int64_t end, vf *acc,
                       const ck_format format, const int block, const int P, const int M) {
    const ck_matrix *w = a->weight;
    int64_t bytes = ck_panel_bytes(w->format, w->columns, w->block);
    const char *base = (const char *)w->data + panel * bytes;
    while (begin < end) {
        int64_t piece_end = ck_piece_end(w, begin, end), group = ck_group_of(w, begin);
        int64_t count = ck_ceil_div(piece_end - begin, block);
        coded_tokens x = coded_tokens_at(a, token, begin / block);
        vf sums[MOST_TILE];
        float inputs[PACKED_TOKENS];
#pragma unroll
        for (int i = 0; i < P * M; i++) sums[i] = vf_zero();
        const int64_t at = begin * ck_column_bytes(format);
        const panel_steps steps = {base + at, bytes, prefetch_distance(at, bytes, P)};
        add_blocks(steps, x, count, sums, format, block, P, M);
        if (w->zeros) {
            memset(inputs, 0, sizeof inputs);
            add_inputs(x, count, inputs, M);
        }
        close_group(w, panel, group, sums, inputs, acc, P, M);
        begin = piece_end;
    }
}

/// Where the code of a column lies in a panel: the step that holds it, and how far up in each 32-bit lane.
typedef struct code_place {
    int64_t step;
    int shift;
} code_place;

INLINE code_place place_of_code(int64_t k, const int block, const ck_format format) {
    const int64_t first = k / block * block * ck_column_bytes(format);
    const int i = (int)(k % block), half = block / 2, j = i < half ? i : i - half;
    switch (format) {
    case CK_INT8: return (code_place){first + (i >> 2) * 64, (i & 3) * 8};
    case CK_INT4: return (code_place){first + (j >> 2) * 64, (j & 3) * 8 + (i < half ? 0 : 4)};
    case CK_F32:
    case CK_F16:
    case CK_BF16:
    case CK_FP8: __builtin_trap();
    }
}

/// Integer weights by float inputs: four columns lie in the bytes of each 32-bit lane.
INLINE void tile_codes_by_floats(const ck_matmul *a, int64_t panel, int64_t token, int64_t begin, int64_t end, vf *acc,
                                 const ck_format format, const int P, const int M) {
    const ck_matrix *w = a->weight;
    const int block = w->block, code_offset = ck_code_offset(format);
    const vf offset = vf_set1((float)code_offset);
    const vi mask = vi_set1(2 * code_offset - 1);
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
            const code_place place = place_of_code(k, block, format);
#pragma unroll
            for (int p = 0; p < P; p++) {
                vi codes = vi_and(vi_shift_right(vi_load(base + place.step + p * bytes), place.shift), mask);
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

/// Sums of slices that wait for their neighbours, of a block of tokens by level of the tree.
typedef struct token_sums {
    _Alignas(64) float levels[LEVELS][TOKEN_BLOCK][PANEL_BLOCK * 16];
} token_sums;

/// Writes a tile's sums, with the bias. (Not inlined: once per tile, in many places.)
static __attribute__((noinline)) void write_output(const ck_matmul *a, int64_t panel, int64_t token, const vf *sums, int P,
                                                   int M) {
    const int64_t tokens = ck_min(M, a->tokens - token);
    for (int p = 0; p < P; p++) {
        int64_t row = (panel + p) * 16, lanes = ck_min(16, a->weight->rows - row);
        for (int64_t m = 0; m < tokens; m++) {
            float *out = a->output + (token + m) * a->output_stride + row;
            vf sum = sums[p * M + m];
            if (a->bias) sum = vf_add(sum, lanes == 16 ? vf_load(a->bias + row) : vf_load_n(a->bias + row, lanes));
            if (lanes == 16) vf_store(out, sum);
            else vf_store_n(out, sum, lanes);
        }
    }
}

/// Adds a finished slice to the tree, or to the output. `acc`: P panels by M tokens, from `token` of the block on, perhaps
/// past the last token; the panels' sums lie from `lane` on.
INLINE void finish_slice(const ck_matmul *a, token_sums *sums, int64_t panel, int64_t lane, int64_t first_token,
                         int64_t token, int slice, vf *acc, const int P, const int M) {
    int level = 0;
    for (; (slice >> level) & 1; level++)
#pragma unroll
        for (int i = 0; i < P * M; i++)
            acc[i] = vf_add(vf_load(&sums->levels[level][token + i % M][lane + i / M * 16]), acc[i]);
    if (slice + 1 < a->weight->slice_count) {
#pragma unroll
        for (int i = 0; i < P * M; i++) vf_store(&sums->levels[level][token + i % M][lane + i / M * 16], acc[i]);
        return;
    }
    vf finished[MOST_TILE]; // sums whose address is taken would not stay in registers
#pragma unroll
    for (int i = 0; i < P * M; i++) finished[i] = acc[i];
    write_output(a, panel, first_token + token, finished, P, M);
}

/// One slice of a tile whose sums stay in registers.
INLINE void tile(const ck_matmul *a, token_sums *sums, int64_t panel, int64_t first_token, int64_t token, int slice,
                 const enum kind kind, const int P, const int M) {
    const ck_matrix *w = a->weight;
    vf acc[MOST_TILE];
#pragma unroll
    for (int i = 0; i < P * M; i++) acc[i] = vf_zero();
    int64_t begin = slice ? w->slice_ends[slice - 1] : 0, end = w->slice_ends[slice], at = first_token + token;
    const ck_format format = weight_format(kind);
    switch (kind) {
    case KIND_F32:
    case KIND_F16: tile_floats(a, panel, at, begin, end, acc, format, P, M); break;
    case KIND_BF16: tile_bfloats(a, panel, at, begin, end, acc, P, M); break;
    case KIND_PAIRS: tile_pairs(a, panel, at, begin, end, acc, P, M); break;
    case KIND_INT8:
    case KIND_INT4:
        if (w->block == 64) tile_codes(a, panel, at, begin, end, acc, format, 64, P, M);
        else if (w->block == 32) tile_codes(a, panel, at, begin, end, acc, format, 32, P, M);
        else tile_codes(a, panel, at, begin, end, acc, format, w->block, P, M);
        break;
    case KIND_INT8_FLOAT:
    case KIND_INT4_FLOAT: tile_codes_by_floats(a, panel, at, begin, end, acc, format, P, M); break;
    }
    finish_slice(a, sums, panel, 0, first_token, token, slice, acc, P, M);
}

/// Whether inputs lie in blocks, which may be read past the last token.
INLINE bool is_packed(const enum kind kind) {
    switch (kind) {
    case KIND_PAIRS:
    case KIND_INT8:
    case KIND_INT4: return true;
    case KIND_F32:
    case KIND_F16:
    case KIND_BF16:
    case KIND_INT8_FLOAT:
    case KIND_INT4_FLOAT: return false;
    }
}

/// P panels by tiles of M tokens.
INLINE void run_panels(const ck_matmul *a, token_sums *sums, int64_t panel, const enum kind kind, const int P, const int M) {
    for (int64_t first = 0; first < a->tokens; first += TOKEN_BLOCK) {
        int64_t count = ck_min(TOKEN_BLOCK, a->tokens - first);
        for (int slice = 0; slice < a->weight->slice_count; slice++) {
            int64_t t = 0;
            for (; t + (is_packed(kind) ? 1 : M) <= count; t += M) tile(a, sums, panel, first, t, slice, kind, P, M);
            for (; t < count; t++) tile(a, sums, panel, first, t, slice, kind, P, 1);
        }
    }
}

/// As many of a part's panels as P divides; gives the first of the rest.
INLINE int64_t run_tiles(const ck_matmul *a, token_sums *sums, ck_range panels, const enum kind kind, const int P, const int M) {
    int64_t p = panels.begin;
    for (; p + P <= panels.end; p += P) run_panels(a, sums, p, kind, P, M);
    return p;
}

/// Float inputs. One token takes more panels at once, so that more loads of weights are in flight.
INLINE void run_floats(const ck_matmul *a, ck_part part, const enum kind kind) {
    token_sums sums;
    ck_range panels = ck_share(ck_ceil_div(a->weight->rows, 16), part);
    if (a->tokens == 1) panels.begin = run_tiles(a, &sums, panels, kind, MOST_PANELS, 1);
    else panels.begin = run_tiles(a, &sums, panels, kind, TILE_PANELS, TILE_TOKENS);
    run_tiles(a, &sums, panels, kind, 1, 1);
}

/// Inputs as codes or pairs, which may be read past the last token: tiles of the same number of tokens, and the fewer they
/// are, the more panels.
INLINE void run_packed(const ck_matmul *a, ck_part part, const enum kind kind) {
    token_sums sums;
    ck_range panels = ck_share(ck_ceil_div(a->weight->rows, 16), part);
    const int64_t tokens = ck_ceil_div(a->tokens, ck_ceil_div(a->tokens, PACKED_TOKENS));
    if (PACKED_TOKENS >= 8 && tokens > 6) panels.begin = run_tiles(a, &sums, panels, kind, PACKED_SUMS / 8, 8);
    else if (PACKED_TOKENS >= 6 && tokens > 4) panels.begin = run_tiles(a, &sums, panels, kind, PACKED_SUMS / 6, 6);
    else if (tokens > 2) panels.begin = run_tiles(a, &sums, panels, kind, PACKED_SUMS / 4, 4);
    else if (tokens == 2) panels.begin = run_tiles(a, &sums, panels, kind, MOST_PANELS, 2);
    else panels.begin = run_tiles(a, &sums, panels, kind, MOST_PANELS, 1);
    run_tiles(a, &sums, panels, kind, 1, 1);
}

#if MATRIX_TILES
#include "tiles_of_codes.h"
#include "tiles_of_pairs.h"
#endif

static void matmul_f32(const ck_matmul *a, ck_part part) { run_floats(a, part, KIND_F32); }
static void matmul_f16(const ck_matmul *a, ck_part part) { run_floats(a, part, KIND_F16); }
static void matmul_bf16(const ck_matmul *a, ck_part part) { run_floats(a, part, KIND_BF16); }
static void matmul_int8_float(const ck_matmul *a, ck_part part) { run_floats(a, part, KIND_INT8_FLOAT); }
static void matmul_int4_float(const ck_matmul *a, ck_part part) { run_floats(a, part, KIND_INT4_FLOAT); }
static void matmul_int8(const ck_matmul *a, ck_part part) { run_packed(a, part, KIND_INT8); }
static void matmul_int4(const ck_matmul *a, ck_part part) { run_packed(a, part, KIND_INT4); }
#if MATRIX_TILES
static void matmul_pairs(const ck_matmul *a, ck_part part) { run_tiles_of_pairs(a, part); }
static void matmul_codes_64(const ck_matmul *a, ck_part part) { run_tiles_of_codes(a, part, 64); }
static void matmul_codes_32(const ck_matmul *a, ck_part part) { run_tiles_of_codes(a, part, 32); }
static void matmul_codes_any(const ck_matmul *a, ck_part part) { run_tiles_of_codes(a, part, a->weight->block); }

/// Codes of either format, of which tiles make the same; false if the product is too small for tiles.
static bool matmul_tiles_of_codes(const ck_matmul *a, ck_part part) {
    if (a->tokens <= FEW_TOKENS) return false;
    if (a->weight->block == 64) matmul_codes_64(a, part);
    else if (a->weight->block == 32) matmul_codes_32(a, part);
    else matmul_codes_any(a, part);
    return true;
}
#else
static void matmul_pairs(const ck_matmul *a, ck_part part) { run_packed(a, part, KIND_PAIRS); }
INLINE bool matmul_tiles_of_codes(const ck_matmul *a, ck_part part) { return (void)a, (void)part, false; }
#endif

static void matmul(const void *arguments, ck_part part) {
    const ck_matmul *a = arguments;
    switch (a->weight->format) {
    case CK_F32: matmul_f32(a, part); break;
    case CK_F16: matmul_f16(a, part); break;
    case CK_BF16: a->input.rounded ? matmul_pairs(a, part) : matmul_bf16(a, part); break;
    case CK_INT8:
        if (!a->input.codes) matmul_int8_float(a, part);
        else if (!matmul_tiles_of_codes(a, part)) matmul_int8(a, part);
        break;
    case CK_INT4:
        if (!a->input.codes) matmul_int4_float(a, part);
        else if (!matmul_tiles_of_codes(a, part)) matmul_int4(a, part);
        break;
    case CK_FP8: __builtin_trap();
    }
}
