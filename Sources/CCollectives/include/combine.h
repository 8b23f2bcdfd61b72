// Reductions of several ranks' terms: no MPI, no memory of their own.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// Types of elements; the numbers are those of `ReducedType` in Swift.
typedef enum cc_type {
    CC_FLOAT32 = 0,
    CC_BFLOAT16 = 1,
    CC_FLOAT16 = 2,
    CC_INT8 = 3,
} cc_type;

/// Operations; the numbers are those of `Reduction` in Swift.
typedef enum cc_reduction {
    CC_SUM = 0,
    CC_PRODUCT = 1,
    CC_MINIMUM = 2,
    CC_MAXIMUM = 3,
} cc_reduction;

/// Bytes of one element.
size_t cc_type_bytes(cc_type type);

/// out[i] = terms[0][i] ∘ … ∘ terms[n-1][i], in the order of `ReductionTree` in Swift.
///
/// 16-bit floats are combined in float32 and rounded once, to nearest, ties to even; int8 wraps around. `out` may be one of
/// the terms.
void cc_combine(cc_type type, cc_reduction reduction, const void *_Nonnull const *_Nonnull terms, int n, void *_Nonnull out,
                size_t count);

/// out[i] = a[i] + b[i], for long sums that will not be read soon: past the caches, if `out` is aligned to cache lines.
/// Meanwhile the `count` elements at `next`, if given, are fetched into the caches. `out` is neither term.
void cc_add_to_memory(const float *_Nonnull a, const float *_Nonnull b, float *_Nonnull out, size_t count,
                      const float *_Nullable next);
