"""The log: one line per event, written by the session itself, which it must never stop, slow down noticeably or
crash.

`outlet` takes octets without blocking, `turns` keeps processes from writing into each other's lines, `writer` keeps
lines whole and in order and decides what is lost (`backlog`), `values` makes anything loggable, `json_lines` and
`console` are the two formats, `journal` is what the rest of the program calls.
"""

from smtproxy.app.log.journal import LineJournal, configure_structlog, open_log

__all__ = ["LineJournal", "configure_structlog", "open_log"]
