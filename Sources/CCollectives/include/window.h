// Collectives of ranks that share memory, without messages. See window.c for the protocol.
//
// Needs no MPI: the memory may be an MPI shared window, or any memory that all ranks see.
#pragma once
#include "combine.h"
#include <stdbool.h>

/// One rank's view of the shared memory of a group.
typedef struct cc_window cc_window;

/// What a call of the window ended with; 0 is success.
typedef enum cc_window_status {
    CC_WINDOW_DONE = 0,
    /// Some ranks did not come within the time allowed: cc_window_absent names them. The window is of no use any more.
    CC_WINDOW_TIMED_OUT = 1,
    /// Ranks called different operations, or with different sizes: cc_window_request tells what each asked for.
    CC_WINDOW_MISMATCH = 2,
} cc_window_status;

/// Operations, as ranks tell each other; the numbers are those of `CollectiveOperation` in Swift.
typedef enum cc_window_call {
    CC_WINDOW_BARRIER = 1,
    CC_WINDOW_ALL_REDUCE = 2,
    CC_WINDOW_REDUCE_SCATTER = 3,
    CC_WINDOW_ALL_GATHER = 4,
    CC_WINDOW_GATHER = 5,
    CC_WINDOW_BROADCAST = 6,
    CC_WINDOW_ALL_TO_ALL = 7,
} cc_window_call;

/// What a rank asks for: equal on all ranks of a group.
typedef struct cc_window_request {
    int32_t call, type, reduction, root;
    uint64_t byte_count;
} cc_window_request;

/// Where the time of the calls since the last reading went, in nanoseconds.
typedef struct cc_window_times {
    uint64_t wait, transfer;
} cc_window_times;

/// Bytes of shared memory of each rank, if its buffers hold `slot_bytes` at a time; both multiples of 4096.
size_t cc_window_bytes(size_t slot_bytes);

/// A view, for one rank, of all ranks' shared memory side by side: zeroed before any of them looks at it, and aligned to a
/// page. NULL if there is no memory for the view itself.
///
/// `spins`: how often to look before giving way to other threads; if negative, not at all where there are more ranks than
/// processors, and else for some 100 microseconds.
cc_window *_Nullable cc_window_open(void *_Nonnull memory, int rank, int ranks, size_t slot_bytes, int spins);
void cc_window_close(cc_window *_Nullable window);

/// How long a rank waits for others, in nanoseconds; 0: for ever. Counted from its own arrival.
void cc_window_set_timeout(cc_window *_Nonnull window, uint64_t nanoseconds);
/// What to call now and then while this rank waits.
void cc_window_set_idle(cc_window *_Nonnull window, int (*_Nullable idle)(void));
/// The most bytes of an all-reduce that every rank adds up whole; of longer ones, among more than two ranks, each adds up a
/// part. The same on every rank.
void cc_window_set_whole_bytes(cc_window *_Nonnull window, size_t byte_count);
/// After CC_WINDOW_TIMED_OUT: whether that rank was waited for in vain.
bool cc_window_is_absent(const cc_window *_Nonnull window, int rank);
/// After CC_WINDOW_MISMATCH: what that rank asked for.
cc_window_request cc_window_requested(const cc_window *_Nonnull window, int rank);
/// The times since the last reading.
cc_window_times cc_window_take_times(cc_window *_Nonnull window);

/// A place for this rank's `byte_count` bytes of the next call, or NULL where they are more than fit at once: what lies there
/// when the next call is made with this address need not be copied. Waits until the place is free.
void *_Nullable cc_window_place(cc_window *_Nonnull window, size_t byte_count, cc_window_status *_Nonnull status);

cc_window_status cc_window_barrier(cc_window *_Nonnull window);
/// out = the reduction of all ranks' `in`; they may be the same.
cc_window_status cc_window_all_reduce(cc_window *_Nonnull window, cc_type type, cc_reduction reduction,
                                      const void *_Nullable in, void *_Nullable out, size_t count);
/// out[0 .. count) = the reduction of elements [rank * count, (rank + 1) * count) of all ranks' `in`.
cc_window_status cc_window_reduce_scatter(cc_window *_Nonnull window, cc_type type, cc_reduction reduction,
                                          const void *_Nullable in, void *_Nullable out, size_t count);
/// all = every rank's `mine`, in rank order.
cc_window_status cc_window_all_gather(cc_window *_Nonnull window, const void *_Nullable mine, void *_Nullable all,
                                      size_t byte_count);
/// out = the bytes [rank * byte_count, (rank + 1) * byte_count) of every rank's `in`, in rank order.
cc_window_status cc_window_all_to_all(cc_window *_Nonnull window, const void *_Nullable in, void *_Nullable out,
                                      size_t byte_count);
/// On the root, all = every rank's bytes, `byte_counts[r]` of rank r.
cc_window_status cc_window_gather(cc_window *_Nonnull window, const void *_Nullable mine, const size_t *_Nonnull byte_counts,
                                  void *_Nullable all, int root);
cc_window_status cc_window_broadcast(cc_window *_Nonnull window, void *_Nullable bytes, size_t byte_count, int root);
