#include "compress.h"
#include "parts.h"
#include <string.h>

#pragma STDC FP_CONTRACT OFF

/// Adding 1.5 * 2^23 to a float leaves the nearest whole number, ties to even, in the low bits of the sum.
static const float rounder = 12582912.0f;

/// The bits of the smallest normal float, 2^-126: scales below it count as 0, because their inverse may be infinite.
static const uint32_t least_scale_bits = 0x00800000u;

CLONES static void encode_group(const float *values, uint8_t *group) {
    uint32_t largest = 0;
    for (int i = 0; i < CC_GROUP; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, 4);
        bits &= 0x7FFFFFFFu; // without the sign, bits are ordered as floats are, and a NaN is the largest
        largest = bits > largest ? bits : largest;
    }
    float scale, inverse = 0;
    memcpy(&scale, &largest, 4);
    scale /= 127;
    uint32_t bits;
    memcpy(&bits, &scale, 4);
    uint16_t rounded = 0;
    if (largest >= 0x7F800000u) {
        rounded = 0x7FC0;
    } else if (bits >= least_scale_bits) {
        rounded = (uint16_t)((bits + 0xFFFF) >> 16);
        bits = (uint32_t)rounded << 16;
        memcpy(&scale, &bits, 4);
        inverse = 1 / scale;
    }
    memcpy(group, &rounded, 2);
    int8_t codes[CC_GROUP];
    for (int i = 0; i < CC_GROUP; i++) {
        const float shifted = values[i] * inverse + rounder;
        int32_t whole;
        memcpy(&whole, &shifted, 4);
        codes[i] = (int8_t)whole;
    }
    memcpy(group + 2, codes, CC_GROUP);
}

CLONES static void decode_group(const uint8_t *group, float *out) {
    uint16_t rounded;
    memcpy(&rounded, group, 2);
    const uint32_t bits = (uint32_t)rounded << 16;
    float scale;
    memcpy(&scale, &bits, 4);
    int8_t codes[CC_GROUP];
    memcpy(codes, group + 2, CC_GROUP);
    for (int i = 0; i < CC_GROUP; i++) out[i] = (float)codes[i] * scale;
}

void cc_encode(const float *values, size_t count, void *codes) {
    uint8_t *group = codes;
    size_t at = 0;
    for (; at + CC_GROUP <= count; at += CC_GROUP, group += CC_GROUP_BYTES) encode_group(values + at, group);
    if (at == count) return;
    float last[CC_GROUP] = {0};
    memcpy(last, values + at, (count - at) * sizeof *last);
    encode_group(last, group);
}

static void sum_group(const void *const *terms, int n, size_t offset, float *out) {
    if (n == 1) {
        decode_group((const uint8_t *)terms[0] + offset, out);
        return;
    }
    float right[CC_GROUP];
    const int half = first_half(n);
    sum_group(terms, half, offset, out);
    sum_group(terms + half, n - half, offset, right);
    for (int i = 0; i < CC_GROUP; i++) out[i] += right[i];
}

void cc_sum_codes(const void *const *terms, int n, float *out, size_t count) {
    size_t at = 0, offset = 0;
    for (; at + CC_GROUP <= count; at += CC_GROUP, offset += CC_GROUP_BYTES) sum_group(terms, n, offset, out + at);
    if (at == count) return;
    float last[CC_GROUP];
    sum_group(terms, n, offset, last);
    memcpy(out + at, last, (count - at) * sizeof *last);
}

CLONES void cc_widen_bfloat16(const uint16_t *in, float *out, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)in[i] << 16;
        memcpy(out + i, &bits, 4);
    }
}

CLONES void cc_narrow_bfloat16(const float *in, uint16_t *out, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, in + i, 4);
        uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16, quiet = bits >> 16 | 0x40;
        out[i] = (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? quiet : rounded);
    }
}
