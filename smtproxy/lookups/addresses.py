"""Addresses of a name, as several lookups need them."""

from collections.abc import Sequence
from contextlib import suppress

from smtproxy.network.dns.answers import Answer, Resolver, Status
from smtproxy.policy.evidence import Unknown
from smtproxy.session.networks import Address, address_of


def family(client: Address) -> str:
    """Return the type of record that may hold this address."""
    return "A" if client.version == 4 else "AAAA"


def read(texts: Sequence[str]) -> list[Address]:
    """Return addresses; what is none is left out."""
    found: list[Address] = []
    for text in texts:
        with suppress(ValueError):
            found.append(address_of(text))
    return found


async def addresses_of(dns: Resolver, name: str, first: str = "A") -> Answer:
    """Return the addresses of a name: those of the type `first`, or of the other one if there are none."""
    second = "AAAA" if first == "A" else "A"
    found = await dns.ask(name, first)
    if found.status is not Status.NO_DATA:
        return found
    return await dns.ask(name, second)


def unknown(answer: Answer) -> Unknown:
    """Return why an answer that says nothing leaves a fact unknown."""
    return Unknown(answer.status.value)
