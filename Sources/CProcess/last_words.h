// For the other files of CProcess.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { DIGITS = 21 };

/// Writes a number and a zero into `text`, of DIGITS bytes, without printf; async-signal-safe.
void digits(uint64_t number, char *text);

/// Whether no other rank of this host has spoken, and none can from now on.
bool is_speaker(void);
