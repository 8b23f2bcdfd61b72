// Functions for the other files of CProcess.
#pragma once
#include <stddef.h>

/// Writes a name that the ranks of this job on this host share, and no other job here has.
void job_name(char *name, size_t capacity);
