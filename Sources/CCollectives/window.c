// Collectives in shared memory.
//
// Every call consists of one or more steps, which all ranks number alike. In a step a rank writes its data and then the
// number of the step. It waits until the others' numbers show that they have come, and reads their data. Lines and
// slots are double: those of step s are written again in step s + 2. Before that a rank has seen every other rank in
// step s + 1 or later, so that all have read what it wrote in step s. So one exchange of numbers for each step is
// enough.
//
// A cache line has one writer. The number shares a line with what the call asks for and the first bytes of data: up to
// INLINE_BYTES travel in that line and the lines after it.
#define _GNU_SOURCE
#include "clock.h"
#include "window.h"
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

enum {
    LINE = 64,
    PAGE = 4096,
    /// Bytes that travel beside the number: the rest of its line, and four more lines.
    INLINE_BYTES = 40 + 4 * LINE,
    /// The most places in a slot for short data. They made 64 KiB take 10.5 instead of 18.4 us on a 2-core Xeon.
    MOST_PLACES = 64,
    /// The length from which on sums are written past the caches: 18 instead of 21 ms for 64 MiB, no gain at 4 MiB.
    LONG_BYTES = 8 << 20,
    /// How often a rank looks between two readings of the clock.
    LOOKS = 256,
    /// Nanoseconds between two calls of `idle`.
    IDLE_EVERY = 10000000,
};

/// What a rank shows in the steps of one parity. The number of the step is written last.
typedef struct board {
    _Atomic uint64_t step;
    uint8_t call, type, reduction, unused;
    int32_t root;
    uint64_t byte_count;
    char data[INLINE_BYTES];
    // The processor fetches lines in pairs, so no line of another writer may lie beside these.
    char padding[LINE];
} board;

_Static_assert(offsetof(board, data) + 40 == LINE, "the number, the wish and the first data share a line");
_Static_assert(sizeof(board) % (2 * LINE) == 0, "boards are pairs of lines");
_Static_assert(2 * sizeof(board) <= PAGE, "boards fit into their page");

struct cc_window {
    char *memory;
    int rank, ranks, spins;
    size_t slot_bytes, whole_bytes;
    uint64_t step;     // of the last call
    uint64_t complete; // the last step in which every rank was seen
    uint64_t timeout;
    int (*idle)(void);
    bool counts_cycles;
    uint64_t opened_clock, opened_cycles, waited, moved;
    const void **terms;
    bool *absent;
    cc_window_request *requests;
};

/// A rank's part consists of a page of boards, two slots, and half a slot for the results of its reductions.
size_t cc_window_bytes(size_t slot_bytes) { return PAGE + 2 * slot_bytes + (slot_bytes / 2 + PAGE - 1) / PAGE * PAGE; }

static char *region(const cc_window *w, int rank) { return w->memory + (size_t)rank * cc_window_bytes(w->slot_bytes); }

static board *board_of(const cc_window *w, int rank, uint64_t step) { return (board *)region(w, rank) + (step & 1); }

/// Gives the place where a rank shows `byte_count` bytes in a step.
///
/// It lies in the slot of the step's parity. Short data takes the places of a slot in turn: a line that was read long
/// ago costs less to write, because it has left the reader's nearest cache.
static char *slot_of(const cc_window *w, int rank, uint64_t step, size_t byte_count) {
    size_t places = 1;
    while (places < MOST_PLACES && byte_count * places * 2 <= w->slot_bytes) places *= 2;
    const size_t place = (step >> 1) % places * (w->slot_bytes / places) / LINE * LINE;
    return region(w, rank) + PAGE + (step & 1) * w->slot_bytes + place;
}

/// Gives the place where a rank leaves the sums that it has computed for the others.
static char *result_of(const cc_window *w, int rank) { return region(w, rank) + PAGE + 2 * w->slot_bytes; }

// MARK: Time

/// Tells whether the processor counts cycles of constant length, whose reading takes a third of the time of the
/// clock's.
static bool has_constant_cycles(void) {
#if defined(__x86_64__)
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d >> 8 & 1);
#else
    return false;
#endif
}

static uint64_t ticks(const cc_window *w) {
#if defined(__x86_64__)
    if (w->counts_cycles) return __rdtsc();
#endif
    return cc_now();
}

cc_window_times cc_window_take_times(cc_window *w) {
    double scale = 1;
    if (w->counts_cycles) {
        uint64_t cycles = ticks(w) - w->opened_cycles;
        if (cycles > 0) scale = (double)(cc_now() - w->opened_clock) / (double)cycles;
    }
    cc_window_times times = {(uint64_t)((double)w->waited * scale), (uint64_t)((double)w->moved * scale)};
    w->waited = w->moved = 0;
    return times;
}

// MARK: Opening

/// Counts the processors that this process may run on.
static int processor_count(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

cc_window *cc_window_open(void *memory, int rank, int ranks, size_t slot_bytes, int spins) {
    cc_window *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    *w = (cc_window){.memory = memory, .rank = rank, .ranks = ranks, .spins = spins, .slot_bytes = slot_bytes};
    w->terms = calloc((size_t)ranks, sizeof *w->terms);
    w->absent = calloc((size_t)ranks, sizeof *w->absent);
    w->requests = calloc((size_t)ranks, sizeof *w->requests);
    if (!w->terms || !w->absent || !w->requests) {
        cc_window_close(w);
        return NULL;
    }
    if (spins < 0) w->spins = ranks > processor_count() ? 0 : 4000;
    w->whole_bytes = slot_bytes;
    w->counts_cycles = has_constant_cycles();
    w->opened_clock = cc_now();
    w->opened_cycles = ticks(w);
    return w;
}

void cc_window_close(cc_window *w) {
    if (!w) return;
    free(w->terms);
    free(w->absent);
    free(w->requests);
    free(w);
}

void cc_window_set_timeout(cc_window *w, uint64_t nanoseconds) { w->timeout = nanoseconds; }
void cc_window_set_idle(cc_window *w, int (*idle)(void)) { w->idle = idle; }
void cc_window_set_whole_bytes(cc_window *w, size_t byte_count) { w->whole_bytes = byte_count; }
bool cc_window_is_absent(const cc_window *w, int rank) { return w->absent[rank]; }
cc_window_request cc_window_requested(const cc_window *w, int rank) { return w->requests[rank]; }

// MARK: Steps

static void pause_briefly(void) {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb");
#endif
}

static bool has_reached(const cc_window *w, int rank, uint64_t step) {
    return atomic_load_explicit(&board_of(w, rank, step)->step, memory_order_acquire) == step;
}

/// Tells whether a rank is in a step or past it. A rank is at most one step ahead of those that wait for it.
static bool has_come(const cc_window *w, int rank, uint64_t step) {
    return has_reached(w, rank, step) || has_reached(w, rank, step + 1);
}

/// Waits until the ranks [first, end) have come to a step.
static cc_window_status wait_for_ranks(cc_window *w, int first, int end, uint64_t step) {
    while (first < end && has_come(w, first, step)) first++;
    if (first == end) return CC_WINDOW_DONE;
    const uint64_t began = ticks(w);
    uint64_t time = 0, last = 0, idled = 0; // the time waited so far, the last reading, and the time of the last `idle`
    int looks = 0, spins = 0;
    for (;;) {
        while (first < end && has_come(w, first, step)) first++;
        if (first == end) break;
        if (spins < w->spins) {
            spins++;
            pause_briefly();
            continue;
        }
        sched_yield();
        if (++looks % LOOKS) continue;
        time += cc_lap(&last);
        if (w->idle && time > idled + IDLE_EVERY) {
            idled = time;
            w->idle();
        }
        if (!w->timeout || time < w->timeout) continue;
        for (int r = 0; r < w->ranks; r++) w->absent[r] = r >= first && r < end && !has_come(w, r, step);
        return CC_WINDOW_TIMED_OUT;
    }
    uint64_t passed = ticks(w) - began;
    w->waited += passed;
    w->moved -= passed;
    return CC_WINDOW_DONE;
}

static cc_window_request request_of(const cc_window *w, int rank, uint64_t step) {
    const board *b = board_of(w, rank, step);
    return (cc_window_request){b->call, b->type, b->reduction, b->root, b->byte_count};
}

/// Waits until the ranks [first, end) have come to this step, and compares their requests with this rank's.
static cc_window_status meet(cc_window *w, int first, int end) {
    const uint64_t step = w->step;
    cc_window_status status = wait_for_ranks(w, first, end, step);
    if (status != CC_WINDOW_DONE) return status;
    const board *mine = board_of(w, w->rank, step);
    for (int r = first; r < end; r++) {
        if (memcmp(&board_of(w, r, step)->call, &mine->call, offsetof(board, data) - offsetof(board, call)) == 0) continue;
        wait_for_ranks(w, 0, w->ranks, step); // the message names the requests of all ranks
        for (int s = 0; s < w->ranks; s++) w->requests[s] = request_of(w, s, step);
        return CC_WINDOW_MISMATCH;
    }
    if (first == 0 && end == w->ranks) w->complete = step;
    return CC_WINDOW_DONE;
}

static cc_window_status meet_all(cc_window *w) { return meet(w, 0, w->ranks); }

/// Waits until the lines and the slot of the next step may be written.
static cc_window_status make_free(cc_window *w) {
    if (w->complete == w->step) return CC_WINDOW_DONE;
    cc_window_status status = wait_for_ranks(w, 0, w->ranks, w->step);
    if (status == CC_WINDOW_DONE) w->complete = w->step;
    return status;
}

/// Begins the next step, and shows the request and `byte_count` bytes, at most a slot's, to the others.
static cc_window_status show(cc_window *w, cc_window_request request, const void *bytes, size_t byte_count) {
    cc_window_status status = make_free(w);
    if (status != CC_WINDOW_DONE) return status;
    const uint64_t step = ++w->step;
    board *b = board_of(w, w->rank, step);
    if (byte_count > INLINE_BYTES) {
        char *slot = slot_of(w, w->rank, step, byte_count);
        if (slot != bytes) memcpy(slot, bytes, byte_count);
    } else if (byte_count > 0) {
        memcpy(b->data, bytes, byte_count);
    }
    b->call = (uint8_t)request.call;
    b->type = (uint8_t)request.type;
    b->reduction = (uint8_t)request.reduction;
    b->root = request.root;
    b->byte_count = request.byte_count;
    atomic_store_explicit(&b->step, step, memory_order_release);
    return CC_WINDOW_DONE;
}

/// Gives what another rank shows in this step, once it has come.
static const void *shown(const cc_window *w, int rank, size_t byte_count) {
    return byte_count > INLINE_BYTES ? slot_of(w, rank, w->step, byte_count) : board_of(w, rank, w->step)->data;
}

static cc_window_status finish(cc_window *w, uint64_t began, cc_window_status status) {
    w->moved += ticks(w) - began;
    return status;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/// Gives the `byte_count` bytes that every rank shows, and this rank's from its own memory.
static const void *const *terms_of(cc_window *w, const void *mine, size_t byte_count) {
    for (int r = 0; r < w->ranks; r++) w->terms[r] = r == w->rank ? mine : shown(w, r, byte_count);
    return w->terms;
}

#define TRY(CALL)                                                                                                              \
    do {                                                                                                                       \
        cc_window_status status = (CALL);                                                                                      \
        if (status != CC_WINDOW_DONE) return status;                                                                           \
    } while (0)

void *cc_window_place(cc_window *w, size_t byte_count, cc_window_status *status) {
    *status = CC_WINDOW_DONE;
    if (byte_count <= INLINE_BYTES || byte_count > w->slot_bytes) return NULL;
    *status = finish(w, ticks(w), make_free(w));
    return *status == CC_WINDOW_DONE ? slot_of(w, w->rank, w->step + 1, byte_count) : NULL;
}

static cc_window_status barrier(cc_window *w) {
    TRY(show(w, (cc_window_request){.call = CC_WINDOW_BARRIER}, NULL, 0));
    return meet_all(w);
}

cc_window_status cc_window_barrier(cc_window *w) { return finish(w, ticks(w), barrier(w)); }

/// Gives the first element of a chunk that a rank adds up. Segments are whole cache lines, so that no line has two
/// writers.
static size_t segment_start(const cc_window *w, size_t count, size_t per_line, int rank) {
    return least(count, (count + per_line - 1) / per_line * (size_t)rank / (size_t)w->ranks * per_line);
}

/// Reduces a chunk: each rank adds up a segment and shows the sums to the others.
static cc_window_status reduce_by_segments(cc_window *w, cc_window_request request, const char *in, char *out, size_t count) {
    const size_t bytes = cc_type_bytes((cc_type)request.type), per_line = LINE / bytes;
    const size_t first = segment_start(w, count, per_line, w->rank), end = segment_start(w, count, per_line, w->rank + 1);
    TRY(show(w, request, in, count * bytes));
    TRY(meet_all(w));
    if (end > first) {
        for (int r = 0; r < w->ranks; r++)
            w->terms[r] = (r == w->rank ? in : slot_of(w, r, w->step, count * bytes)) + first * bytes;
        cc_combine((cc_type)request.type, (cc_reduction)request.reduction, w->terms, w->ranks, result_of(w, w->rank),
                   end - first);
        memcpy(out + first * bytes, result_of(w, w->rank), (end - first) * bytes);
    }
    TRY(show(w, request, NULL, 0));
    TRY(meet_all(w));
    for (int i = 1; i < w->ranks; i++) {
        const int r = (w->rank + i) % w->ranks;
        const size_t from = segment_start(w, count, per_line, r), to = segment_start(w, count, per_line, r + 1);
        memcpy(out + from * bytes, result_of(w, r), (to - from) * bytes);
    }
    return CC_WINDOW_DONE;
}

static cc_window_status all_reduce(cc_window *w, cc_type type, cc_reduction reduction, const char *in, char *out,
                                   size_t count) {
    const size_t bytes = cc_type_bytes(type);
    const cc_window_request request = {CC_WINDOW_ALL_REDUCE, (int32_t)type, (int32_t)reduction, 0, count * bytes};
    // Sums over two ranks that are longer than the caches.
    const bool is_long = w->ranks == 2 && type == CC_FLOAT32 && reduction == CC_SUM && in != out && count * bytes >= LONG_BYTES;
    for (size_t done = 0;;) {
        const size_t some = least(count - done, w->slot_bytes / bytes);
        if (w->ranks > 2 && some * bytes > w->whole_bytes && some * bytes > INLINE_BYTES) {
            TRY(reduce_by_segments(w, request, in + done * bytes, out + done * bytes, some));
        } else {
            TRY(show(w, request, in + done * bytes, some * bytes));
            TRY(meet_all(w));
            if (some) {
                const void *const *terms = terms_of(w, in + done * bytes, some * bytes);
                // The next part, if it is a full one.
                const void *next = count - done >= 2 * some ? in + (done + some) * bytes : NULL;
                if (is_long)
                    cc_add_to_memory(terms[0], terms[1], (float *)(out + done * bytes), some, next);
                else
                    cc_combine(type, reduction, terms, w->ranks, out + done * bytes, some);
            }
        }
        done += some;
        if (done == count) return CC_WINDOW_DONE;
    }
}

cc_window_status cc_window_all_reduce(cc_window *w, cc_type type, cc_reduction reduction, const void *in, void *out,
                                      size_t count) {
    return finish(w, ticks(w), all_reduce(w, type, reduction, in, out, count));
}

/// Lets every rank show a piece of `byte_count` bytes to each other rank, and reduce or keep what is shown to it.
static cc_window_status exchange_pieces(cc_window *w, cc_window_request request, const char *in, char *out, size_t byte_count) {
    const size_t n = (size_t)w->ranks, most = w->slot_bytes / n / LINE * LINE;
    for (size_t done = 0;;) {
        // The pieces for all ranks lie side by side in the slot.
        const size_t some = least(byte_count - done, most);
        TRY(make_free(w));
        char *slot = slot_of(w, w->rank, w->step + 1, w->slot_bytes);
        for (size_t r = 0; r < n; r++)
            if ((int)r != w->rank) memcpy(slot + r * most, in + r * byte_count + done, some);
        TRY(show(w, request, NULL, 0));
        TRY(meet_all(w));
        for (int r = 0; r < w->ranks; r++)
            w->terms[r] = r == w->rank ? in + (size_t)r * byte_count + done
                                       : slot_of(w, r, w->step, w->slot_bytes) + (size_t)w->rank * most;
        if (request.call == CC_WINDOW_ALL_TO_ALL) {
            for (size_t r = 0; some && r < n; r++) memcpy(out + r * byte_count + done, w->terms[r], some);
        } else if (some) {
            const cc_type type = (cc_type)request.type;
            cc_combine(type, (cc_reduction)request.reduction, w->terms, w->ranks, out + done, some / cc_type_bytes(type));
        }
        done += some;
        if (done == byte_count) return CC_WINDOW_DONE;
    }
}

cc_window_status cc_window_reduce_scatter(cc_window *w, cc_type type, cc_reduction reduction, const void *in, void *out,
                                          size_t count) {
    const size_t bytes = count * cc_type_bytes(type);
    const cc_window_request request = {CC_WINDOW_REDUCE_SCATTER, (int32_t)type, (int32_t)reduction, 0,
                                       (size_t)w->ranks * bytes};
    return finish(w, ticks(w), exchange_pieces(w, request, in, out, bytes));
}

cc_window_status cc_window_all_to_all(cc_window *w, const void *in, void *out, size_t byte_count) {
    const cc_window_request request = {CC_WINDOW_ALL_TO_ALL, 0, 0, 0, (size_t)w->ranks * byte_count};
    return finish(w, ticks(w), exchange_pieces(w, request, in, out, byte_count));
}

static cc_window_status all_gather(cc_window *w, const char *mine, char *all, size_t byte_count) {
    const cc_window_request request = {CC_WINDOW_ALL_GATHER, 0, 0, 0, byte_count};
    if (byte_count) memmove(all + (size_t)w->rank * byte_count, mine, byte_count);
    for (size_t done = 0;;) {
        const size_t some = least(byte_count - done, w->slot_bytes);
        TRY(show(w, request, all + (size_t)w->rank * byte_count + done, some));
        TRY(meet_all(w));
        for (int i = 1; some && i < w->ranks; i++) {
            const int r = (w->rank + i) % w->ranks;
            memcpy(all + (size_t)r * byte_count + done, shown(w, r, some), some);
        }
        done += some;
        if (done == byte_count) return CC_WINDOW_DONE;
    }
}

cc_window_status cc_window_all_gather(cc_window *w, const void *mine, void *all, size_t byte_count) {
    return finish(w, ticks(w), all_gather(w, mine, all, byte_count));
}

static cc_window_status gather(cc_window *w, const char *mine, const size_t *byte_counts, char *all, int root) {
    cc_window_request request = {CC_WINDOW_GATHER, 0, 0, root, 0};
    size_t longest = 0;
    for (int r = 0; r < w->ranks; r++) {
        request.byte_count += byte_counts[r];
        if (byte_counts[r] > longest) longest = byte_counts[r];
    }
    if (w->rank == root) {
        char *place = all;
        for (int r = 0; r < root; r++) place += byte_counts[r];
        if (byte_counts[root]) memmove(place, mine, byte_counts[root]);
    }
    for (size_t done = 0;;) {
        const size_t rest = byte_counts[w->rank] > done ? byte_counts[w->rank] - done : 0;
        TRY(show(w, request, mine + done, w->rank == root ? 0 : least(rest, w->slot_bytes)));
        if (w->rank == root) TRY(meet_all(w));
        char *place = all;
        for (int r = 0; w->rank == root && r < w->ranks; place += byte_counts[r++]) {
            const size_t more = byte_counts[r] > done ? byte_counts[r] - done : 0, some = least(more, w->slot_bytes);
            if (r != root && some) memcpy(place + done, shown(w, r, some), some);
        }
        done += w->slot_bytes;
        if (done >= longest) return CC_WINDOW_DONE;
    }
}

cc_window_status cc_window_gather(cc_window *w, const void *mine, const size_t *byte_counts, void *all, int root) {
    return finish(w, ticks(w), gather(w, mine, byte_counts, all, root));
}

static cc_window_status broadcast(cc_window *w, char *bytes, size_t byte_count, int root) {
    const cc_window_request request = {CC_WINDOW_BROADCAST, 0, 0, root, byte_count};
    for (size_t done = 0;;) {
        const size_t some = least(byte_count - done, w->slot_bytes);
        TRY(show(w, request, bytes + done, w->rank == root ? some : 0));
        if (w->rank != root) {
            TRY(meet(w, root, root + 1));
            if (some) memcpy(bytes + done, shown(w, root, some), some);
        }
        done += some;
        if (done == byte_count) return CC_WINDOW_DONE;
    }
}

cc_window_status cc_window_broadcast(cc_window *w, void *bytes, size_t byte_count, int root) {
    return finish(w, ticks(w), broadcast(w, bytes, byte_count, root));
}
