// Floats on their way over a slow link: groups of int8 codes with a scale, or bfloat16. No MPI, no memory of their own.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {
    /// Elements that share a scale.
    CC_GROUP = 32,
    /// Bytes of a group: its scale in bfloat16, then a signed byte for each element.
    CC_GROUP_BYTES = 2 + CC_GROUP,
};

/// Bytes of `count` elements as codes; the last group is filled up with zeros.
static inline size_t cc_code_bytes(size_t count) { return (count + CC_GROUP - 1) / CC_GROUP * CC_GROUP_BYTES; }

/// codes[i] = round(values[i] / scale), scale = max|group| / 127 rounded up to bfloat16.
///
/// So an element is off by half a scale at most: max|group| / 252. A group with an infinity, or with what is no number, is
/// decoded as not a number.
void cc_encode(const float *_Nonnull values, size_t count, void *_Nonnull codes);

/// out[i] = the sum of what the ranks' codes stand for, in the order of `ReductionTree` in Swift.
void cc_sum_codes(const void *_Nonnull const *_Nonnull terms, int n, float *_Nonnull out, size_t count);

/// Rounds to bfloat16, to nearest, ties to even; what is no number stays none.
void cc_narrow_bfloat16(const float *_Nonnull in, uint16_t *_Nonnull out, size_t count);
void cc_widen_bfloat16(const uint16_t *_Nonnull in, float *_Nonnull out, size_t count);
