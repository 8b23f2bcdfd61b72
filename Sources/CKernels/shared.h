// Functions that every table needs: shares of work, places of inputs, and conversions of single elements.
#pragma once
#include "CKernels.h"
#include <string.h>

#pragma STDC FP_CONTRACT OFF

#ifndef MATRIX_TILES
#define MATRIX_TILES 0
#endif

/// Marks functions that must be inlined, so that their constant parameters become constants of the loops in them.
#define INLINE static inline __attribute__((always_inline))

static inline int64_t ck_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t ck_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t ck_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// The elements [begin, end) that belong to a part.
typedef struct ck_range {
    int64_t begin, end;
} ck_range;

static inline ck_range ck_share(int64_t count, ck_part part) {
    return (ck_range){count * part.index / part.count, count * (part.index + 1) / part.count};
}

static inline float ck_bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline uint32_t ck_float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static inline float ck_from_bf16(uint16_t value) { return ck_bits_float((uint32_t)value << 16); }

/// Rounds to bfloat16, to nearest, ties to even; NaN stays NaN.
static inline uint16_t ck_to_bf16(float value) {
    uint32_t bits = ck_float_bits(value);
    if (value != value) return (uint16_t)((bits >> 16) | 0x40);
    return (uint16_t)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

static inline float ck_from_f16(uint16_t value) {
    uint32_t sign = (uint32_t)(value & 0x8000) << 16, exponent = (value >> 10) & 0x1F, mantissa = value & 0x3FF;
    if (exponent == 0x1F) return ck_bits_float(sign | 0x7F800000 | mantissa << 13);
    if (exponent == 0) {
        float magnitude = (float)mantissa * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return ck_bits_float(sign | (exponent + 112) << 23 | mantissa << 13);
}

/// Rounds to float16, to nearest, ties to even, as vcvtps2ph does.
static inline uint16_t ck_to_f16(float value) {
    uint32_t bits = ck_float_bits(value), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) return (uint16_t)(sign | 0x7E00 | ((magnitude >> 13) & 0x3FF));
    if (magnitude >= 0x477FF000) return (uint16_t)(sign | 0x7C00);
    if (magnitude < 0x38800000) {
        // Adding 0.5 aligns the unit in the last place with that of a subnormal half, so the addition rounds.
        float shifted = ck_bits_float(magnitude) + 0.5f;
        return (uint16_t)(sign | (ck_float_bits(shifted) - 0x3F000000));
    }
    return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xFFF + ((magnitude >> 13) & 1)) >> 13));
}

/// Rounds to E4M3, to nearest, ties to even, and to 448 at most: 480 would have the bits of E4M3's NaN.
static inline uint8_t ck_to_fp8(float value) {
    uint32_t bits = ck_float_bits(value), sign = (bits >> 24) & 0x80, magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) return (uint8_t)(sign | 0x7F);
    // Adding 2^14 aligns the unit in the last place with that of a subnormal, 2^-9, so the addition rounds.
    if (magnitude < 0x3C800000) return (uint8_t)(sign | (ck_float_bits(ck_bits_float(magnitude) + 16384.0f) - 0x46800000));
    int64_t code = ((int64_t)magnitude + 0x7FFFF + ((magnitude >> 20) & 1)) >> 20;
    return (uint8_t)(sign | (uint32_t)ck_min(code - (120 << 3), 0x7E));
}

/// Converts from E4M3. Its bits, shifted to their places in a float16, are a float16 number that is 256 times smaller.
static inline float ck_from_fp8(uint8_t value) {
    return ck_from_f16((uint16_t)((value & 0x80) << 8 | (value & 0x7F) << 7)) * 256.0f;
}

/// Gives the first column of a slice.
static inline int64_t ck_slice_begin(const ck_matrix *w, int slice) { return slice ? w->slice_ends[slice - 1] : 0; }

/// Gives the number of the first block of a slice.
static inline int64_t ck_first_block(const ck_matrix *w, int slice) { return slice ? w->slice_blocks[slice - 1] : 0; }

/// A token's place in its group of tokens (see ck_input).
typedef struct ck_token_place {
    int64_t first; // the group's first token
    int64_t count; // of the group's tokens
    int64_t index; // of the token in the group
} ck_token_place;

static inline ck_token_place ck_place_of_token(int64_t token, int64_t tokens) {
    const int64_t index = token % CK_INPUT_TOKENS, first = token - index;
    return (ck_token_place){first, ck_min(CK_INPUT_TOKENS, tokens - first), index};
}

/// Gives where a token's inputs of `length` columns from `begin` on lie, of `padded` columns in all.
static inline int64_t ck_place_of_inputs(ck_token_place t, int64_t begin, int64_t length, int64_t padded) {
    return t.first * padded + begin * t.count + t.index * length;
}

/// Gives where a token's scale and correction of a block lie, of `block_count` blocks.
static inline int64_t ck_place_of_scale(ck_token_place t, int64_t block, int64_t block_count) {
    return t.first * block_count + block * t.count + t.index;
}

/// Gives the number of blocks of an integer matrix.
static inline int64_t ck_block_count(const ck_matrix *w) { return w->slice_blocks[w->slice_count - 1]; }

/// Gives the number that is added to a signed code to store it as an unsigned one.
static inline int32_t ck_code_offset(ck_format format) {
    switch (format) {
    case CK_INT8: return 128;
    case CK_INT4: return 8;
    case CK_F32:
    case CK_F16:
    case CK_BF16:
    case CK_FP8: __builtin_trap();
    }
}

/// Gives the bytes of an element of the cache, or of a scale.
static inline int64_t ck_element_bytes(ck_format format) {
    switch (format) {
    case CK_F32: return 4;
    case CK_F16:
    case CK_BF16: return 2;
    case CK_INT8:
    case CK_FP8: return 1;
    case CK_INT4: __builtin_trap();
    }
}

/// Gives the end of the run of query heads, from `first` on, that read the same cache head.
static inline int64_t ck_head_run_end(const int32_t *head_map, int64_t first, int64_t count) {
    int64_t end = first + 1;
    while (end < count && head_map[end] == head_map[first]) end++;
    return end;
}

// exp(x) = 2^n * p(r), r = x - n ln 2: Cody and Waite's reduction, and the minimax polynomial of degree 5
// for (exp(r) - 1 - r) / r^2 from the Cephes library (expf). Error below 2 ulp on [-87.3, 88].
#define CK_EXP_LOW -87.33654f
#define CK_EXP_HIGH 88.0f
#define CK_EXP_LOG2E 1.44269504088896341f
#define CK_EXP_LN2_HIGH 0.693359375f
#define CK_EXP_LN2_LOW -2.12194440e-4f
#define CK_EXP_ROUND 12582912.0f // 1.5 * 2^23: adding it rounds to an integer, held in the low bits
#define CK_EXP_P0 1.9875691500e-4f
#define CK_EXP_P1 1.3981999507e-3f
#define CK_EXP_P2 8.3334519073e-3f
#define CK_EXP_P3 4.1665795894e-2f
#define CK_EXP_P4 1.6666665459e-1f
#define CK_EXP_P5 5.0000001201e-1f

// erfc(z) = t (a1 + t (a2 + ... + t a5)) exp(-z²) for z >= 0, t = 1 / (1 + p z), here of z = |x| / √2: Abramowitz and
// Stegun, Handbook of Mathematical Functions, 7.1.26. Error below 1.5e-7.
#define CK_ERFC_P_OVER_ROOT_2 0.23164188896f
#define CK_ERFC_A1 0.254829592f
#define CK_ERFC_A2 -0.284496736f
#define CK_ERFC_A3 1.421413741f
#define CK_ERFC_A4 -1.453152027f
#define CK_ERFC_A5 1.061405429f

// -2 u = x (linear + cubic x²), where u = √(2/π) (x + 0.044715 x³): GELU's approximation by tanh.
#define CK_GELU_LINEAR -1.5957691216f
#define CK_GELU_CUBIC -0.0713548162726f

/// Tells whether a norm subtracts the mean.
static inline bool ck_is_centered(ck_norm_kind kind) {
    switch (kind) {
    case CK_NORM_RMS: return false;
    case CK_NORM_LAYER: return true;
    }
}

/// Gives the weights of the norm of head `head`.
static inline ck_norm_weights ck_norm_of_head(const ck_head_norm *a, int64_t head) {
    ck_norm_weights norm = a->norm;
    if (norm.weight) norm.weight += head * a->stride;
    if (norm.bias) norm.bias += head * a->stride;
    return norm;
}

/// Gives the factor on the queries of a token.
static inline float ck_query_scale(const ck_store *a, int64_t token) {
    return a->query_factors ? a->query_scale * a->query_factors[token] : a->query_scale;
}

/// Quantizes one block of activations: `count` values, padded with zeros to `block` codes.
static inline void ck_quantize_block(const float *x, int64_t count, int64_t block, int8_t *codes, float *scale,
                                     int32_t *correction) {
    float most = 0;
    for (int64_t k = 0; k < count; k++) most = __builtin_fabsf(x[k]) > most ? __builtin_fabsf(x[k]) : most;
    float inverse = most > 0 ? 127.0f / most : 0;
    int32_t sum = 0;
    for (int64_t k = 0; k < block; k++) {
        float rounded = (k < count ? x[k] * inverse : 0.0f) + CK_EXP_ROUND - CK_EXP_ROUND; // ties to even
        codes[k] = (int8_t)rounded;
        sum += codes[k];
    }
    *scale = most / 127.0f;
    *correction = -128 * sum;
}
