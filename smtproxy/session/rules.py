"""The rules table: which verb may stand in which phase, and what it does. RFC 5321 4.1.4, RFC 2920 3.1.

A new verb is a row here. A barrier ends a pipelined group: what stands before it is settled first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from smtproxy.session.answers import Own
from smtproxy.wire.members import hashed_by_identity


@hashed_by_identity
class Phase(Enum):
    """Where the dialogue with the client stands."""

    SILENCE = "silence"
    """The banner is held back."""
    CONNECT = "connect"
    """No banner yet."""
    START = "start"
    """Banner sent, no hello."""
    READY = "ready"
    """Hello said, no transaction."""
    MAIL = "mail"
    """A transaction is open."""
    BODY_START = "body_start"
    """DATA waits for the backend's go-ahead."""
    BODY = "body"
    """The body, or a chunk of it, is being read."""
    CHUNKS = "chunks"
    """Between two chunks of a body."""
    DROPPING = "dropping"
    """The octets of a chunk that is refused are being dropped."""
    REFUSED = "refused"
    """A chunk was refused, and so is each other one until LAST or RSET. The transaction is over."""
    VERDICT = "verdict"
    """The end of the body was read; the message is being judged."""
    SENDING = "sending"
    """The message goes to the backend, is committed, or waits for its final reply."""


@hashed_by_identity
class Act(Enum):
    """What a command does."""

    HELLO = "hello"
    MAIL = "mail"
    RECIPIENT = "recipient"
    DATA = "data"
    CHUNK = "chunk"
    RESET = "reset"
    TLS = "tls"
    QUIT = "quit"
    FOREIGN = "foreign"
    """It is another protocol's: an error, and the policy says what follows."""
    SAY = "say"
    """Nothing: we answer, and the backend never hears of it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One verb."""

    act: Act
    phases: frozenset[Phase]
    misplaced: Mapping[Phase, Own]
    """What is said in the other phases."""
    says: Own = Own.UNKNOWN_COMMAND
    """The answer of `Act.SAY` and `Act.RESET`."""
    barrier: bool = False
    junk: bool = False
    """Counts towards the limit for commands without use. Postfix smtpd_junk_command_limit"""
    error: bool = False
    """Counts as a protocol error."""


IN_TRANSACTION = frozenset({Phase.MAIL, Phase.CHUNKS, Phase.REFUSED})
"""Where RSET leads back to READY."""
BETWEEN_COMMANDS = frozenset({Phase.START, Phase.READY, Phase.MAIL})
"""Where the client has nothing on its way but a command."""
_ANY = frozenset({Phase.START, Phase.READY, *IN_TRANSACTION})
_IN_BODY: Mapping[Phase, Own] = {Phase.CHUNKS: Own.MESSAGE_BEGUN, Phase.REFUSED: Own.MESSAGE_BEGUN}
_TOO_EARLY: Mapping[Phase, Own] = {Phase.START: Own.HELLO_FIRST, Phase.READY: Own.MAIL_FIRST}
_NOWHERE: Mapping[Phase, Own] = {}


def _said(own: Own, *, junk: bool = False, error: bool = False) -> Rule:
    return Rule(Act.SAY, _ANY, _NOWHERE, says=own, junk=junk, error=error)


_HTTP = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")

RULES: Mapping[str, Rule] = {
    "EHLO": Rule(Act.HELLO, _ANY, _NOWHERE, barrier=True),
    "HELO": Rule(Act.HELLO, _ANY, _NOWHERE, barrier=True),
    "MAIL": Rule(
        Act.MAIL,
        frozenset({Phase.READY}),
        {Phase.START: Own.HELLO_FIRST, Phase.MAIL: Own.MAIL_TWICE, **_IN_BODY},
        barrier=True,
    ),
    "RCPT": Rule(Act.RECIPIENT, frozenset({Phase.MAIL}), {**_TOO_EARLY, **_IN_BODY}),
    "DATA": Rule(Act.DATA, frozenset({Phase.MAIL}), {**_TOO_EARLY, **_IN_BODY}, barrier=True),
    "BDAT": Rule(Act.CHUNK, IN_TRANSACTION, _TOO_EARLY, barrier=True),
    "STARTTLS": Rule(Act.TLS, _ANY, _NOWHERE, barrier=True),  # 502 everywhere where there is no certificate
    "RSET": Rule(Act.RESET, _ANY, _NOWHERE, says=Own.RESET, barrier=True, junk=True),
    "NOOP": _said(Own.NOTHING, junk=True),
    "HELP": _said(Own.HELP, junk=True),
    "VRFY": _said(Own.CANNOT_VERIFY, junk=True),
    "QUIT": Rule(Act.QUIT, _ANY, _NOWHERE, barrier=True),
    # Known verbs that are not for strangers (queue tricks, harvesting) or come with the next version: 502.
    "EXPN": _said(Own.NOT_IMPLEMENTED, error=True),
    "ETRN": _said(Own.NOT_IMPLEMENTED, error=True),
    "TURN": _said(Own.NOT_IMPLEMENTED, error=True),
    # HTTP: a browser that somebody points at us would have the lines of its form read as commands.
    **dict.fromkeys(_HTTP, Rule(Act.FOREIGN, _ANY, _NOWHERE, barrier=True)),
}
"""Verb -> rule. Every other verb, those of withheld keywords included, gets 500 5.5.1 and counts as an error."""
