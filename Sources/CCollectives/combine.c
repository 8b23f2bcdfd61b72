// Reductions of several ranks' terms, element by element, in the order of the reduction tree.
#include "combine.h"
#include "compress.h"
#include "parts.h"
#include <stdatomic.h>
#include <string.h>

#pragma STDC FP_CONTRACT OFF

/// The number of elements that are reduced at a time, so that partial results of a tree stay in the first-level cache.
enum { BLOCK = 512 };

size_t cc_type_bytes(cc_type type) {
    switch (type) {
    case CC_FLOAT32: return 4;
    case CC_BFLOAT16:
    case CC_FLOAT16: return 2;
    case CC_INT8: return 1;
    }
    return 0; // no type
}

// Vectors are explicit, because the compiler does not vectorise loops over pointers that may be equal.
typedef float floats __attribute__((ext_vector_type(16), aligned(4)));
typedef uint8_t bytes __attribute__((ext_vector_type(64), aligned(1)));
typedef int8_t signed_bytes __attribute__((ext_vector_type(64), aligned(1)));

// Minimum and maximum give the first operand if either is NaN; the order of operands is the same on every rank.
#define SUM(a, b) ((a) + (b))
#define PRODUCT(a, b) ((a) * (b))
#define MINIMUM(a, b) ((b) < (a) ? (b) : (a))
#define MAXIMUM(a, b) ((b) > (a) ? (b) : (a))

#define COMBINE(OPERATION, VECTOR, SCALAR)                                                                                     \
    do {                                                                                                                       \
        size_t i = 0;                                                                                                          \
        for (; i + sizeof(VECTOR) / sizeof(SCALAR) <= count; i += sizeof(VECTOR) / sizeof(SCALAR)) {                           \
            const VECTOR x = *(const VECTOR *)(a + i), y = *(const VECTOR *)(b + i);                                           \
            *(VECTOR *)(out + i) = OPERATION(x, y);                                                                            \
        }                                                                                                                      \
        for (; i < count; i++) {                                                                                               \
            const SCALAR x = a[i], y = b[i];                                                                                   \
            out[i] = (SCALAR)OPERATION(x, y);                                                                                  \
        }                                                                                                                      \
    } while (0)

CLONES static void combine_floats(cc_reduction reduction, const float *a, const float *b, float *out, size_t count) {
    switch (reduction) {
    case CC_SUM: COMBINE(SUM, floats, float); break;
    case CC_PRODUCT: COMBINE(PRODUCT, floats, float); break;
    case CC_MINIMUM: COMBINE(MINIMUM, floats, float); break;
    case CC_MAXIMUM: COMBINE(MAXIMUM, floats, float); break;
    }
}

// A cache line that is written past the caches: it is not read into them first, and evicts nothing.
typedef float line_of_floats __attribute__((ext_vector_type(16), aligned(64)));

CLONES void cc_add_to_memory(const float *a, const float *b, float *out, size_t count, const float *next) {
    const size_t lines = (uintptr_t)out % sizeof(line_of_floats) == 0 ? count / 16 : 0;
    for (size_t i = 0; i < lines; i++) {
        if (next) __builtin_prefetch(next + i * 16);
        __builtin_nontemporal_store((line_of_floats)(((const floats *)a)[i] + ((const floats *)b)[i]),
                                    (line_of_floats *)out + i);
    }
    for (size_t i = lines * 16; i < count; i++) out[i] = a[i] + b[i];
    atomic_thread_fence(memory_order_seq_cst); // stores past the caches are not ordered otherwise
}

/// Combines int8. Sums and products wrap around, so that their bits do not depend on signs.
CLONES static void combine_int8(cc_reduction reduction, const int8_t *a, const int8_t *b, int8_t *out, size_t count) {
    switch (reduction) {
    case CC_SUM: COMBINE(SUM, bytes, uint8_t); break;
    case CC_PRODUCT: COMBINE(PRODUCT, bytes, uint8_t); break;
    case CC_MINIMUM: COMBINE(MINIMUM, signed_bytes, int8_t); break;
    case CC_MAXIMUM: COMBINE(MAXIMUM, signed_bytes, int8_t); break;
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

static void widen(cc_type type, const void *in, float *out, size_t count) {
    switch (type) {
    case CC_FLOAT32: memcpy(out, in, count * 4); break;
    case CC_BFLOAT16: cc_widen_bfloat16(in, out, count); break;
    case CC_FLOAT16: widen_float16(in, out, count); break;
    case CC_INT8: break; // never: int8 has a tree of its own
    }
}

/// Reduces the elements [at, at + count) of `terms[0 .. n)` in float32.
static void tree_of_floats(cc_type type, cc_reduction reduction, const void *const *terms, int n, size_t at, float *out,
                           size_t count) {
    const size_t bytes = cc_type_bytes(type);
    if (n == 1) {
        widen(type, (const char *)terms[0] + at * bytes, out, count);
    } else if (n == 2 && type == CC_FLOAT32) {
        combine_floats(reduction, (const float *)terms[0] + at, (const float *)terms[1] + at, out, count);
    } else {
        float right[BLOCK];
        const int half = first_half(n);
        tree_of_floats(type, reduction, terms, half, at, out, count);
        tree_of_floats(type, reduction, terms + half, n - half, at, right, count);
        combine_floats(reduction, out, right, out, count);
    }
}

static void tree_of_int8(cc_reduction reduction, const void *const *terms, int n, size_t at, int8_t *out, size_t count) {
    if (n == 1) {
        memmove(out, (const int8_t *)terms[0] + at, count);
    } else if (n == 2) {
        combine_int8(reduction, (const int8_t *)terms[0] + at, (const int8_t *)terms[1] + at, out, count);
    } else {
        int8_t right[BLOCK];
        const int half = first_half(n);
        tree_of_int8(reduction, terms, half, at, out, count);
        tree_of_int8(reduction, terms + half, n - half, at, right, count);
        combine_int8(reduction, out, right, out, count);
    }
}

void cc_combine(cc_type type, cc_reduction reduction, const void *const *terms, int n, void *out, size_t count) {
    if (n == 2 && type == CC_FLOAT32) {
        combine_floats(reduction, terms[0], terms[1], out,
                       count); // `out` may be a term: elements are read before they are written
        return;
    }
    for (size_t at = 0; at < count; at += BLOCK) {
        const size_t some = count - at < BLOCK ? count - at : BLOCK;
        // `out` may be a term, so that the whole block is reduced before any of it is written.
        float block[BLOCK];
        int8_t integers[BLOCK];
        if (type != CC_INT8) tree_of_floats(type, reduction, terms, n, at, block, some);
        switch (type) {
        case CC_FLOAT32: memcpy((float *)out + at, block, some * 4); break;
        case CC_BFLOAT16: cc_narrow_bfloat16(block, (uint16_t *)out + at, some); break;
        case CC_FLOAT16: narrow_float16(block, (uint16_t *)out + at, some); break;
        case CC_INT8:
            tree_of_int8(reduction, terms, n, at, integers, some);
            memcpy((int8_t *)out + at, integers, some);
            break;
        }
    }
}
