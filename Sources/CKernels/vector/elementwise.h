// Norm, gate, rotation and quantization of activations, for vectors of 16 lanes. See operations.md.

#include <math.h>

/// exp as shared.h defines it; 0 below its range.
INLINE vf vf_exp(vf x) {
    vf clamped = vf_min(x, vf_set1(CK_EXP_HIGH));
    vf shifted = vf_fma(clamped, vf_set1(CK_EXP_LOG2E), vf_set1(CK_EXP_ROUND)), n = vf_sub(shifted, vf_set1(CK_EXP_ROUND));
    vf r = vf_fma(n, vf_set1(-CK_EXP_LN2_HIGH), clamped);
    r = vf_fma(n, vf_set1(-CK_EXP_LN2_LOW), r);
    vf p = vf_fma(vf_set1(CK_EXP_P0), r, vf_set1(CK_EXP_P1));
    p = vf_fma(p, r, vf_set1(CK_EXP_P2));
    p = vf_fma(p, r, vf_set1(CK_EXP_P3));
    p = vf_fma(p, r, vf_set1(CK_EXP_P4));
    p = vf_fma(p, r, vf_set1(CK_EXP_P5));
    p = vf_add(vf_fma(p, vf_mul(r, r), r), vf_set1(1.0f));
    vf power = vf_cast(vi_shift_left(vi_add(vi_cast(shifted), vi_set1(127)), 23));
    return vf_where_ge(x, vf_set1(CK_EXP_LOW), vf_mul(p, power), vf_zero());
}

static void norm(const ck_norm *a, ck_part part) {
    ck_range tokens = ck_share(a->tokens, part);
    int64_t n = a->columns;
    for (int64_t t = tokens.begin; t < tokens.end; t++) {
        float *x = a->hidden + t * n, *out = a->output + t * n;
        vf squares = vf_zero();
        for (int64_t k = 0; k < n; k += 16) {
            int64_t lanes = ck_min(16, n - k);
            vf value = vf_load_n(x + k, lanes);
            if (a->delta) {
                value = vf_add(value, vf_load_n(a->delta + t * n + k, lanes));
                vf_store_n(x + k, value, lanes);
            }
            squares = vf_fma(value, value, squares);
        }
        vf scale = vf_set1(1.0f / sqrtf(vf_sum(squares) / (float)n + a->epsilon));
        for (int64_t k = 0; k < n; k += 16) {
            int64_t lanes = ck_min(16, n - k);
            vf_store_n(out + k, vf_mul(vf_mul(vf_load_n(x + k, lanes), scale), vf_load_n(a->weight + k, lanes)), lanes);
        }
    }
}

static void gate(const ck_gate *a, ck_part part) {
    // Whole vectors to each part, so that only the last one has a tail.
    ck_range vectors = ck_share(ck_ceil_div(a->columns, 16), part);
    for (int64_t t = 0; t < a->tokens; t++)
        for (int64_t v = vectors.begin; v < vectors.end; v++) {
            int64_t i = v * 16, lanes = ck_min(16, a->columns - i);
            vf g = vf_load_n(a->gate + t * a->stride + i, lanes), up = vf_load_n(a->up + t * a->stride + i, lanes);
            vf silu = vf_div(g, vf_add(vf_set1(1.0f), vf_exp(vf_negate(g))));
            vf_store_n(a->output + t * a->output_stride + i, vf_mul(silu, up), lanes);
        }
}

/// A whole block of 16 V values.
INLINE void quantize_block(const float *x, int8_t *codes, float *scale, int32_t *correction, const int V) {
    vf values[4], most = vf_zero();
    vi sum = vi_set1(0);
#pragma unroll
    for (int i = 0; i < V; i++) most = vf_max(most, vf_abs(values[i] = vf_load(x + i * 16)));
    float largest = vf_most(most);
    vf inverse = vf_set1(largest > 0 ? 127.0f / largest : 0);
#pragma unroll
    for (int i = 0; i < V; i++) {
        vi code = vi_round(vf_mul(values[i], inverse));
        vi_store_int8(codes + i * 16, code);
        sum = vi_add(sum, code);
    }
    *scale = largest / 127.0f;
    *correction = -128 * vi_sum(sum);
}

static void quantize(const ck_quantize *a, ck_part part) {
    ck_range tokens = ck_share(a->tokens, part);
    for (int64_t t = tokens.begin; t < tokens.end; t++) {
        const float *x = a->input + t * a->input_stride;
        for (int64_t b = 0; b * a->block < a->columns; b++) {
            int64_t begin = b * a->block, count = ck_min(a->block, a->columns - begin), at = b * a->tokens + t;
            int8_t *codes = a->codes + at * a->block;
            float *scale = &a->scales[at];
            int32_t *correction = &a->corrections[at];
            if (a->block == 64 && count == 64) quantize_block(x + begin, codes, scale, correction, 4);
            else if (a->block == 32 && count == 32) quantize_block(x + begin, codes, scale, correction, 2);
            else ck_quantize_block(x + begin, count, a->block, codes, scale, correction);
        }
    }
}

static void round_inputs(const ck_round *a, ck_part part) {
    ck_range tokens = ck_share(a->tokens, part);
    for (int64_t t = tokens.begin; t < tokens.end; t++) {
        const float *x = a->input + t * a->input_stride;
        for (int64_t b = 0; b * a->block < a->columns; b++) {
            int64_t begin = b * a->block, count = ck_min(a->block, a->columns - begin);
            uint16_t *out = a->rounded + (b * a->tokens + t) * a->block;
            if (a->block == 32 && count == 32) {
                vf_store_bf16(out, vf_load(x + begin));
                vf_store_bf16(out + 16, vf_load(x + begin + 16));
            } else {
                for (int64_t k = 0; k < a->block; k++) out[k] = k < count ? ck_to_bf16(x[begin + k]) : 0;
            }
        }
    }
}

INLINE void rotate_head(float *x, const float *cosines, const float *sines, int64_t half, float scale) {
    int64_t i = 0;
    for (; i + 16 <= half; i += 16) {
        vf c = vf_load(cosines + i), s = vf_load(sines + i), low = vf_load(x + i), high = vf_load(x + half + i);
        vf first = vf_fma(low, c, vf_negate(vf_mul(high, s))), second = vf_fma(high, c, vf_mul(low, s));
        vf_store(x + i, vf_mul(first, vf_set1(scale)));
        vf_store(x + half + i, vf_mul(second, vf_set1(scale)));
    }
    for (; i < half; i++) {
        float first = __builtin_fmaf(x[i], cosines[i], -(x[i + half] * sines[i]));
        float second = __builtin_fmaf(x[i + half], cosines[i], x[i] * sines[i]);
        x[i] = first * scale;
        x[i + half] = second * scale;
    }
}

/// Converts a head to the cache's element type; gives its scale. `out` has room for 15 more.
INLINE float narrow(int32_t format, const float *x, int64_t count, void *out) {
    float scale = 1, inverse = 1;
    if (format == CK_INT8) {
        vf most = vf_zero();
        for (int64_t i = 0; i < count; i += 16) most = vf_max(most, vf_abs(vf_load_n(x + i, ck_min(16, count - i))));
        scale = vf_most(most) / 127.0f;
        inverse = vf_most(most) > 0 ? 127.0f / vf_most(most) : 0;
    }
    for (int64_t i = 0; i < count; i += 16) {
        int64_t lanes = ck_min(16, count - i);
        vf value = vf_load_n(x + i, lanes);
        switch (format) {
        case CK_F32: vf_store((float *)out + i, value); break;
        case CK_F16: vf_store_f16((uint16_t *)out + i, value); break;
        case CK_BF16: vf_store_bf16((uint16_t *)out + i, value); break;
        case CK_INT8: vi_store_int8((int8_t *)out + i, vi_round(vf_mul(value, vf_set1(inverse)))); break;
        default:
            for (int64_t j = i; j < i + lanes; j++) ((uint8_t *)out)[j] = ck_to_fp8(x[j]);
        }
    }
    return scale;
}

static void store(const ck_store *a, ck_part part) {
    ck_range tokens = ck_share(a->tokens, part);
    const ck_cache *c = &a->cache;
    int64_t half = c->head_dim / 2, n = c->head_dim;
    for (int64_t t = tokens.begin; t < tokens.end; t++) {
        ck_slot slot = a->slots[t];
        float *row = a->rows + t * a->stride;
        for (int64_t h = 0; h < a->query_heads + c->heads; h++)
            rotate_head(row + h * n, a->cosines + t * half, a->sines + t * half, half,
                        h < a->query_heads ? a->query_scale : 1.0f);
        const float *keys = row + a->query_heads * n, *values = keys + c->heads * n;
        for (int64_t h = 0; h < c->heads; h++) {
            int64_t at = slot.block * c->heads + h, within = slot.position % CK_CACHE_BLOCK;
            int64_t key = at * CK_CACHE_BLOCK * n + within / 16 * n * 16 + within % 16;
            int64_t value = (at * CK_CACHE_BLOCK + within) * c->value_stride;
            const int64_t bytes = ck_element_bytes(c->format);
            char narrowed[(CK_MAX_HEAD + 16) * 4], *stored = (char *)c->keys + key * bytes;
            float key_scale = narrow(c->format, keys + h * n, n, narrowed);
            for (int64_t d = 0; d < n; d++) memcpy(stored + d * 16 * bytes, narrowed + d * bytes, (size_t)bytes);
            float value_scale = narrow(c->format, values + h * n, n, narrowed);
            memcpy((char *)c->values + value * bytes, narrowed, (size_t)(n * bytes));
            if (c->format != CK_INT8) continue;
            c->key_scales[at * CK_CACHE_BLOCK + within] = key_scale;
            c->value_scales[at * CK_CACHE_BLOCK + within] = value_scale;
        }
    }
}
