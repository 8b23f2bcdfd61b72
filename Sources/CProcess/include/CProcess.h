// What a process knows of itself before anything else runs, and its last words: its place among the ranks of a job, one line
// and a status for every signal, and an agreement of the ranks of a host on who speaks.
//
// Why C: signal handlers may call only what is async-signal-safe, and the meeting place of ranks is a socket address that
// Swift imports as a tuple.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// MARK: Place in the job

/// This process's number among the ranks that a launcher has started, or -1 where none has.
int cprocess_rank(void);
/// How many ranks the job has, or 0 where the launcher does not say.
int cprocess_size(void);
/// How many of them run on this host, or 0 where the launcher does not say.
int cprocess_local_size(void);
/// This machine's name, for messages; `TRIREME_HOST_NAME` replaces it where hosts cannot be told apart.
const char *_Nonnull cprocess_host(void);

/// A process of this job on this host.
typedef struct cprocess_peer {
    int rank, pid;
    /// As in /proc/PID/stat: R and S run, T is stopped.
    char state;
    /// Whether it runs this program already, and not what starts it.
    bool is_program;
} cprocess_peer;

/// The living ranks of this job on this host, in rank order; `capacity` at most. Returns how many were found, -1 if /proc
/// cannot be read.
int cprocess_peers(cprocess_peer *_Nonnull peers, int capacity);

/// Nanoseconds since this process was started, 0 if that cannot be read.
uint64_t cprocess_age(void);

// MARK: Last words

/// Catches the signals of defects (SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT) from here on: one line on standard error,
/// then exit status 70, or 65 where a mapped file has shrunk. The line says so where another process has sent the signal.
/// SIGQUIT gets its default back, which Swift's runtime had taken.
///
/// A rank of a job dies with the process that started it.
///
/// `program` names this program in the line, and must live for ever.
void cprocess_install(const char *_Nonnull program);
/// Catches them again, after a library has set handlers of its own; does nothing where they were not caught before.
void cprocess_restore(void);

/// What the process does now, for that line: a text that lives for ever, and a number behind it unless it is UINT64_MAX.
void cprocess_enter(const uint8_t *_Nonnull doing, uint64_t step);

/// What to call before a signal ends the process; must be async-signal-safe. NULL for nothing.
void cprocess_set_farewell(void (*_Nullable farewell)(void *_Nullable), void *_Nullable context);

/// Names a mapped file, so that a fault inside it can; false where the table is full.
bool cprocess_add_mapping(const void *_Nonnull start, size_t byte_count, const char *_Nonnull path);
/// Forgets it; to be called before it is unmapped.
void cprocess_remove_mapping(const void *_Nonnull start);

/// Whether this thread may say why the process ends, with this status. One thread of one rank of this host may: it has told
/// the others, and the launcher. Async-signal-safe.
bool cprocess_claim_last_words(int status);
/// Tells the launcher that what the job ends with has been said; see Launch/launch.sh.
void cprocess_remove_note(void);
/// The same, and nothing more is to be said here: the process ends as it should.
void cprocess_have_spoken(void);
/// The same, where all ranks know why and agree on who says it: no other is told.
bool cprocess_claim_agreed_words(int status);
/// Kills the process that started this rank if it is still there after so many milliseconds: a launcher that hangs after it has
/// lost a rank. Its ranks die with it (`cprocess_install`).
void cprocess_see_launcher_end(int milliseconds);
/// Nothing more is to be said here: another rank says it.
void cprocess_leave_last_words(void);
/// Writes a line to standard error, whole; adds the line's end. Async-signal-safe.
void cprocess_say(const char *_Nonnull line);

// MARK: Meeting

/// What ranks of a host tell each other.
typedef enum cprocess_word {
    /// I have said why the job ends; end with this status.
    CPROCESS_SPOKEN = 1,
    /// I have ended MPI.
    CPROCESS_FINISHED = 2,
} cprocess_word;

typedef struct cprocess_message {
    int32_t word, rank, status;
} cprocess_message;

/// Opens this rank's mailbox, which its neighbours on this host find by the job's name; it leaves nothing behind.
///
/// Returns 0, or an error number.
int cprocess_meet(void);
/// Tells all ranks of this host; async-signal-safe.
void cprocess_tell(cprocess_message message);
/// The next message, if there is one.
bool cprocess_hear(cprocess_message *_Nonnull message);
