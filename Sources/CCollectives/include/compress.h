// Formats of floats for slow links: groups of int8 codes with a scale, and bfloat16. They need no MPI and allocate no
// memory.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {
    /// The number of elements that share a scale.
    CC_GROUP = 32,
    /// The bytes of a group: its scale in bfloat16, and a signed byte for each element.
    CC_GROUP_BYTES = 2 + CC_GROUP,
};

/// Gives the bytes of the codes of `count` elements; the last group is filled up with zeros.
static inline size_t cc_code_bytes(size_t count) { return (count + CC_GROUP - 1) / CC_GROUP * CC_GROUP_BYTES; }

/// codes[i] = round(values[i] / scale), scale = max|group| / 127 rounded up to bfloat16.
///
/// So an element is off by at most half a scale, max|group| / 252. A group with an infinity or a NaN is decoded as NaN.
void cc_encode(const float *_Nonnull values, size_t count, void *_Nonnull codes);

/// out[i] = the sum of the ranks' decoded elements, in the order of `ReductionTree` in Swift.
void cc_sum_codes(const void *_Nonnull const *_Nonnull terms, int n, float *_Nonnull out, size_t count);

/// Rounds to bfloat16, to nearest, ties to even; NaN stays NaN.
void cc_narrow_bfloat16(const float *_Nonnull in, uint16_t *_Nonnull out, size_t count);
/// Converts bfloat16 to float32.
void cc_widen_bfloat16(const uint16_t *_Nonnull in, float *_Nonnull out, size_t count);
