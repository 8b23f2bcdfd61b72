// Products of pairs of bfloat16 where the processor has none: by floats, even columns before odd ones.

typedef struct {
    vf even, odd;
} vp;
OP vp vp_load(const void *p) {
    vp pairs;
    vf_load_bf16_pairs(p, &pairs.even, &pairs.odd);
    return pairs;
}
OP vp vp_broadcast(const uint16_t *p) { return (vp){vf_set1(ck_from_bf16(p[0])), vf_set1(ck_from_bf16(p[1]))}; }
OP vf vf_dot(vf acc, vp weight, vp input) { return vf_fma(weight.odd, input.odd, vf_fma(weight.even, input.even, acc)); }
