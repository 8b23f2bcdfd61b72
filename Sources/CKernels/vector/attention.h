// Attention over the cache, for vectors of 16 lanes. See operations.md.
//
// Work on rows: a row is one query head of one token. Rows of an item that read the same cache head go
// together, R at a time, so that each key and value is loaded once for R rows.

/// For how many rows, how many runs of 16 positions are scored at once, and how many runs of 16 elements of values are
/// added: enough sums for chains of additions to overlap, as many as registers hold.
enum { MOST_RUNS = 8 };
INLINE int score_run_count(const int R) { return R >= 4 ? ck_max(1, SCORE_SUMS / R) : 4 / R; }
INLINE int value_run_count(const int R) { return ck_min(MOST_RUNS, VALUE_SUMS / R); }

typedef struct attention_rows {
    // One address for all rows' queries: pointers to them would not fit into the registers.
    _Alignas(64) float queries[ATTENTION_ROWS][CK_MAX_HEAD];
    float *outputs[ATTENTION_ROWS];
    int64_t positions[ATTENTION_ROWS];
    bool are_all; // no other rows read the same keys and values, so that these come from memory
    float slopes[ATTENTION_ROWS], most[ATTENTION_ROWS], total[ATTENTION_ROWS];
    _Alignas(64) float scores[ATTENTION_ROWS][CK_SPAN];
    _Alignas(64) float result[ATTENTION_ROWS][CK_MAX_HEAD];
} attention_rows;

INLINE vf load_cached(const void *base, int64_t i, const ck_format format) {
    switch (format) {
    case CK_F32: return vf_load((const float *)base + i);
    case CK_F16: return vf_load_f16((const uint16_t *)base + i);
    case CK_BF16: return vf_load_bf16((const uint16_t *)base + i);
    case CK_INT8: return vf_load_int8((const int8_t *)base + i);
    case CK_FP8: return vf_load_fp8((const uint8_t *)base + i);
    case CK_INT4: __builtin_trap();
    }
}

/// scores[r][.. 16 B] of B runs of 16 positions from `position` on.
INLINE void score_runs(const ck_attend *a, const ck_attention_item *item, attention_rows *rows, int64_t head,
                       int64_t position, const ck_format format, const int R, const int B) {
    const ck_cache *c = &a->cache;
    int64_t key[MOST_RUNS];
    const char *ahead[MOST_RUNS];
    vf acc[ATTENTION_ROWS * MOST_RUNS];
    const int64_t bytes = ck_element_bytes(format), last = rows->positions[R - 1];
#pragma unroll
    for (int b = 0; b < B; b++) {
        int64_t at = position + b * 16, block = item->blocks[at / CK_CACHE_BLOCK];
        key[b] = ((block * c->heads + head) * CK_CACHE_BLOCK + at % CK_CACHE_BLOCK) * c->head_dim;
        int64_t next = rows->are_all && at + CK_CACHE_BLOCK <= last ? item->blocks[at / CK_CACHE_BLOCK + 1] : block;
        ahead[b] = (const char *)c->keys + (key[b] + (next - block) * c->heads * CK_CACHE_BLOCK * c->head_dim) * bytes;
    }
#pragma unroll
    for (int i = 0; i < R * B; i++) acc[i] = vf_zero();
    for (int64_t d = 0; d < c->head_dim; d++) {
#pragma unroll
        for (int b = 0; b < B; b++) {
            vf keys = load_cached(c->keys, key[b] + d * 16, format);
            if (R <= AHEAD_ROWS) __builtin_prefetch(ahead[b] + d * 16 * bytes);
#pragma unroll
            for (int r = 0; r < R; r++) acc[r * B + b] = vf_fma(keys, vf_set1(rows->queries[r][d]), acc[r * B + b]);
        }
    }
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int b = 0; b < B; b++) {
            vf score = acc[r * B + b];
            if (format == CK_INT8) score = vf_mul(score, vf_load(c->key_scales + key[b] / c->head_dim));
            vf_store(&rows->scores[r][position % CK_SPAN + b * 16], score);
        }
}

/// Caps a row's scores of the runs [first, end) of a span, and adds its slope times the distance. (Not inlined: most
/// models do neither.)
static __attribute__((noinline)) void bend_scores(const ck_attend *a, attention_rows *rows, int r, int64_t span,
                                                  int64_t first, int64_t end) {
    const vf cap = vf_set1(a->cap), slope = vf_set1(rows->slopes[r]);
    const vf start = vf_set1((float)(span * CK_SPAN - rows->positions[r]));
    for (int64_t i = first; i < end; i += 16) {
        vf score = vf_load(&rows->scores[r][i]);
        if (a->cap > 0) score = vf_mul(cap, vf_tanh(vf_div(score, cap)));
        // Distances are whole numbers below 2^24: exact.
        vf distance = vf_add(start, vf_add(vf_lane_index(), vf_set1((float)i)));
        if (a->slopes) score = vf_fma(distance, slope, score);
        vf_store(&rows->scores[r][i], score);
    }
}

/// Masks a row's scores of the runs [first, end) of a span, and turns them into weights. Gives their maximum, and their
/// sum before values' scales are multiplied in.
INLINE float weigh_scores(const ck_attend *a, const ck_attention_item *item, attention_rows *rows, int r, int64_t head,
                          int64_t span, int64_t first, int64_t end, float *sum, const ck_format format) {
    const ck_cache *c = &a->cache;
    const int64_t window = a->window;
    vf begin = vf_set1((float)(window ? ck_max(0, rows->positions[r] - window + 1) - span * CK_SPAN : 0));
    vf limit = vf_set1((float)(rows->positions[r] - span * CK_SPAN));
    vf most = vf_set1(-INFINITY), total = vf_zero();
    const bool sees_all = span * CK_SPAN + end - 1 <= rows->positions[r] &&
                          (!window || span * CK_SPAN + first > rows->positions[r] - window);
    for (int64_t i = first; i < end; i += 16) {
        vf index = vf_add(vf_lane_index(), vf_set1((float)i)), score = vf_load(&rows->scores[r][i]);
        if (sees_all) {
            most = vf_max(most, score);
            continue;
        }
        score = vf_where_ge(limit, index, score, vf_set1(-INFINITY));
        score = vf_where_ge(index, begin, score, vf_set1(-INFINITY));
        vf_store(&rows->scores[r][i], score);
        most = vf_max(most, score);
    }
    float span_most = vf_most(most);
    // A row that sees nothing of this span (another row of the tile does) has no maximum to subtract.
    vf shift = vf_set1(span_most == -INFINITY ? 0 : span_most);
    for (int64_t i = first; i < end; i += 16) {
        vf weight = vf_exp(vf_sub(vf_load(&rows->scores[r][i]), shift));
        total = vf_add(total, weight);
        if (format == CK_INT8) {
            int64_t at = span * CK_SPAN + i, block = item->blocks[at / CK_CACHE_BLOCK];
            weight = vf_mul(weight, vf_load(c->value_scales + (block * c->heads + head) * CK_CACHE_BLOCK + at % CK_CACHE_BLOCK));
        }
        vf_store(&rows->scores[r][i], weight);
    }
    *sum = vf_sum(total);
    return span_most;
}

/// result[r][d ..] = result * keep + add * sum of weights times values, for C runs of 16 elements.
INLINE void add_values(const ck_attend *a, const ck_attention_item *item, attention_rows *rows, int64_t head, int64_t span,
                       int64_t first, int64_t end, int64_t d, const float *keep, const float *add, const ck_format format,
                       const int R, const int C) {
    const ck_cache *c = &a->cache;
    vf acc[ATTENTION_ROWS * MOST_RUNS];
    const int64_t bytes = ck_element_bytes(format), last = rows->positions[R - 1];
#pragma unroll
    for (int i = 0; i < R * C; i++) acc[i] = vf_zero();
    for (int64_t i = first; i < end;) {
        int64_t at = span * CK_SPAN + i, block = item->blocks[at / CK_CACHE_BLOCK];
        int64_t value = ((block * c->heads + head) * CK_CACHE_BLOCK + at % CK_CACHE_BLOCK) * c->value_stride + d;
        int64_t stop = ck_min(end, (i / CK_CACHE_BLOCK + 1) * CK_CACHE_BLOCK);
        int64_t next = rows->are_all && at + CK_CACHE_BLOCK <= last ? item->blocks[at / CK_CACHE_BLOCK + 1] : block;
        const char *ahead = (const char *)c->values
                            + (value + (next - block) * c->heads * CK_CACHE_BLOCK * c->value_stride) * bytes;
        for (; i < stop; i++, value += c->value_stride, ahead += c->value_stride * bytes) {
            vf values[MOST_RUNS];
#pragma unroll
            for (int j = 0; j < C; j++) {
                values[j] = load_cached(c->values, value + j * 16, format);
                if (R <= AHEAD_ROWS && j * 16 * bytes % 64 == 0) __builtin_prefetch(ahead + j * 16 * bytes);
            }
#pragma unroll
            for (int r = 0; r < R; r++) {
                vf weight = vf_set1(rows->scores[r][i]);
#pragma unroll
                for (int j = 0; j < C; j++) acc[r * C + j] = vf_fma(values[j], weight, acc[r * C + j]);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int j = 0; j < C; j++) {
            float *result = &rows->result[r][d + j * 16];
            vf_store(result, vf_fma(vf_load(result), vf_set1(keep[r]), vf_mul(acc[r * C + j], vf_set1(add[r]))));
        }
}

INLINE float exponential(float x) {
    _Alignas(64) float lanes[16];
    vf_store(lanes, vf_exp(vf_set1(x)));
    return lanes[0];
}

INLINE void attend_rows(const ck_attend *a, const ck_attention_item *item, attention_rows *rows, int64_t head,
                        const ck_format format, const int R) {
    const ck_cache *c = &a->cache;
    int64_t last = rows->positions[R - 1]; // rows come in order of position
    int64_t begin = a->window ? ck_max(0, rows->positions[0] - a->window + 1) : 0;
    for (int r = 0; r < R; r++) memset(rows->result[r], 0, (size_t)c->value_stride * 4);
    for (int64_t span = begin / CK_SPAN; span * CK_SPAN <= last; span++) {
        int64_t first = ck_max(begin - span * CK_SPAN, 0) / 16 * 16, limit = ck_min(last + 1 - span * CK_SPAN, CK_SPAN);
        int64_t end = ck_ceil_div(limit, 16) * 16, i = first;
        const int wide = score_run_count(R), deep = value_run_count(R);
        for (; i + wide * 16 <= end; i += wide * 16) score_runs(a, item, rows, head, span * CK_SPAN + i, format, R, wide);
        for (; i < end; i += 16) score_runs(a, item, rows, head, span * CK_SPAN + i, format, R, 1);
        float keep[ATTENTION_ROWS], add[ATTENTION_ROWS];
        for (int r = 0; r < R; r++) {
            if (a->cap > 0 || a->slopes) bend_scores(a, rows, r, span, first, end);
            float sum, most = weigh_scores(a, item, rows, r, head, span, first, end, &sum, format);
            float next = most > rows->most[r] ? most : rows->most[r];
            // Before the first span that a row sees, both are minus infinity: their difference is no number, and exp of
            // that is 0.
            keep[r] = exponential(rows->most[r] - next);
            add[r] = exponential(most - next);
            rows->total[r] = __builtin_fmaf(rows->total[r], keep[r], sum * add[r]);
            rows->most[r] = next;
        }
        // Elements past the limit have weight 0, but may hold what an earlier sequence left.
        int64_t d = 0;
        for (; d + deep * 16 <= c->value_stride; d += deep * 16)
            add_values(a, item, rows, head, span, first, limit, d, keep, add, format, R, deep);
        for (; d + 32 <= c->value_stride; d += 32) add_values(a, item, rows, head, span, first, limit, d, keep, add, format, R, 2);
        for (; d < c->value_stride; d += 16) add_values(a, item, rows, head, span, first, limit, d, keep, add, format, R, 1);
    }
    for (int r = 0; r < R; r++)
        for (int64_t d = 0; d < c->head_dim; d += 16) {
            vf total = vf_set1(rows->total[r]);
            vf_store_n(rows->outputs[r] + d, vf_div(vf_load(&rows->result[r][d]), total), ck_min(16, c->head_dim - d));
        }
}

INLINE void attend_format(const ck_attend *a, ck_part part, const ck_format format) {
    attention_rows rows;
    int64_t n = a->cache.head_dim;
    for (int64_t index = 0; index < a->item_count; index++) {
        const ck_attention_item *item = &a->items[index];
        for (int64_t h = 0, end; h < a->query_heads; h = end) {
            end = ck_head_run_end(a->head_map, h, a->query_heads);
            int64_t head = a->head_map[h], width = end - h, count = item->token_count * width;
            if ((index * a->cache.heads + head) % part.count != part.index) continue;
            for (int64_t done = 0, taken; done < count; done += taken) {
                taken = ck_min(ATTENTION_ROWS, count - done);
                taken = taken >= 8 ? 8 : taken >= 4 ? 4 : taken >= 2 ? 2 : 1;
                rows.are_all = taken == count;
                for (int64_t r = 0; r < taken; r++) {
                    int64_t t = (done + r) / width, query_head = h + (done + r) % width, column = query_head * n;
                    memcpy(rows.queries[r], a->queries + (item->first_row + t) * a->query_stride + column, (size_t)n * 4);
                    rows.outputs[r] = a->output + (item->first_row + t) * a->output_stride + column;
                    rows.positions[r] = item->first_position + t;
                    rows.slopes[r] = a->slopes ? a->slopes[query_head] : 0;
                    // A sink weighs exp(sink - most) = 1 at first. A span that a row does not see multiplies its sums
                    // by 1.
                    rows.most[r] = a->sinks ? a->sinks[query_head] : -INFINITY;
                    rows.total[r] = a->sinks ? 1 : 0;
                }
                switch (taken) {
#if ATTENTION_ROWS >= 8
                case 8: attend_rows(a, item, &rows, head, format, 8); break;
#endif
                case 4: attend_rows(a, item, &rows, head, format, 4); break;
                case 2: attend_rows(a, item, &rows, head, format, 2); break;
                default: attend_rows(a, item, &rows, head, format, 1);
                }
            }
        }
    }
}

static void attend_f32(const ck_attend *a, ck_part part) { attend_format(a, part, CK_F32); }
static void attend_f16(const ck_attend *a, ck_part part) { attend_format(a, part, CK_F16); }
static void attend_bf16(const ck_attend *a, ck_part part) { attend_format(a, part, CK_BF16); }
static void attend_int8(const ck_attend *a, ck_part part) { attend_format(a, part, CK_INT8); }
static void attend_fp8(const ck_attend *a, ck_part part) { attend_format(a, part, CK_FP8); }

static void attend(const void *arguments, ck_part part) {
    const ck_attend *a = arguments;
    switch (a->cache.format) {
    case CK_F32: attend_f32(a, part); break;
    case CK_F16: attend_f16(a, part); break;
    case CK_BF16: attend_bf16(a, part); break;
    case CK_INT8: attend_int8(a, part); break;
    case CK_FP8: attend_fp8(a, part); break;
    case CK_INT4: __builtin_trap();
    }
}
