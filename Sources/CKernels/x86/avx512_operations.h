// Vectors of 16 lanes as one 512-bit register. vector/operations.md says what the operations mean.
#pragma once
#include "../shared.h"

typedef __m512 vf;
typedef __m512i vi;

INLINE vf vf_zero(void) { return _mm512_setzero_ps(); }
INLINE vf vf_set1(float x) { return _mm512_set1_ps(x); }
INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void vf_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
INLINE __mmask16 lane_mask(int64_t n) { return n >= 16 ? 0xFFFF : (__mmask16)((1u << n) - 1); }
INLINE vf vf_load_n(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(lane_mask(n), p); }
INLINE void vf_store_n(float *p, vf x, int64_t n) { _mm512_mask_storeu_ps(p, lane_mask(n), x); }
INLINE vf vf_load_f16(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
INLINE void vf_store_f16(uint16_t *p, vf x) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
INLINE vf vf_load_bf16(const uint16_t *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
INLINE vf vf_load_int8(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
INLINE vf vf_load_fp8(const uint8_t *p) {
    __m256i bits = _mm256_slli_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p)), 7);
    bits = _mm256_and_si256(bits, _mm256_set1_epi16((short)0xBFFF));
    return _mm512_mul_ps(_mm512_cvtph_ps(bits), _mm512_set1_ps(256.0f));
}
#ifdef BF16
INLINE void vf_store_bf16(uint16_t *p, vf x) { _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(x)); }
#else
INLINE void vf_store_bf16(uint16_t *p, vf x) {
    __m512i bits = _mm512_castps_si512(x), odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    rounded = _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), rounded, quiet);
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
}
#endif
INLINE void vf_load_bf16_pairs(const void *p, vf *even, vf *odd) {
    __m512i x = _mm512_loadu_si512(p);
    *even = _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
    *odd = _mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32((int)0xFFFF0000)));
}
INLINE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
INLINE vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
INLINE vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
INLINE vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
INLINE vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
INLINE vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vf vf_abs(vf a) { return _mm512_abs_ps(a); }
INLINE vf vf_negate(vf a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
INLINE vf vf_where_ge(vf a, vf b, vf yes, vf no) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GE_OQ), no, yes); }
INLINE vf vf_lane_index(void) { return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
INLINE float vf_sum(vf a) {
    __m256 x = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}
INLINE float vf_most(vf a) { return _mm512_reduce_max_ps(a); }

INLINE vi vi_set1(int32_t x) { return _mm512_set1_epi32(x); }
INLINE vi vi_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE void vi_store(void *p, vi a) { _mm512_storeu_si512(p, a); }
INLINE vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
INLINE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
INLINE vi vi_shift_left(vi a, int n) { return _mm512_sll_epi32(a, _mm_cvtsi32_si128(n)); }
INLINE vi vi_shift_right(vi a, int n) { return _mm512_srl_epi32(a, _mm_cvtsi32_si128(n)); }
INLINE vi vi_shift_right_signed(vi a, int n) { return _mm512_sra_epi32(a, _mm_cvtsi32_si128(n)); }
INLINE vf vf_cast(vi a) { return _mm512_castsi512_ps(a); }
INLINE vi vi_cast(vf a) { return _mm512_castps_si512(a); }
INLINE vf vf_from_vi(vi a) { return _mm512_cvtepi32_ps(a); }
INLINE vi vi_round(vf a) { return _mm512_cvtps_epi32(a); }
INLINE int32_t vi_sum(vi a) { return _mm512_reduce_add_epi32(a); }
INLINE void vi_store_int8(int8_t *p, vi a) { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(a)); }

#ifdef VNNI
typedef __m512i vq;
typedef __m512i vc;
INLINE vq vq_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE void vq_load_nibbles(const void *p, vq *low, vq *high) {
    __m512i x = _mm512_loadu_si512(p), mask = _mm512_set1_epi8(15);
    *low = _mm512_and_si512(x, mask);
    *high = _mm512_and_si512(_mm512_srli_epi16(x, 4), mask);
}
INLINE vc vc_broadcast(const int8_t *p) {
    int32_t four;
    memcpy(&four, p, 4);
    return _mm512_set1_epi32(four);
}
INLINE vi vi_dot(vi acc, vq weight, vc input) { return _mm512_dpbusd_epi32(acc, weight, input); }
#else
// Without VNNI even and odd bytes are multiplied apart, as 16-bit numbers, because vpmaddubsw would saturate.
typedef struct {
    __m512i even, odd;
} vq;
typedef vq vc;
INLINE vq vq_widen(__m512i x) { return (vq){_mm512_and_si512(x, _mm512_set1_epi16(255)), _mm512_srli_epi16(x, 8)}; }
INLINE vq vq_load(const void *p) { return vq_widen(_mm512_loadu_si512(p)); }
INLINE void vq_load_nibbles(const void *p, vq *low, vq *high) {
    __m512i x = _mm512_loadu_si512(p), mask = _mm512_set1_epi8(15);
    *low = vq_widen(_mm512_and_si512(x, mask));
    *high = vq_widen(_mm512_and_si512(_mm512_srli_epi16(x, 4), mask));
}
INLINE vc vc_broadcast(const int8_t *p) {
    int32_t four;
    memcpy(&four, p, 4);
    __m512i x = _mm512_set1_epi32(four);
    return (vc){_mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8), _mm512_srai_epi16(x, 8)};
}
INLINE vi vi_dot(vi acc, vq weight, vc input) {
    return _mm512_add_epi32(
        acc, _mm512_add_epi32(_mm512_madd_epi16(weight.even, input.even), _mm512_madd_epi16(weight.odd, input.odd)));
}
#endif

#ifdef BF16
typedef __m512i vp;
INLINE vp vp_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE vp vp_broadcast(const uint16_t *p) {
    int32_t pair;
    memcpy(&pair, p, 4);
    return _mm512_set1_epi32(pair);
}
INLINE vf vf_dot(vf acc, vp weight, vp input) { return _mm512_dpbf16_ps(acc, (__m512bh)weight, (__m512bh)input); }
#else
#include "../vector/pairs_by_floats.inc"
#endif

enum { LOADED_CODES_ARE_SIGNED = false };
enum { SCORE_SUMS = 16, VALUE_SUMS = 16, AHEAD_ROWS = 8 };
#define TILE_PANELS_ONE_TOKEN 4
#define TILE_PANELS 2
#define TILE_TOKENS 6
#define PACKED_SUMS 16
#define ATTENTION_ROWS 8
enum { TOKEN_BLOCK = 48, PANEL_BLOCK = 4 };
