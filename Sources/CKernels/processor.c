#define _GNU_SOURCE
#include "CKernels.h"
#include <pthread.h>
#include <sched.h>

bool ck_bind_thread(int32_t processor) {
    cpu_set_t set;
    if (processor < 0 || processor >= CPU_SETSIZE) return false;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}

int32_t ck_allowed_processors(int32_t *out, int32_t capacity) {
    cpu_set_t set;
    int32_t count = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
    for (int32_t i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set)) {
            if (count < capacity) out[count] = i;
            count++;
        }
    return count;
}
