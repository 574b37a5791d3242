"""A process that asks LDAP servers for a worker: questions by standard input, answers by standard output.

It is one of its own because of bonsai 1.5.5: opening a connection holds Python's lock until the server has answered, so
a server that hangs would stop all sessions of the worker; and a paged search with a time limit ends in a segmentation
fault when the limit is reached. Here the one harms nobody, and the other is not used: whoever asks has a deadline and
ends this process.

Lines of JSON. The first has the settings; each other one is a question, with its number. Pieces of an answer have the
number too, and the last of them says how it ended. It ends itself with its input, or when nobody asks for a while.
"""

import math
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from smtproxy.lookups.recipients import accepted_domains
from smtproxy.lookups.recipients.changes import Mark, changes_since, mark_of
from smtproxy.lookups.recipients.connecting import SUBTREE, Connection, DirectorySettings, connect, found, one_of, words
from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.lookups.recipients.exchange import WANTED, Item

PIECE: Final = 500
"""Objects in a piece of an answer: the worker reads it in a few milliseconds."""
MOST_ENTRIES: Final = 2_000_000
"""Objects that are read: a forest of this size is none, and the filter is wrong."""
IDLE: Final = 60.0
"""Seconds after which an idle connection is not used again: firewalls forget it without a word after a few minutes."""
SIGHT: Final = 60.0
"""Seconds for which a server that showed a recipient is believed when it finds nobody."""
ALONE: Final = 300.0
"""Seconds without a question after which it ends."""

LATEST: Final = 5
"""Seconds beyond the limit of a question after which the process ends, whoever should have ended it."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of one server."""

    number: int
    do: str
    """read, changes, find, look, domains."""
    server: str
    limit: float
    """Seconds."""
    argument: Any = None
    """Filters of `find` (what is looked for, what shows that it can be seen) and `look`; the mark of `changes`."""


class Asker:
    """Asks, one thing after the other, over connections that stay open."""

    def __init__(
        self, settings: DirectorySettings, opens: Callable[[DirectorySettings, str, float], Connection] = connect
    ) -> None:
        """`opens` opens a connection."""
        self._settings = settings
        self._opens = opens
        self._open: dict[str, tuple[Connection, float]] = {}
        self._seen: dict[str, float] = {}
        """When each server showed a recipient."""

    def answer(self, question: Question) -> Iterator[dict[str, object]]:
        """Yield the pieces of an answer. Raises whatever is wrong."""
        due = time.monotonic() + question.limit
        while True:
            connection, used = self._take(question.server, question.limit)
            try:
                yield from self._do(question, connection, max(0.01, due - time.monotonic()))
            except SourceError:
                self._put(question.server, connection)  # it works; what it says is of no use
                raise
            except Exception:
                connection.close()
                if not used or time.monotonic() >= due:
                    raise
                continue  # it broke while it lay idle, and has said nothing yet
            self._put(question.server, connection)
            return

    def _take(self, server: str, limit: float) -> tuple[Connection, bool]:
        connection, since = self._open.pop(server, (None, 0.0))
        if connection is not None and time.monotonic() - since < IDLE:
            return connection, True
        if connection is not None:
            connection.close()
        return self._opens(self._settings, server, limit), False

    def _put(self, server: str, connection: Connection) -> None:
        self._open[server] = connection, time.monotonic()

    def _do(self, question: Question, connection: Connection, left: float) -> Iterator[dict[str, object]]:
        settings = self._settings
        if question.do == "find":
            yield {"items": _plain(self._find(question, connection, left))}
        elif question.do == "look":
            self._look(question, connection, left, str(question.argument))
        elif question.do == "changes":
            changes = changes_since(connection, settings, Mark(**question.argument), left)
            if changes is not None:
                pieces = {"items": _plain(changes.items), "touched": _plain(changes.touched)}
                yield {**pieces, "mark": asdict(changes.mark)}
        elif question.do == "domains":
            yield {"domains": _domains(connection, settings, left)}
        else:
            yield from _everything(connection, settings, question.server, left)

    def _find(self, question: Question, connection: Connection, left: float) -> list[Item]:
        text, seeing = question.argument
        items = list(found(connection, self._settings.base, text, WANTED, left))
        if items:
            self._seen[question.server] = time.monotonic()
        elif time.monotonic() - self._seen.get(question.server, -SIGHT) >= SIGHT:
            self._look(question, connection, left, seeing)
        return items

    def _look(self, question: Question, connection: Connection, left: float, seeing: str) -> None:
        """See that there is a recipient to be seen: a user without rights, or a base that is not there, finds nobody.

        bonsai reports neither. Raises SourceError.
        """
        import bonsai  # noqa: PLC0415 - an extra

        now = time.monotonic()
        try:
            seen = connection.search(self._settings.base, SUBTREE, seeing, ["mail"], timeout=left, sizelimit=1)
        except bonsai.SizeLimitError:  # there are more than one
            seen = [True]
        if not seen:
            raise SourceError("it shows no recipient at all: base, filter, or what this user may read is wrong")
        self._seen[question.server] = now


def _everything(
    connection: Connection, settings: DirectorySettings, server: str, left: float
) -> Iterator[dict[str, object]]:
    import bonsai  # noqa: PLC0415 - an extra

    # Before all else: what changes while it is read will be seen again.
    try:
        mark = mark_of(connection, server, left)
    except bonsai.LDAPError:  # a server that does not talk of itself: what matters is below
        mark = None
    items: list[Item] = []
    for number, item in enumerate(found(connection, settings.base, settings.filter, WANTED)):
        items.append(item)
        if number >= MOST_ENTRIES:
            raise SourceError(f"there are more than {MOST_ENTRIES} objects: the filter finds too much")
        if len(items) == PIECE:
            yield {"items": _plain(items)}
            items = []
    yield {"items": _plain(items), "mark": None if mark is None else asdict(mark)}


def _domains(connection: Connection, settings: DirectorySettings, left: float) -> dict[str, bool]:
    base = settings.configuration_base
    if not base:
        root = one_of(connection, "", ("configurationNamingContext",), left)
        base = root.get("configurationnamingcontext", "")
    if not base:
        raise SourceError("it names no configurationNamingContext: set configuration_base")
    domains = accepted_domains.accepted(found(connection, base, accepted_domains.FILTER, accepted_domains.WANTED))
    if not domains:
        raise SourceError(f"it shows no accepted domain below {base!r}")
    return dict(domains)


def _plain(items: list[Item]) -> list[tuple[str, object]]:
    return [(item.dn, item.attributes) for item in items]


def settings_of(plain: dict[str, Any]) -> DirectorySettings:
    """Return settings that came as JSON."""
    paths = {name: None if plain[name] is None else Path(plain[name]) for name in ("authorities", "password_file")}
    return DirectorySettings(**plain | paths | {"servers": tuple(plain["servers"])})


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer questions, until there are no more."""
    asker = Asker(settings_of(orjson.loads(questions.readline())))
    while select.select([questions], [], [], ALONE)[0]:
        line = questions.readline()
        if not line:
            return
        question = Question(**orjson.loads(line))
        signal.alarm(math.ceil(question.limit) + LATEST)  # ends the process, even one whose worker was killed
        end: dict[str, object] = {"wrong": ""}
        try:
            for piece in asker.answer(question):
                _write(answers, question, piece)
        except Exception as error:  # noqa: BLE001 - bonsai's errors, OSError, SourceError: it is for the worker to say
            end = {"wrong": words(error), "refused": type(error).__name__ == "AuthenticationError"}
        signal.alarm(0)
        _write(answers, question, end)


def _write(answers: BinaryIO, question: Question, piece: dict[str, object]) -> None:
    answers.write(orjson.dumps({"number": question.number, **piece}) + b"\n")
    answers.flush()


if __name__ == "__main__":
    serve(open(0, "rb", buffering=0), sys.stdout.buffer)  # noqa: SIM115 - unbuffered: select sees what is there
