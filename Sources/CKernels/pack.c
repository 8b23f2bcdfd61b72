#include "shared.h"

void ck_pack_floats(int32_t format, const float *rows, int64_t row_count, int64_t stride, int64_t columns, int32_t block,
                    void *panel) {
    memset(panel, 0, (size_t)ck_panel_bytes(format, columns, block));
    // Column tiles, so that the panel's lines stay in the cache while 16 rows write to them.
    for (int64_t first = 0; first < columns; first += 64) {
        int64_t end = ck_min(first + 64, columns);
        for (int64_t r = 0; r < row_count; r++) {
            const float *row = rows + r * stride;
            if (format == CK_F32) {
                float *out = (float *)panel + r;
                for (int64_t k = first; k < end; k++) out[k * 16] = row[k];
            } else if (format == CK_F16) {
                uint16_t *out = (uint16_t *)panel + r;
                for (int64_t k = first; k < end; k++) out[k * 16] = ck_to_f16(row[k]);
            } else {
                uint16_t *out = (uint16_t *)panel + r * 2;
                for (int64_t k = first; k < end; k++) out[(k >> 1) * 32 + (k & 1)] = ck_to_bf16(row[k]);
            }
        }
    }
}

void ck_pack_codes(int32_t format, const int8_t *rows, int64_t row_count, int64_t stride, int64_t columns,
                   int32_t block, void *panel) {
    uint8_t *out = panel;
    int64_t bytes = ck_panel_bytes(format, columns, block);
    memset(out, format == CK_INT8 ? 0x80 : 0x88, (size_t)bytes);
    for (int64_t first = 0; first < columns; first += block) {
        int64_t end = ck_min(first + block, columns);
        for (int64_t r = 0; r < row_count; r++) {
            const int8_t *row = rows + r * stride;
            if (format == CK_INT8) {
                for (int64_t k = first; k < end; k++) out[(k >> 2) * 64 + r * 4 + (k & 3)] = (uint8_t)(row[k] + 128);
                continue;
            }
            uint8_t *target = out + first * 8;
            for (int64_t k = first; k < end; k++) {
                int64_t i = k - first, half = block / 2, j = i < half ? i : i - half;
                uint8_t *byte = target + (j >> 2) * 64 + r * 4 + (j & 3), code = (uint8_t)((row[k] + 8) & 15);
                *byte = i < half ? (uint8_t)((*byte & 0xF0) | code) : (uint8_t)((*byte & 0x0F) | code << 4);
            }
        }
    }
}

void ck_to_float(int32_t format, const void *source, int64_t count, float *out) {
    const uint16_t *half = source;
    const uint8_t *bytes = source;
    switch (format) {
    case CK_F32: memcpy(out, source, (size_t)count * 4); break;
    case CK_F16:
        for (int64_t i = 0; i < count; i++) out[i] = ck_from_f16(half[i]);
        break;
    case CK_INT8:
        for (int64_t i = 0; i < count; i++) out[i] = (int8_t)bytes[i];
        break;
    case CK_FP8:
        for (int64_t i = 0; i < count; i++) out[i] = ck_from_fp8(bytes[i]);
        break;
    default:
        for (int64_t i = 0; i < count; i++) out[i] = ck_from_bf16(half[i]);
    }
}
