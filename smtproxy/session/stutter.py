"""A refusal that is said an octet a second while it is delayed: silence tells a bot to give up, octets make it stay.

After OpenBSD's spamd(8), which stutters with a second between octets, too: a delay is over sooner than most replies, so
what is left is said at once then. Shorter steps would make each delayed session wake its worker many times a second,
which is what a flood wants.

Only what is decided is said: a refusal, or the answer to an error, never the word on a mail or a recipient that is
accepted. Its end is held until the delay is over, so that the log has its line before the client has its reply.
"""

from dataclasses import dataclass
from typing import Final

from smtproxy.session.slots import Slot
from smtproxy.session.verdicts import Refused, Stage, Verdict
from smtproxy.wire.replies import Reply

STEP: Final = 1.0
"""Seconds between octets."""
_HELD: Final = 3
"""Octets of a reply that are never said early: the last one of its text, and CRLF."""
_AS_JUDGED: Final = frozenset({Stage.CONNECT, Stage.HELLO, Stage.MAIL, Stage.RECIPIENT, Stage.PROTOCOL})
"""Where a refusal is what the client hears, whatever happens."""


@dataclass(slots=True)
class Stutter:
    """A reply that is being said."""

    slot: Slot
    """Whose answer it is."""
    reply: Reply
    ends: float
    """When the delay is over."""
    said: int = 0
    """Octets of it."""

    def next(self) -> bytes:
        """Return the next octet; empty: the rest is to be said at the end."""
        octets = self.reply.encode()
        if self.said >= len(octets) - _HELD:
            return b""
        self.said += 1
        return octets[self.said - 1 : self.said]


def decided(verdict: Verdict, error: Reply | None) -> Reply | None:
    """Return what a delayed verdict will say; None: that is not known yet. `error`: the answer to a wrong command."""
    if isinstance(verdict, Refused):
        return verdict.reply if verdict.stage in _AS_JUDGED else None
    return error if verdict.stage is Stage.PROTOCOL else None
