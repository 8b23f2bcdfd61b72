// Waiting time, measured alike by whatever waits for other ranks.
#pragma once

#include <stdint.h>
#include <time.h>

/// The monotonic clock, in nanoseconds.
static inline uint64_t cc_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/// The time since `*last`, which becomes now; 0 if there was none.
///
/// A second at most: while the whole job was stopped, nobody waited.
static inline uint64_t cc_lap(uint64_t *last) {
    const uint64_t time = cc_now(), second = 1000000000;
    const uint64_t passed = !*last ? 0 : time - *last < second ? time - *last : second;
    *last = time;
    return passed;
}
