// Reductions of several ranks' terms, element by element, in the order of the tree.
#include "combine.h"
#include "compress.h"
#include "parts.h"
#include <stdatomic.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

/// Elements at a time: partial results of a tree stay in the first-level cache.
enum { BLOCK = 512 };

size_t cmpi_type_bytes(cmpi_type type) {
    switch (type) {
    case CMPI_FLOAT32: return 4;
    case CMPI_BFLOAT16:
    case CMPI_FLOAT16: return 2;
    default: return 1;
    }
}

// Explicit vectors: the compiler does not vectorise over pointers that may be equal.
typedef float floats __attribute__((ext_vector_type(16), aligned(4)));
typedef uint8_t bytes __attribute__((ext_vector_type(64), aligned(1)));
typedef int8_t signed_bytes __attribute__((ext_vector_type(64), aligned(1)));

// Of minimum and maximum, the first where either is no number: the order of operands is the same on every rank.
#define SUM(a, b) ((a) + (b))
#define PRODUCT(a, b) ((a) * (b))
#define MINIMUM(a, b) ((b) < (a) ? (b) : (a))
#define MAXIMUM(a, b) ((b) > (a) ? (b) : (a))

#define COMBINE(OPERATION, VECTOR, SCALAR)                                                                                 \
    do {                                                                                                                   \
        size_t i = 0;                                                                                                      \
        for (; i + sizeof(VECTOR) / sizeof(SCALAR) <= count; i += sizeof(VECTOR) / sizeof(SCALAR)) {                       \
            const VECTOR x = *(const VECTOR *)(a + i), y = *(const VECTOR *)(b + i);                                       \
            *(VECTOR *)(out + i) = OPERATION(x, y);                                                                        \
        }                                                                                                                  \
        for (; i < count; i++) {                                                                                           \
            const SCALAR x = a[i], y = b[i];                                                                               \
            out[i] = (SCALAR)OPERATION(x, y);                                                                              \
        }                                                                                                                  \
    } while (0)

CLONES static void combine_floats(cmpi_operation operation, const float *a, const float *b, float *out, size_t count) {
    switch (operation) {
    case CMPI_SUM: COMBINE(SUM, floats, float); break;
    case CMPI_PRODUCT: COMBINE(PRODUCT, floats, float); break;
    case CMPI_MINIMUM: COMBINE(MINIMUM, floats, float); break;
    case CMPI_MAXIMUM: COMBINE(MAXIMUM, floats, float); break;
    }
}

// A line that goes to memory past the caches: it is not read into them first, and drives nothing out.
typedef float line_of_floats __attribute__((ext_vector_type(16), aligned(64)));

CLONES void cmpi_add_to_memory(const float *a, const float *b, float *out, size_t count, const float *next) {
    const size_t lines = (uintptr_t)out % sizeof(line_of_floats) == 0 ? count / 16 : 0;
    for (size_t i = 0; i < lines; i++) {
        if (next) __builtin_prefetch(next + i * 16);
        __builtin_nontemporal_store((line_of_floats)(((const floats *)a)[i] + ((const floats *)b)[i]),
                                    (line_of_floats *)out + i);
    }
    for (size_t i = lines * 16; i < count; i++) out[i] = a[i] + b[i];
    atomic_thread_fence(memory_order_seq_cst); // such stores do not wait for their turn otherwise
}

/// Sums and products wrap around, so that signs do not matter to them.
CLONES static void combine_int8(cmpi_operation operation, const int8_t *a, const int8_t *b, int8_t *out, size_t count) {
    switch (operation) {
    case CMPI_SUM: COMBINE(SUM, bytes, uint8_t); break;
    case CMPI_PRODUCT: COMBINE(PRODUCT, bytes, uint8_t); break;
    case CMPI_MINIMUM: COMBINE(MINIMUM, signed_bytes, int8_t); break;
    case CMPI_MAXIMUM: COMBINE(MAXIMUM, signed_bytes, int8_t); break;
    }
}

CLONES static void widen_float16(const uint16_t *in, float *out, size_t count) {
    for (size_t i = 0; i < count; i++) {
        _Float16 value;
        memcpy(&value, in + i, 2);
        out[i] = (float)value;
    }
}

CLONES static void narrow_float16(const float *in, uint16_t *out, size_t count) {
    for (size_t i = 0; i < count; i++) {
        _Float16 value = (_Float16)in[i];
        memcpy(out + i, &value, 2);
    }
}

static void widen(cmpi_type type, const void *in, float *out, size_t count) {
    if (type == CMPI_FLOAT32) memcpy(out, in, count * 4);
    else if (type == CMPI_BFLOAT16) cmpi_widen_bfloat16(in, out, count);
    else widen_float16(in, out, count);
}

/// The tree over `terms[0 .. n)`, a block of elements from `at` on, in float32.
static void tree_of_floats(cmpi_type type, cmpi_operation operation, const void *const *terms, int n, size_t at, float *out,
                           size_t count) {
    const size_t bytes = cmpi_type_bytes(type);
    if (n == 1) {
        widen(type, (const char *)terms[0] + at * bytes, out, count);
    } else if (n == 2 && type == CMPI_FLOAT32) {
        combine_floats(operation, (const float *)terms[0] + at, (const float *)terms[1] + at, out, count);
    } else {
        float right[BLOCK];
        const int half = first_half(n);
        tree_of_floats(type, operation, terms, half, at, out, count);
        tree_of_floats(type, operation, terms + half, n - half, at, right, count);
        combine_floats(operation, out, right, out, count);
    }
}

static void tree_of_int8(cmpi_operation operation, const void *const *terms, int n, size_t at, int8_t *out, size_t count) {
    if (n == 1) {
        memmove(out, (const int8_t *)terms[0] + at, count);
    } else if (n == 2) {
        combine_int8(operation, (const int8_t *)terms[0] + at, (const int8_t *)terms[1] + at, out, count);
    } else {
        int8_t right[BLOCK];
        const int half = first_half(n);
        tree_of_int8(operation, terms, half, at, out, count);
        tree_of_int8(operation, terms + half, n - half, at, right, count);
        combine_int8(operation, out, right, out, count);
    }
}

void cmpi_combine(cmpi_type type, cmpi_operation operation, const void *const *terms, int n, void *out, size_t count) {
    if (n == 2 && type == CMPI_FLOAT32) {
        combine_floats(operation, terms[0], terms[1], out, count); // in place too: an element is read before it is written
        return;
    }
    for (size_t at = 0; at < count; at += BLOCK) {
        const size_t some = count - at < BLOCK ? count - at : BLOCK;
        if (type == CMPI_INT8) {
            // The result of a block may go where a term is: every term of the block is read first.
            int8_t block[BLOCK];
            tree_of_int8(operation, terms, n, at, block, some);
            memcpy((int8_t *)out + at, block, some);
            continue;
        }
        float block[BLOCK];
        tree_of_floats(type, operation, terms, n, at, block, some);
        if (type == CMPI_FLOAT32) memcpy((float *)out + at, block, some * 4);
        else if (type == CMPI_BFLOAT16) cmpi_narrow_bfloat16(block, (uint16_t *)out + at, some);
        else narrow_float16(block, (uint16_t *)out + at, some);
    }
}
