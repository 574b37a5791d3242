"""What the proxy remembers: limits, counters and short texts, in memory, in a file, or on a server for several."""
