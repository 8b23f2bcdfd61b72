// Compares every table that the processor runs with the scalar one, bit by bit: for processors that the Swift tests do not
// reach. `Launch/test-arm.sh` compiles it for Arm and runs it under qemu-user.
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

enum { COLUMNS = 200, ROWS = 53, TOKENS = 19 };

static void products(int32_t format, int32_t scale_format, int32_t block, bool blocked, bool has_zeros) {
    int64_t panels = (ROWS + 15) / 16, bytes = ck_panel_bytes(format, COLUMNS, block), groups = 4;
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
        if (format < CK_INT8) ck_pack_floats(format, rows, 16, COLUMNS, COLUMNS, block, data + p * bytes);
        else ck_pack_codes(format, codes, 16, COLUMNS, COLUMNS, block, data + p * bytes);
        free(rows);
    }
    ck_matrix matrix = {data, scales, has_zeros ? zeros : NULL, ROWS, COLUMNS, 64, 0, groups, format, scale_format,
                        block, 4,
                        {64, 128, 192, COLUMNS}};
    int64_t padded = ck_ceil_div(COLUMNS, block) * block, blocks = padded / block;
    for (int64_t tokens = 1; tokens <= TOKENS; tokens += TOKENS - 1) {
        int8_t *codes[2];
        uint16_t *rounded[2];
        float *output[2], *input_scales[2];
        int32_t *corrections[2];
        for (int i = 0; i < 2; i++) {
            const ck_kernels *k = i ? scalar : table;
            codes[i] = calloc((size_t)(padded * tokens) + 1024, 1);
            rounded[i] = calloc((size_t)(padded * tokens) + 512, 2);
            input_scales[i] = calloc((size_t)(blocks * tokens) + 16, 4);
            corrections[i] = calloc((size_t)(blocks * tokens) + 16, 4);
            output[i] = calloc(ROWS * TOKENS, 4);
            k->quantize(&(ck_quantize){x, COLUMNS, tokens, COLUMNS, block, codes[i], input_scales[i], corrections[i]},
                        (ck_part){0, 1});
            k->round(&(ck_round){x, COLUMNS, tokens, COLUMNS, block, rounded[i]}, (ck_part){0, 1});
            const bool takes_codes = blocked && format >= CK_INT8;
            ck_input input = {x, COLUMNS, takes_codes ? codes[i] : NULL, input_scales[i], corrections[i],
                              blocked && format == CK_BF16 ? rounded[i] : NULL};
            for (int part = 0; part < 3; part++)
                k->matmul(&(ck_matmul){&matrix, input, tokens, output[i], ROWS, bias}, (ck_part){part, 3});
        }
        char what[100];
        snprintf(what, sizeof what, "product of format %d, block %d, %d tokens, %s", format, block, (int)tokens,
                 blocked ? "blocked" : "floats");
        compare(what, output[0], output[1], ROWS * tokens * 4);
        compare("quantize", codes[0], codes[1], padded * tokens);
        compare("quantize, scales", input_scales[0], input_scales[1], blocks * tokens * 4);
        compare("quantize, corrections", corrections[0], corrections[1], blocks * tokens * 4);
        compare("round", rounded[0], rounded[1], padded * tokens * 2);
    }
}

static void elementwise(void) {
    float *x = floats(3 * COLUMNS), *delta = floats(3 * COLUMNS), *weight = floats(COLUMNS), found[2][3 * COLUMNS];
    float *gates = floats(6 * COLUMNS), gated[2][3 * COLUMNS];
    for (int i = 0; i < 6 * COLUMNS; i++) gates[i] *= 25;
    for (int i = 0; i < 2; i++) {
        const ck_kernels *k = i ? scalar : table;
        float hidden[3 * COLUMNS];
        memcpy(hidden, x, sizeof hidden);
        k->norm(&(ck_norm){hidden, delta, found[i], weight, 3, COLUMNS, 1e-5f}, (ck_part){0, 1});
        k->gate(&(ck_gate){gates, gates + COLUMNS, gated[i], 2 * COLUMNS, COLUMNS, 3, COLUMNS}, (ck_part){0, 1});
    }
    compare("norm", found[0], found[1], sizeof found[0]);
    compare("gate", gated[0], gated[1], sizeof gated[0]);
}

static void attention(int32_t format, int64_t dimension, int64_t window) {
    enum { LENGTH = 300, QUERIES = 5, HEADS = 2, BLOCKS = 5 };
    int64_t stride = (QUERIES + 2 * HEADS) * dimension, padded = (dimension + 15) / 16 * 16;
    float *rows = floats(LENGTH * stride), *angles = floats(LENGTH * dimension);
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
        ck_cache cache = {calloc((size_t)elements, 4), calloc((size_t)elements, 4), scaled ? scales : NULL,
                          scaled ? scales + BLOCKS * HEADS * CK_CACHE_BLOCK : NULL, HEADS, dimension, padded, format};
        output[i] = calloc((size_t)(LENGTH * QUERIES * dimension), 4);
        k->store(&(ck_store){mine, stride, LENGTH, QUERIES, angles, angles + LENGTH, 0.1f, slots, cache}, (ck_part){0, 1});
        ck_attention_item items[3] = {{0, 1, 0, blocks}, {1, 290, 1, blocks}, {291, 9, 291, blocks}};
        for (int part = 0; part < 2; part++)
            k->attend(&(ck_attend){mine, output[i], stride, QUERIES * dimension, map, QUERIES, window, items, 3, cache},
                      (ck_part){part, 2});
    }
    char what[100];
    snprintf(what, sizeof what, "attention, format %d, heads of %d, window %d", format, (int)dimension, (int)window);
    compare(what, output[0], output[1], LENGTH * QUERIES * dimension * 4);
}

int main(void) {
    scalar = ck_select("scalar");
    bool runs;
    int compared = 0;
    for (int index = 0; (table = ck_table(index, &runs)); index++) {
        if (!runs || table == scalar) continue;
        compared++;
        for (int32_t block = 8; block <= 64; block *= 2)
            for (int32_t format = block == 64 ? CK_INT8 : CK_F32; format <= CK_INT4; format++)
                for (int blocked = 0; blocked < (table->rounds_inputs && format == CK_BF16 ? 1 : 2); blocked++)
                    products(format, block == 8 ? CK_F32 : block == 16 ? CK_F16 : CK_BF16, block, blocked,
                             format >= CK_INT8 && block == 16);
        elementwise();
        for (int32_t format = CK_F32; format <= CK_FP8; format++)
            if (format != CK_INT4)
                for (int64_t window = 0; window <= 70; window += 70) attention(format, 64, window), attention(format, 12, window);
        printf("%s: compared with the scalar table\n", table->name);
    }
    if (compared == 0) printf("no table besides the scalar one runs here\n");
    return failures > 0 || compared == 0;
}
