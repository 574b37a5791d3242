"""Stages and verdicts: what the relay must know of a judgement. How one is reached is the policy's matter.

A verdict is either `Accepted` or `Refused`; nothing else lets a command pass, so a crash or a missing answer can accept
nothing by accident.
"""

from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

from smtproxy.wire.members import hashed_by_identity
from smtproxy.wire.replies import Reply
from smtproxy.wire.values import value


@hashed_by_identity
class Stage(Enum):
    """When a check may speak."""

    CONNECT = "connect"
    HELLO = "hello"
    AUTH = "auth"
    MAIL = "mail"
    RECIPIENT = "recipient"
    DATA = "data"
    MESSAGE = "message"
    PROTOCOL = "protocol"
    """A command was answered with an error of ours: nothing is accepted here, but patience may end."""


@value
class Accepted:
    """The command (at MESSAGE: the message) may go on to the backend."""

    stage: Stage
    notes: tuple[Mapping[str, object], ...] = ()
    """Findings in the form of the log."""
    delay: float = 0.0
    """Seconds to wait before the answer."""
    whole: bool = False
    """At DATA: the message must be judged as a whole, so it is held, in memory or on disk, before anything leaves."""
    header: bytes = b""
    """At DATA and MESSAGE: header fields of ours that go in front of the message, unless it has begun to leave."""
    suspect: bool = False
    """Something was found that counts (a sum) or delays: the body may be taken slowly."""


@value
class Refused:
    """The client hears `reply`, and nothing of this command reaches the backend."""

    stage: Stage
    reply: Reply
    by: str
    """Name of the check that decided."""
    notes: tuple[Mapping[str, object], ...] = ()
    delay: float = 0.0
    drop: bool = False
    """Close the connection behind the reply."""


Verdict: TypeAlias = Accepted | Refused
