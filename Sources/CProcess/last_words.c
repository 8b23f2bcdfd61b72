// Gives one line and a status for every signal that would end the process.
#define _GNU_SOURCE
#include "last_words.h"
#include "CProcess.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// MARK: Text without printf

typedef struct line {
    char text[1024];
    size_t length;
} line;

static void add(line *l, const char *text) {
    while (*text && l->length < sizeof l->text - 1) l->text[l->length++] = *text++;
    l->text[l->length] = 0;
}

void digits(uint64_t number, char *text) {
    char reversed[DIGITS];
    int count = 0;
    do reversed[count++] = (char)('0' + number % 10);
    while (number /= 10);
    for (int i = 0; i < count; i++) text[i] = reversed[count - 1 - i];
    text[count] = 0;
}

static void add_number(line *l, uint64_t number) {
    char text[DIGITS];
    digits(number, text);
    add(l, text);
}

/// Copies a text; control characters, which end a line or steer a terminal, become question marks.
static void copy_line(const char *from, size_t count, char *to, size_t capacity) {
    size_t length = 0;
    for (; length < count && length < capacity - 1 && from[length]; length++) {
        const unsigned char c = (unsigned char)from[length];
        to[length] = c < 32 || c == 127 ? '?' : (char)c;
    }
    to[length] = 0;
}

static void write_all(const char *bytes, size_t count) {
    while (count > 0) {
        const ssize_t some = write(STDERR_FILENO, bytes, count);
        if (some < 0 && errno == EINTR) continue;
        if (some <= 0) return;
        bytes += some;
        count -= (size_t)some;
    }
}

void cprocess_say(const char *text) {
    const size_t count = strlen(text);
    char *whole = count < 4096 ? NULL : malloc(count + 1);
    char small[4096];
    if (count >= sizeof small && !whole) {
        write_all(text, count);
        return write_all("\n", 1);
    }
    char *place = whole ? whole : small;
    memcpy(place, text, count);
    place[count] = '\n';
    write_all(place, count + 1);
    free(whole);
}

// MARK: Who speaks

static int rank = -1;
static atomic_bool is_claimed;
/// The path of the launcher's file for the status that was said; a job that ends as it should removes the file.
static char note[512];

void cprocess_remove_note(void) {
    if (note[0]) unlink(note);
}

static void write_note(int status) {
    const int file = note[0] ? open(note, O_WRONLY | O_TRUNC | O_CLOEXEC) : -1;
    if (file < 0) return;
    char text[DIGITS];
    digits((uint64_t)status, text);
    if (write(file, text, strlen(text)) < 0) unlink(note); // on a full disk the launcher must at least stay silent
    close(file);
}

/// Tells whether a rank has spoken that ended before this one could hear it.
static bool has_been_noted(void) {
    struct stat file;
    return note[0] && stat(note, &file) == 0 && file.st_size > 0;
}

bool cprocess_claim_agreed_words(int status) {
    if (atomic_exchange(&is_claimed, true)) return false;
    write_note(status);
    return true;
}

bool cprocess_claim_last_words(int status) {
    if (atomic_exchange(&is_claimed, true) || !is_speaker() || has_been_noted()) return false;
    cprocess_tell((cprocess_message){.word = CPROCESS_SPOKEN, .status = status});
    write_note(status);
    return true;
}

void cprocess_leave_last_words(void) { atomic_store(&is_claimed, true); }

void cprocess_have_spoken(void) {
    cprocess_leave_last_words();
    cprocess_remove_note();
}

void cprocess_see_launcher_end(int milliseconds) {
    // The process is held by a descriptor, because its number may become another process's.
    const int launcher = rank >= 0 ? (int)syscall(SYS_pidfd_open, getppid(), 0) : -1;
    if (launcher < 0) return;
    if (fork() == 0) {
        // The child has a session of its own, so that signals of the launcher do not reach it, and closes the pipes
        // whose end the launcher waits for.
        setsid();
        dup2(launcher, 0);
        syscall(SYS_close_range, 1, ~0u, 0);
        struct pollfd ended = {.fd = 0, .events = POLLIN};
        if (poll(&ended, 1, milliseconds) == 0) syscall(SYS_pidfd_send_signal, 0, SIGKILL, NULL, 0);
        _exit(0);
    }
    close(launcher);
}

// MARK: What is known when a signal comes

static const char *program;
static char host[64];
static _Atomic(const char *) doing = "starting";
static _Atomic uint64_t doing_step = UINT64_MAX;
static void (*_Atomic farewell)(void *);
static void *_Atomic farewell_context;
/// The message of Swift's runtime about a failed precondition.
static char fatal_message[512];
static atomic_bool is_installed, has_fatal_message;

void cprocess_enter(const uint8_t *what, uint64_t step) {
    atomic_store_explicit(&doing, (const char *)what, memory_order_relaxed);
    atomic_store_explicit(&doing_step, step, memory_order_relaxed);
}

void cprocess_set_farewell(void (*call)(void *), void *context) {
    atomic_store(&farewell, NULL);
    atomic_store(&farewell_context, context);
    atomic_store(&farewell, call);
}

/// Replaces the C library's function. Swift's runtime calls it to print the message of a failed precondition, and then
/// traps: the message is kept here for the one line that the trap's handler writes. All other text is written.
__attribute__((visibility("default"))) int fputs(const char *restrict text, FILE *restrict file) {
    if (file == stderr && atomic_load_explicit(&is_installed, memory_order_relaxed) && strstr(text, "Fatal error: ")) {
        if (!atomic_exchange(&has_fatal_message, true))
            copy_line(text, strcspn(text, "\n"), fatal_message, sizeof fatal_message);
        return 0;
    }
    const size_t count = strlen(text);
    return fwrite(text, 1, count, file) == count ? 0 : EOF;
}

// MARK: Mapped files

enum { MOST_MAPPINGS = 1024 };

typedef struct mapping {
    /// Where the mapping starts; 0 if the entry is free, and 1 while it is being filled.
    _Atomic uintptr_t start;
    size_t byte_count;
    char path[256];
} mapping;

static mapping mappings[MOST_MAPPINGS];

bool cprocess_add_mapping(const void *start, size_t byte_count, const char *path) {
    for (int i = 0; i < MOST_MAPPINGS; i++) {
        uintptr_t unused = 0;
        if (!atomic_compare_exchange_strong(&mappings[i].start, &unused, 1)) continue;
        mappings[i].byte_count = byte_count;
        const size_t length = strlen(path), most = sizeof mappings[i].path - 1;
        // A long path is cut at its beginning, because its end says more.
        copy_line(length > most ? path + length - most : path, most, mappings[i].path, sizeof mappings[i].path);
        atomic_store(&mappings[i].start, (uintptr_t)start);
        return true;
    }
    return false;
}

void cprocess_remove_mapping(const void *start) {
    for (int i = 0; i < MOST_MAPPINGS; i++) {
        uintptr_t wanted = (uintptr_t)start;
        if (atomic_compare_exchange_strong(&mappings[i].start, &wanted, 0)) return;
    }
}

static const char *file_at(const void *address) {
    for (int i = 0; i < MOST_MAPPINGS; i++) {
        const uintptr_t start = atomic_load(&mappings[i].start);
        if (start > 1 && (uintptr_t)address >= start && (uintptr_t)address - start < mappings[i].byte_count)
            return mappings[i].path;
    }
    return NULL;
}

// MARK: The handler

static const struct {
    int number;
    const char *name;
} faults[] = {
    {SIGILL, "SIGILL"}, {SIGTRAP, "SIGTRAP"}, {SIGSEGV, "SIGSEGV"},
    {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"},   {SIGABRT, "SIGABRT"},
};
enum { FAULTS = sizeof faults / sizeof *faults };

static const char *name_of(int number) {
    for (int i = 0; i < FAULTS; i++)
        if (faults[i].number == number) return faults[i].name;
    return "a signal";
}

static void add_doing(line *l) {
    const uint64_t step = atomic_load(&doing_step);
    add(l, " while ");
    add(l, atomic_load(&doing));
    if (step == UINT64_MAX) return;
    add(l, " ");
    add_number(l, step);
}

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    static _Atomic pid_t handling;
    const pid_t thread = (pid_t)syscall(SYS_gettid);
    pid_t nobody = 0;
    if (!atomic_compare_exchange_strong(&handling, &nobody, thread)) {
        if (nobody == thread) _exit(70); // a fault in this very handler
        for (;;) pause();                // another thread is in this handler, and ends the process
    }
    const bool was_sent = info->si_code <= 0 && info->si_pid != getpid();
    const char *file = number == SIGBUS && !was_sent ? file_at(info->si_addr) : NULL;
    const int status = file ? 65 : 70;
    line l = {.length = 0};
    add(&l, program);
    add(&l, ": ");
    if (rank >= 0) {
        add(&l, "rank ");
        add_number(&l, (uint64_t)rank);
        add(&l, " on ");
        add(&l, host);
        add(&l, ": ");
    }
    if (file) {
        add(&l, file);
        add(&l, " was cut short or changed while it was in use; fetch it again");
    } else if (was_sent) {
        add(&l, "ended by ");
        add(&l, name_of(number));
        add(&l, " from process ");
        add_number(&l, (uint64_t)info->si_pid);
        add_doing(&l);
    } else {
        add(&l, "a defect of this program: ");
        if (has_fatal_message) {
            add(&l, fatal_message);
            add(&l, ", ");
        }
        add(&l, name_of(number));
        if (number == SIGBUS) add(&l, " (a memory mapping lost its file, or the host's /dev/shm is full)");
        add_doing(&l);
        add(&l, "; please report it");
    }
    if (cprocess_claim_last_words(status)) cprocess_say(l.text);
    // The other ranks must not report this rank as lost, because it has spoken for itself.
    void (*last)(void *) = atomic_load(&farewell);
    if (last) last(atomic_load(&farewell_context));
    _exit(status);
}

void cprocess_restore(void) {
    if (!atomic_load(&is_installed)) return;
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    // A program inherits the blocked signals of the thread that started it; Dispatch's threads block some.
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGQUIT);
    for (int i = 0; i < FAULTS; i++) {
        sigaction(faults[i].number, &action, NULL);
        sigaddset(&set, faults[i].number);
    }
    signal(SIGQUIT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void cprocess_install(const char *name) {
    // The handler needs a stack of its own, because the main thread's may have overflowed.
    static char stack[64 << 10];
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, NULL);
    program = name;
    rank = cprocess_rank();
    copy_line(cprocess_host(), sizeof host, host, sizeof host);
    const char *path = getenv("TRIREME_LAST_WORDS");
    if (path && strlen(path) < sizeof note) strcpy(note, path);
    if (rank >= 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
    atomic_store(&is_installed, true);
    cprocess_restore();
}
