// Products of packed weights, for 16 output rows in the lanes of a vector. See operations.md.
//
// A tile is P panels by M tokens held in registers. Loop order: panels, blocks of tokens, slices, for codes chunks of
// columns, tiles of tokens: the weights stay in the first-level cache while all tokens of the block pass over them.

enum kind { KIND_F32, KIND_F16, KIND_BF16, KIND_PAIRS, KIND_INT8, KIND_WIDENED, KIND_INT4, KIND_INT8_FLOAT, KIND_INT4_FLOAT };
enum { CHUNK = 128, LEVELS = 3 };

/// Whether the processor multiplies pairs of bfloat16, for which inputs are rounded.
#ifdef BF16
enum { ROUNDS_INPUTS = true };
#else
enum { ROUNDS_INPUTS = false };
#endif

/// Room for any tile. Fixed sizes with constant indices become registers; arrays sized by a parameter would not.
enum {
    MOST_PANELS = TILE_PANELS_ONE_TOKEN,
    MOST_TILE = TILE_PANELS * TILE_TOKENS > 2 * MOST_PANELS ? TILE_PANELS * TILE_TOKENS : 2 * MOST_PANELS,
};

#define INLINE static inline __attribute__((always_inline))

/// Asks for the weights one page further on. The processor's own prefetchers stop at the end of a page and start anew in
/// the next: a product of one token, which waits for memory only, reads up to 1.4 times as fast with this.
INLINE void prefetch(const void *weights) { __builtin_prefetch((const char *)weights + 4096); }

INLINE void tile_floats(const ck_matmul *a, int64_t panel, int64_t token, int64_t begin, int64_t end, vf *acc,
                        const int kind, const int P, const int M) {
    const ck_matrix *w = a->weight;
    int64_t bytes = ck_panel_bytes(w->format, w->columns, w->block), stride = a->input.value_stride;
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

/// Pairs of bfloat16 weights by pairs of bfloat16 inputs.
INLINE void tile_pairs(const ck_matmul *a, int64_t panel, int64_t token, int64_t begin, int64_t end, vf *acc, const int P,
                       const int M) {
    const ck_matrix *w = a->weight;
    const int block = w->block;
    int64_t bytes = ck_panel_bytes(w->format, w->columns, block);
    const char *steps = (const char *)w->data + panel * bytes + begin * 32;
    const uint16_t *x = a->input.rounded + (begin / block * a->tokens + token) * block;
    for (; begin < end; begin += block, x += a->tokens * block)
        for (int j = 0; j < block; j += 2, steps += 64) {
            vp weight[MOST_PANELS];
#pragma unroll
            for (int p = 0; p < P; p++) {
                weight[p] = vp_load(steps + p * bytes);
                if (M == 1) prefetch(steps + p * bytes);
            }
#pragma unroll
            for (int m = 0; m < M; m++) {
                vp input = vp_broadcast(x + m * block + j);
#pragma unroll
                for (int p = 0; p < P; p++) acc[p * M + m] = vf_dot(acc[p * M + m], weight[p], input);
            }
        }
}

INLINE vf load_scales(const ck_matrix *w, int64_t at) {
    if (w->scale_format == CK_BF16) return vf_load_bf16((const uint16_t *)w->scales + at);
    if (w->scale_format == CK_F16) return vf_load_f16((const uint16_t *)w->scales + at);
    return vf_load((const float *)w->scales + at);
}

/// Adds one group's sums, scaled, to the slice's.
INLINE void close_group(const ck_matrix *w, int64_t panel, int64_t group, const vf *sums, const float *inputs, vf *acc,
                        const int P, const int M) {
#pragma unroll
    for (int p = 0; p < P; p++) {
        int64_t at = ((panel + p) * w->group_count + group) * 16;
        vf scale = load_scales(w, at);
        if (M == 1)
            __builtin_prefetch((const char *)w->scales + (at + P * w->group_count * 16) * ck_element_bytes(w->scale_format));
#pragma unroll
        for (int m = 0; m < M; m++) {
            vf sum = sums[p * M + m];
            if (w->zeros) sum = vf_fma(vf_negate(vf_load_int8(w->zeros + at)), vf_set1(inputs[m]), sum);
            acc[p * M + m] = vf_fma(sum, scale, acc[p * M + m]);
        }
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

/// sums += the products of `count` blocks of columns, each times its inputs' scales.
///
/// `steps`: the first panel's first step; panels are `stride` bytes apart.
INLINE void add_blocks(const char *steps, int64_t stride, coded_tokens x, int64_t count, vf *sums, const int kind,
                       const int block, const int P, const int M) {
    for (; count > 0; count--) {
        vi dots[MOST_TILE];
#pragma unroll
        for (int m = 0; m < M; m++) {
            // Weights are stored as code + 128, or + 8: the sixteenth part.
            vi start = vi_set1(kind == KIND_INT8 && LOADED_CODES_ARE_SIGNED ? 0 : x.corrections[m]);
            if (kind != KIND_INT8) start = vi_shift_right_signed(start, 4);
#pragma unroll
            for (int p = 0; p < P; p++) dots[p * M + m] = start;
        }
        if (kind != KIND_INT4) {
#pragma unroll 16
            for (int j = 0; j < block / 4; j++) {
                vq weight[MOST_PANELS];
#pragma unroll
                for (int p = 0; p < P; p++) {
                    weight[p] = vq_load(steps + p * stride + j * 64);
                    if (M == 1) prefetch(steps + p * stride + j * 64);
                }
#pragma unroll
                for (int m = 0; m < M; m++) {
                    vc input = vc_broadcast(x.codes + m * block + j * 4);
#pragma unroll
                    for (int p = 0; p < P; p++) dots[p * M + m] = vi_dot(dots[p * M + m], weight[p], input);
                }
            }
        } else {
            for (int j = 0; j < block / 8; j++) {
                vq low[MOST_PANELS], high[MOST_PANELS];
#pragma unroll
                for (int p = 0; p < P; p++) {
                    vq_load_nibbles(steps + p * stride + j * 64, &low[p], &high[p]);
                    if (M == 1) prefetch(steps + p * stride + j * 64);
                }
#pragma unroll
                for (int m = 0; m < M; m++) {
                    vc first = vc_broadcast(x.codes + m * block + j * 4);
                    vc second = vc_broadcast(x.codes + m * block + block / 2 + j * 4);
#pragma unroll
                    for (int p = 0; p < P; p++) {
                        dots[p * M + m] = vi_dot(dots[p * M + m], low[p], first);
                        dots[p * M + m] = vi_dot(dots[p * M + m], high[p], second);
                    }
                }
            }
        }
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int p = 0; p < P; p++)
                sums[p * M + m] = vf_fma(vf_from_vi(dots[p * M + m]), vf_set1(x.scales[m]), sums[p * M + m]);
        steps += kind == KIND_INT4 ? block * 8 : block * 16;
        x.codes += x.tokens * block;
        x.scales += x.tokens;
        x.corrections += x.tokens;
    }
}

/// sum + the inputs of `count` blocks, for zero points.
INLINE float add_inputs(coded_tokens x, int64_t count, float sum) {
    for (int64_t b = 0; b < count; b++)
        sum = __builtin_fmaf((float)ck_code_sum(x.corrections[b * x.tokens]), x.scales[b * x.tokens], sum);
    return sum;
}

/// Integer weights by one token's integer inputs. The weights are read once, so they are used as they are packed.
INLINE void tile_codes(const ck_matmul *a, int64_t panel, int64_t begin, int64_t end, vf *acc, const int kind,
                       const int block, const int P) {
    const ck_matrix *w = a->weight;
    int64_t bytes = ck_panel_bytes(w->format, w->columns, w->block);
    const char *base = (const char *)w->data + panel * bytes;
    while (begin < end) {
        int64_t piece_end = ck_piece_end(w, begin, end), group = ck_group_of(w, begin);
        int64_t count = ck_ceil_div(piece_end - begin, block);
        coded_tokens x = coded_tokens_at(a, 0, begin / block);
        vf sums[MOST_TILE];
#pragma unroll
        for (int p = 0; p < P; p++) sums[p] = vf_zero();
        add_blocks(base + (kind == KIND_INT8 ? begin * 16 : begin * 8), bytes, x, count, sums, kind, block, P, 1);
        float input = w->zeros ? add_inputs(x, count, 0) : 0;
        close_group(w, panel, group, sums, &input, acc, P, 1);
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

/// Sums of a block of tokens: of slices that wait for their neighbours, by level of the tree; of the slice at hand;
/// of the group at hand, with the sum of its inputs. And some columns of weights, ready for the products.
typedef struct token_sums {
    _Alignas(64) float levels[LEVELS][TOKEN_BLOCK][PANEL_BLOCK * 16];
    _Alignas(64) float slice[TOKEN_BLOCK][PANEL_BLOCK * 16];
    _Alignas(64) float group[TOKEN_BLOCK][PANEL_BLOCK * 16];
    float inputs[TOKEN_BLOCK];
    _Alignas(64) char steps[PANEL_BLOCK * CHUNK * 16];
} token_sums;

/// Adds a finished slice to the tree, or to the output. `acc`: P panels by M tokens, from `token` of the block on; the
/// panels' sums lie from `lane` on.
INLINE void finish_slice(const ck_matmul *a, token_sums *sums, int64_t panel, int64_t lane, int64_t first_token,
                         int64_t token, int slice, vf *acc, const int P, const int M) {
    const ck_matrix *w = a->weight;
    int level = 0;
    for (; (slice >> level) & 1; level++)
#pragma unroll
        for (int i = 0; i < P * M; i++)
            acc[i] = vf_add(vf_load(&sums->levels[level][token + i % M][lane + i / M * 16]), acc[i]);
    if (slice + 1 < w->slice_count) {
#pragma unroll
        for (int i = 0; i < P * M; i++) vf_store(&sums->levels[level][token + i % M][lane + i / M * 16], acc[i]);
        return;
    }
#pragma unroll
    for (int i = 0; i < P * M; i++) {
        int64_t row = (panel + i / M) * 16, lanes = ck_min(16, w->rows - row);
        float *out = a->output + (first_token + token + i % M) * a->output_stride + row;
        if (lanes == 16) {
            if (a->bias) acc[i] = vf_add(acc[i], vf_load(a->bias + row));
            vf_store(out, acc[i]);
        } else {
            if (a->bias) acc[i] = vf_add(acc[i], vf_load_n(a->bias + row, lanes));
            vf_store_n(out, acc[i], lanes);
        }
    }
}

/// One slice of a tile whose sums stay in registers.
INLINE void tile(const ck_matmul *a, token_sums *sums, int64_t panel, int64_t first_token, int64_t token, int slice,
                 const int kind, const int P, const int M) {
    const ck_matrix *w = a->weight;
    vf acc[MOST_TILE];
#pragma unroll
    for (int i = 0; i < P * M; i++) acc[i] = vf_zero();
    int64_t begin = slice ? w->slice_ends[slice - 1] : 0, end = w->slice_ends[slice], at = first_token + token;
    if (kind == KIND_PAIRS) tile_pairs(a, panel, at, begin, end, acc, P, M);
    else if (kind <= KIND_BF16) tile_floats(a, panel, at, begin, end, acc, kind, P, M);
    else if (kind >= KIND_INT8_FLOAT) tile_codes_by_floats(a, panel, at, begin, end, acc, kind, P, M);
    else if (w->block == 64) tile_codes(a, panel, begin, end, acc, kind, 64, P);
    else if (w->block == 32) tile_codes(a, panel, begin, end, acc, kind, 32, P);
    else tile_codes(a, panel, begin, end, acc, kind, w->block, P);
    finish_slice(a, sums, panel, 0, first_token, token, slice, acc, P, M);
}

INLINE void run_panels(const ck_matmul *a, token_sums *sums, int64_t panel, const int kind, const int P) {
    for (int64_t first = 0; first < a->tokens; first += TOKEN_BLOCK) {
        int64_t count = ck_min(TOKEN_BLOCK, a->tokens - first);
        for (int slice = 0; slice < a->weight->slice_count; slice++) {
            int64_t t = 0;
            for (; t + TILE_TOKENS <= count; t += TILE_TOKENS) tile(a, sums, panel, first, t, slice, kind, P, TILE_TOKENS);
            for (; t < count; t++) tile(a, sums, panel, first, t, slice, kind, P, 1);
        }
    }
}

/// One token: more panels at once, so that more loads of weights are in flight.
INLINE void run_panels_one_token(const ck_matmul *a, token_sums *sums, int64_t panel, const int kind, const int P) {
    for (int slice = 0; slice < a->weight->slice_count; slice++) tile(a, sums, panel, 0, 0, slice, kind, P, 1);
}

#include "chunks.h"
#if MATRIX_TILES
#include "tiles.h"
#endif

INLINE void run_kind(const ck_matmul *a, ck_part part, const int kind) {
    token_sums sums;
    ck_range panels = ck_share(ck_ceil_div(a->weight->rows, 16), part);
    int64_t p = panels.begin;
    if (a->tokens == 1) {
        for (; p + TILE_PANELS_ONE_TOKEN <= panels.end; p += TILE_PANELS_ONE_TOKEN)
            run_panels_one_token(a, &sums, p, kind, TILE_PANELS_ONE_TOKEN);
        for (; p < panels.end; p++) run_panels_one_token(a, &sums, p, kind, 1);
        return;
    }
    for (; p + TILE_PANELS <= panels.end; p += TILE_PANELS) run_panels(a, &sums, p, kind, TILE_PANELS);
    for (; p < panels.end; p++) run_panels(a, &sums, p, kind, 1);
}

/// Several tokens of integer inputs, in blocks of `block` columns.
INLINE void run_codes(const ck_matmul *a, ck_part part, const int block) {
    token_sums sums;
    ck_range panels = ck_share(ck_ceil_div(a->weight->rows, 16), part);
#if MATRIX_TILES
    // A tile takes as long for few tokens as for 16.
    if (a->tokens > 12) {
        mt_open(16, block);
        for (int64_t p = panels.begin; p < panels.end; p += PANEL_BLOCK)
            run_panels_of_codes(a, &sums, p, ck_min(PANEL_BLOCK, panels.end - p), block, true);
        mt_close();
        return;
    }
#endif
    for (int64_t p = panels.begin; p < panels.end; p += PANEL_BLOCK)
        run_panels_of_codes(a, &sums, p, ck_min(PANEL_BLOCK, panels.end - p), block, false);
}

static void matmul_f32(const ck_matmul *a, ck_part part) { run_kind(a, part, KIND_F32); }
static void matmul_f16(const ck_matmul *a, ck_part part) { run_kind(a, part, KIND_F16); }
static void matmul_bf16(const ck_matmul *a, ck_part part) { run_kind(a, part, KIND_BF16); }
#if MATRIX_TILES
static void matmul_pairs(const ck_matmul *a, ck_part part) { run_pairs(a, part); }
#else
static void matmul_pairs(const ck_matmul *a, ck_part part) { run_kind(a, part, KIND_PAIRS); }
#endif
static void matmul_int8_float(const ck_matmul *a, ck_part part) { run_kind(a, part, KIND_INT8_FLOAT); }
static void matmul_int4_float(const ck_matmul *a, ck_part part) { run_kind(a, part, KIND_INT4_FLOAT); }
static void matmul_int8_one(const ck_matmul *a, ck_part part) { run_kind(a, part, KIND_INT8); }
static void matmul_int4_one(const ck_matmul *a, ck_part part) { run_kind(a, part, KIND_INT4); }
static void matmul_codes_64(const ck_matmul *a, ck_part part) { run_codes(a, part, 64); }
static void matmul_codes_32(const ck_matmul *a, ck_part part) { run_codes(a, part, 32); }
static void matmul_codes_any(const ck_matmul *a, ck_part part) { run_codes(a, part, a->weight->block); }

static void matmul(const ck_matmul *a, ck_part part) {
    const bool is_int8 = a->weight->format == CK_INT8;
    switch (a->weight->format) {
    case CK_F32: matmul_f32(a, part); return;
    case CK_F16: matmul_f16(a, part); return;
    case CK_BF16: a->input.rounded ? matmul_pairs(a, part) : matmul_bf16(a, part); return;
    }
    if (!a->input.codes) is_int8 ? matmul_int8_float(a, part) : matmul_int4_float(a, part);
    else if (a->tokens == 1) is_int8 ? matmul_int8_one(a, part) : matmul_int4_one(a, part);
    else if (a->weight->block == 64) matmul_codes_64(a, part);
    else if (a->weight->block == 32) matmul_codes_32(a, part);
    else matmul_codes_any(a, part);
}
