// The mailboxes of the ranks of a host, and the choice of the rank that speaks. Both are sockets in Linux's abstract
// namespace, which vanish with their processes and leave nothing in any file system. They reach as far as a network
// namespace does, so ranks in containers of their own count as ranks of other hosts.
#define _GNU_SOURCE
#include "CProcess.h"
#include "last_words.h"
#include "place.h"
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static _Atomic int mailbox = -1;
static char job[96];
static int rank_count;

/// Makes the address `job`.`name`, without printf because signal handlers call it.
static socklen_t address_of(const char *name, struct sockaddr_un *address) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    char *place = address->sun_path + 1, *end = address->sun_path + sizeof address->sun_path - 1;
    for (const char *c = job; *c && place < end; c++) *place++ = *c;
    if (place < end) *place++ = '.';
    for (const char *c = name; *c && place < end; c++) *place++ = *c;
    return (socklen_t)(place - (char *)address);
}

static int open_socket(const char *name) {
    struct sockaddr_un address;
    const socklen_t length = address_of(name, &address);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    if (bind(fd, (struct sockaddr *)&address, length) == 0) return fd;
    const int code = errno;
    close(fd);
    errno = code;
    return -1;
}

int cprocess_meet(void) {
    if (atomic_load(&mailbox) >= 0) return 0;
    job_name(job, sizeof job);
    rank_count = cprocess_size();
    char name[DIGITS];
    digits((uint64_t)cprocess_rank(), name);
    const int fd = open_socket(name);
    if (fd < 0) return errno;
    atomic_store(&mailbox, fd);
    return 0;
}

void cprocess_tell(cprocess_message message) {
    const int fd = atomic_load(&mailbox);
    if (fd < 0) return;
    message.rank = cprocess_rank();
    for (int r = 0; r < rank_count; r++) {
        char name[DIGITS];
        struct sockaddr_un address;
        digits((uint64_t)r, name);
        const socklen_t length = address_of(name, &address);
        // For ranks of other hosts there is no such address, and sendto fails.
        if (r != message.rank)
            sendto(fd, &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address, length);
    }
}

bool cprocess_hear(cprocess_message *message) {
    const int fd = atomic_load(&mailbox);
    return fd >= 0 && recv(fd, message, sizeof *message, MSG_DONTWAIT) == sizeof *message;
}

bool is_speaker(void) {
    if (atomic_load(&mailbox) < 0) return true;
    for (cprocess_message message; cprocess_hear(&message);)
        if (message.word == CPROCESS_SPOKEN) return false;
    // The socket is kept until the process ends. If none can be opened, two ranks may speak, which is better than none.
    return open_socket("speaker") >= 0 || errno != EADDRINUSE;
}
