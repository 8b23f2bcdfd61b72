// Norms, activations, rotation and quantization, for vectors of 16 lanes. See operations.md.

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

/// A tanh of what is no number is no number, though exp of it is 0.
INLINE vf vf_tanh(vf x) {
    const vf one = vf_set1(1.0f), two = vf_set1(2.0f);
    vf y = vf_sub(one, vf_div(two, vf_add(vf_exp(vf_mul(two, x)), one)));
    return vf_where_ge(vf_abs(x), vf_zero(), y, x);
}

/// x/2 (1 + erf(x/√2)) = max(x, 0) - |x|/2 erfc(|x|/√2): nothing cancels where x is negative.
INLINE vf vf_gelu(vf x) {
    vf most = vf_abs(x), one = vf_set1(1.0f), t = vf_div(one, vf_fma(most, vf_set1(CK_ERFC_P_OVER_ROOT_2), one));
    vf p = vf_fma(vf_set1(CK_ERFC_A5), t, vf_set1(CK_ERFC_A4));
    p = vf_fma(p, t, vf_set1(CK_ERFC_A3));
    p = vf_fma(p, t, vf_set1(CK_ERFC_A2));
    p = vf_fma(p, t, vf_set1(CK_ERFC_A1));
    vf erfc = vf_mul(vf_mul(p, t), vf_exp(vf_mul(vf_mul(x, x), vf_set1(-0.5f))));
    return vf_fma(vf_mul(most, vf_set1(-0.5f)), erfc, vf_where_ge(x, vf_zero(), x, vf_zero()));
}

/// x / (1 + exp(power)): what SiLU and GELU by tanh are made of.
INLINE vf vf_gated_by_exp(vf x, vf power) { return vf_div(x, vf_add(vf_set1(1.0f), vf_exp(power))); }

INLINE vf vf_activation(vf x, vf cap, const ck_activation kind) {
    switch (kind) {
    case CK_SILU: return vf_gated_by_exp(x, vf_negate(x));
    case CK_GELU: return vf_gelu(x);
    case CK_GELU_TANH:
        return vf_gated_by_exp(x, vf_mul(x, vf_fma(vf_mul(x, x), vf_set1(CK_GELU_CUBIC), vf_set1(CK_GELU_LINEAR))));
    // The condition is such that what is no number stays so.
    case CK_RELU: return vf_where_ge(vf_zero(), x, vf_zero(), x);
    case CK_RELU_SQUARED: x = vf_where_ge(vf_zero(), x, vf_zero(), x); return vf_mul(x, x);
    case CK_SOFTCAP: return vf_mul(cap, vf_tanh(vf_div(x, cap)));
    }
}

/// Adds `delta` (if there is one) to x, and writes x normalized to `out`, which may be x.
INLINE void normalize_row(float *x, const float *delta, float delta_scale, float *out, int64_t n, ck_norm_weights norm,
                          const ck_norm_kind kind) {
    vf sums = vf_zero(), squares = vf_zero(), mean = vf_zero();
    for (int64_t k = 0; k < n; k += 16) {
        int64_t lanes = ck_min(16, n - k);
        vf value = vf_load_n(x + k, lanes);
        if (delta) {
            value = vf_fma(vf_load_n(delta + k, lanes), vf_set1(delta_scale), value);
            vf_store_n(x + k, value, lanes);
        }
        sums = vf_add(sums, value);
        squares = vf_fma(value, value, squares);
    }
    if (ck_is_centered(kind)) {
        mean = vf_set1(vf_sum(sums) / (float)n);
        squares = vf_zero();
        for (int64_t k = 0; k < n; k += 16) {
            int64_t lanes = ck_min(16, n - k);
            vf value = vf_sub(vf_load_n(x + k, lanes), mean);
            // Lanes past the end, which are 0, must not count by their distance from the mean.
            if (lanes < 16) value = vf_where_ge(vf_set1((float)(lanes - 1)), vf_lane_index(), value, vf_zero());
            squares = vf_fma(value, value, squares);
        }
    }
    vf scale = vf_set1(1.0f / sqrtf(vf_sum(squares) / (float)n + norm.epsilon));
    for (int64_t k = 0; k < n; k += 16) {
        int64_t lanes = ck_min(16, n - k);
        vf value = vf_load_n(x + k, lanes), weight = vf_load_n(norm.weight + k, lanes);
        vf scaled = vf_mul(ck_is_centered(kind) ? vf_sub(value, mean) : value, scale);
        vf_store_n(out + k, norm.bias ? vf_fma(scaled, weight, vf_load_n(norm.bias + k, lanes)) : vf_mul(scaled, weight),
                   lanes);
    }
}

INLINE void norm_of_kind(const ck_norm *a, ck_part part, const ck_norm_kind kind) {
    ck_range tokens = ck_share(a->tokens, part);
    int64_t n = a->columns;
    for (int64_t t = tokens.begin; t < tokens.end; t++) {
        const float *delta = a->delta ? a->delta + t * n : NULL;
        normalize_row(a->hidden + t * n, delta, a->delta_scale, a->output + t * n, n, a->norm, kind);
    }
}

static void norm(const void *arguments, ck_part part) {
    const ck_norm *a = arguments;
    switch (a->norm.kind) {
    case CK_NORM_RMS: norm_of_kind(a, part, CK_NORM_RMS); break;
    case CK_NORM_LAYER: norm_of_kind(a, part, CK_NORM_LAYER); break;
    }
}

static void add(const void *arguments, ck_part part) {
    const ck_add *a = arguments;
    ck_range vectors = ck_share(ck_ceil_div(a->count, 16), part);
    for (int64_t v = vectors.begin; v < vectors.end; v++) {
        int64_t i = v * 16, lanes = ck_min(16, a->count - i);
        vf sum = vf_fma(vf_load_n(a->b + i, lanes), vf_set1(a->scale), vf_load_n(a->a + i, lanes));
        vf_store_n(a->a + i, sum, lanes);
    }
}

INLINE void activate_by(const ck_activate *a, ck_part part, const ck_activation kind) {
    // Whole vectors to each part, so that only the last one has a tail.
    ck_range vectors = ck_share(ck_ceil_div(a->columns, 16), part);
    for (int64_t t = 0; t < a->tokens; t++)
        for (int64_t v = vectors.begin; v < vectors.end; v++) {
            int64_t i = v * 16, lanes = ck_min(16, a->columns - i);
            vf y = vf_activation(vf_load_n(a->input + t * a->stride + i, lanes), vf_set1(a->cap), kind);
            if (a->up) y = vf_mul(y, vf_load_n(a->up + t * a->stride + i, lanes));
            vf_store_n(a->output + t * a->output_stride + i, y, lanes);
        }
}

static void activate(const void *arguments, ck_part part) {
    const ck_activate *a = arguments;
    switch (a->activation) {
    case CK_SILU: activate_by(a, part, CK_SILU); break;
    case CK_GELU: activate_by(a, part, CK_GELU); break;
    case CK_GELU_TANH: activate_by(a, part, CK_GELU_TANH); break;
    case CK_RELU: activate_by(a, part, CK_RELU); break;
    case CK_RELU_SQUARED: activate_by(a, part, CK_RELU_SQUARED); break;
    case CK_SOFTCAP: activate_by(a, part, CK_SOFTCAP); break;
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

static void quantize(const void *arguments, ck_part part) {
    const ck_quantize *a = arguments;
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

static void round_inputs(const void *arguments, ck_part part) {
    const ck_round *a = arguments;
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

/// Normalizes a head in place. (Not inlined: its loops are those of `norm`.)
static __attribute__((noinline)) void normalize_head(float *x, int64_t n, ck_norm_weights norm) {
    switch (norm.kind) {
    case CK_NORM_RMS: normalize_row(x, NULL, 0, x, n, norm, CK_NORM_RMS); break;
    case CK_NORM_LAYER: normalize_row(x, NULL, 0, x, n, norm, CK_NORM_LAYER); break;
    }
}

/// Turns the first 2 `half` elements of a head of n, and multiplies all by `scale`.
INLINE void rotate_head(float *x, const float *cosines, const float *sines, int64_t half, int64_t n, float scale) {
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
    for (i = 2 * half; i < n; i += 16) {
        int64_t lanes = ck_min(16, n - i);
        vf_store_n(x + i, vf_mul(vf_load_n(x + i, lanes), vf_set1(scale)), lanes);
    }
}

/// Converts a head to the cache's element type; gives its scale. `out` has room for 15 more.
INLINE float narrow(ck_format format, const float *x, int64_t count, void *out) {
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
        case CK_FP8:
            for (int64_t j = i; j < i + lanes; j++) ((uint8_t *)out)[j] = ck_to_fp8(x[j]);
            break;
        case CK_INT4: __builtin_trap();
        }
    }
    return scale;
}

static void store(const void *arguments, ck_part part) {
    const ck_store *a = arguments;
    ck_range tokens = ck_share(a->tokens, part);
    const ck_cache *c = &a->cache;
    int64_t half = a->rotated / 2, n = c->head_dim;
    for (int64_t t = tokens.begin; t < tokens.end; t++) {
        ck_slot slot = a->slots[t];
        float *row = a->rows + t * a->stride;
        for (int64_t h = 0; h < a->query_heads + c->heads; h++) {
            const bool is_query = h < a->query_heads;
            ck_norm_weights norm =
                is_query ? ck_norm_of_head(&a->query_norm, h) : ck_norm_of_head(&a->key_norm, h - a->query_heads);
            if (norm.weight) normalize_head(row + h * n, n, norm);
            const float scale = is_query ? a->query_scale : 1.0f;
            rotate_head(row + h * n, a->cosines + t * half, a->sines + t * half, half, n, scale);
        }
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
