"""The boundary around what runs in a worker's background: a bug there ends what it was doing, never the sessions."""

from types import TracebackType

from smtproxy.session.records import Event, Journal


class Surviving:
    """A context: whatever is raised in it ends there, and is in the log. `where`: what it was, for who reads it."""

    __slots__ = ("_journal", "_where")

    def __init__(self, journal: Journal, where: str) -> None:
        """Say it to this journal."""
        self._journal = journal
        self._where = where

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """End; a session that is cancelled is no bug."""
        if not isinstance(error, Exception):
            return False
        self._journal.record(Event.CRASH, {"where": self._where, "error": error, "traceback": traceback})
        return True
