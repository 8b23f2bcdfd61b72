// The clock by which ranks measure how long they wait for each other.
#pragma once

#include <stdint.h>
#include <time.h>

/// Reads the monotonic clock, in nanoseconds.
static inline uint64_t cc_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/// Gives the time since `*last` in nanoseconds, and sets `*last` to now; gives 0 if `*last` was 0.
///
/// It gives a second at most, because time in which the whole job was stopped does not count as waiting.
static inline uint64_t cc_lap(uint64_t *last) {
    const uint64_t time = cc_now(), second = 1000000000;
    const uint64_t passed = !*last ? 0 : time - *last < second ? time - *last : second;
    *last = time;
    return passed;
}
