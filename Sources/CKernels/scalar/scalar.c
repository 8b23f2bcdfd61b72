// The reference table, in plain and obvious loops. Vector tables must give the same bits.
#include "../shared.h"
#include "../tables.h"
#include <math.h>

/// Gives an element of the cache, or a scale, as float32.
static float load_element(ck_format format, const void *base, int64_t i) {
    switch (format) {
    case CK_F32: return ((const float *)base)[i];
    case CK_F16: return ck_from_f16(((const uint16_t *)base)[i]);
    case CK_BF16: return ck_from_bf16(((const uint16_t *)base)[i]);
    case CK_INT8: return ((const int8_t *)base)[i];
    case CK_FP8: return ck_from_fp8(((const uint8_t *)base)[i]);
    case CK_INT4: __builtin_trap();
    }
}

static void store_element(ck_format format, void *base, int64_t i, float value) {
    switch (format) {
    case CK_F32: ((float *)base)[i] = value; break;
    case CK_F16: ((uint16_t *)base)[i] = ck_to_f16(value); break;
    case CK_BF16: ((uint16_t *)base)[i] = ck_to_bf16(value); break;
    case CK_INT8: ((int8_t *)base)[i] = (int8_t)value; break;
    case CK_FP8: ((uint8_t *)base)[i] = ck_to_fp8(value); break;
    case CK_INT4: __builtin_trap();
    }
}

/// One element of a product's output.
typedef struct element {
    const ck_matmul *a;
    int64_t row, token;
} element;

/// Gives the panel of an element's row.
static const void *panel_of(element e) {
    const ck_matrix *w = e.a->weight;
    return (const char *)w->data + e.row / 16 * ck_panel_bytes(w->format, w->columns, w->run);
}

/// Gives the weight of a float format at column k.
static float float_weight(element e, int64_t k) {
    const ck_format format = e.a->weight->format;
    const int64_t r = e.row % 16;
    switch (format) {
    case CK_F32:
    case CK_F16: return load_element(format, panel_of(e), k * 16 + r);
    case CK_BF16: return load_element(format, panel_of(e), (k >> 1) * 32 + r * 2 + (k & 1));
    case CK_INT8:
    case CK_INT4:
    case CK_FP8: __builtin_trap();
    }
}

/// Gives the signed code of an integer format at column k.
static int32_t code(element e, int64_t k) {
    const ck_format format = e.a->weight->format;
    const int64_t r = e.row % 16;
    const uint8_t *panel = panel_of(e);
    switch (format) {
    case CK_INT8: return panel[(k >> 2) * 64 + r * 4 + (k & 3)] - 128;
    case CK_INT4: return (panel[(k >> 3) * 64 + r * 4 + (k & 3)] >> (k & 4) & 15) - 8;
    case CK_F32:
    case CK_F16:
    case CK_BF16:
    case CK_FP8: __builtin_trap();
    }
}

/// Gives the sum of float weights times inputs over columns [begin, end).
static float sum_floats(element e, int64_t begin, int64_t end) {
    const ck_matrix *w = e.a->weight;
    const int64_t run = w->run, padded = ck_padded_columns(w->format, w->columns, w->run);
    const ck_token_place place = ck_place_of_token(e.token, e.a->tokens);
    const float *x = e.a->input.values + e.token * e.a->input.value_stride;
    const uint16_t *rounded = w->format == CK_BF16 ? e.a->input.rounded : NULL;
    float sum = 0;
    for (int64_t k = begin; k < end; k++) {
        float input = rounded ? ck_from_bf16(rounded[ck_place_of_inputs(place, k - k % run, run, padded) + k % run]) : x[k];
        sum = fmaf(float_weight(e, k), input, sum);
    }
    return sum;
}

/// Adds the product of block `index` of the weights and inputs that are codes, which is an exact whole number times a
/// scale.
static float add_block(element e, int64_t index, int32_t zero, float sum) {
    const ck_matrix *w = e.a->weight;
    const ck_block block = w->blocks[index];
    const ck_token_place place = ck_place_of_token(e.token, e.a->tokens);
    const int8_t *codes = e.a->input.codes + ck_place_of_inputs(place, block.begin, block.end - block.begin,
                                                                ck_padded_columns(w->format, w->columns, w->run));
    int32_t dot = 0;
    for (int64_t k = block.begin; k < ck_min(block.end, w->columns); k++) dot += (code(e, k) - zero) * codes[k - block.begin];
    return fmaf((float)dot, e.a->input.scales[ck_place_of_scale(place, index, ck_block_count(w))], sum);
}

/// Gives the sum of a slice of integer columns: group by group, each block by block, or column by column for float
/// inputs.
static float sum_codes(element e, int slice) {
    const ck_matrix *w = e.a->weight;
    const float *x = e.a->input.values + e.token * e.a->input.value_stride;
    float sum = 0, piece = 0, inputs = 0;
    for (int64_t b = ck_first_block(w, slice); b < w->slice_blocks[slice]; b++) {
        const ck_block block = w->blocks[b];
        const int64_t at = (e.row / 16 * w->group_count + block.group) * 16 + e.row % 16;
        const int32_t zero = w->zeros ? w->zeros[at] : 0;
        if (e.a->input.codes)
            piece = add_block(e, b, zero, piece);
        else
            for (int64_t k = block.begin; k < ck_min(block.end, w->columns); k++) {
                piece = fmaf((float)code(e, k), x[k], piece);
                inputs += x[k];
            }
        if (!block.is_last) continue;
        if (w->zeros && !e.a->input.codes) piece = fmaf(-(float)zero, inputs, piece);
        sum = fmaf(piece, load_element(w->scale_format, w->scales, at), sum);
        piece = inputs = 0;
    }
    return sum;
}

/// Gives the sum of a slice of columns.
static float sum_slice(element e, int slice) {
    const ck_matrix *w = e.a->weight;
    return ck_is_integer(w->format) ? sum_codes(e, slice) : sum_floats(e, ck_slice_begin(w, slice), w->slice_ends[slice]);
}

static void matmul(const void *arguments, ck_part part) {
    const ck_matmul *a = arguments;
    const ck_matrix *w = a->weight;
    ck_range panels = ck_share(ck_ceil_div(w->rows, 16), part);
    for (int64_t row = panels.begin * 16; row < ck_min(panels.end * 16, w->rows); row++)
        for (int64_t t = 0; t < a->tokens; t++) {
            float sums[CK_MAX_SLICES];
            for (int s = 0; s < w->slice_count; s++) sums[s] = sum_slice((element){a, row, t}, s);
            for (int width = 1; width < w->slice_count; width *= 2)
                for (int s = 0; s + width < w->slice_count; s += 2 * width) sums[s] += sums[s + width];
            a->output[t * a->output_stride + row] = a->bias ? sums[0] + a->bias[row] : sums[0];
        }
}

static void quantize(const void *arguments, ck_part part) {
    const ck_quantize *a = arguments;
    ck_range tokens = ck_share(a->tokens, part);
    for (int64_t t = tokens.begin; t < tokens.end; t++) {
        const float *x = a->input + t * a->input_stride;
        const ck_token_place place = ck_place_of_token(t, a->tokens);
        for (int64_t b = 0; b < a->block_count; b++) {
            const ck_block block = a->blocks[b];
            const int64_t at = ck_place_of_scale(place, b, a->block_count), length = block.end - block.begin;
            int8_t *codes = a->codes + ck_place_of_inputs(place, block.begin, length, a->blocks[a->block_count - 1].end);
            ck_quantize_block(x + block.begin, ck_min(length, a->columns - block.begin), length, codes, &a->scales[at],
                              &a->corrections[at]);
        }
    }
}

static void round_inputs(const void *arguments, ck_part part) {
    const ck_round *a = arguments;
    ck_range tokens = ck_share(a->tokens, part);
    int64_t padded = ck_ceil_div(a->columns, a->run) * a->run;
    for (int64_t t = tokens.begin; t < tokens.end; t++)
        for (int64_t k = 0; k < padded; k++)
            a->rounded[ck_place_of_inputs(ck_place_of_token(t, a->tokens), k - k % a->run, a->run, padded) + k % a->run] =
                k < a->columns ? ck_to_bf16(a->input[t * a->input_stride + k]) : 0;
}

/// Adds the lanes of a vector in the order of all tables: halves, then quarters, eighths and pairs.
static float sum_lanes(float *lanes) {
    for (int width = 8; width > 0; width /= 2)
        for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
    return lanes[0];
}

/// Writes the normalized x to `out`, which may be x.
static void normalize_row(const float *x, float *out, int64_t columns, ck_norm_weights norm) {
    float mean = 0, sums[16] = {0}, squares[16] = {0};
    if (ck_is_centered(norm.kind)) {
        for (int64_t k = 0; k < columns; k++) sums[k % 16] += x[k];
        mean = sum_lanes(sums) / (float)columns;
    }
    for (int64_t k = 0; k < columns; k++) squares[k % 16] = fmaf(x[k] - mean, x[k] - mean, squares[k % 16]);
    float scale = 1.0f / sqrtf(sum_lanes(squares) / (float)columns + norm.epsilon);
    for (int64_t k = 0; k < columns; k++) {
        float scaled = (x[k] - mean) * scale;
        out[k] = norm.bias ? fmaf(scaled, norm.weight[k], norm.bias[k]) : scaled * norm.weight[k];
    }
}

/// Normalizes head `head` of token `token`, in place.
static void normalize_head(float *x, int64_t n, const ck_head_norm *a, int64_t head, int64_t token) {
    ck_norm_weights norm = ck_norm_of_head(a, head);
    if (!norm.weight) return;
    if (!a->factors) normalize_row(x, x, n, norm);
    for (int64_t i = 0; a->factors && i < n; i++) x[i] = x[i] * a->factors[token] * norm.weight[i];
}

static void squares(const void *arguments, ck_part part) {
    const ck_squares *a = arguments;
    ck_range tokens = ck_share(a->tokens, part);
    for (int64_t t = tokens.begin; t < tokens.end; t++)
        for (int64_t h = 0; h < a->heads; h++) {
            const float *x = a->rows + t * a->stride + h * a->head_dim;
            float lanes[16] = {0};
            for (int64_t i = 0; i < a->head_dim; i++) lanes[i % 16] = fmaf(x[i], x[i], lanes[i % 16]);
            a->sums[t * a->sums_stride + h] = sum_lanes(lanes);
        }
}

static void norm(const void *arguments, ck_part part) {
    const ck_norm *a = arguments;
    ck_range tokens = ck_share(a->tokens, part);
    for (int64_t t = tokens.begin; t < tokens.end; t++) {
        float *x = a->hidden + t * a->columns;
        if (a->delta)
            for (int64_t k = 0; k < a->columns; k++) x[k] = fmaf(a->delta[t * a->columns + k], a->delta_scale, x[k]);
        normalize_row(x, a->output + t * a->columns, a->columns, a->norm);
    }
}

static void add(const void *arguments, ck_part part) {
    const ck_add *a = arguments;
    ck_range elements = ck_share(a->count, part);
    for (int64_t i = elements.begin; i < elements.end; i++) a->a[i] = fmaf(a->b[i], a->scale, a->a[i] * a->keep);
}

static float exponential(float x) {
    if (!(x >= CK_EXP_LOW)) return 0;
    x = x > CK_EXP_HIGH ? CK_EXP_HIGH : x;
    float shifted = fmaf(x, CK_EXP_LOG2E, CK_EXP_ROUND), n = shifted - CK_EXP_ROUND;
    float r = fmaf(n, -CK_EXP_LN2_HIGH, x);
    r = fmaf(n, -CK_EXP_LN2_LOW, r);
    float p = fmaf(CK_EXP_P0, r, CK_EXP_P1);
    p = fmaf(p, r, CK_EXP_P2);
    p = fmaf(p, r, CK_EXP_P3);
    p = fmaf(p, r, CK_EXP_P4);
    p = fmaf(p, r, CK_EXP_P5);
    p = fmaf(p, r * r, r) + 1.0f;
    return p * ck_bits_float((ck_float_bits(shifted) + 127) << 23);
}

/// tanh x = 1 - 2 / (exp(2x) + 1). A NaN stays a NaN, although its exponential is 0 here.
static float hyperbolic_tangent(float x) {
    float y = 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f);
    return x != x ? x : y;
}

/// x/2 (1 + erf(x/√2)) = max(x, 0) - |x|/2 erfc(|x|/√2): nothing cancels where x is negative.
static float gelu(float x) {
    float most = fabsf(x), t = 1.0f / fmaf(most, CK_ERFC_P_OVER_ROOT_2, 1.0f);
    float p = fmaf(CK_ERFC_A5, t, CK_ERFC_A4);
    p = fmaf(p, t, CK_ERFC_A3);
    p = fmaf(p, t, CK_ERFC_A2);
    p = fmaf(p, t, CK_ERFC_A1);
    float erfc = p * t * exponential(x * x * -0.5f);
    return fmaf(most * -0.5f, erfc, x >= 0 ? x : 0);
}

static float activation(ck_activation kind, float x, const float *coefficients) {
    // Not `x > 0 ? x : 0`, which would make a NaN 0.
    float positive = 0 >= x ? 0 : x;
    switch (kind) {
    case CK_SILU: return x / (1.0f + exponential(-x));
    case CK_GELU: return gelu(x);
    case CK_GELU_TANH: return x / (1.0f + exponential(x * fmaf(x * x, CK_GELU_CUBIC, CK_GELU_LINEAR)));
    case CK_RELU: return positive;
    case CK_RELU_SQUARED: return positive * positive;
    case CK_SOFTCAP: return coefficients[0] * hyperbolic_tangent(x / coefficients[0]);
    case CK_XIELU:
        return 0 >= x ? fmaf(coefficients[1], exponential(x) - 1.0f - x, 0.5f * x) : x * fmaf(coefficients[0], x, 0.5f);
    }
}

static void activate(const void *arguments, ck_part part) {
    const ck_activate *a = arguments;
    ck_range columns = ck_share(a->columns, part);
    for (int64_t t = 0; t < a->tokens; t++)
        for (int64_t i = columns.begin; i < columns.end; i++) {
            float y = activation(a->activation, a->input[t * a->stride + i], a->coefficients);
            a->output[t * a->output_stride + i] = a->up ? y * a->up[t * a->stride + i] : y;
        }
}

/// Gives the index of element d of the key at a position of a cache block; `value_index` gives that of the value.
static int64_t key_index(const ck_cache *c, int64_t block, int64_t head, int64_t position, int64_t d) {
    int64_t within = position % CK_CACHE_BLOCK;
    int64_t place = (within / 16 * c->head_dim + d) * 16 + within % 16;
    return (block * c->heads + head) * CK_CACHE_BLOCK * c->head_dim + place;
}
static int64_t value_index(const ck_cache *c, int64_t block, int64_t head, int64_t position, int64_t d) {
    return ((block * c->heads + head) * CK_CACHE_BLOCK + position % CK_CACHE_BLOCK) * c->value_stride + d;
}

static int64_t scale_index(const ck_cache *c, int64_t block, int64_t head, int64_t position) {
    return (block * c->heads + head) * CK_CACHE_BLOCK + position % CK_CACHE_BLOCK;
}

/// Replaces a head's values by their codes, and gives the codes' scale.
static float quantize_head(float *x, int64_t count) {
    int8_t codes[CK_MAX_HEAD];
    float scale;
    int32_t correction;
    ck_quantize_block(x, count, (int32_t)count, codes, &scale, &correction);
    for (int64_t i = 0; i < count; i++) x[i] = codes[i];
    return scale;
}

static void store(const void *arguments, ck_part part) {
    const ck_store *a = arguments;
    ck_range tokens = ck_share(a->tokens, part);
    const ck_cache *c = &a->cache;
    int64_t half = a->rotated / 2;
    for (int64_t t = tokens.begin; t < tokens.end; t++) {
        ck_slot slot = a->slots[t];
        for (int64_t h = 0; h < a->query_heads + c->heads; h++) {
            float *x = a->rows + t * a->stride + h * c->head_dim;
            const bool is_query = h < a->query_heads;
            const ck_head_norm *norm = is_query ? &a->query_norm : &a->key_norm;
            const int64_t head = is_query ? h : h - a->query_heads;
            if (!a->norms_follow) normalize_head(x, c->head_dim, norm, head, t);
            for (int64_t i = 0; i < half; i++) {
                float cosine = a->cosines[t * half + i], sine = a->sines[t * half + i];
                float first = fmaf(x[i], cosine, -(x[i + half] * sine));
                float second = fmaf(x[i + half], cosine, x[i] * sine);
                x[i] = first;
                x[i + half] = second;
            }
            if (a->norms_follow) normalize_head(x, c->head_dim, norm, head, t);
            const float scale = ck_query_scale(a, t);
            for (int64_t i = 0; is_query && i < c->head_dim; i++) x[i] *= scale;
        }
        float *keys = a->rows + t * a->stride + a->query_heads * c->head_dim, *values = keys + c->heads * c->head_dim;
        for (int64_t h = 0; h < c->heads; h++) {
            normalize_head(values + h * c->head_dim, c->head_dim, &a->value_norm, h, t);
            if (ck_is_integer(c->format)) {
                int64_t at = scale_index(c, slot.block, h, slot.position);
                c->key_scales[at] = quantize_head(keys + h * c->head_dim, c->head_dim);
                c->value_scales[at] = quantize_head(values + h * c->head_dim, c->head_dim);
            }
            for (int64_t d = 0; d < c->head_dim; d++) {
                int64_t key = key_index(c, slot.block, h, slot.position, d);
                int64_t value = value_index(c, slot.block, h, slot.position, d);
                store_element(c->format, c->keys, key, keys[h * c->head_dim + d]);
                store_element(c->format, c->values, value, values[h * c->head_dim + d]);
            }
        }
    }
}

/// The sums of weights and values over some positions, relative to the largest score.
typedef struct attention_sums {
    float most, total;
    float vector[CK_MAX_HEAD];
} attention_sums;

/// Computes one query head of one token over the part of a span that the token sees.
static void attend_span(const ck_attend *a, const ck_attention_item *item, int64_t t, int64_t h, int64_t span,
                        attention_sums *sums) {
    const ck_cache *c = &a->cache;
    int64_t position = item->first_position + t, head = a->head_map[h];
    const float *query = a->queries + (item->first_row + t) * a->query_stride + h * c->head_dim;
    float scores[CK_SPAN], lanes[16] = {0};
    int64_t from = ck_max(ck_first_seen(a, position), span * CK_SPAN), to = ck_min(position + 1, (span + 1) * CK_SPAN);
    *sums = (attention_sums){.most = -INFINITY};
    for (int64_t j = from; j < to; j++) {
        float score = 0;
        int64_t block = item->blocks[j / CK_CACHE_BLOCK];
        for (int64_t d = 0; d < c->head_dim; d++)
            score = fmaf(load_element(c->format, c->keys, key_index(c, block, head, j, d)), query[d], score);
        if (c->key_scales) score *= c->key_scales[scale_index(c, block, head, j)];
        if (a->cap > 0) score = a->cap * hyperbolic_tangent(score / a->cap);
        if (a->slopes) score = fmaf((float)(j - position), a->slopes[h], score);
        scores[j - span * CK_SPAN] = score;
        sums->most = score > sums->most ? score : sums->most;
    }
    for (int64_t j = from; j < to; j++) {
        float p = exponential(scores[j - span * CK_SPAN] - sums->most);
        int64_t block = item->blocks[j / CK_CACHE_BLOCK];
        lanes[j % 16] += p;
        if (c->value_scales) p *= c->value_scales[scale_index(c, block, head, j)];
        for (int64_t d = 0; d < c->head_dim; d++)
            sums->vector[d] = fmaf(load_element(c->format, c->values, value_index(c, block, head, j, d)), p, sums->vector[d]);
    }
    sums->total = sum_lanes(lanes);
}

/// Adds the sums of a span to those of the spans before it.
static void add_span(attention_sums *sums, const attention_sums *span, int64_t head_dim) {
    float next = span->most > sums->most ? span->most : sums->most;
    float keep = exponential(sums->most - next), add = exponential(span->most - next);
    sums->total = fmaf(sums->total, keep, span->total * add);
    for (int64_t d = 0; d < head_dim; d++) sums->vector[d] = fmaf(sums->vector[d], keep, span->vector[d] * add);
    sums->most = next;
}

/// Gives the sums before the first span. A sink has the weight 1 relative to itself, and no value.
static attention_sums no_sums(const ck_attend *a, int64_t h) {
    return (attention_sums){.most = a->sinks ? a->sinks[h] : -INFINITY, .total = a->sinks ? 1 : 0};
}

static void write_attention(const ck_attend *a, int64_t row, int64_t h, const attention_sums *sums) {
    float *out = a->output + row * a->output_stride + h * a->cache.head_dim;
    for (int64_t d = 0; d < a->cache.head_dim; d++) out[d] = sums->vector[d] / sums->total;
}

/// Computes the attention of one query head of one token.
static void attend_one(const ck_attend *a, const ck_attention_item *item, int64_t t, int64_t h) {
    const int64_t position = item->first_position + t, first = ck_first_seen(a, position) / CK_SPAN;
    attention_sums sums = no_sums(a, h), span;
    for (int64_t s = 0; s < ck_span_count(a, position); s++) {
        attend_span(a, item, t, h, first + s, &span);
        add_span(&sums, &span, a->cache.head_dim);
    }
    write_attention(a, item->first_row + t, h, &sums);
}

static void attend(const void *arguments, ck_part part) {
    const ck_attend *a = arguments;
    for (int64_t i = 0; i < a->item_count; i++)
        for (int64_t t = 0; t < a->items[i].token_count; t++)
            for (int64_t h = 0; h < a->query_heads; h++)
                if ((i * a->cache.heads + a->head_map[h]) % part.count == part.index) attend_one(a, &a->items[i], t, h);
}

/// Copies sums to a row of `ck_attend_spans`, or from it.
static void save_sums(const ck_cache *c, const attention_sums *sums, float *row) {
    memcpy(row, sums->vector, (size_t)c->head_dim * 4);
    row[c->value_stride] = sums->most;
    row[c->value_stride + 1] = sums->total;
}
static void load_sums(const ck_cache *c, attention_sums *sums, const float *row) {
    memcpy(sums->vector, row, (size_t)c->head_dim * 4);
    sums->most = row[c->value_stride];
    sums->total = row[c->value_stride + 1];
}

static void attend_spans(const void *arguments, ck_part part) {
    const ck_attend_spans *spans = arguments;
    const ck_attend *a = spans->attend;
    attention_sums sums;
    for (int64_t i = 0; i < a->item_count; i++) {
        const int64_t position = a->items[i].first_position, first = ck_first_seen(a, position) / CK_SPAN;
        const int64_t count = ck_min(spans->count, ck_span_count(a, position) - spans->first);
        for (int64_t h = 0; h < a->query_heads; h++)
            for (int64_t s = 0; s < count; s++) {
                const int64_t unit = (i * a->cache.heads + a->head_map[h]) * spans->count + s;
                if (unit % part.count != part.index) continue;
                attend_span(a, &a->items[i], 0, h, first + spans->first + s, &sums);
                save_sums(&a->cache, &sums, spans->spans + ((i * a->query_heads + h) * spans->count + s) * spans->row);
            }
    }
}

static void combine_spans(const void *arguments, ck_part part) {
    const ck_attend_spans *spans = arguments;
    const ck_attend *a = spans->attend;
    for (int64_t index = part.index; index < a->item_count * a->query_heads; index += part.count) {
        const ck_attention_item *item = &a->items[index / a->query_heads];
        const int64_t h = index % a->query_heads, left = ck_span_count(a, item->first_position) - spans->first;
        if (left <= 0) continue;
        attention_sums sums = no_sums(a, h), span;
        if (spans->first > 0) load_sums(&a->cache, &sums, spans->sums + index * spans->row);
        for (int64_t s = 0; s < ck_min(spans->count, left); s++) {
            load_sums(&a->cache, &span, spans->spans + (index * spans->count + s) * spans->row);
            add_span(&sums, &span, a->cache.head_dim);
        }
        if (left <= spans->count)
            write_attention(a, item->first_row, h, &sums);
        else
            save_sums(&a->cache, &sums, spans->sums + index * spans->row);
    }
}

static void read_memory(const void *arguments, ck_part part) {
    const ck_read *a = arguments;
    ck_range pages = ck_share(a->bytes / 4096, part);
    const uint64_t *data = (const uint64_t *)a->data;
    uint64_t sum = 0;
    for (int64_t i = pages.begin * 512; i < pages.end * 512; i++) sum ^= data[i];
    a->sinks[part.index] = (float)sum;
}

static void peak(const void *arguments, ck_part part) {
    const ck_peak *a = arguments;
    float sums[16] = {0}, weight = (float)(a->rounds & 1) * 0.5f;
    int32_t codes[16] = {0}, code = (int32_t)(a->rounds & 1) + 1;
    for (int64_t round = 0; round < a->rounds; round++)
        for (int i = 0; i < 16; i++) {
            if (ck_is_integer(a->format))
                for (int k = 0; k < 4; k++) codes[i] += code * (k + 1);
            else
                sums[i] = fmaf(weight, 0.25f, sums[i]);
        }
    for (int i = 0; i < 16; i++) sums[0] += sums[i] + (float)codes[i];
    a->sinks[part.index] = sums[0];
    a->operations[part.index] = (double)a->rounds * 16 * (ck_is_integer(a->format) ? 8 : 2);
}

const ck_kernels ck_scalar = {
    .name = "scalar",
    .matmul = matmul,
    .quantize = quantize,
    .round = round_inputs,
    .norm = norm,
    .add = add,
    .activate = activate,
    .squares = squares,
    .store = store,
    .attend = attend,
    .attend_spans = attend_spans,
    .combine_spans = combine_spans,
    .read = read_memory,
    .peak = peak,
};
