"""Lookups: one file for each source of facts. They learn; they never judge."""
