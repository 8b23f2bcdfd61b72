// What the processor can do at best, measured with the instructions that the products use. See operations.md.

static void read_memory(const ck_read *a, ck_part part) {
    ck_range pages = ck_share(a->bytes / 4096, part);
    // Four streams at once, as a product of one token reads four panels.
    int64_t stream = (pages.end - pages.begin) / 4 * 4096;
    const char *data = (const char *)a->data + pages.begin * 4096;
    vi acc[4] = {vi_set1(0), vi_set1(0), vi_set1(0), vi_set1(0)};
    for (int64_t i = 0; i < stream; i += 64)
#pragma unroll
        for (int s = 0; s < 4; s++) acc[s] = vi_add(acc[s], vi_load(data + s * stream + i));
    a->sinks[part.index] = (float)vi_sum(vi_add(vi_add(acc[0], acc[1]), vi_add(acc[2], acc[3])));
}

static void peak(const ck_peak *a, ck_part part) {
    // Data that the compiler cannot know, and that stays in registers.
    _Alignas(64) char bytes[64];
    memset(bytes, (int)(a->rounds & 1) + 1, sizeof bytes);
    if (a->format < CK_INT8) {
        vf acc[CK_PEAK_CHAINS], weight = vf_set1((float)bytes[0] * 0.5f), input = vf_set1((float)bytes[1] * 0.25f);
#pragma unroll
        for (int i = 0; i < CK_PEAK_CHAINS; i++) acc[i] = vf_set1((float)i);
        for (int64_t round = 0; round < a->rounds; round++)
#pragma unroll
            for (int i = 0; i < CK_PEAK_CHAINS; i++) acc[i] = vf_fma(weight, input, acc[i]);
        vf sum = vf_zero();
#pragma unroll
        for (int i = 0; i < CK_PEAK_CHAINS; i++) sum = vf_add(sum, acc[i]);
        a->sinks[part.index] = vf_sum(sum);
        return;
    }
    vi acc[CK_PEAK_CHAINS];
    vq weight = vq_load(bytes);
    vc input = vc_broadcast((const int8_t *)bytes);
#pragma unroll
    for (int i = 0; i < CK_PEAK_CHAINS; i++) acc[i] = vi_set1(i);
    for (int64_t round = 0; round < a->rounds; round++)
#pragma unroll
        for (int i = 0; i < CK_PEAK_CHAINS; i++) acc[i] = vi_dot(acc[i], weight, input);
    vi sum = vi_set1(0);
#pragma unroll
    for (int i = 0; i < CK_PEAK_CHAINS; i++) sum = vi_add(sum, acc[i]);
    a->sinks[part.index] = (float)vi_sum(sum);
}
