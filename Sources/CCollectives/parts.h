// Helpers that combine.c and compress.c share.
#pragma once

// Compiles one function body for several kinds of processors; the loader chooses among them.
#if defined(__x86_64__) && defined(__ELF__)
#define CLONES __attribute__((target_clones("avx512bw", "arch=haswell", "default")))
#else
#define CLONES
#endif

/// The number of terms in the first half of `count` neighbouring ones, as `ReductionTree` in Swift defines it.
static inline int first_half(int count) { return count - count / 2; }
