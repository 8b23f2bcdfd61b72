// Functions for the other files of CProcess.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { DIGITS = 21 };

/// Writes a number in decimal, and a zero byte, into `text`, which has DIGITS bytes. Async-signal-safe.
void digits(uint64_t number, char *text);

/// Tells whether no other rank of this host has spoken; if so, none can from now on.
bool is_speaker(void);
