// What combine.c and compress.c share.
#pragma once

// One body, compiled for several processors; the loader chooses.
#if defined(__x86_64__) && defined(__ELF__)
#define CLONES __attribute__((target_clones("avx512bw", "arch=haswell", "default")))
#else
#define CLONES
#endif

/// How many of `count` neighbouring terms belong to the first half: `ReductionTree` in Swift is the rule.
static inline int first_half(int count) { return count - count / 2; }
