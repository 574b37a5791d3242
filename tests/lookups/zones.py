"""A name server and a session for the tests of lookups, without sockets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import trio

from smtproxy.network.dns.answers import Answer, Resolver, Status
from smtproxy.network.inquiry import MessageTooLarge, NotAtHand
from smtproxy.policy.evidence import NOT_ASKED, Fact
from smtproxy.policy.facts import Key
from smtproxy.wire.paths import NULL_PATH, Path

T = TypeVar("T")

Records = Mapping[tuple[str, str], Sequence[str] | Status]
"""By name and type: records, or how the question fails. A CNAME is followed."""


class Zone:
    """A resolver that knows a zone by heart. It follows CNAMEs as a resolver does."""

    def __init__(self, records: Records, *, ttl: float = 300.0, otherwise: Status = Status.NO_NAME) -> None:
        self._records = {(name.lower().rstrip("."), kind): answer for (name, kind), answer in records.items()}
        self._names = {name for name, _ in self._records}
        self._ttl = ttl
        self._otherwise = otherwise
        self.asked: list[tuple[str, str]] = []

    async def ask(self, name: str, kind: str) -> Answer:
        await trio.lowlevel.checkpoint()
        self.asked.append((name, kind))
        name = name.lower().rstrip(".")
        if len(name) > 253 or any(not 0 < len(label) < 64 for label in name.split(".")):
            return Answer(Status.INVALID)
        for _ in range(8):
            answer = self._records.get((name, kind), self._records.get((name, "*")))
            if isinstance(answer, Status):
                return Answer(answer)
            if answer is not None:
                return Answer(Status.FOUND, tuple(answer), self._ttl)
            alias = self._records.get((name, "CNAME"))
            if alias is None or isinstance(alias, Status):
                break
            name = alias[0]
        if name in self._names:
            return Answer(Status.NO_DATA, (), self._ttl)
        return Answer(self._otherwise, (), self._ttl if self._otherwise is Status.NO_NAME else 0.0)


class DeadServer:
    """A name server that never answers: the resolver gives up by its own deadline."""

    async def ask(self, name: str, kind: str) -> Answer:
        await trio.sleep(2)
        return Answer(Status.TIMEOUT)


@dataclass
class Session:
    """What lookups see of a session: an `Inquiry`."""

    dns: Resolver
    client: str = "192.0.2.10"
    listener: str = "mx"
    hello: str = "mail.example.net"
    sender: Path | None = NULL_PATH
    recipient: Path | None = None
    now: float = 1_800_000_000.0
    quick: bool = False
    facts: Mapping[str, Fact[Any]] = field(default_factory=dict)
    body: bytes | None = None
    """The message; None: too large."""

    async def fact(self, key: Key[T]) -> Fact[T]:
        await trio.lowlevel.checkpoint()
        return self.facts.get(key.name, NOT_ASKED)

    async def message(self) -> bytes:
        if self.quick:
            raise NotAtHand
        await trio.lowlevel.checkpoint()
        if self.body is None:
            raise MessageTooLarge
        return self.body
