"""SMTP smuggling by enumeration: no string of newlines and dots in a body may become a second message, or eat one.

`python -m tests.smuggling --length N` (`./do smuggling`) runs it long, `test_enumeration.py` runs it short.
"""
