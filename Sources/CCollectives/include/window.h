// Collectives of ranks that share memory, without messages. window.c describes the protocol.
//
// They need no MPI: the memory may be an MPI shared window, or any other memory that all ranks share.
#pragma once
#include "combine.h"
#include <stdbool.h>

/// One rank's view of the memory that a group shares.
typedef struct cc_window cc_window;

/// The result of a call of the window; 0 is success.
typedef enum cc_window_status {
    CC_WINDOW_DONE = 0,
    /// Some ranks did not come within the time allowed; cc_window_is_absent names them. The window cannot be used any
    /// more.
    CC_WINDOW_TIMED_OUT = 1,
    /// Ranks called different operations, or with different sizes; cc_window_requested tells what each asked for.
    CC_WINDOW_MISMATCH = 2,
} cc_window_status;

/// Operations, with the numbers of `CollectiveOperation` in Swift.
typedef enum cc_window_call {
    CC_WINDOW_BARRIER = 1,
    CC_WINDOW_ALL_REDUCE = 2,
    CC_WINDOW_REDUCE_SCATTER = 3,
    CC_WINDOW_ALL_GATHER = 4,
    CC_WINDOW_GATHER = 5,
    CC_WINDOW_BROADCAST = 6,
    CC_WINDOW_ALL_TO_ALL = 7,
} cc_window_call;

/// What a rank asks for, which must be equal on all ranks of a group.
typedef struct cc_window_request {
    int32_t call, type, reduction, root;
    uint64_t byte_count;
} cc_window_request;

/// How much time calls spent waiting for ranks and moving bytes since the last reading, in nanoseconds.
typedef struct cc_window_times {
    uint64_t wait, transfer;
} cc_window_times;

/// Gives the bytes of shared memory that each rank needs if its buffers hold `slot_bytes` at a time; both are multiples
/// of 4096.
size_t cc_window_bytes(size_t slot_bytes);

/// Makes one rank's view of the memory of all ranks, which lies side by side.
///
/// The memory must be aligned to a page, and zeroed before any rank makes its view. `spins` says how often a rank looks
/// for others before it gives way to other threads. If it is negative, a rank gives way at once where there are more
/// ranks than processors, and after about 100 microseconds elsewhere. Returns NULL if there is no memory for the view
/// itself.
cc_window *_Nullable cc_window_open(void *_Nonnull memory, int rank, int ranks, size_t slot_bytes, int spins);
/// Frees a view, but not the shared memory.
void cc_window_close(cc_window *_Nullable window);

/// Sets how long a rank waits for others from its own arrival on, in nanoseconds; 0 for no limit.
void cc_window_set_timeout(cc_window *_Nonnull window, uint64_t nanoseconds);
/// Sets a function that is called now and then while this rank waits.
void cc_window_set_idle(cc_window *_Nonnull window, int (*_Nullable idle)(void));
/// Sets the longest all-reduce in bytes that every rank adds up whole. Of a longer one, among more than two ranks, each
/// rank adds up a part. It must be the same on every rank.
void cc_window_set_whole_bytes(cc_window *_Nonnull window, size_t byte_count);
/// Tells, after CC_WINDOW_TIMED_OUT, whether that rank did not come.
bool cc_window_is_absent(const cc_window *_Nonnull window, int rank);
/// Tells, after CC_WINDOW_MISMATCH, what that rank asked for.
cc_window_request cc_window_requested(const cc_window *_Nonnull window, int rank);
/// Gives the times since the last reading.
cc_window_times cc_window_take_times(cc_window *_Nonnull window);

/// Gives a place for this rank's `byte_count` bytes of the next call, or NULL if they do not fit at once.
///
/// If the next call gets this address as its input, it need not copy the bytes there. Waits until the place is free.
void *_Nullable cc_window_place(cc_window *_Nonnull window, size_t byte_count, cc_window_status *_Nonnull status);

/// Waits for all ranks.
cc_window_status cc_window_barrier(cc_window *_Nonnull window);
/// out = the reduction of all ranks' `in`; `in` may be `out`.
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
/// bytes = the root's `bytes`, on every rank.
cc_window_status cc_window_broadcast(cc_window *_Nonnull window, void *_Nullable bytes, size_t byte_count, int root);
