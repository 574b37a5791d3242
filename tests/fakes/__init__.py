"""Fakes for tests: they do what the real thing does, in memory and on a clock that tests move."""
