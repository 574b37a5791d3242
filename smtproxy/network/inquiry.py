"""What a lookup is, and what it may ask. A lookup learns one fact and never judges.

One function serves both ways: asked with a resolver that answers from memory alone (`NotAtHand` is raised where it
cannot), it costs no task and no wait; else it runs beside the session and delivers when it is done.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from smtproxy.network.dns.answers import Resolver
from smtproxy.policy.evidence import Fact
from smtproxy.policy.facts import Key
from smtproxy.wire.paths import Path

T = TypeVar("T")


class NotAtHand(Exception):  # noqa: N818 - no error: the answer has to be fetched
    """Raised where the answer cannot be given at once."""


class Inquiry(Protocol):
    """What is known of the session when a lookup starts, and what it may ask. The session may have gone on since."""

    @property
    def quick(self) -> bool:
        """Whether the answer is wanted at once, or not at all: whoever would have to wait raises NotAtHand."""

    @property
    def dns(self) -> Resolver:
        """The DNS, within the budget of this session."""

    @property
    def client(self) -> str:
        """Address of the client, in the form of `ipaddress`."""

    @property
    def listener(self) -> str:
        """Name of the listener."""

    @property
    def hello(self) -> str:
        """What it calls itself; empty: nothing."""

    @property
    def sender(self) -> Path | None:
        """Of this transaction."""

    @property
    def recipient(self) -> Path | None:
        """That is being judged."""

    @property
    def now(self) -> float:
        """Seconds since 1970."""

    async def fact(self, key: Key[T]) -> Fact[T]:
        """Return another fact, which is looked up if nobody has asked for it yet."""

    async def message(self) -> bytes:
        """Return the message as the client sent it, dots undone, our own header fields left out.

        Raises NotAtHand in the quick way, and MessageTooLarge.
        """


LARGEST_LOOKED_AT = 31457280
"""Octets of a message that is looked at as a whole. It is in memory then, besides where it is kept: 30 MiB is what
dkimpy reads in half a second (LIBRARIES 3.4: 10 MiB in 0.22 s)."""


class MessageTooLarge(Exception):  # noqa: N818 - becomes Unknown, with its text
    """The message cannot be looked at as a whole: "too large"; "streamed" when its beginning has left; "no memory"
    while others that are looked at need all there is.
    """


@dataclass(frozen=True, slots=True)
class Lookup(Generic[T]):
    """A source of one fact."""

    key: Key[T]
    find: Callable[[Inquiry], Coroutine[Any, Any, Fact[T]]]
    """Whatever it raises makes the fact unknown: "crashed"."""
    quick: bool = True
    """Whether it is worth asking from memory first: it waits for nothing but the DNS and other facts."""


AnyLookup = Lookup[Any]
