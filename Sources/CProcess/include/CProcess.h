// A process's place among the ranks of a job, and its last words: one line and a status for every signal, and an
// agreement of the ranks of a host on which of them speaks.
//
// Why C: signal handlers may call only async-signal-safe functions, and Swift imports the socket address by which ranks
// find each other as a tuple.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// MARK: Place in the job

/// This process's number among the ranks that a launcher has started, or -1 if no launcher has.
///
/// It is the only place that knows the variables of launchers.
int cprocess_rank(void);
/// The number of ranks of the job, or 0 if the launcher does not tell; 1 without a launcher.
int cprocess_size(void);
/// The number of ranks on this host, or 0 if the launcher does not tell; 1 without a launcher.
int cprocess_local_size(void);
/// This machine's name, for messages. The variable `TRIREME_HOST_NAME` replaces it where hosts cannot be told apart.
const char *_Nonnull cprocess_host(void);

/// A process of this job on this host.
typedef struct cprocess_peer {
    int rank, pid;
    /// The state as in /proc/PID/stat: R and S run, T is stopped.
    char state;
    /// Whether it runs this program already, and not a script that starts it.
    bool is_program;
} cprocess_peer;

/// Finds the ranks of this job that are alive on this host, in rank order, at most `capacity` of them. Returns how many
/// were found, or -1 if /proc cannot be read.
int cprocess_peers(cprocess_peer *_Nonnull peers, int capacity);

/// The nanoseconds since this process was started, or 0 if that cannot be read.
uint64_t cprocess_age(void);

// MARK: Last words

/// Catches the signals of defects (SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT) from here on. Such a signal gives
/// one line on standard error, and then exit status 70, or 65 if a mapped file has shrunk. If another process has sent
/// the signal, the line says so. SIGQUIT gets back its default, which Swift's runtime replaces.
///
/// From here on a rank of a job dies with the process that started it.
///
/// `program` names this program in the line, and must never be freed.
void cprocess_install(const char *_Nonnull program);
/// Catches the signals again, after a library has set handlers of its own. Does nothing if cprocess_install was not
/// called.
void cprocess_restore(void);

/// Notes what the process does now, for that line: a text that is never freed, and a number unless it is UINT64_MAX.
void cprocess_enter(const uint8_t *_Nonnull doing, uint64_t step);

/// Sets a function, which must be async-signal-safe, that is called before a signal ends the process; NULL for none.
void cprocess_set_farewell(void (*_Nullable farewell)(void *_Nullable), void *_Nullable context);

/// Notes a mapped file, so that the line about a fault inside it can name it. Returns false if the table is full.
bool cprocess_add_mapping(const void *_Nonnull start, size_t byte_count, const char *_Nonnull path);
/// Forgets a mapped file; must be called before the file is unmapped.
void cprocess_remove_mapping(const void *_Nonnull start);

/// Asks to be the one who says why the job ends with this status. One thread of one rank of this host gets true; the
/// other ranks and the launcher have been told then. Async-signal-safe.
bool cprocess_claim_last_words(int status);
/// Tells the launcher that nothing more is to be said about how the job ends, and not to say anything itself (see
/// Launch/launch.sh).
void cprocess_remove_note(void);
/// Does what cprocess_remove_note does, and makes every later claim in this process fail, because it ends as it should.
void cprocess_have_spoken(void);
/// Asks like cprocess_claim_last_words, but tells no other rank, because all ranks know why the job ends and which rank
/// says it.
bool cprocess_claim_agreed_words(int status);
/// Kills the process that started this rank if it still runs after this many milliseconds, because launchers may hang
/// after they have lost a rank. Its ranks die with it (`cprocess_install`).
void cprocess_see_launcher_end(int milliseconds);
/// Makes every later claim in this process fail, because another rank speaks.
void cprocess_leave_last_words(void);
/// Writes a line, with a newline added, to standard error in one piece. Async-signal-safe unless it is longer than 4095
/// bytes.
void cprocess_say(const char *_Nonnull line);

// MARK: Meeting

/// What ranks of a host tell each other.
typedef enum cprocess_word {
    /// The sender has said why the job ends; the others end with this status.
    CPROCESS_SPOKEN = 1,
    /// The sender has ended MPI.
    CPROCESS_FINISHED = 2,
} cprocess_word;

typedef struct cprocess_message {
    int32_t word, rank, status;
} cprocess_message;

/// Opens this rank's mailbox, which the other ranks of this host find by the job's name. It leaves nothing behind.
///
/// Returns 0, or an error number.
int cprocess_meet(void);
/// Sends a message to all other ranks of this host. Async-signal-safe.
void cprocess_tell(cprocess_message message);
/// Takes the next message out of this rank's mailbox; returns false if there is none.
bool cprocess_hear(cprocess_message *_Nonnull message);
