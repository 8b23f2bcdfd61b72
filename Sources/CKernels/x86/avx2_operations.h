// Vectors of 16 lanes as two 256-bit registers. vector/operations.md says what the operations mean.
#pragma once
#include "../shared.h"

typedef struct {
    __m256 low, high;
} vf;
typedef struct {
    __m256i low, high;
} vi;

#define BOTH(expression_low, expression_high)                                                                                  \
    { expression_low, expression_high }

INLINE vf vf_zero(void) { return (vf)BOTH(_mm256_setzero_ps(), _mm256_setzero_ps()); }
INLINE vf vf_set1(float x) { return (vf)BOTH(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
INLINE vf vf_load(const float *p) { return (vf)BOTH(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
INLINE void vf_store(float *p, vf x) {
    _mm256_storeu_ps(p, x.low);
    _mm256_storeu_ps(p + 8, x.high);
}
INLINE vf vf_load_n(const float *p, int64_t n) {
    if (n >= 16) return vf_load(p);
    _Alignas(32) float lanes[16] = {0};
    for (int64_t i = 0; i < n; i++) lanes[i] = p[i];
    return vf_load(lanes);
}
INLINE void vf_store_n(float *p, vf x, int64_t n) {
    if (n >= 16) {
        vf_store(p, x);
        return;
    }
    _Alignas(32) float lanes[16];
    vf_store(lanes, x);
    for (int64_t i = 0; i < n; i++) p[i] = lanes[i];
}
INLINE __m256 from_f16(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
INLINE vf vf_load_f16(const uint16_t *p) { return (vf)BOTH(from_f16(p), from_f16(p + 8)); }
INLINE void vf_store_f16(uint16_t *p, vf x) {
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x.low, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(p + 8), _mm256_cvtps_ph(x.high, _MM_FROUND_TO_NEAREST_INT));
}
INLINE __m256 from_bf16(const uint16_t *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
INLINE vf vf_load_bf16(const uint16_t *p) { return (vf)BOTH(from_bf16(p), from_bf16(p + 8)); }
INLINE __m256 from_int8(const int8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
INLINE vf vf_load_int8(const int8_t *p) { return (vf)BOTH(from_int8(p), from_int8(p + 8)); }
INLINE __m256 from_fp8(const uint8_t *p) {
    __m128i bits = _mm_slli_epi16(_mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)p)), 7);
    bits = _mm_and_si128(bits, _mm_set1_epi16((short)0xBFFF));
    return _mm256_mul_ps(_mm256_cvtph_ps(bits), _mm256_set1_ps(256.0f));
}
INLINE vf vf_load_fp8(const uint8_t *p) { return (vf)BOTH(from_fp8(p), from_fp8(p + 8)); }
INLINE __m128i to_bf16(__m256 x) {
    __m256i bits = _mm256_castps_si256(x), odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    rounded = _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
    rounded = _mm256_srli_epi32(rounded, 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
}
INLINE void vf_store_bf16(uint16_t *p, vf x) {
    _mm_storeu_si128((__m128i *)p, to_bf16(x.low));
    _mm_storeu_si128((__m128i *)(p + 8), to_bf16(x.high));
}
INLINE void vf_load_bf16_pairs(const void *p, vf *even, vf *odd) {
    __m256i low = _mm256_loadu_si256(p), high = _mm256_loadu_si256((const __m256i *)p + 1);
    __m256i mask = _mm256_set1_epi32((int)0xFFFF0000);
    *even = (vf)BOTH(_mm256_castsi256_ps(_mm256_slli_epi32(low, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(high, 16)));
    low = _mm256_and_si256(low, mask);
    high = _mm256_and_si256(high, mask);
    *odd = (vf)BOTH(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high));
}
INLINE vf vf_add(vf a, vf b) { return (vf)BOTH(_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)); }
INLINE vf vf_sub(vf a, vf b) { return (vf)BOTH(_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)); }
INLINE vf vf_mul(vf a, vf b) { return (vf)BOTH(_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)); }
INLINE vf vf_div(vf a, vf b) { return (vf)BOTH(_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)); }
INLINE vf vf_max(vf a, vf b) { return (vf)BOTH(_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)); }
INLINE vf vf_min(vf a, vf b) { return (vf)BOTH(_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)); }
INLINE vf vf_fma(vf a, vf b, vf c) {
    return (vf)BOTH(_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high));
}
INLINE vf vf_negate(vf a) {
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (vf)BOTH(_mm256_xor_ps(a.low, sign), _mm256_xor_ps(a.high, sign));
}
INLINE vf vf_abs(vf a) {
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (vf)BOTH(_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high));
}
INLINE vf vf_where_ge(vf a, vf b, vf yes, vf no) {
    return (vf)BOTH(_mm256_blendv_ps(no.low, yes.low, _mm256_cmp_ps(a.low, b.low, _CMP_GE_OQ)),
                    _mm256_blendv_ps(no.high, yes.high, _mm256_cmp_ps(a.high, b.high, _CMP_GE_OQ)));
}
INLINE vf vf_lane_index(void) {
    return (vf)BOTH(_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_ps(8, 9, 10, 11, 12, 13, 14, 15));
}
INLINE float vf_sum(vf a) {
    __m256 x = _mm256_add_ps(a.low, a.high);
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}
INLINE float vf_most(vf a) {
    __m256 x = _mm256_max_ps(a.low, a.high);
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}

INLINE vi vi_set1(int32_t x) { return (vi)BOTH(_mm256_set1_epi32(x), _mm256_set1_epi32(x)); }
INLINE vi vi_load(const void *p) { return (vi)BOTH(_mm256_loadu_si256(p), _mm256_loadu_si256((const __m256i *)p + 1)); }
INLINE void vi_store(void *p, vi a) {
    _mm256_storeu_si256(p, a.low);
    _mm256_storeu_si256((__m256i *)p + 1, a.high);
}
INLINE vi vi_add(vi a, vi b) { return (vi)BOTH(_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)); }
INLINE vi vi_and(vi a, vi b) { return (vi)BOTH(_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)); }
INLINE vi vi_shift_left(vi a, int n) {
    __m128i by = _mm_cvtsi32_si128(n);
    return (vi)BOTH(_mm256_sll_epi32(a.low, by), _mm256_sll_epi32(a.high, by));
}
INLINE vi vi_shift_right(vi a, int n) {
    __m128i by = _mm_cvtsi32_si128(n);
    return (vi)BOTH(_mm256_srl_epi32(a.low, by), _mm256_srl_epi32(a.high, by));
}
INLINE vi vi_shift_right_signed(vi a, int n) {
    __m128i by = _mm_cvtsi32_si128(n);
    return (vi)BOTH(_mm256_sra_epi32(a.low, by), _mm256_sra_epi32(a.high, by));
}
INLINE vf vf_cast(vi a) { return (vf)BOTH(_mm256_castsi256_ps(a.low), _mm256_castsi256_ps(a.high)); }
INLINE vi vi_cast(vf a) { return (vi)BOTH(_mm256_castps_si256(a.low), _mm256_castps_si256(a.high)); }
INLINE vf vf_from_vi(vi a) { return (vf)BOTH(_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)); }
INLINE vi vi_round(vf a) { return (vi)BOTH(_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high)); }
INLINE int32_t vi_sum(vi a) {
    __m256i x = _mm256_add_epi32(a.low, a.high);
    __m128i y = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    y = _mm_add_epi32(y, _mm_shuffle_epi32(y, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(y, _mm_shuffle_epi32(y, 0xB1)));
}
INLINE void vi_store_int8(int8_t *p, vi a) {
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.low, a.high), 0xD8);
    _mm_storeu_si128((__m128i *)p, _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}

#ifdef VNNI
typedef vi vq;
typedef __m256i vc;
INLINE vq vq_load(const void *p) { return vi_load(p); }
INLINE void vq_load_nibbles(const void *p, vq *low, vq *high) {
    vi x = vi_load(p), mask = vi_set1(0x0F0F0F0F);
    *low = vi_and(x, mask);
    *high = vi_and(vi_shift_right(x, 4), mask);
}
INLINE vc vc_broadcast(const int8_t *p) {
    int32_t four;
    memcpy(&four, p, 4);
    return _mm256_set1_epi32(four);
}
INLINE vi vi_dot(vi acc, vq weight, vc input) {
    return (vi)BOTH(_mm256_dpbusd_avx_epi32(acc.low, weight.low, input), _mm256_dpbusd_avx_epi32(acc.high, weight.high, input));
}
#else
// Even and odd bytes are multiplied apart, as 16-bit numbers, because vpmaddubsw would saturate.
typedef struct {
    vi even, odd;
} vq;
typedef struct {
    __m256i even, odd;
} vc;
INLINE vq vq_widen(vi x) {
    __m256i mask = _mm256_set1_epi16(255);
    return (vq){BOTH(_mm256_and_si256(x.low, mask), _mm256_and_si256(x.high, mask)),
                BOTH(_mm256_srli_epi16(x.low, 8), _mm256_srli_epi16(x.high, 8))};
}
INLINE vq vq_load(const void *p) { return vq_widen(vi_load(p)); }
INLINE void vq_load_nibbles(const void *p, vq *low, vq *high) {
    vi x = vi_load(p), mask = vi_set1(0x0F0F0F0F);
    *low = vq_widen(vi_and(x, mask));
    *high = vq_widen(vi_and(vi_shift_right(x, 4), mask));
}
INLINE vc vc_broadcast(const int8_t *p) {
    int32_t four;
    memcpy(&four, p, 4);
    __m256i x = _mm256_set1_epi32(four);
    return (vc){_mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), _mm256_srai_epi16(x, 8)};
}
INLINE vi vi_dot(vi acc, vq weight, vc input) {
    vi even = BOTH(_mm256_madd_epi16(weight.even.low, input.even), _mm256_madd_epi16(weight.even.high, input.even));
    vi odd = BOTH(_mm256_madd_epi16(weight.odd.low, input.odd), _mm256_madd_epi16(weight.odd.high, input.odd));
    return vi_add(acc, vi_add(even, odd));
}
#endif

#include "../vector/pairs_by_floats.inc"

enum { LOADED_CODES_ARE_SIGNED = false };
enum { SCORE_SUMS = 4, VALUE_SUMS = 4, AHEAD_ROWS = 4 };
#define TILE_PANELS_ONE_TOKEN 2
#define TILE_PANELS 1
#define TILE_TOKENS 4
#define PACKED_SUMS 6
#define ATTENTION_ROWS 4
enum { TOKEN_BLOCK = 48, PANEL_BLOCK = 2 };
