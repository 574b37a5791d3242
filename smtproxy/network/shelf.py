"""Where a held body lies while it is judged: an unlinked temporary file, gone with its session whatever happens.

Disk writes may block, so they run in a thread. The space of all sessions together is bounded; a full disk is an
answer (452 4.3.1), not a crash.
"""

import os
import tempfile
from collections.abc import AsyncGenerator

import trio

from smtproxy.session.memory import Memory

CHUNK = 262144
"""Octets read at once: the size that costs least per octet towards a socket."""


class Shelf:
    """The file of one session; opened when the first octets come."""

    __slots__ = ("_directory", "_file", "_length", "_room")

    def __init__(self, room: Memory, directory: str | None = None) -> None:
        """`room` bounds the space of all sessions, `directory` is where files are made (None: the system's)."""
        self._room = room
        self._directory = directory
        self._file: int | None = None
        self._length = 0

    async def append(self, octets: bytes) -> str:
        """Keep octets; return what went wrong, or an empty string."""
        if not self._room.take(len(octets)):
            return "no space left for held messages (bounds.body_disk_total)"
        self._length += len(octets)
        try:
            await trio.to_thread.run_sync(self._write, octets)
        except OSError as error:
            return error.strerror or type(error).__name__
        return ""

    def _write(self, octets: bytes) -> None:
        if self._file is None:
            file, path = tempfile.mkstemp(prefix="smtproxy-", dir=self._directory)
            self._file = file
            os.unlink(path)  # noqa: PTH108 - the descriptor is all that is to be left of it
        view = memoryview(octets)
        while view:
            view = view[os.write(self._file, view) :]

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield what was kept, in order."""
        offset = 0
        while self._file is not None and offset < self._length:
            octets = await trio.to_thread.run_sync(os.pread, self._file, CHUNK, offset)
            if not octets:
                raise OSError("a kept message is shorter than it was")
            offset += len(octets)
            yield octets

    def clear(self) -> None:
        """Forget everything."""
        self._room.give(self._length)
        self._length = 0
        if self._file is not None:
            os.close(self._file)
            self._file = None
