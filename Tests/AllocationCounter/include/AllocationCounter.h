// Counts what the calling thread takes from the heap, by standing in for the C library's allocator.
#pragma once
#include <stdint.h>

/// Allocations of the calling thread so far.
int64_t allocation_count(void);
