// Vectors of 16 lanes as four registers of 128 bits. vector/operations.md says what the operations mean.
#pragma once
#include "../shared.h"

typedef struct {
    float32x4_t q[4];
} vf;
typedef struct {
    int32x4_t q[4];
} vi;

/// Returns a vector whose register i is EXPRESSION.
#define EACH(TYPE, EXPRESSION)                                                                                                 \
    TYPE result;                                                                                                               \
    _Pragma("unroll") for (int i = 0; i < 4; i++) result.q[i] = EXPRESSION;                                                    \
    return result

INLINE vf vf_set1(float x) { EACH(vf, vdupq_n_f32(x)); }
INLINE vf vf_zero(void) { return vf_set1(0); }
INLINE vf vf_load(const float *p) { EACH(vf, vld1q_f32(p + 4 * i)); }
INLINE void vf_store(float *p, vf x) {
#pragma unroll
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, x.q[i]);
}
INLINE vf vf_load_n(const float *p, int64_t n) {
    if (n >= 16) return vf_load(p);
    float lanes[16] = {0};
    memcpy(lanes, p, (size_t)n * 4);
    return vf_load(lanes);
}
INLINE void vf_store_n(float *p, vf x, int64_t n) {
    float lanes[16];
    vf_store(lanes, x);
    memcpy(p, lanes, (size_t)ck_min(n, 16) * 4);
}
INLINE float32x4_t from_f16(uint16x4_t x) { return vcvt_f32_f16(vreinterpret_f16_u16(x)); }
INLINE vf vf_load_f16(const uint16_t *p) { EACH(vf, from_f16(vld1_u16(p + 4 * i))); }
INLINE void vf_store_f16(uint16_t *p, vf x) {
#pragma unroll
    for (int i = 0; i < 4; i++) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.q[i])));
}
INLINE float32x4_t from_bf16(uint16x4_t x) { return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(x), 16)); }
INLINE vf vf_load_bf16(const uint16_t *p) { EACH(vf, from_bf16(vld1_u16(p + 4 * i))); }
INLINE uint16x4_t to_bf16(float32x4_t x) {
    uint32x4_t bits = vreinterpretq_u32_f32(x), odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7FFF)));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), rounded, vorrq_u32(bits, vdupq_n_u32(0x400000))), 16);
}
INLINE void vf_store_bf16(uint16_t *p, vf x) {
#pragma unroll
    for (int i = 0; i < 4; i++) vst1_u16(p + 4 * i, to_bf16(x.q[i]));
}
INLINE void vf_load_bf16_pairs(const void *p, vf *even, vf *odd) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        uint32x4_t pairs = vreinterpretq_u32_u8(vld1q_u8((const uint8_t *)p + 16 * i));
        even->q[i] = vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16));
        odd->q[i] = vreinterpretq_f32_u32(vandq_u32(pairs, vdupq_n_u32(0xFFFF0000)));
    }
}
INLINE vf vf_load_int8(const int8_t *p) {
    int8x16_t bytes = vld1q_s8(p);
    int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
    return (vf){{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
                 vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
}
INLINE vf vf_load_fp8(const uint8_t *p) {
    int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(p));
    uint16x8_t mask = vdupq_n_u16(0xBFFF);
    uint16x8_t low = vandq_u16(vreinterpretq_u16_s16(vshll_n_s8(vget_low_s8(bytes), 7)), mask);
    uint16x8_t high = vandq_u16(vreinterpretq_u16_s16(vshll_n_s8(vget_high_s8(bytes), 7)), mask);
    uint16x4_t quarters[4] = {vget_low_u16(low), vget_high_u16(low), vget_low_u16(high), vget_high_u16(high)};
    EACH(vf, vmulq_n_f32(from_f16(quarters[i]), 256.0f));
}
INLINE vf vf_add(vf a, vf b) { EACH(vf, vaddq_f32(a.q[i], b.q[i])); }
INLINE vf vf_sub(vf a, vf b) { EACH(vf, vsubq_f32(a.q[i], b.q[i])); }
INLINE vf vf_mul(vf a, vf b) { EACH(vf, vmulq_f32(a.q[i], b.q[i])); }
INLINE vf vf_div(vf a, vf b) { EACH(vf, vdivq_f32(a.q[i], b.q[i])); }
INLINE vf vf_max(vf a, vf b) { EACH(vf, vmaxq_f32(a.q[i], b.q[i])); }
INLINE vf vf_min(vf a, vf b) { EACH(vf, vminq_f32(a.q[i], b.q[i])); }
INLINE vf vf_fma(vf a, vf b, vf c) { EACH(vf, vfmaq_f32(c.q[i], a.q[i], b.q[i])); }
INLINE vf vf_abs(vf a) { EACH(vf, vabsq_f32(a.q[i])); }
INLINE vf vf_negate(vf a) { EACH(vf, vnegq_f32(a.q[i])); }
INLINE vf vf_where_ge(vf a, vf b, vf yes, vf no) { EACH(vf, vbslq_f32(vcgeq_f32(a.q[i], b.q[i]), yes.q[i], no.q[i])); }
INLINE vf vf_lane_index(void) {
    static const float indices[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return vf_load(indices);
}
INLINE float vf_sum(vf a) {
    float32x4_t x = vaddq_f32(vaddq_f32(a.q[0], a.q[2]), vaddq_f32(a.q[1], a.q[3]));
    float32x2_t y = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(y, 0) + vget_lane_f32(y, 1);
}
INLINE float vf_most(vf a) { return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.q[0], a.q[1]), vmaxq_f32(a.q[2], a.q[3]))); }

INLINE vi vi_set1(int32_t x) { EACH(vi, vdupq_n_s32(x)); }
INLINE vi vi_load(const void *p) { EACH(vi, vreinterpretq_s32_u8(vld1q_u8((const uint8_t *)p + 16 * i))); }
INLINE void vi_store(void *p, vi a) {
#pragma unroll
    for (int i = 0; i < 4; i++) vst1q_u8((uint8_t *)p + 16 * i, vreinterpretq_u8_s32(a.q[i]));
}
INLINE vi vi_add(vi a, vi b) { EACH(vi, vaddq_s32(a.q[i], b.q[i])); }
INLINE vi vi_and(vi a, vi b) { EACH(vi, vandq_s32(a.q[i], b.q[i])); }
INLINE vi vi_shift_left(vi a, int n) { EACH(vi, vshlq_s32(a.q[i], vdupq_n_s32(n))); }
INLINE vi vi_shift_right(vi a, int n) {
    EACH(vi, vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a.q[i]), vdupq_n_s32(-n))));
}
INLINE vi vi_shift_right_signed(vi a, int n) { EACH(vi, vshlq_s32(a.q[i], vdupq_n_s32(-n))); }
INLINE vf vf_cast(vi a) { EACH(vf, vreinterpretq_f32_s32(a.q[i])); }
INLINE vi vi_cast(vf a) { EACH(vi, vreinterpretq_s32_f32(a.q[i])); }
INLINE vf vf_from_vi(vi a) { EACH(vf, vcvtq_f32_s32(a.q[i])); }
INLINE vi vi_round(vf a) { EACH(vi, vcvtnq_s32_f32(a.q[i])); }
INLINE int32_t vi_sum(vi a) { return vaddvq_s32(vaddq_s32(vaddq_s32(a.q[0], a.q[1]), vaddq_s32(a.q[2], a.q[3]))); }
INLINE void vi_store_int8(int8_t *p, vi a) {
    int16x8_t low = vcombine_s16(vmovn_s32(a.q[0]), vmovn_s32(a.q[1]));
    int16x8_t high = vcombine_s16(vmovn_s32(a.q[2]), vmovn_s32(a.q[3]));
    vst1q_s8(p, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}

// The dot product takes signed bytes: 8-bit codes are made signed, and 4-bit codes are so small that they need not be.
enum { LOADED_CODES_ARE_SIGNED = true };
typedef struct {
    int8x16_t q[4];
} vq;
typedef int8x16_t vc;
INLINE vq vq_load(const void *p) {
    EACH(vq, vreinterpretq_s8_u8(veorq_u8(vld1q_u8((const uint8_t *)p + 16 * i), vdupq_n_u8(0x80))));
}
INLINE void vq_load_nibbles(const void *p, vq *low, vq *high) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        uint8x16_t bytes = vld1q_u8((const uint8_t *)p + 16 * i);
        low->q[i] = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15)));
        high->q[i] = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4));
    }
}
INLINE vc vc_broadcast(const int8_t *p) {
    int32_t four;
    memcpy(&four, p, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
INLINE vi vi_dot(vi acc, vq weight, vc input) { EACH(vi, vdotq_s32(acc.q[i], weight.q[i], input)); }

#include "../vector/pairs_by_floats.inc"

enum { SCORE_SUMS = 4, VALUE_SUMS = 4, AHEAD_ROWS = 4 };
#define TILE_PANELS_ONE_TOKEN 2
#define TILE_PANELS 1
#define TILE_TOKENS 4
#define PACKED_SUMS 4
#define ATTENTION_ROWS 4
enum { TOKEN_BLOCK = 48, PANEL_BLOCK = 2 };
