// Reductions of several ranks' terms. They need no MPI and allocate no memory.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// Types of elements, with the numbers of `ReducedType` in Swift.
typedef enum cc_type {
    CC_FLOAT32 = 0,
    CC_BFLOAT16 = 1,
    CC_FLOAT16 = 2,
    CC_INT8 = 3,
} cc_type;

/// Reductions, with the numbers of `Reduction` in Swift.
typedef enum cc_reduction {
    CC_SUM = 0,
    CC_PRODUCT = 1,
    CC_MINIMUM = 2,
    CC_MAXIMUM = 3,
} cc_reduction;

/// Gives the bytes of one element.
size_t cc_type_bytes(cc_type type);

/// out[i] = terms[0][i] ∘ … ∘ terms[n-1][i], in the order of `ReductionTree` in Swift.
///
/// 16-bit floats are combined in float32 and rounded once, to nearest, ties to even; int8 wraps around. `out` may be
/// one of the terms.
void cc_combine(cc_type type, cc_reduction reduction, const void *_Nonnull const *_Nonnull terms, int n, void *_Nonnull out,
                size_t count);

/// out[i] = a[i] + b[i], for long sums that will not be read soon.
///
/// If `out` is aligned to cache lines, the sums are written past the caches. Meanwhile the `count` elements at `next`,
/// if given, are fetched into the caches. `out` must not be one of the terms.
void cc_add_to_memory(const float *_Nonnull a, const float *_Nonnull b, float *_Nonnull out, size_t count,
                      const float *_Nullable next);
