// Compares every table that the processor runs with the scalar one, bit by bit: for processors that the Swift tests do
// not reach. `Launch/test-arm.sh` compiles it for Arm and runs it under qemu-user.
#include "../../Sources/CKernels/shared.h"
#include <stdio.h>
#include <stdlib.h>

static uint64_t state = 42;
static uint32_t next_bits(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}
/// From -4 to 4.
static float next_float(void) { return (float)next_bits() / 268435456.0f - 4.0f; }

static float *floats(int64_t count) {
    float *values = malloc((size_t)count * 4 + 64);
    for (int64_t i = 0; i < count; i++) values[i] = next_float();
    return values;
}

static const ck_kernels *scalar, *table;
static int failures;

static void compare(const char *what, const void *found, const void *expected, int64_t bytes) {
    if (memcmp(found, expected, (size_t)bytes) == 0) return;
    printf("%s: %s differs from the scalar table\n", table->name, what);
    failures++;
}

enum { COLUMNS = 200, ROWS = 53, TOKENS = 107 };

static void products(ck_format format, ck_format scale_format, int32_t run, bool blocked, bool has_zeros) {
    int64_t panels = (ROWS + 15) / 16, bytes = ck_panel_bytes(format, COLUMNS, run), groups = 3;
    char *data = malloc((size_t)(panels * bytes) + 4096);
    float *bias = floats(ROWS), *x = floats(TOKENS * COLUMNS);
    // Any bits are scales but those of infinities, which have the two highest bits of the exponent.
    uint16_t *scales = malloc((size_t)(panels * groups * 64));
    for (int64_t i = 0; i < panels * groups * 32; i++) scales[i] = (uint16_t)(next_bits() & 0xBFFF);
    int8_t *zeros = malloc((size_t)(panels * groups * 16));
    for (int64_t i = 0; i < panels * groups * 16; i++) zeros[i] = (int8_t)next_bits();
    for (int64_t p = 0; p < panels; p++) {
        float *rows = floats(16 * COLUMNS);
        int8_t codes[16 * COLUMNS];
        for (int i = 0; i < 16 * COLUMNS; i++)
            codes[i] = (int8_t)(format == CK_INT8 ? (int)(next_bits() % 256) - 128 : (int)(next_bits() % 16) - 8);
        if (ck_is_integer(format))
            ck_pack_codes(format, codes, 16, COLUMNS, COLUMNS, data + p * bytes);
        else
            ck_pack_floats(format, rows, 16, COLUMNS, COLUMNS, run, data + p * bytes);
        free(rows);
    }
    // Groups of 72, 64 and 64 columns, of which the second slice cuts one; the third group has two blocks.
    static const ck_block table_of_blocks[] = {{0, 64, 0, true, true},     {64, 72, 0, true, true},
                                               {72, 136, 1, true, true},   {136, 152, 2, true, false},
                                               {152, 192, 2, false, true}, {192, COLUMNS, 2, true, true}};
    enum { BLOCKS = sizeof table_of_blocks / sizeof table_of_blocks[0] };
    ck_matrix matrix = {.data = data,
                        .scales = scales,
                        .zeros = has_zeros ? zeros : NULL,
                        .rows = ROWS,
                        .columns = COLUMNS,
                        .group_count = groups,
                        .format = format,
                        .scale_format = scale_format,
                        .run = run,
                        .slice_count = 4,
                        .slice_ends = {64, 136, 192, COLUMNS},
                        .blocks = table_of_blocks,
                        .slice_blocks = {1, 3, 5, BLOCKS}};
    if (format == CK_BF16 && run > 8) matrix.slice_ends[1] = 128;
    int64_t padded = ck_ceil_div(COLUMNS, run) * run;
    for (int64_t tokens = 1; tokens <= TOKENS; tokens += TOKENS - 1) {
        int8_t *codes[2];
        uint16_t *rounded[2];
        float *output[2], *input_scales[2];
        int32_t *corrections[2];
        for (int i = 0; i < 2; i++) {
            const ck_kernels *k = i ? scalar : table;
            codes[i] = calloc((size_t)(COLUMNS * tokens) + 2048, 1);
            rounded[i] = calloc((size_t)(padded * tokens) + 1024, 2);
            input_scales[i] = calloc((size_t)(BLOCKS * tokens) + 16, 4);
            corrections[i] = calloc((size_t)(BLOCKS * tokens) + 16, 4);
            output[i] = calloc(ROWS * TOKENS, 4);
            k->quantize(
                &(ck_quantize){x, COLUMNS, tokens, COLUMNS, table_of_blocks, BLOCKS, codes[i], input_scales[i], corrections[i]},
                (ck_part){0, 1});
            k->round(&(ck_round){x, COLUMNS, tokens, COLUMNS, run, rounded[i]}, (ck_part){0, 1});
            const bool takes_codes = blocked && ck_is_integer(format);
            ck_input input = {x,
                              COLUMNS,
                              takes_codes ? codes[i] : NULL,
                              input_scales[i],
                              corrections[i],
                              blocked && format == CK_BF16 ? rounded[i] : NULL};
            for (int part = 0; part < 3; part++)
                k->matmul(&(ck_matmul){&matrix, input, tokens, output[i], ROWS, bias}, (ck_part){part, 3});
        }
        char what[100];
        snprintf(what, sizeof what, "product of format %d, runs of %d, %d tokens, %s", format, run, (int)tokens,
                 blocked ? "blocked" : "floats");
        compare(what, output[0], output[1], ROWS * tokens * 4);
        compare("quantize", codes[0], codes[1], COLUMNS * tokens);
        compare("quantize, scales", input_scales[0], input_scales[1], BLOCKS * tokens * 4);
        compare("quantize, corrections", corrections[0], corrections[1], BLOCKS * tokens * 4);
        compare("round", rounded[0], rounded[1], padded * tokens * 2);
    }
}

static void norms(void) {
    float *x = floats(3 * COLUMNS), *delta = floats(3 * COLUMNS), *weight = floats(COLUMNS), *bias = floats(COLUMNS);
    for (int kind = CK_NORM_RMS; kind <= CK_NORM_LAYER; kind++)
        for (int has_bias = 0; has_bias < 2; has_bias++)
            for (int64_t columns = 13; columns <= COLUMNS; columns += 17) {
                float found[2][3 * COLUMNS], hidden[2][3 * COLUMNS];
                for (int i = 0; i < 2; i++) {
                    memcpy(hidden[i], x, sizeof hidden[i]);
                    ck_norm norm = {.hidden = hidden[i],
                                    .delta = delta,
                                    .output = found[i],
                                    .norm = {weight, has_bias ? bias : NULL, (ck_norm_kind)kind, 1e-5f},
                                    .tokens = 3,
                                    .columns = columns,
                                    .delta_scale = 0.3f};
                    (i ? scalar : table)->norm(&norm, (ck_part){0, 1});
                }
                compare("norm", found[0], found[1], 3 * columns * 4);
                compare("norm, sums", hidden[0], hidden[1], 3 * columns * 4);
            }
}

static void activations(void) {
    enum { COUNT = 10007 };
    float *x = floats(COUNT), *up = floats(COUNT), found[2][COUNT];
    for (int i = 0; i < COUNT; i++) x[i] *= 25;
    for (int kind = CK_SILU; kind <= CK_XIELU; kind++)
        for (int gated = 0; gated < 2; gated++) {
            for (int i = 0; i < 2; i++) {
                ck_activate activate = {.input = x,
                                        .up = gated ? up : NULL,
                                        .output = found[i],
                                        .stride = COUNT,
                                        .output_stride = COUNT,
                                        .tokens = 1,
                                        .columns = COUNT,
                                        .activation = (ck_activation)kind,
                                        .coefficients = {20, 1.5f}};
                (i ? scalar : table)->activate(&activate, (ck_part){0, 1});
            }
            char what[100];
            snprintf(what, sizeof what, "activation %d%s", kind, gated ? ", gated" : "");
            compare(what, found[0], found[1], sizeof found[0]);
        }
    for (int i = 0; i < 2; i++) {
        memcpy(found[i], x, sizeof found[i]);
        (i ? scalar : table)->add(&(ck_add){found[i], up, COUNT, 0.3f, 0.9f}, (ck_part){0, 1});
    }
    compare("add", found[0], found[1], sizeof found[0]);
}

/// Computes the attention of some tokens again, by spans, and compares the results with those that are there. The row of
/// a token is its position.
static void attend_by_spans(const ck_kernels *k, const ck_attend *whole, int64_t together) {
    // Some see one span, and some two.
    static const int64_t positions[] = {299, 0, 255, 256, 40, 290};
    enum { COUNT = sizeof positions / sizeof positions[0] };
    const ck_attention_item last = whole->items[whole->item_count - 1];
    const int64_t row = whole->cache.value_stride + 16, rows = COUNT * whole->query_heads, width = whole->output_stride;
    ck_attention_item items[COUNT];
    for (int64_t i = 0; i < COUNT; i++) items[i] = (ck_attention_item){positions[i], 1, positions[i], last.blocks};
    float *sums = malloc((size_t)(rows * row * 4)), *spans = malloc((size_t)(rows * together * row * 4));
    float *found = malloc((size_t)((last.first_row + last.token_count) * width * 4));
    ck_attend single = *whole;
    single.output = found;
    single.items = items;
    single.item_count = COUNT;
    for (int64_t first = 0; first < 2; first += together) {
        const ck_attend_spans step = {&single, first, together, spans, sums, row};
        for (int part = 0; part < 3; part++) k->attend_spans(&step, (ck_part){part, 3});
        for (int part = 0; part < 2; part++) k->combine_spans(&step, (ck_part){part, 2});
    }
    for (int64_t i = 0; i < COUNT; i++)
        compare("attention by spans", found + positions[i] * width, whole->output + positions[i] * width, width * 4);
    free(sums);
    free(spans);
    free(found);
}

/// `has_options`: part of a head turns, heads are then normalized, queries grow, scores are capped, and there are slopes and
/// sinks.
static void attention(ck_format format, int64_t dimension, int64_t window, bool has_options) {
    enum { LENGTH = 300, QUERIES = 5, HEADS = 2, BLOCKS = 5 };
    int64_t stride = (QUERIES + 2 * HEADS) * dimension, padded = (dimension + 15) / 16 * 16;
    float *rows = floats(LENGTH * stride), *angles = floats(LENGTH * dimension), *weights = floats(QUERIES * dimension);
    float *factors = floats(LENGTH);
    float slopes[QUERIES] = {0.5f, 0.25f, 0.1f, 0.01f, 0}, sinks[QUERIES] = {0, 3, -2, 1, 5};
    ck_slot slots[LENGTH];
    int32_t blocks[BLOCKS] = {3, 0, 4, 1, 2}, map[QUERIES] = {0, 0, 0, 1, 1};
    for (int i = 0; i < LENGTH; i++) slots[i] = (ck_slot){blocks[i / CK_CACHE_BLOCK], i};
    float *output[2];
    for (int i = 0; i < 2; i++) {
        const ck_kernels *k = i ? scalar : table;
        int64_t elements = BLOCKS * HEADS * CK_CACHE_BLOCK * padded;
        float *mine = malloc((size_t)(LENGTH * stride) * 4), *scales = calloc(2 * BLOCKS * HEADS * CK_CACHE_BLOCK, 4);
        memcpy(mine, rows, (size_t)(LENGTH * stride) * 4);
        bool scaled = format == CK_INT8;
        ck_cache cache = {calloc((size_t)elements, 4),
                          calloc((size_t)elements, 4),
                          scaled ? scales : NULL,
                          scaled ? scales + BLOCKS * HEADS * CK_CACHE_BLOCK : NULL,
                          HEADS,
                          dimension,
                          padded,
                          format};
        output[i] = calloc((size_t)(LENGTH * QUERIES * dimension), 4);
        ck_store store = {.rows = mine,
                          .stride = stride,
                          .tokens = LENGTH,
                          .query_heads = QUERIES,
                          .rotated = has_options ? dimension / 4 * 2 : dimension,
                          .cosines = angles,
                          .sines = angles + LENGTH,
                          .query_scale = 0.1f,
                          .slots = slots,
                          .cache = cache};
        if (has_options) {
            store.query_norm = (ck_head_norm){{weights, weights, CK_NORM_LAYER, 1e-5f}, dimension, NULL};
            store.key_norm = (ck_head_norm){{weights, NULL, CK_NORM_RMS, 1e-5f}, 0, factors};
            store.value_norm = (ck_head_norm){{weights, NULL, CK_NORM_RMS, 1e-5f}, 0, NULL};
            store.query_factors = factors;
            store.norms_follow = true;
        }
        k->store(&store, (ck_part){0, 1});
        ck_attention_item items[3] = {{0, 1, 0, blocks}, {1, 290, 1, blocks}, {291, 9, 291, blocks}};
        ck_attend attend = {.queries = mine,
                            .output = output[i],
                            .query_stride = stride,
                            .output_stride = QUERIES * dimension,
                            .head_map = map,
                            .query_heads = QUERIES,
                            .window = window,
                            .cap = has_options ? 4 : 0,
                            .slopes = has_options ? slopes : NULL,
                            .sinks = has_options ? sinks : NULL,
                            .items = items,
                            .item_count = 3,
                            .cache = cache};
        for (int part = 0; part < 2; part++) k->attend(&attend, (ck_part){part, 2});
        attend_by_spans(k, &attend, 1);
        attend_by_spans(k, &attend, 2);
    }
    char what[100];
    snprintf(what, sizeof what, "attention, format %d, heads of %d, window %d%s", format, (int)dimension, (int)window,
             has_options ? ", all options" : "");
    compare(what, output[0], output[1], LENGTH * QUERIES * dimension * 4);
}

int main(void) {
    scalar = ck_select("scalar");
    bool runs;
    int compared = 0;
    for (int index = 0; (table = ck_table(index, &runs)); index++) {
        if (!runs || table == scalar) continue;
        compared++;
        for (int32_t run = 8; run <= 32; run *= 2)
            for (int32_t format = CK_F32; format <= CK_INT4; format++)
                for (int blocked = 0; blocked < (table->rounds_inputs && format == CK_BF16 ? 1 : 2); blocked++)
                    products(format,
                             run == 8    ? CK_F32
                             : run == 16 ? CK_F16
                                         : CK_BF16,
                             run, blocked, ck_is_integer(format) && run == 16);
        norms();
        activations();
        for (int32_t format = CK_F32; format <= CK_FP8; format++)
            if (format != CK_INT4)
                for (int64_t window = 0; window <= 70; window += 70)
                    for (int has_options = 0; has_options < 2; has_options++)
                        attention(format, 64, window, has_options), attention(format, 12, window, has_options);
        printf("%s: compared with the scalar table\n", table->name);
    }
    if (compared == 0) printf("no table besides the scalar one runs here\n");
    return failures > 0 || compared == 0;
}
