"""What an administrator asks of running workers: `smtproxy recipients` and `smtproxy reputation`.

Each worker listens on a socket of its own in `server.state`, since each has sources of its own. A question is one line
of JSON, a list of texts of which the first says whose matter it is, and so is the answer. The file modes are the only
lock: whoever may connect may ask.
"""

import errno
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import trio

from smtproxy.lookups.recipients.combined import Recipients
from smtproxy.network.boundary import Surviving
from smtproxy.network.sockets import EXHAUSTED
from smtproxy.session.records import Journal

WORDS: Final = ("show", "refresh", "forget")
_LONGEST: Final = 4096
"""Octets of a question: an address has 254 (RFC 5321 4.5.3.1.3)."""
QUESTION_TIME: Final = 5.0
"""Seconds that whoever connects has for its question, and then for taking the answer."""
MOST: Final = 8
"""Questions at once. Each has a descriptor, of those that are kept for what is few."""
BACKLOG: Final = 8
"""Those that wait in the kernel's queue."""
PAUSE: Final = 0.1
"""Seconds to wait when no connection can be accepted."""
WHERE: Final = "admin socket"
_ANSWER_TIME: Final = 120.0
"""Seconds until the command gives a worker up: a refresh reads directories, of which each server has its `timeout`."""

LONGEST_PATH: Final = 107
"""Octets of the path of a socket that the kernel takes. unix(7)"""

Rows = Sequence[Mapping[str, object]]
Desk = Callable[[Sequence[str]], Awaitable[Rows]]
"""Who answers the rest of a question. Raises ValueError: it is none."""


@contextmanager
def within_reach(path: Path) -> Iterator[str]:
    """Yield a name for the socket at a path, whose own may be too long for the kernel. Raises OSError."""
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


async def listen(state: Path, desks: Mapping[str, Desk], journal: Journal) -> None:
    """Answer questions to this worker, for ever. A worker that cannot listen serves mail all the same."""
    path = state / f"worker-{os.getpid()}.sock"
    with Surviving(journal, WHERE):
        try:
            path.unlink(missing_ok=True)  # of a worker that was killed, and had our number
            with trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                with within_reach(path) as name:
                    await sock.bind(name)
                path.chmod(0o600)  # nobody can connect before it listens
                sock.listen(BACKLOG)
                await _accept(sock, desks, journal)
        finally:
            path.unlink(missing_ok=True)


async def _accept(sock: trio.socket.SocketType, desks: Mapping[str, Desk], journal: Journal) -> None:
    """Accept for ever; whoever is one too many waits in the kernel's queue. Raises OSError."""
    places = trio.Semaphore(MOST)
    async with trio.open_nursery() as nursery:
        while True:
            await places.acquire()
            try:
                client, _ = await sock.accept()
            except OSError as error:
                places.release()
                if error.errno not in EXHAUSTED and error.errno != errno.ECONNABORTED:
                    raise
                await trio.sleep(PAUSE)
                continue
            nursery.start_soon(_serve, trio.SocketStream(client), desks, journal, places)


async def _serve(
    stream: trio.SocketStream, desks: Mapping[str, Desk], journal: Journal, places: trio.Semaphore
) -> None:
    try:
        with Surviving(journal, WHERE), suppress(trio.BrokenResourceError):  # whoever asked is gone
            line = await _question(stream)
            if line:
                octets = json.dumps(await _answer(desks, line)).encode() + b"\n"
                with trio.move_on_after(QUESTION_TIME):
                    await stream.send_all(octets)
    finally:
        places.release()
        await trio.aclose_forcefully(stream)


async def _question(stream: trio.SocketStream) -> bytes:
    """Read a line; what has come of it when it is too late or too long; nothing from whoever closes before its end."""
    line = b""
    with trio.move_on_after(QUESTION_TIME):
        while not line.endswith(b"\n") and len(line) <= _LONGEST:
            octets = await stream.receive_some(_LONGEST)
            if not octets:
                return b""
            line += octets
    return line or b"\n"


async def _answer(desks: Mapping[str, Desk], line: bytes) -> Rows:
    try:
        subject, *question = json.loads(line)
        if all(isinstance(one, str) for one in (subject, *question)) and subject in desks:
            return await desks[subject](question)
    except (ValueError, TypeError):
        pass
    return [{"says": "this is no question"}]


async def answer(known: Recipients, question: Sequence[str]) -> Rows:
    """Do what a word says, of an address; return a row for each source. Raises ValueError for what is no question."""
    word, text = question
    if word == "refresh":
        return await known.refresh()
    address = known.read(text)
    if address is None or word not in WORDS:
        raise ValueError(text)
    return await known.explain(address) if word == "show" else known.forget(address)


def ask_workers(state: Path, *question: str) -> dict[str, Rows]:
    """Ask all workers that run; return their answers by the name of the worker. One that gave none says so."""
    answers: dict[str, Rows] = {}
    for path in sorted(state.glob("worker-*.sock")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_ANSWER_TIME)
            try:
                with within_reach(path) as name:
                    sock.connect(name)
            except (ConnectionRefusedError, FileNotFoundError):
                continue  # it was killed, and its socket is left
            except BlockingIOError:
                answers[path.stem] = [{"says": "is asked by too many at once"}]
                continue
            except OSError as error:
                answers[path.stem] = [{"says": f"cannot be asked: {error.strerror or error}"}]
                continue
            answers[path.stem] = _asked(sock, question)
    return answers


def _asked(sock: socket.socket, question: Sequence[str]) -> Rows:
    try:
        sock.sendall(json.dumps(question).encode() + b"\n")
        with sock.makefile("rb") as replies:
            rows: list[dict[str, Any]] = json.loads(replies.readline())
    except (OSError, ValueError):
        return [{"says": "gave no answer"}]
    return rows


def written(rows: Rows) -> str:
    """Write an answer for people, a line for each source."""
    if not rows:
        return "  no source of recipients has anything to do with that\n"
    return "".join(f"  {_row(row)}\n" for row in rows)


def _row(row: Mapping[str, object]) -> str:
    more = dict(row)
    source, kind, says = more.pop("source", ""), more.pop("kind", ""), more.pop("says", "")
    name = f"{source} ({kind}): " if kind else f"{source}: " if source else ""
    details = ", ".join(f"{key}={value}" for key, value in more.items())
    return "".join(c if c.isprintable() else "?" for c in f"{name}{says}{f' [{details}]' if details else ''}")
