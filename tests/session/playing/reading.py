"""Reads a dialogue file.

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
from dataclasses import replace
from pathlib import Path

from smtproxy.policy.checks import bare_newlines, hello, loops, protocol_errors, recipient_domain, size
from smtproxy.policy.findings import Action
from smtproxy.policy.judge import Check, Policy
from smtproxy.sample.profile import Profile, UnknownRecipients
from smtproxy.sample.profiles import PROFILES
from smtproxy.sample.script_file import parse_script
from smtproxy.session.records import Event
from smtproxy.session.settings import BodyMode, OpenMode, RelaySettings
from smtproxy.wire.ehlo import Capabilities
from smtproxy.wire.newlines import NewlineMode
from tests.session.playing.scene import Got, Hear, Leave, Say, Scene, Step, Wait

HOSTNAME = "mx.example.org"
_ESCAPE = re.compile(rb"\\(?:([rnt0\\])|x([0-9a-f]{2}))")
_ESCAPED = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}
_LINE = re.compile(r"(>>|>\*|<\*|B\d*|M\+\*|[><MT=]|wait|client)(?: (.*))?")
_MODES = {"body": BodyMode, "open": OpenMode}
_NOTED = frozenset(
    {"backend", "script", "servers", "promised", "refusing", "disk", "one_piece", "in_memory", "careless"}
)


def read_scene(path: Path) -> Scene:
    """Read a file. ValueError says which line of it is wrong."""
    text = path.read_text(encoding="utf-8")
    head, separator, below = text.partition("\n---\n")
    if not separator:
        head, below = "", text
    try:
        return _scene(path.stem, tomllib.loads(head), below)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def _scene(name: str, head: Mapping[str, object], below: str) -> Scene:
    settings = _settings({key: value for key, value in head.items() if key not in _NOTED | {"checks"}})
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
            case "T":
                traces.append(rest)
            case "M+*":
                mails[-1] += b"".join(_lines(rest))
            case "=":
                event, _, fields = rest.partition(" ")
                log.setdefault(Event(event).value, []).append(tomllib.loads(f"fields = {fields or '{}'}")["fields"])
            case _:
                _add(steps, _step(word, rest))
    promised = head.get("promised", _offered(_profile(head.get("backend", "exchange"))))
    return Scene(
        name,
        settings,
        _policy(settings, _table(head.get("checks", {}))),
        _profile(head.get("backend", "exchange")),
        parse_script({"rules": head.get("script", [])}),
        _whole(head.get("servers", 1)),
        None if promised == "never reached" else _capabilities(promised),
        refusing=head.get("refusing", False) is True,
        disk=_whole(head.get("disk", 1 << 30)),
        one_piece=str(head.get("one_piece", "")),
        in_memory=str(head.get("in_memory", "")),
        careless=head.get("careless", False) is True,
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


def unescape(text: str) -> bytes:
    """The octets of a text with escapes."""
    return _ESCAPE.sub(
        lambda found: _ESCAPED[found[1]] if found[1] else bytes.fromhex(found[2].decode()), text.encode()
    )


# Above it


def _settings(values: Mapping[str, object]) -> RelaySettings:
    settings = RelaySettings(HOSTNAME)
    for key, value in values.items():
        if key == "limits":
            settings = replace(settings, limits=replace(settings.limits, **_table(value)))
        elif key == "newlines":
            settings = replace(settings, newlines=None if value == "off" else NewlineMode(value))
        else:
            settings = replace(settings, **{key: _MODES[key](value) if key in _MODES else value})
    return settings


def _policy(settings: RelaySettings, checks: Mapping[str, object]) -> Policy:
    """The checks as they are by default, but for a few options: domains, routing, soft, hard, delay, max_received, hello."""
    options = {"domains": ["example.org"], "routing": [], "hello": "observe", **checks}
    patience = {name: options[name] for name in ("soft", "hard", "delay") if name in options}
    received = {name: options[name] for name in ("max_received",) if name in options}
    if unknown := set(options) - {"domains", "routing", "hello", *patience, *received}:
        raise ValueError(f"checks: {unknown}")
    domains, routing = (frozenset(map(str, _list(options[name]))) for name in ("domains", "routing"))
    return Policy(
        (
            Check(recipient_domain.CHECK, recipient_domain.RecipientDomainOptions(domains, routing)),
            Check(size.CHECK, size.SizeOptions(settings.max_message_size)),
            Check(bare_newlines.CHECK, bare_newlines.BareNewlinesOptions(settings.newlines or NewlineMode.NORMALISE)),
            Check(loops.CHECK, loops.LoopsOptions(**received)),  # type: ignore[arg-type]
            Check(protocol_errors.CHECK, protocol_errors.ProtocolErrorsOptions(**patience)),  # type: ignore[arg-type]
            Check(hello.CHECK, hello.HelloOptions(frozenset({HOSTNAME})), Action(options["hello"])),
        )
    )


def _profile(value: object) -> Profile:
    """A profile's name, or a table of its name and of what is different, the texts in a table of their own."""
    if isinstance(value, str):
        return PROFILES[value]
    changes = _table(value)
    profile = PROFILES[str(changes.pop("profile", "exchange"))]
    texts = replace(profile.texts, **_table(changes.pop("texts", {})))
    return replace(profile, texts=texts, **{name: _typed(name, value) for name, value in changes.items()})


def _typed(name: str, value: object) -> object:
    """A value of a profile as its field wants it."""
    match name:
        case "ehlo":
            return tuple(_list(value))
        case "known_recipients":
            return frozenset(_list(value))
        case "unknown_recipients":
            return UnknownRecipients(str(value))
        case "blank" | "line_end":
            return unescape(str(value))
        case _:
            return value


def _offered(profile: Profile) -> list[str]:
    return list(profile.ehlo or ())


def _capabilities(lines: object) -> Capabilities:
    split = (str(line).partition(" ") for line in _list(lines))
    return Capabilities(tuple((word.upper(), value) for word, _, value in split))


def _table(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"a table is wanted, not {value!r}")
    return dict(value)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"a list is wanted, not {value!r}")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"a number is wanted, not {value!r}")
    return value
