"""A backend that has too much to do: `python -m bench.slow_backend` prints what gets through, by how many connections.

A model server answers the final dot later the more messages it has at once: four of them take 0.1 s each, more wait for
each other, and each one more makes it slower for all. Or it becomes slower with the time, whatever we do. It gets as
much mail as it takes, from 24 sessions: alone with the number of connections that is best for it, behind smtproxy that
finds it out, and behind one that must not (`min_connections = max_connections`).

Each has the same minute, from its first message on, and what counts is what was taken in it: were it the same number of
messages, who is slower would get more of the slow time. What comes later is taken at once, to be done with it.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Self

import trio

from tests.end_to_end.programs.process import HOST, ProgramError
from tests.end_to_end.programs.smtp_source import Load, send
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

SESSIONS = 24
LIMIT = 16
Model = Callable[[int, float], float]
"""Seconds that an answer takes, by the messages that are at the server at once and the seconds since the first one."""


def thrashing(busy: int, _passed: float) -> float:
    """Four at once, and each one more makes it slower for all."""
    return 0.1 * max(1.0, busy / 4) * (1 + 0.15 * max(0, busy - 4))


def growing(_busy: int, passed: float) -> float:
    """Slower and slower, whatever we do: from 0.05 s to a second in a minute."""
    return 0.05 + min(0.95, 0.95 * passed / 60)


MODELS: dict[str, tuple[Model, int]] = {"thrashing": (thrashing, 4), "growing": (growing, LIMIT)}
"""Each with the number of connections that is best for it."""


class Server:
    """The model server, in a thread of its own."""

    def __init__(self, model: Model, seconds: float) -> None:
        self.port = 0
        self.taken = 0
        """Messages within so many seconds from the first one on."""
        self.over = False
        """More came when they were over."""
        self._seconds = seconds
        self._began: float | None = None
        self.open = self.most = 0
        self._busy = 0
        self._model = model
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._thread = Thread(target=partial(trio.run, self._run), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self.port:
            self._thread.join(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            self._token.run_sync_soon(self._scope.cancel)
        self._thread.join(10)

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            async with trio.open_nursery() as nursery:
                listeners = await nursery.start(partial(trio.serve_tcp, self._serve, 0, host=HOST))
                self.port = listeners[0].socket.getsockname()[1]

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await self._talk(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            self.open -= 1
            await trio.aclose_forcefully(stream)

    async def _talk(self, stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 model ESMTP\r\n")
        rest, body = b"", False
        async for octets in stream:
            rest += octets
            while b"\r\n" in rest:
                if body:
                    end = rest.find(b"\r\n.\r\n")
                    if end < 0:
                        rest = rest[-4:]
                        break
                    rest, body = rest[end + 5 :], False
                    await self._take()
                    await stream.send_all(b"250 2.0.0 taken\r\n")
                    continue
                line, _, rest = rest.partition(b"\r\n")
                verb = line[:4].upper()
                body = verb == b"DATA"
                words = {b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n", b"EHLO": b"250-model\r\n250 PIPELINING\r\n"}
                await stream.send_all(words.get(verb, b"250 2.1.0 OK\r\n"))
                if verb == b"QUIT":
                    return

    async def _take(self) -> None:
        now = trio.current_time()
        if self._began is None:
            self._began = now
        if now > self._began + self._seconds:
            self.over = True
            return
        self._busy += 1
        await trio.sleep(self._model(self._busy, now - self._began))
        self._busy -= 1
        self.taken += trio.current_time() <= self._began + self._seconds

    def rate(self) -> float:
        """Messages a second. Raises ProgramError: there were too few to fill the time."""
        if not self.over:
            raise ProgramError("there were too few messages to fill the time: ask for more, or for fewer seconds")
        return self.taken / self._seconds


@dataclass(frozen=True, slots=True)
class Row:
    """One run."""

    who: str
    rate: float
    connections: int
    refused: int
    ceiling: str = ""


def alone(model: Model, sessions: int, messages: int, seconds: float) -> Row:
    """The server with so many sessions and nothing in front."""
    with Server(model, seconds) as server:
        outcome = send(Load(messages, sessions, same_connection=True), server.port, patience=600)
        return Row(f"alone, {sessions} sessions", server.rate(), server.most, len(outcome.failures))


def behind(directory: Path, model: Model, messages: int, seconds: float, least: int) -> Row:
    """The same behind smtproxy."""
    with Server(model, seconds) as server:
        plan = Plan(
            [f"{HOST}:{server.port}"],
            backend={"max_connections": LIMIT, "min_connections": least},
            bounds={"place_time": "5m"},
        )
        with Smtproxy(directory / f"proxy-{least}", plan) as proxy:
            outcome = send(Load(messages, SESSIONS), proxy.port, patience=600)
            ceilings = [str(line["ceiling"]) for line in proxy.lines("backend_pace")]
        who = "smtproxy, finds it out" if least < LIMIT else f"smtproxy, {LIMIT} connections"
        return Row(who, server.rate(), server.most, len(outcome.failures), " ".join(ceilings))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--messages", type=int, default=5000)
    asked = parser.parse_args()
    print("| server | who asks it | messages/s | connections at most | refused | ceilings |\n|---|---|---|---|---|---|")
    for name, (model, best) in MODELS.items():
        with tempfile.TemporaryDirectory() as directory:
            rows = [
                alone(model, best, asked.messages, asked.seconds),
                behind(Path(directory), model, asked.messages, asked.seconds, 2),
                behind(Path(directory), model, asked.messages, asked.seconds, LIMIT),
            ]
        for row in rows:
            print(f"| {name} | {row.who} | {row.rate:.1f} | {row.connections} | {row.refused} | {row.ceiling} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
