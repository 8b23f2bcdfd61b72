// Finds this process's place among the ranks of a job in the variables that launchers set, and its neighbours in /proc.
#define _GNU_SOURCE
#include "place.h"
#include "CProcess.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/// The names of the variables that a launcher sets; NULL for one that it does not set.
typedef struct launcher {
    const char *rank, *size, *local_size, *job;
} launcher;

static const launcher launchers[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "PMIX_NAMESPACE"}, // Open MPI
    {"PMIX_RANK", "SLURM_STEP_NUM_TASKS", NULL, "PMIX_NAMESPACE"},                                    // srun --mpi=pmix
    {"PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS", NULL},                                                // MPICH, srun --mpi=pmi2
};

static const launcher *mine(void) {
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++)
        if (getenv(launchers[i].rank)) return &launchers[i];
    return NULL;
}

static int number(const char *text, int otherwise) {
    if (!text) return otherwise;
    char *end;
    long value = strtol(text, &end, 10);
    return end != text && *end == 0 && value >= 0 && value <= INT_MAX ? (int)value : otherwise;
}

static int variable(const char *name, int otherwise) { return number(name ? getenv(name) : NULL, otherwise); }

int cprocess_rank(void) {
    const launcher *l = mine();
    return l ? variable(l->rank, 0) : -1;
}

int cprocess_size(void) {
    const launcher *l = mine();
    return l ? variable(l->size, 0) : 1;
}

int cprocess_local_size(void) {
    const launcher *l = mine();
    return l ? variable(l->local_size, 0) : 1;
}

const char *cprocess_host(void) {
    static char name[256];
    const char *given = getenv("TRIREME_HOST_NAME");
    if (given) return given;
    if (gethostname(name, sizeof name - 1) != 0) return "an unnamed host";
    return name;
}

void job_name(char *name, size_t capacity) {
    const launcher *l = mine();
    const char *job = l && l->job ? getenv(l->job) : NULL;
    // The ranks of a host have one parent; the user's number excludes jobs of other users.
    if (job)
        snprintf(name, capacity, "trireme.%u.%.60s", (unsigned)getuid(), job);
    else
        snprintf(name, capacity, "trireme.%u.parent%d", (unsigned)getuid(), (int)getppid());
}

// MARK: Neighbours

/// Reads at most `most` bytes of a file. Returns them with a zero byte behind them, to be freed, or NULL if that fails.
static char *contents(const char *path, size_t most, size_t *length) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return NULL;
    size_t room = 4096;
    char *text = malloc(room + 1);
    *length = 0;
    while (text && *length < most) {
        if (*length == room) {
            char *larger = realloc(text, 2 * room + 1);
            if (!larger) break;
            text = larger;
            room *= 2;
        }
        ssize_t some = read(file, text + *length, room - *length);
        if (some <= 0) break;
        *length += (size_t)some;
    }
    close(file);
    if (text) text[*length] = 0;
    return text;
}

static const char *value_in(const char *environment, size_t length, const char *name) {
    const size_t count = strlen(name);
    for (const char *entry = environment; entry < environment + length; entry += strlen(entry) + 1)
        if (strncmp(entry, name, count) == 0 && entry[count] == '=') return entry + count + 1;
    return NULL;
}

/// Reads the state and the parent of a process, which follow its name in parentheses.
static bool read_state(int pid, char *state, int *parent) {
    char path[64];
    size_t length;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    char *text = contents(path, 4096, &length);
    const char *end = text ? strrchr(text, ')') : NULL;
    bool found = end && sscanf(end + 1, " %c %d", state, parent) == 2;
    free(text);
    return found;
}

uint64_t cprocess_age(void) {
    size_t length;
    char *text = contents("/proc/self/stat", 4096, &length);
    const char *end = text ? strrchr(text, ')') : NULL;
    unsigned long long start = 0;
    // The 22nd field: the start in ticks since the machine was started.
    const bool found =
        end &&
        sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &start) == 1;
    free(text);
    struct timespec now;
    const long ticks = sysconf(_SC_CLK_TCK);
    if (!found || ticks <= 0 || clock_gettime(CLOCK_BOOTTIME, &now) != 0) return 0;
    const uint64_t since_boot = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    const uint64_t started = start * (1000000000u / (uint64_t)ticks);
    return since_boot > started ? since_boot - started : 0;
}

/// A process's program and network namespace; processes in one network namespace count as one host.
typedef struct identity {
    struct stat program, network;
} identity;

static bool is_same(const char *path, const struct stat *other) {
    struct stat file;
    return stat(path, &file) == 0 && file.st_dev == other->st_dev && file.st_ino == other->st_ino;
}

/// Tells whether a process is a rank of this job on this host, and describes it.
static bool examine(int pid, const launcher *l, const identity *mine, cprocess_peer *peer) {
    char path[64];
    struct stat file;
    int parent;
    snprintf(path, sizeof path, "/proc/%d", pid);
    if (stat(path, &file) != 0 || file.st_uid != geteuid()) return false;
    snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
    if (!is_same(path, &mine->network)) return false;
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    size_t length;
    char *environment = contents(path, 4 << 20, &length);
    if (!environment) return false;
    const char *job = l->job ? getenv(l->job) : NULL, *theirs = l->job ? value_in(environment, length, l->job) : NULL;
    const int rank = number(value_in(environment, length, l->rank), -1);
    const bool is_ours = rank >= 0 && read_state(pid, &peer->state, &parent) && peer->state != 'Z' && peer->state != 'X' &&
                         (job ? theirs && strcmp(job, theirs) == 0 : parent == getppid());
    free(environment);
    if (!is_ours) return false;
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    peer->is_program = is_same(path, &mine->program);
    peer->rank = rank;
    peer->pid = pid;
    return true;
}

int cprocess_peers(cprocess_peer *peers, int capacity) {
    const launcher *l = mine();
    identity here;
    DIR *processes = l && stat("/proc/self/exe", &here.program) == 0 && stat("/proc/self/ns/net", &here.network) == 0
                         ? opendir("/proc")
                         : NULL;
    if (!processes) return -1;
    int count = 0;
    for (struct dirent *entry; (entry = readdir(processes));) {
        cprocess_peer found;
        int pid = number(entry->d_name, -1);
        if (pid <= 0 || !examine(pid, l, &here, &found)) continue;
        int place = 0;
        while (place < count && peers[place].rank < found.rank) place++;
        if (place < count && peers[place].rank == found.rank) {
            // A script that starts the program has the same variables; the program itself is preferred.
            if (found.is_program) peers[place] = found;
        } else if (count < capacity) {
            memmove(peers + place + 1, peers + place, (size_t)(count - place) * sizeof *peers);
            peers[place] = found;
            count++;
        }
    }
    closedir(processes);
    return count;
}
