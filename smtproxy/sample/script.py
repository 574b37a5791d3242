"""Faults as data: what the sample backend does at which point in place of its normal answer.

A `Script` is a list of rules; the first one that fits a point is used there. A rule is a list of steps. `Normal()`
stands for the normal answer: a step before it happens before, one behind it after; without it the answer is replaced:

    Rule(Point.RCPT, (reply("451 4.3.0 later"),), nth=2)                 # the second recipient of each transaction
    Rule(Point.MAIL, (Normal(), reply("250 2.1.0 stale")))               # a stale extra reply
    Rule(Point.FINAL, (Store(), Close()), connections=(1,))              # took the message, died before saying so
    Rule(Point.BODY, (reply("421 4.3.2 bye"), Close()), octets=100)      # after 100 octets of body
    Rule(Point.REPLIES, (Idle(30), reply("421 4.4.1 idle"), Close()), nth=3)

The double believes what it says: a command takes effect (a recipient stands, a message is stored) when the first reply
to it, normal or scripted, is a 2xx (DATA: 3xx). `Store()` makes it take effect without a word. A script never holds
code, so that schedules can be generated, printed and read from a file.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from smtproxy.sample.actions import Close, Reset, StopReading

__all__ = [
    "Close",
    "Drip",
    "Endless",
    "Idle",
    "Normal",
    "Pause",
    "Point",
    "Reset",
    "Rule",
    "Say",
    "Script",
    "Silence",
    "Step",
    "StopReading",
    "Store",
    "Tarpit",
    "reply",
]


class Point(StrEnum):
    """Where a rule may act. Points with a normal answer: all but CONNECT, BODY, REPLIES, RECEIVED, SENT."""

    CONNECT = "connect"
    """Before the greeting."""
    GREETING = "greeting"
    EHLO = "ehlo"
    HELO = "helo"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    """After `octets` octets of a message on the wire (0: at once after 354)."""
    CHUNK = "chunk"
    """A whole BDAT chunk that is not the last one."""
    FINAL = "final"
    """The end of a message: end of data, or the whole chunk of BDAT LAST."""
    STARTTLS = "starttls"
    RSET = "rset"
    NOOP = "noop"
    QUIT = "quit"
    OTHER = "other"
    """Any other command, known or not, and a line that is too long."""
    REPLIES = "replies"
    """After the nth answered point of the connection (the greeting is the first)."""
    RECEIVED = "received"
    """After the connection's octet number `octets` came in and was acted upon."""
    SENT = "sent"
    """After the connection's octet number `octets` went out; what follows in the same reply goes after the steps."""


@dataclass(frozen=True, slots=True)
class Normal:
    """The normal answer, with its effect."""


@dataclass(frozen=True, slots=True)
class Say:
    """Exactly these octets, whatever they are. The three digits in front, if any, decide about the effect."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Store:
    """The command takes effect now, said or not: at FINAL the message is stored."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Send what is due, then do and read nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Tarpit:
    """As `Pause`, but what is due stays unsent: earlier good replies of a pipelined group wait with the late one."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Idle:
    """Send what is due and go on if the client says nothing for so many seconds; else the rule's rest is forgotten."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Silence:
    """From here on nothing is ever said; commands and messages are still read and take effect unheard."""


@dataclass(frozen=True, slots=True)
class Drip:
    """From here on everything is sent octet by octet, with so many seconds between two."""

    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Endless:
    """These octets again and again until the client is gone; each `timer()` brings some more."""

    octets: bytes


Step: TypeAlias = Normal | Say | Store | Pause | Tarpit | Idle | Silence | Drip | Endless | Close | Reset | StopReading


def reply(text: str) -> Say:
    """A one-line reply: the text with CRLF behind it."""
    return Say(text.encode() + b"\r\n")


@dataclass(frozen=True, slots=True)
class Rule:
    """At this point do this."""

    at: Point
    do: tuple[Step, ...] = ()
    """The steps in order; none at all means: this one command gets no answer and has no effect."""
    nth: int | None = None
    """Only the nth time, from 1: RCPT and CHUNK count in their transaction, all others in their connection."""
    octets: int = 0
    """For BODY, RECEIVED and SENT."""
    connections: tuple[int, ...] = ()
    """Only on connections with these numbers, from 1; () is every one."""
    transactions: tuple[int, ...] = ()
    """Only in these transactions of the connection, from 1, counted by MAIL commands; () is every one."""


@dataclass(frozen=True, slots=True)
class Script:
    """All faults of one backend."""

    rules: tuple[Rule, ...] = ()

    def for_connection(self, number: int) -> tuple[Rule, ...]:
        """The rules that can act on this connection."""
        return tuple(rule for rule in self.rules if not rule.connections or number in rule.connections)
