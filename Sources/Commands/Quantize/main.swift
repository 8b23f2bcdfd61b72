// Replaced by the real command.
