// The few MPI functions that Trireme needs, over plain types: no mpi.h, no macros, no opaque MPI handles.
//
// Why a C file: MPI's constants (MPI_COMM_WORLD, datatypes, MPI_IN_PLACE …) are macros that Swift cannot import,
// and handles are pointers in Open MPI but integers in MPICH. Here both travel as one machine word.
//
// Every function that can fail returns MPI's error code, 0 for success; cmpi_error_text says what it means.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "combine.h"

/// A communicator's handle.
typedef struct cmpi_group {
    intptr_t word;
} cmpi_group;

/// A send that has been started and must be waited for.
typedef struct cmpi_request {
    intptr_t word;
} cmpi_request;

/// A message that has arrived, or has begun to, and that no other receive can take.
typedef struct cmpi_message {
    intptr_t word;
    size_t byte_count;
} cmpi_message;

/// Starts MPI for a process in which one thread at a time calls it. From then on errors are returned as codes.
int cmpi_init(void);
/// 1 between cmpi_init and cmpi_finalize, when MPI may be called, and 0 otherwise.
int cmpi_is_running(void);
/// 1 once MPI has been started, even if it has ended since, and 0 before. MPI cannot be started twice.
int cmpi_was_started(void);
/// Ends MPI, and waits for the other ranks to do the same.
int cmpi_finalize(void);
/// Ends every rank of the job with this exit status. It does not return if the launcher does its part.
void cmpi_abort(int status);

/// Writes what an error code means, as a text that ends at a zero byte.
void cmpi_error_text(int code, char *_Nonnull text, size_t capacity);
/// Writes the name and version of the MPI library, as a text that ends at a zero byte. It may be called at any time.
void cmpi_library_version(char *_Nonnull text, size_t capacity);

/// The group of all ranks of the job, which must not be freed.
cmpi_group cmpi_world(void);
/// This rank's number in a group.
int cmpi_rank(cmpi_group group, int *_Nonnull rank);
/// The number of ranks of a group.
int cmpi_size(cmpi_group group, int *_Nonnull size);
/// Makes a group of the ranks that gave the same color, ordered by key.
int cmpi_split(cmpi_group group, int color, int key, cmpi_group *_Nonnull out);
/// Makes a group of the ranks that can share memory, which are the ranks of one host.
int cmpi_split_by_host(cmpi_group group, int key, cmpi_group *_Nonnull out);
/// Frees a group; every rank of it must call this.
int cmpi_free(cmpi_group group);

/// Makes memory that the ranks of a group, all on one host, share: `byte_count` bytes for each rank, side by side,
/// beginning at a page. Each rank zeroes its own part. MPI frees the memory when it ends.
int cmpi_share(cmpi_group group, size_t byte_count, void *_Nullable *_Nonnull out);

/// The most bytes that one message may have. Callers cut longer messages, so that a test can choose a smaller limit.
size_t cmpi_message_limit(void);

/// The result of a function with a `timeout` (in nanoseconds; 0 for none) after that time. The operation is still under
/// way, so that the job can only be ended. MPI has no negative codes.
enum { CMPI_TIMED_OUT = -1 };

/// Asks which of these ranks are waiting for others too, in any group, and collects answers for `nanoseconds`. Every
/// rank that is waiting answers.
int cmpi_roll_call(cmpi_group group, const int *_Nonnull ranks, int count, uint64_t nanoseconds, bool *_Nonnull present);

/// Answers the ranks that ask (cmpi_roll_call). Code that waits without messages, as in shared memory, must call it now
/// and then.
int cmpi_answer_roll_calls(void);

/// Sends a message that is so short that the library keeps it until the receiver comes.
int cmpi_send_short(const void *_Nullable bytes, size_t byte_count, int rank, int tag, cmpi_group group);
/// Starts to send a message; its buffer must not change until cmpi_wait has returned.
int cmpi_isend(const void *_Nullable bytes, size_t byte_count, int rank, int tag, cmpi_group group, cmpi_request *_Nonnull out);
/// Waits for a send; after that its buffer may be written again.
int cmpi_wait(cmpi_request *_Nonnull request, uint64_t timeout);
/// Waits until the next message of that rank and tag, or its first part, has arrived, and claims it.
int cmpi_mprobe(int rank, int tag, cmpi_group group, uint64_t timeout, cmpi_message *_Nonnull out);
/// Waits for the next message of that rank and tag and receives it; `found` becomes its length.
int cmpi_recv(void *_Nullable bytes, size_t byte_count, int rank, int tag, cmpi_group group, uint64_t timeout,
              size_t *_Nonnull found);
/// Receives a claimed message.
int cmpi_mrecv(void *_Nullable bytes, size_t byte_count, cmpi_message *_Nonnull message, uint64_t timeout);

/// The library's own all-reduce, for comparison with ours. It promises no order of addition. 16-bit floats have no name
/// in MPI 3 and give an error. `in` may be `out`.
int cmpi_library_all_reduce(const void *_Nullable in, void *_Nullable out, size_t count, cc_type type, cc_reduction reduction,
                            cmpi_group group);
/// The library's own reduce-scatter of `count` elements for each rank.
int cmpi_library_reduce_scatter(const void *_Nullable in, void *_Nullable out, size_t count, cc_type type,
                                cc_reduction reduction, cmpi_group group);
/// The library's own all-gather of `byte_count` bytes of each rank.
int cmpi_library_all_gather(const void *_Nullable mine, void *_Nullable all, size_t byte_count, cmpi_group group);
/// The library's own broadcast.
int cmpi_library_broadcast(void *_Nullable bytes, size_t byte_count, int root, cmpi_group group);
/// The library's own barrier.
int cmpi_library_barrier(cmpi_group group);
