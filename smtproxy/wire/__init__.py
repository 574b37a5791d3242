"""The grammar of SMTP, bytes to values and back: no I/O, no clock, no logger, no randomness, nothing async."""
