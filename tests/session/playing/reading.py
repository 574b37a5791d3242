r"""Reads a dialogue file.

Above a line `---` stands, in TOML, what is not as usual; below it what happens:

    # Policy refuses one recipient: the backend never hears of it.
    backend = "postfix"
    script = [{ at = "rcpt", nth = 2, do = [{ reply = "451 4.3.0 later" }] }]
    ---
    > MAIL FROM:<a@client.example>      the client's line, CRLF is added; lines that follow each other are one write
    >> .\r\n.                           its octets, nothing is added
    >* 1000 RCPT TO:<u{}@example.org>   the line a thousand times; {} is its number, from 1
    < 250 2.1.0 | 550                   all it heard since the last "<"; each up to a blank; "close" is the end
    <* 1000 250 2.1.5                   a thousand times the same
    B EHLO mx.example.org | MAIL FROM:<a@client.example>    all the backend's first connection got since the last "B"
    B2 EHLO mx.example.org              ... and the second one
    M Subject: x\r\n\r\nhello\r\n       a message as the backend stored it, our trace header aside, in order
    M+* 1000 text                       more of it: a thousand lines
    T Received: from unknown ([127.0.0.1])                  the first line of a message's trace header, in order
    wait 11                             seconds in which nobody speaks
    client close                        or reset, or shutdown
    = message { outcome = "delivered" } a line of the log, and some of its fields; all lines of an event, in order

Escapes in what parties say: \r \n \t \0 \\ \xff. It must never guess: what it does not know is an error.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from smtproxy.sample.script_file import ScriptError, parse_script
from smtproxy.session.records import Event
from tests.session.playing.head import Head, unescape
from tests.session.playing.scene import Got, Hear, Leave, Say, Scene, Step, Wait

_LINE = re.compile(r"(>>|>\*|<\*|B\d*|M\+\*|[><MT=]|wait|client)(?: (.*))?")


def read_scene(path: Path) -> Scene:
    """Read a file. ValueError says which line of it is wrong."""
    text = path.read_text(encoding="utf-8")
    head, separator, below = text.partition("\n---\n")
    if not separator:
        head, below = "", text
    try:
        return _scene(path.stem, Head(tomllib.loads(head)), below)
    except (ValueError, KeyError, TypeError, ScriptError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def _scene(name: str, head: Head, below: str) -> Scene:
    steps: list[Step] = []
    mails: list[bytes] = []
    traces: list[str] = []
    log: dict[str, list[Mapping[str, object]]] = {}
    for number, line in enumerate(below.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"line {number} below ---: {line!r}")
        word, rest = found[1], found[2] or ""
        match word:
            case "M":
                mails.append(unescape(rest))
            case "M+*":
                mails[-1] += b"".join(_lines(rest))
            case "T":
                traces.append(rest)
            case "=":
                event, _, fields = rest.partition(" ")
                log.setdefault(Event(event).value, []).append(tomllib.loads(f"fields = {fields or '{}'}")["fields"])
            case _:
                _add(steps, _step(word, rest))
    settings = head.settings()
    return Scene(
        name,
        settings,
        head.policy(settings),
        head.profile(),
        parse_script({"rules": head.noted("script", [])}),
        servers=head.noted("servers", 1),
        promised=head.promised(),
        refusing=head.noted("refusing", default=False),
        disk=head.noted("disk", 1 << 30),
        one_piece=head.noted("one_piece", ""),
        in_memory=head.noted("in_memory", ""),
        careless=head.noted("careless", default=False),
        steps=tuple(steps),
        mails=tuple(mails) if mails else None,
        traces=tuple(traces) if traces else None,
        log={event: tuple(lines) for event, lines in log.items()},
    )


# Below the ---


def _step(word: str, rest: str) -> Step:
    match word:
        case ">":
            return Say(unescape(rest) + b"\r\n")
        case ">>":
            return Say(unescape(rest))
        case ">*":
            return Say(b"".join(_lines(rest)))
        case "<":
            items = rest.split(" | ")
            closed = items[-1] == "close"
            return Hear(tuple(items[:-1] if closed else items), closed)
        case "<*":
            times, _, reply = rest.partition(" ")
            return Hear((reply,) * int(times), closed=False)
        case "wait":
            return Wait(float(rest))
        case "client" if rest in ("close", "reset", "shutdown"):
            return Leave(rest)
        case _ if word.startswith("B"):
            return Got(int(word[1:] or 1), tuple(rest.split(" | ")) if rest else ())
        case _:
            raise ValueError(f"{word} {rest}")


def _add(steps: list[Step], step: Step) -> None:
    """Lines that follow each other are one write, or one account of what was heard."""
    last = steps[-1] if steps else None
    if isinstance(last, Say) and isinstance(step, Say):
        steps[-1] = Say(last.octets + step.octets)
    elif isinstance(last, Hear) and isinstance(step, Hear) and not last.closed:
        steps[-1] = Hear(last.replies + step.replies, step.closed)
    else:
        steps.append(step)


def _lines(rest: str) -> Iterator[bytes]:
    times, _, text = rest.partition(" ")
    for number in range(1, int(times) + 1):
        yield unescape(text.replace("{}", str(number))) + b"\r\n"
