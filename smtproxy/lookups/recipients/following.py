"""The objects of a directory as they were read, and their changes since: entries of all of them after each change.

It must never go on with what it cannot be sure of: whoever cannot say what has changed is left, and has to be read.
"""

from collections.abc import Awaitable, Callable

import trio

from smtproxy.lookups.recipients.changes import Changes, Mark
from smtproxy.lookups.recipients.directory import Reading
from smtproxy.lookups.recipients.entries import Entries
from smtproxy.lookups.recipients.exchange import entries_of
from smtproxy.lookups.recipients.objects import Objects
from smtproxy.lookups.recipients.spelling import Spelling


class LostError(Exception):
    """What has changed cannot be told: everything has to be read."""


class Following:
    """The objects of one directory."""

    def __init__(self, changes: Callable[[Mark], Awaitable[Changes | None]], spelling: Spelling) -> None:
        """`changes` asks for them, or raises SourceError."""
        self._changes = changes
        self._spelling = spelling
        self._now: tuple[Objects, Mark] | None = None

    @property
    def active(self) -> bool:
        """Whether there is something to be followed."""
        return self._now is not None

    async def begin(self, reading: Reading) -> None:
        """Begin with what was read, if its server says when that was."""
        self._now = None
        if reading.mark is not None:
            self._now = await trio.to_thread.run_sync(Objects, reading.items), reading.mark

    def leave(self) -> None:
        """Follow it no longer, until everything was read."""
        self._now = None

    async def entries(self) -> Entries | None:
        """Return the entries of all; None: they are as they were. Raises LostError, SourceError."""
        if self._now is None:
            return None
        objects, mark = self._now
        changes = await self._changes(mark)
        if changes is None:
            self.leave()
            raise LostError
        entries = await trio.to_thread.run_sync(_applied, objects, changes, self._spelling)
        self._now = objects, changes.mark
        return entries


def _applied(objects: Objects, changes: Changes, spelling: Spelling) -> Entries | None:
    return entries_of(objects, spelling) if objects.apply(changes.items, changes.touched) else None
