"""What an honest client says, as a generator: segments out, replies in. Nothing here knows how they travel.

It keeps to RFC 5321 and RFC 2920: no body without a 354, DATA last in its group, and after a refusal RSET and the next
letter. It must never send on after it was told 421, which is the matter of whoever drives it.
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
    """The body as it goes over the wire, dots stuffed, in the pieces in which it is sent; without the final dot."""

    @property
    def body(self) -> bytes:
        """The whole of it."""
        return b"".join(self.parts)


@dataclass(frozen=True, slots=True)
class Command:
    """Something that is to be answered by one reply."""

    verb: str
    """A verb, or "." for the end of a body, or "" for the connection itself."""
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
    if not _go_ahead(data):
        yield _RSET
        return
    for segment in _body(letter):  # noqa: UP028 - a list takes no replies: `yield from` would hand them to it
        yield segment


def _all_at_once(letters: Sequence[Letter], step: Step = Step.BEFORE_MAIL) -> Talk:
    """Groups as large as RFC 2920 allows: the end of a body leaves together with the group of the next letter."""
    replies = yield Segment(*_group(letters[0]), step)
    for at, letter in enumerate(letters):
        following = letters[at + 1] if at + 1 < len(letters) else None
        behind = _group(following) if following else (b"", ())
        if _go_ahead(replies):
            *others, last = _body(letter)
            for segment in others:  # noqa: UP028 - as above
                yield segment
            replies = yield Segment(last.octets + behind[0], last.commands + behind[1], last.step)
        elif following:
            replies = yield Segment(_RSET.octets + behind[0], _RSET.commands + behind[1])


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
    return b"DATA\r\n", (Command("DATA", "", letter.number),)


def _body(letter: Letter) -> list[Segment]:
    whole = len(letter.parts) == len(_BODY_STEPS)
    steps: tuple[Step | None, ...] = _BODY_STEPS if whole else (None,) * len(letter.parts)
    segments = [Segment(part, (), step) for part, step in zip(letter.parts, steps, strict=True)]
    last = segments.pop()
    return [*segments, Segment(last.octets + b".\r\n", (Command(".", "", letter.number),), last.step)]


def _good(replies: Sequence[Heard]) -> bool:
    return bool(replies) and replies[-1].code // 100 == 2


def _go_ahead(replies: Sequence[Heard]) -> bool:
    return bool(replies) and replies[-1].code == 354
