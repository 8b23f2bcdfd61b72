// For the other files of CProcess.
#pragma once
#include <stddef.h>

/// A name for this job that its ranks on this host share, and no other job here.
void job_name(char *name, size_t capacity);
