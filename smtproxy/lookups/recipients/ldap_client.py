"""The worker's end of a process that asks LDAP servers: started by the first question, ended when it is late.

One question at a time, since the process does one thing at a time. Whoever asks may be called off at any moment: the
answer comes all the same, and is dropped before the next question.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson
import trio

import smtproxy
from smtproxy.lookups.recipients.connecting import DirectorySettings
from smtproxy.lookups.recipients.entries import RefusedError, SourceError

COMMAND: Final = (sys.executable, "-P", "-m", "smtproxy.lookups.recipients.ldap_process")
LATE: Final = 0.5
"""Seconds that it may take to say that a server has no answer."""
START: Final = 5.0
"""Seconds that it may take to start, on a machine that is busy."""
_PART: Final = 262144
"""Octets that are read at once."""


class LdapClient:
    """One process. Whoever has one must close it."""

    def __init__(self, settings: DirectorySettings, command: Sequence[str] = COMMAND) -> None:
        """Start nothing yet."""
        self._settings = settings
        self._command = command
        self._process: trio.Process | None = None
        self._octets = bytearray()
        self._number = 0
        self._open = 0
        """Number of the question whose answer has not ended; 0: there is none."""

    async def ask(self, do: str, server: str, limit: float, argument: object = None) -> list[dict[str, Any]]:
        """Ask one server; return the pieces of its answer. Raises SourceError, some `limit` seconds later at most."""
        self._number = number = self._number + 1
        question = {"number": number, "do": do, "server": server, "limit": limit, "argument": argument}
        line = orjson.dumps(question) + b"\n"
        pieces: list[dict[str, Any]] = []
        try:
            process = await self._started()
            with trio.fail_after(limit + LATE):
                if self._open:  # so that what nobody reads can never fill the pipes
                    await self._end(process, self._open, [])
                await self._send(process, line)
                end = await self._end(process, number, pieces)
        except trio.TooSlowError:
            await self.close()
            raise SourceError(f"no answer within {limit:.2g} s") from None
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError, ValueError) as error:
            await self.close()
            raise SourceError(f"the process that asks it has failed: {error}") from None
        if end["wrong"]:
            raise (RefusedError if end["refused"] else SourceError)(end["wrong"])
        return pieces

    async def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        self._octets.clear()
        self._open = 0
        if process is None:
            return
        process.kill()
        with trio.CancelScope(shield=True):
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    await stream.aclose()
            await process.wait()

    async def _started(self) -> trio.Process:
        if self._process is not None and self._process.poll() is None:
            return self._process
        await self.close()
        # Where this very package is, whatever the directory we run in.
        roots = [str(Path(smtproxy.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        with trio.CancelScope(shield=True), trio.fail_after(START):  # called off in the middle it would be lost
            self._process = process = await trio.lowlevel.open_process(
                list(self._command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # what the terminal sends to the worker is not for it
                env=os.environ | {"PYTHONPATH": os.pathsep.join(roots)},
            )
        await self._send(process, orjson.dumps(asdict(self._settings), default=str) + b"\n")
        return process

    async def _send(self, process: trio.Process, line: bytes) -> None:
        if process.stdin is None:
            raise ValueError("no input")
        # The pipe is empty, so it takes no time; half a line would be the end of the process.
        with trio.CancelScope(shield=True), trio.fail_after(LATE):
            await process.stdin.send_all(line)

    async def _end(self, process: trio.Process, number: int, pieces: list[dict[str, Any]]) -> dict[str, Any]:
        """Wait for the end of an answer, and return it; put its pieces in a list."""
        self._open = number
        while "wrong" not in (piece := await self._piece(process, number)):
            pieces.append(piece)
        self._open = 0
        return piece

    async def _piece(self, process: trio.Process, number: int) -> dict[str, Any]:
        """Return the next piece of this answer."""
        while True:
            end = self._octets.find(b"\n")
            if end >= 0:
                piece = orjson.loads(self._octets[:end])
                del self._octets[: end + 1]
                if not isinstance(piece, dict):
                    raise ValueError("this is no answer")
                if piece.get("number") == number:
                    return piece
                continue
            octets = b"" if process.stdout is None else await process.stdout.receive_some(_PART)
            if not octets:
                raise ValueError("it has ended")
            self._octets += octets
