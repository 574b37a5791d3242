"""What an administrator asks of running workers: `smtproxy recipients show | refresh | forget`.

Each worker listens on a socket of its own in `server.state`, since each has sources of its own. A question is one line
of JSON, and so is the answer. The file modes are the only lock: whoever may connect may ask.
"""

import json
import os
import socket
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from smtproxy.lookups.recipients.combined import Recipients
from smtproxy.session.records import Event, Journal

WORDS: Final = ("show", "refresh", "forget")
_LONGEST: Final = 4096
"""Octets of a question: an address has 254 (RFC 5321 4.5.3.1.3)."""
_QUESTION_TIME: Final = 5.0
"""Seconds that whoever connects has for its question."""
_ANSWER_TIME: Final = 120.0
"""Seconds until the command gives a worker up: a refresh reads directories, of which each server has its `timeout`."""

Rows = Sequence[Mapping[str, object]]


async def listen(state: Path, known: Recipients, journal: Journal) -> None:
    """Answer questions to this worker, for ever. A worker that cannot listen serves mail all the same."""
    path = state / f"worker-{os.getpid()}.sock"
    path.unlink(missing_ok=True)  # of a worker that was killed, and had our number
    try:
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            await sock.bind(str(path))
            path.chmod(0o600)  # nobody can connect before it listens
            sock.listen(8)
            await trio.serve_listeners(partial(_serve, known, journal), [trio.SocketListener(sock)])
    except OSError as error:
        journal.record(Event.CRASH, {"where": "admin socket", "error": error, "traceback": error.__traceback__})
    finally:
        path.unlink(missing_ok=True)


async def _serve(known: Recipients, journal: Journal, stream: trio.SocketStream) -> None:
    try:
        line = b""
        with trio.move_on_after(_QUESTION_TIME):
            while not line.endswith(b"\n") and len(line) <= _LONGEST:
                octets = await stream.receive_some(_LONGEST)
                if not octets:
                    return
                line += octets
        await stream.send_all(json.dumps(await _answer(known, line)).encode() + b"\n")
    except trio.BrokenResourceError:
        return  # whoever asked is gone
    except Exception as error:  # noqa: BLE001 - no question may end the worker, which serves mail
        journal.record(Event.CRASH, {"where": "admin socket", "error": error, "traceback": error.__traceback__})
    finally:
        await trio.aclose_forcefully(stream)


async def _answer(known: Recipients, line: bytes) -> Rows:
    try:
        word, address = json.loads(line)
        if isinstance(word, str) and isinstance(address, str):
            return await answer(known, word, address)
    except (ValueError, TypeError):
        pass
    return [{"says": "this is no question"}]


async def answer(known: Recipients, word: str, text: str) -> Rows:
    """Do what a word says; return a row for each source. Raises ValueError for what is no question."""
    if word == "refresh":
        return await known.refresh()
    address = known.read(text)
    if address is None or word not in WORDS:
        raise ValueError(text)
    return await known.explain(address) if word == "show" else known.forget(address)


def ask_workers(state: Path, word: str, address: str) -> dict[str, Rows]:
    """Ask all workers that run; return their answers by the name of the worker. One that gave none says so."""
    answers: dict[str, Rows] = {}
    for path in sorted(state.glob("worker-*.sock")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_ANSWER_TIME)
            try:
                sock.connect(str(path))
            except (ConnectionRefusedError, FileNotFoundError):
                continue  # it was killed, and its socket is left
            except OSError as error:
                answers[path.stem] = [{"says": f"cannot be asked: {error.strerror or error}"}]
                continue
            answers[path.stem] = _asked(sock, word, address)
    return answers


def _asked(sock: socket.socket, word: str, address: str) -> Rows:
    try:
        sock.sendall(json.dumps([word, address]).encode() + b"\n")
        with sock.makefile("rb") as replies:
            rows: list[dict[str, Any]] = json.loads(replies.readline())
    except (OSError, ValueError):
        return [{"says": "gave no answer"}]
    return rows


def written(rows: Rows) -> str:
    """Write an answer for people, a line for each source."""
    return "".join(f"  {_row(row)}\n" for row in rows)


def _row(row: Mapping[str, object]) -> str:
    more = dict(row)
    source, kind, says = more.pop("source", ""), more.pop("kind", ""), more.pop("says", "")
    name = f"{source} ({kind}): " if kind else f"{source}: " if source else ""
    details = ", ".join(f"{key}={value}" for key, value in more.items())
    return "".join(c if c.isprintable() else "?" for c in f"{name}{says}{f' [{details}]' if details else ''}")
