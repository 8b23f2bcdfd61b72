// Floats on their way over a slow link: groups of int8 codes with a scale, or bfloat16. No MPI, no memory of their own.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {
    /// Elements that share a scale.
    CMPI_GROUP = 32,
    /// Bytes of a group: its scale in bfloat16, then a signed byte for each element.
    CMPI_GROUP_BYTES = 2 + CMPI_GROUP,
};

/// Bytes of `count` elements as codes; the last group is filled up with zeros.
static inline size_t cmpi_code_bytes(size_t count) { return (count + CMPI_GROUP - 1) / CMPI_GROUP * CMPI_GROUP_BYTES; }

/// codes[i] = round(values[i] / scale), scale = max|group| / 127 rounded up to bfloat16.
///
/// So an element is off by half a scale at most: max|group| / 252. A group with an infinity, or with what is no number, is
/// decoded as not a number.
void cmpi_encode(const float *_Nonnull values, size_t count, void *_Nonnull codes);

/// out[i] = the sum of what the ranks' codes stand for, in the order of `ReductionTree` in Swift.
void cmpi_sum_codes(const void *_Nonnull const *_Nonnull terms, int n, float *_Nonnull out, size_t count);

/// Rounds to bfloat16, to nearest, ties to even; what is no number stays none.
void cmpi_narrow_bfloat16(const float *_Nonnull in, uint16_t *_Nonnull out, size_t count);
void cmpi_widen_bfloat16(const uint16_t *_Nonnull in, float *_Nonnull out, size_t count);
