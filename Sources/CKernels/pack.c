#include "shared.h"

/// Writes columns [first, end) of one row to the row's place in a panel.
static void pack_row(ck_format format, const float *row, int64_t first, int64_t end, int64_t r, void *panel) {
    float *floats = (float *)panel + r;
    uint16_t *halves = (uint16_t *)panel + r, *pairs = (uint16_t *)panel + r * 2;
    switch (format) {
    case CK_F32:
        for (int64_t k = first; k < end; k++) floats[k * 16] = row[k];
        break;
    case CK_F16:
        for (int64_t k = first; k < end; k++) halves[k * 16] = ck_to_f16(row[k]);
        break;
    case CK_BF16:
        for (int64_t k = first; k < end; k++) pairs[(k >> 1) * 32 + (k & 1)] = ck_to_bf16(row[k]);
        break;
    case CK_INT8:
    case CK_INT4:
    case CK_FP8: __builtin_trap();
    }
}

void ck_pack_floats(ck_format format, const float *rows, int64_t row_count, int64_t stride, int64_t columns, int32_t run,
                    void *panel) {
    memset(panel, 0, (size_t)ck_panel_bytes(format, columns, run));
    // Column tiles, so that the panel's lines stay in the cache while 16 rows write to them.
    for (int64_t first = 0; first < columns; first += 64)
        for (int64_t r = 0; r < row_count; r++)
            pack_row(format, rows + r * stride, first, ck_min(first + 64, columns), r, panel);
}

/// Writes columns [first, end) of one row of codes to the row's place in a panel.
static void pack_row_of_codes(ck_format format, const int8_t *codes, int64_t first, int64_t end, int64_t r, uint8_t *panel) {
    const int32_t offset = ck_code_offset(format);
    switch (format) {
    case CK_INT8:
        for (int64_t k = first; k < end; k++) panel[(k >> 2) * 64 + r * 4 + (k & 3)] = (uint8_t)(codes[k] + offset);
        break;
    case CK_INT4:
        for (int64_t k = first; k < end; k++) {
            uint8_t *byte = panel + (k >> 3) * 64 + r * 4 + (k & 3), code = (uint8_t)((codes[k] + offset) & 15);
            *byte = k & 4 ? (uint8_t)((*byte & 0x0F) | code << 4) : (uint8_t)((*byte & 0xF0) | code);
        }
        break;
    case CK_F32:
    case CK_F16:
    case CK_BF16:
    case CK_FP8: __builtin_trap();
    }
}

/// Gives a byte whose codes stand for zero.
static int zero_codes(ck_format format) {
    const int offset = ck_code_offset(format);
    return ck_column_bytes(format) == 16 ? offset : offset << 4 | offset;
}

void ck_pack_codes(ck_format format, const int8_t *rows, int64_t row_count, int64_t stride, int64_t columns, void *panel) {
    memset(panel, zero_codes(format), (size_t)ck_panel_bytes(format, columns, 1));
    for (int64_t first = 0; first < columns; first += 64)
        for (int64_t r = 0; r < row_count; r++)
            pack_row_of_codes(format, rows + r * stride, first, ck_min(first + 64, columns), r, panel);
}
