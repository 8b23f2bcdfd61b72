// What the processor can do at best, measured with the instructions that the products use. See operations.md.

static void read_memory(const void *arguments, ck_part part) {
    const ck_read *a = arguments;
    ck_range pages = ck_share(a->bytes / 4096, part);
    // Four streams at once, as a product of one token reads four panels.
    int64_t stream = (pages.end - pages.begin) / 4 * 4096;
    const char *data = (const char *)a->data + pages.begin * 4096;
    vi acc[4] = {vi_set1(0), vi_set1(0), vi_set1(0), vi_set1(0)};
    for (int64_t i = 0; i < stream; i += 64)
#pragma unroll
        for (int s = 0; s < 4; s++) acc[s] = vi_add(acc[s], vi_load(data + s * stream + i));
    a->sinks[part.index] = (float)vi_sum(vi_add(vi_add(acc[0], acc[1]), vi_add(acc[2], acc[3])));
}

enum { PEAK_CHAINS = 12 };

/// PEAK_CHAINS independent chains of ACTION, as often as asked. What INPUTS points to counts as changed in every round:
/// products that stay the same would be taken out of the loop.
#define PEAK_LOOP(INPUTS, TYPE, START, ACTION, ADD, SUM)                                                                    \
    TYPE acc[PEAK_CHAINS];                                                                                                  \
    _Pragma("unroll") for (int i = 0; i < PEAK_CHAINS; i++) acc[i] = START;                                                 \
    for (int64_t round = 0; round < a->rounds; round++) {                                                                   \
        __asm__ volatile("" ::"r"(INPUTS) : "memory");                                                                      \
        _Pragma("unroll") for (int i = 0; i < PEAK_CHAINS; i++) acc[i] = ACTION;                                            \
    }                                                                                                                       \
    for (int i = 1; i < PEAK_CHAINS; i++) acc[0] = ADD(acc[0], acc[i]);                                                     \
    a->sinks[part.index] = (float)SUM(acc[0]);

enum { PEAK_PRODUCTS = PEAK_CHAINS * 16 };

/// Data that the compiler cannot know, and that stays in registers.
typedef struct peak_data {
    _Alignas(64) char bytes[64];
} peak_data;

INLINE peak_data make_peak_data(const ck_peak *a) {
    peak_data data;
    memset(data.bytes, (int)(a->rounds & 1) + 1, sizeof data.bytes);
    return data;
}

static void peak_floats(const ck_peak *a, ck_part part) {
    peak_data data = make_peak_data(a);
    vf weight = vf_set1((float)data.bytes[0] * 0.5f), input = vf_set1((float)data.bytes[1] * 0.25f);
    PEAK_LOOP(data.bytes, vf, vf_set1((float)i), vf_fma(weight, input, acc[i]), vf_add, vf_sum)
    a->operations[part.index] = (double)a->rounds * PEAK_PRODUCTS * 2;
}

#if MATRIX_TILES
/// Four tiles of 16 by 16 sums a round, each with a product of as many columns as a row of a tile holds.
INLINE void peak_tiles(const ck_peak *a, ck_part part, bool is_integer, int columns) {
    mt_peak(a->rounds, is_integer, &a->sinks[part.index]);
    a->operations[part.index] = (double)a->rounds * 4 * 256 * 2 * columns;
}
static void peak_pairs(const ck_peak *a, ck_part part) { peak_tiles(a, part, false, 32); }
static void peak_codes(const ck_peak *a, ck_part part) { peak_tiles(a, part, true, 64); }
#else
static void peak_pairs(const ck_peak *a, ck_part part) {
    peak_data data = make_peak_data(a);
    vp weight = vp_load(data.bytes), input = vp_broadcast((const uint16_t *)data.bytes);
    PEAK_LOOP(data.bytes, vf, vf_set1((float)i), vf_dot(acc[i], weight, input), vf_add, vf_sum)
    a->operations[part.index] = (double)a->rounds * PEAK_PRODUCTS * 4;
}

static void peak_codes(const ck_peak *a, ck_part part) {
    peak_data data = make_peak_data(a);
    vq weight = vq_load(data.bytes);
    vc inputs[PEAK_CHAINS];
    for (int i = 0; i < PEAK_CHAINS; i++) inputs[i] = vc_broadcast((const int8_t *)data.bytes + 4 * i);
    PEAK_LOOP(inputs, vi, vi_set1(i), vi_dot(acc[i], weight, inputs[i]), vi_add, vi_sum)
    a->operations[part.index] = (double)a->rounds * PEAK_PRODUCTS * 8;
}
#endif

static void peak(const void *arguments, ck_part part) {
    const ck_peak *a = arguments;
    switch (a->format) {
    case CK_F32:
    case CK_F16: peak_floats(a, part); break;
    case CK_BF16: ROUNDS_INPUTS ? peak_pairs(a, part) : peak_floats(a, part); break;
    case CK_INT8:
    case CK_INT4: peak_codes(a, part); break;
    case CK_FP8: __builtin_trap();
    }
}
