"""What an honest client says, as a generator: segments out, replies in. Nothing here knows how they travel.

It keeps to RFC 5321, RFC 2920 and RFC 3030: no body without a 354, DATA last in its group, each octet of a chunk that
was announced, and after a refusal RSET and the next letter. It must never send on after it was told 421, which is the
matter of whoever drives it.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tests.fakes.heard import Heard
from tests.session.enumeration.steps import Step


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail to be sent."""

    number: int
    sender: str
    recipients: tuple[str, ...]
    parts: tuple[bytes, ...]
    """The body as it goes over the wire, by DATA with its dots stuffed, in pieces; without the final dot."""
    body: bytes
    """The whole of it, as the backend is to get it."""
    chunks: bool
    """It is sent by BDAT."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something that is to be answered by one reply."""

    verb: str
    """A verb, or "." for the end of a body (by BDAT: the last chunk), or "" for the connection itself."""
    argument: str = ""
    letter: int = 0
    """Number of the letter it belongs to; 0: none."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Octets that leave at once, and the replies that are due for them."""

    octets: bytes
    commands: tuple[Command, ...] = ()
    step: Step | None = None
    """What may happen before it."""


Talk: TypeAlias = Generator[Segment, Sequence[Heard], None]

_EHLO = Segment(b"EHLO client.example\r\n", (Command("EHLO"),), Step.BEFORE_EHLO)
_STARTTLS = Segment(b"STARTTLS\r\n", (Command("STARTTLS"),), Step.BEFORE_STARTTLS)
_EHLO_AGAIN = Segment(b"EHLO client.example\r\n", (Command("EHLO"),))
_RSET = Segment(b"RSET\r\n", (Command("RSET"),))
_QUIT = Segment(b"QUIT\r\n", (Command("QUIT"),), Step.BEFORE_QUIT)
_BODY_STEPS = (Step.BEFORE_BODY, Step.IN_BODY, Step.BEFORE_DOT)


def talk(letters: Sequence[Letter], *, pipelined: bool, secured: bool = False) -> Talk:
    """Send these letters in one session. The first one in the manner asked for, the others as one group each."""
    hello = yield _EHLO
    if secured and _good(hello):
        yield _STARTTLS
        yield _EHLO_AGAIN
    if pipelined:
        yield from _all_at_once(letters)
    else:
        yield from _step_by_step(letters[0])
        for letter in letters[1:]:
            yield from _all_at_once([letter], Step.BETWEEN)
    yield _QUIT


def _step_by_step(letter: Letter) -> Talk:
    mail = yield Segment(*_mail(letter), Step.BEFORE_MAIL)
    if not _good(mail):
        return
    accepted = 0
    for recipient, step in zip(letter.recipients, (Step.BEFORE_RCPT_1, Step.BEFORE_RCPT_2), strict=True):
        accepted += _good((yield Segment(*_rcpt(letter, recipient), step)))
    data: Sequence[Heard] = ()
    if accepted:
        data = yield Segment(*_data(letter), Step.BEFORE_DATA)
    if not accepted or not _go_ahead(letter, data):
        yield _RSET
        return
    for segment in _body(letter):
        replies = yield segment
        if segment.commands and not _good(replies) and segment.commands[-1].verb == "BDAT":
            yield _RSET
            return


def _all_at_once(letters: Sequence[Letter], step: Step = Step.BEFORE_MAIL) -> Talk:
    """Groups as large as RFC 2920 allows: the end of a body leaves together with the group of the next letter."""
    replies = yield Segment(*_group(letters[0]), step)
    for at, letter in enumerate(letters):
        following = letters[at + 1] if at + 1 < len(letters) else None
        behind = _group(following) if following else (b"", ())
        goes_on = _go_ahead(letter, replies)
        *others, last = _body(letter) if goes_on else [_RSET]
        for segment in others:
            chunk = yield segment
            goes_on = goes_on and (not segment.commands or _good(chunk))
        if not goes_on:
            last = _RSET
        if last.octets + behind[0]:
            replies = yield Segment(last.octets + behind[0], last.commands + behind[1], last.step)


def _group(letter: Letter) -> tuple[bytes, tuple[Command, ...]]:
    octets, commands = _mail(letter)
    for more in (*(_rcpt(letter, recipient) for recipient in letter.recipients), _data(letter)):
        octets, commands = octets + more[0], commands + more[1]
    return octets, commands


def _mail(letter: Letter) -> tuple[bytes, tuple[Command, ...]]:
    return f"MAIL FROM:<{letter.sender}>\r\n".encode(), (Command("MAIL", letter.sender, letter.number),)


def _rcpt(letter: Letter, recipient: str) -> tuple[bytes, tuple[Command, ...]]:
    return f"RCPT TO:<{recipient}>\r\n".encode(), (Command("RCPT", recipient, letter.number),)


def _data(letter: Letter) -> tuple[bytes, tuple[Command, ...]]:
    """DATA; or the beginning of the first chunk, or all of a single one."""
    if not letter.chunks:
        return b"DATA\r\n", (Command("DATA", "", letter.number),)
    first, *more = letter.parts
    if not more:
        return b"BDAT %d LAST\r\n" % len(first) + first, (Command(".", "", letter.number),)
    return b"BDAT %d\r\n" % (len(first) + len(more[0])), ()


def _body(letter: Letter) -> list[Segment]:
    """What follows: by BDAT the two halves of the first chunk, then the last one."""
    if letter.chunks:
        if len(letter.parts) == 1:
            return [Segment(b"")]
        first, second, third = letter.parts
        return [
            Segment(first, (), Step.BEFORE_BODY),
            Segment(second, (Command("BDAT", "", letter.number),), Step.IN_BODY),
            Segment(b"BDAT %d LAST\r\n" % len(third) + third, (Command(".", "", letter.number),), Step.BEFORE_DOT),
        ]
    whole = len(letter.parts) == len(_BODY_STEPS)
    steps: tuple[Step | None, ...] = _BODY_STEPS if whole else (None,) * len(letter.parts)
    segments = [Segment(part, (), step) for part, step in zip(letter.parts, steps, strict=True)]
    last = segments.pop()
    return [*segments, Segment(last.octets + b".\r\n", (Command(".", "", letter.number),), last.step)]


def _good(replies: Sequence[Heard]) -> bool:
    return bool(replies) and replies[-1].code // 100 == 2


def _go_ahead(letter: Letter, replies: Sequence[Heard]) -> bool:
    """Whether the body may follow; a chunk that was announced must."""
    return letter.chunks or (bool(replies) and replies[-1].code == 354)
