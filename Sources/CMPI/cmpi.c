#define _POSIX_C_SOURCE 200809L // strnlen, clock_gettime
#include "CMPI.h"
#include "clock.h"

#define OMPI_SKIP_MPICXX 1
#include <limits.h>
#include <mpi.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

// A power of two under INT_MAX, so that pieces of a long message stay aligned to every element type.
enum { message_limit = 1 << 30 };

_Static_assert(sizeof(MPI_Comm) <= sizeof(intptr_t), "a communicator handle must fit in a word");
_Static_assert(sizeof(MPI_Request) <= sizeof(intptr_t), "a request handle must fit in a word");
_Static_assert(sizeof(MPI_Message) <= sizeof(intptr_t), "a message handle must fit in a word");

// memcpy instead of a cast, because the handle is a pointer in Open MPI and an int in MPICH.
static cmpi_group wrap(MPI_Comm comm) {
    cmpi_group group = {0};
    memcpy(&group.word, &comm, sizeof comm);
    return group;
}

static MPI_Comm unwrap(cmpi_group group) {
    MPI_Comm comm;
    memcpy(&comm, &group.word, sizeof comm);
    return comm;
}

static void copy_text(const char *source, char *text, size_t capacity) {
    if (capacity == 0) return;
    size_t length = strnlen(source, capacity - 1);
    memcpy(text, source, length);
    text[length] = 0;
}

int cmpi_init(void) {
    int provided = 0;
    int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
    if (code != MPI_SUCCESS) return code;
    if (provided < MPI_THREAD_SERIALIZED) return MPI_ERR_OTHER;
    code = MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    if (code != MPI_SUCCESS) return code;
    return MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN); // communicators split from it inherit this
}

int cmpi_was_started(void) {
    int started = 0;
    return MPI_Initialized(&started) == MPI_SUCCESS && started;
}

int cmpi_is_running(void) {
    int finalized = 0;
    return cmpi_was_started() && MPI_Finalized(&finalized) == MPI_SUCCESS && !finalized;
}

int cmpi_finalize(void) { return MPI_Finalize(); }

void cmpi_abort(int status) {
    if (cmpi_is_running()) MPI_Abort(MPI_COMM_WORLD, status);
}

void cmpi_error_text(int code, char *text, size_t capacity) {
    char buffer[MPI_MAX_ERROR_STRING + 1] = {0};
    int length = 0;
    if (!cmpi_is_running() || MPI_Error_string(code, buffer, &length) != MPI_SUCCESS)
        copy_text("no text for this code", buffer, sizeof buffer);
    copy_text(buffer, text, capacity);
}

void cmpi_library_version(char *text, size_t capacity) {
    char buffer[MPI_MAX_LIBRARY_VERSION_STRING + 1] = {0};
    int length = 0;
    if (MPI_Get_library_version(buffer, &length) != MPI_SUCCESS) copy_text("unknown", buffer, sizeof buffer);
    copy_text(buffer, text, capacity);
}

// All groups that have not been freed, so that a rank that waits in one of them answers roll calls in all of them.
static MPI_Comm *groups;
static int group_count, group_room;

/// Gives a new group to the caller and notes it, if `code` says that MPI has made it. Returns an error code of MPI.
static int add_group(int code, MPI_Comm comm, cmpi_group *out) {
    *out = wrap(comm);
    if (code != MPI_SUCCESS || comm == MPI_COMM_NULL) return code;
    if (group_count == group_room) {
        const int room = group_room ? 2 * group_room : 16;
        MPI_Comm *larger = realloc(groups, (size_t)room * sizeof *groups);
        if (!larger) return MPI_ERR_NO_MEM;
        groups = larger;
        group_room = room;
    }
    groups[group_count++] = comm;
    return MPI_SUCCESS;
}

static void remove_group(MPI_Comm comm) {
    for (int i = 0; i < group_count; i++)
        if (groups[i] == comm) groups[i--] = groups[--group_count];
}

cmpi_group cmpi_world(void) { return wrap(MPI_COMM_WORLD); }

int cmpi_rank(cmpi_group group, int *rank) { return MPI_Comm_rank(unwrap(group), rank); }

int cmpi_size(cmpi_group group, int *size) { return MPI_Comm_size(unwrap(group), size); }

int cmpi_split(cmpi_group group, int color, int key, cmpi_group *out) {
    MPI_Comm comm = MPI_COMM_NULL;
    int code = MPI_Comm_split(unwrap(group), color, key, &comm);
    return add_group(code, comm, out);
}

int cmpi_split_by_host(cmpi_group group, int key, cmpi_group *out) {
    MPI_Comm comm = MPI_COMM_NULL;
    int code = MPI_Comm_split_type(unwrap(group), MPI_COMM_TYPE_SHARED, key, MPI_INFO_NULL, &comm);
    return add_group(code, comm, out);
}

int cmpi_free(cmpi_group group) {
    MPI_Comm comm = unwrap(group);
    remove_group(comm);
    return MPI_Comm_free(&comm);
}

enum { page_bytes = 4096 };

int cmpi_share(cmpi_group group, size_t byte_count, void **out) {
    MPI_Comm comm = unwrap(group);
    int rank = 0;
    int code = MPI_Comm_rank(comm, &rank);
    if (code != MPI_SUCCESS) return code;
    // The first part is longer, because the start of MPI's memory is not aligned (it is 8 modulo 64 in Open MPI) and is
    // aligned here. It has the same offset in a page in every process, so that all of them skip the same number of
    // bytes.
    void *base = NULL;
    MPI_Win window;
    code =
        MPI_Win_allocate_shared((MPI_Aint)(byte_count + (rank == 0 ? page_bytes : 0)), 1, MPI_INFO_NULL, comm, &base, &window);
    if (code != MPI_SUCCESS) return code;
    MPI_Aint size = 0;
    int unit = 0;
    code = MPI_Win_shared_query(window, 0, &size, &unit, &base);
    if (code != MPI_SUCCESS) return code;
    char *start = (char *)(((uintptr_t)base + page_bytes - 1) / page_bytes * page_bytes);
    memset(start + (size_t)rank * byte_count, 0, byte_count);
    *out = start;
    return MPI_Barrier(comm);
}

size_t cmpi_message_limit(void) { return message_limit; }

// MARK: Waiting

// Tags of a roll call, above those of Swift's `CollectiveOperation`; MPI promises tags up to 32767.
enum { roll_call_tag = 32000, present_tag = 32001 };

/// Answers the ranks of a group that ask who is waiting.
static int answer(MPI_Comm comm) {
    for (;;) {
        int found = 0;
        MPI_Status status;
        int code = MPI_Iprobe(MPI_ANY_SOURCE, roll_call_tag, comm, &found, &status);
        if (code != MPI_SUCCESS || !found) return code;
        code = MPI_Recv(NULL, 0, MPI_BYTE, status.MPI_SOURCE, roll_call_tag, comm, MPI_STATUS_IGNORE);
        if (code == MPI_SUCCESS) code = MPI_Send(NULL, 0, MPI_BYTE, status.MPI_SOURCE, present_tag, comm);
        if (code != MPI_SUCCESS) return code;
    }
}

int cmpi_answer_roll_calls(void) {
    int code = answer(MPI_COMM_WORLD);
    for (int i = 0; i < group_count && code == MPI_SUCCESS; i++) code = answer(groups[i]);
    return code;
}

/// The state of a wait that polls, because MPI's own waits have no time limit.
typedef struct patience {
    uint64_t timeout, waited, last, asked;
    int looks;
} patience;

enum { LOOKS = 512, ROLL_CALL_EVERY = 10000000 };

/// Does the work of a wait between two looks: gives way, answers roll calls, and ends the wait when the time is over.
static int look_again(patience *p) {
    if (++p->looks % LOOKS) return MPI_SUCCESS;
    sched_yield();
    p->waited += cc_lap(&p->last);
    if (p->timeout && p->waited > p->timeout) return CMPI_TIMED_OUT;
    if (p->waited < p->asked + ROLL_CALL_EVERY) return MPI_SUCCESS;
    p->asked = p->waited;
    return cmpi_answer_roll_calls();
}

/// Polls `TEST`, a call that sets `done`, until it has set it; sets `result` to an error code.
#define WAIT(TIMEOUT, TEST)                                                                                                    \
    do {                                                                                                                       \
        patience p = {.timeout = (TIMEOUT)};                                                                                   \
        for (int done = 0;;) {                                                                                                 \
            result = (TEST);                                                                                                   \
            if (result != MPI_SUCCESS || done) break;                                                                          \
            result = look_again(&p);                                                                                           \
            if (result != MPI_SUCCESS) break;                                                                                  \
        }                                                                                                                      \
    } while (0)

int cmpi_roll_call(cmpi_group group, const int *ranks, int count, uint64_t nanoseconds, bool *present) {
    MPI_Comm comm = unwrap(group);
    for (int i = 0; i < count; i++) {
        present[i] = false;
        int code = MPI_Send(NULL, 0, MPI_BYTE, ranks[i], roll_call_tag, comm);
        if (code != MPI_SUCCESS) return code;
    }
    const uint64_t began = cc_now();
    while (cc_now() - began < nanoseconds) {
        int code = cmpi_answer_roll_calls();
        for (int i = 0; i < count && code == MPI_SUCCESS; i++) {
            int found = 0;
            if (!present[i]) code = MPI_Iprobe(ranks[i], present_tag, comm, &found, MPI_STATUS_IGNORE);
            if (!found) continue;
            present[i] = true;
            code = MPI_Recv(NULL, 0, MPI_BYTE, ranks[i], present_tag, comm, MPI_STATUS_IGNORE);
        }
        if (code != MPI_SUCCESS) return code;
        sched_yield();
    }
    return MPI_SUCCESS;
}

// MARK: Messages

int cmpi_send_short(const void *bytes, size_t byte_count, int rank, int tag, cmpi_group group) {
    if (byte_count > INT_MAX) return MPI_ERR_COUNT;
    return MPI_Send(bytes, (int)byte_count, MPI_BYTE, rank, tag, unwrap(group));
}

int cmpi_isend(const void *bytes, size_t byte_count, int rank, int tag, cmpi_group group, cmpi_request *out) {
    if (byte_count > INT_MAX) return MPI_ERR_COUNT;
    MPI_Request request;
    int code = MPI_Isend(bytes, (int)byte_count, MPI_BYTE, rank, tag, unwrap(group), &request);
    memcpy(&out->word, &request, sizeof request);
    return code;
}

int cmpi_wait(cmpi_request *sent, uint64_t timeout) {
    MPI_Request request;
    memcpy(&request, &sent->word, sizeof request);
    int result;
    WAIT(timeout, MPI_Test(&request, &done, MPI_STATUS_IGNORE));
    return result;
}

int cmpi_mprobe(int rank, int tag, cmpi_group group, uint64_t timeout, cmpi_message *out) {
    MPI_Message message;
    MPI_Status status;
    int result;
    WAIT(timeout, MPI_Improbe(rank, tag, unwrap(group), &done, &message, &status));
    if (result != MPI_SUCCESS) return result;
    int count = 0;
    int code = MPI_Get_count(&status, MPI_BYTE, &count);
    memcpy(&out->word, &message, sizeof message);
    out->byte_count = (size_t)count;
    return code;
}

int cmpi_recv(void *bytes, size_t byte_count, int rank, int tag, cmpi_group group, uint64_t timeout, size_t *found) {
    if (byte_count > INT_MAX) return MPI_ERR_COUNT;
    MPI_Request request;
    MPI_Status status;
    int code = MPI_Irecv(bytes, (int)byte_count, MPI_BYTE, rank, tag, unwrap(group), &request);
    if (code != MPI_SUCCESS) return code;
    int result;
    WAIT(timeout, MPI_Test(&request, &done, &status));
    if (result == CMPI_TIMED_OUT && MPI_Cancel(&request) == MPI_SUCCESS) {
        // After this MPI does not write to the caller's memory any more.
        code = MPI_Wait(&request, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS) return code;
    }
    if (result != MPI_SUCCESS) return result;
    int count = 0;
    code = MPI_Get_count(&status, MPI_BYTE, &count);
    *found = (size_t)count;
    return code;
}

int cmpi_mrecv(void *bytes, size_t byte_count, cmpi_message *claimed, uint64_t timeout) {
    if (byte_count > INT_MAX) return MPI_ERR_COUNT;
    MPI_Message message;
    MPI_Request request;
    memcpy(&message, &claimed->word, sizeof message);
    int code = MPI_Imrecv(bytes, (int)byte_count, MPI_BYTE, &message, &request);
    if (code != MPI_SUCCESS) return code;
    int result;
    WAIT(timeout, MPI_Test(&request, &done, MPI_STATUS_IGNORE));
    return result;
}

// MARK: The library's own collectives

int cmpi_library_barrier(cmpi_group group) { return MPI_Barrier(unwrap(group)); }

static MPI_Op library_operation(cc_reduction reduction) {
    switch (reduction) {
    case CC_SUM: return MPI_SUM;
    case CC_PRODUCT: return MPI_PROD;
    case CC_MINIMUM: return MPI_MIN;
    case CC_MAXIMUM: return MPI_MAX;
    }
    return MPI_OP_NULL;
}

int cmpi_library_all_reduce(const void *in, void *out, size_t count, cc_type type, cc_reduction reduction, cmpi_group group) {
    if (type != CC_FLOAT32 && type != CC_INT8) return MPI_ERR_TYPE;
    const MPI_Datatype element = type == CC_FLOAT32 ? MPI_FLOAT : MPI_INT8_T;
    const size_t bytes = cc_type_bytes(type);
    for (size_t done = 0; done < count || count == 0;) {
        const size_t some = count - done < message_limit ? count - done : message_limit;
        const void *from = in == out ? MPI_IN_PLACE : (const char *)in + done * bytes;
        int code =
            MPI_Allreduce(from, (char *)out + done * bytes, (int)some, element, library_operation(reduction), unwrap(group));
        if (code != MPI_SUCCESS || count == 0) return code;
        done += some;
    }
    return MPI_SUCCESS;
}

int cmpi_library_reduce_scatter(const void *in, void *out, size_t count, cc_type type, cc_reduction reduction,
                                cmpi_group group) {
    if (type != CC_FLOAT32 && type != CC_INT8) return MPI_ERR_TYPE;
    if (count > INT_MAX) return MPI_ERR_COUNT;
    return MPI_Reduce_scatter_block(in, out, (int)count, type == CC_FLOAT32 ? MPI_FLOAT : MPI_INT8_T,
                                    library_operation(reduction), unwrap(group));
}

int cmpi_library_all_gather(const void *mine, void *all, size_t byte_count, cmpi_group group) {
    if (byte_count > INT_MAX) return MPI_ERR_COUNT;
    return MPI_Allgather(mine, (int)byte_count, MPI_BYTE, all, (int)byte_count, MPI_BYTE, unwrap(group));
}

int cmpi_library_broadcast(void *bytes, size_t byte_count, int root, cmpi_group group) {
    for (size_t done = 0; done < byte_count || byte_count == 0;) {
        const size_t some = byte_count - done < message_limit ? byte_count - done : message_limit;
        int code = MPI_Bcast((char *)bytes + done, (int)some, MPI_BYTE, root, unwrap(group));
        if (code != MPI_SUCCESS || byte_count == 0) return code;
        done += some;
    }
    return MPI_SUCCESS;
}
