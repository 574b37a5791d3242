"""What must hold after anything bad: the proxy lives, its accounts are square, and an honest mail passes.

Every session has its one line and every transaction its own, nothing crashed, no client saw anything of our insides,
what the log calls delivered is what the backend took, nothing is held any more.
"""

import contextlib
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import trio

from smtproxy.sample.script import Script
from smtproxy.session.records import Event
from smtproxy.session.settings import RelaySettings
from tests.fakes.heard import Heard
from tests.network.world import ROOM, Client, World, clock, connected, settled, world

SETTINGS = RelaySettings("mx.example.org")
HELLO = b"EHLO client.example\r\n"
ENVELOPE = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<user@example.org>\r\n"
MEGABYTE = 1 << 20
_INSIDES = (b"Traceback", b'File "', b"Error:", b".py")
_MARK = b"X-Honest: yes\r\n"

Bad = Callable[[Client], Awaitable[Sequence[Heard]]]
"""What a client does behind the banner; returns all that it heard."""


def survives(bad: Bad, settings: RelaySettings = SETTINGS, script: Script | None = None) -> World:
    """Let one client be bad, then check what must hold; -> what is left of that world."""

    async def act(place: World) -> None:
        async with connected(place) as client:
            no_insides(await bad(client))

    return survives_all(act, settings, script)


def survives_all(
    act: Callable[[World], Awaitable[None]], settings: RelaySettings = SETTINGS, script: Script | None = None
) -> World:
    """The same for anything that clients and backend may do."""

    async def main() -> World:
        async with world(settings, script or Script()) as place:
            async with square_accounts(place):
                await act(place)
            async with square_accounts(place):
                await honest_mail(place)
        return place

    return trio.run(main, clock=clock())


@contextlib.asynccontextmanager
async def square_accounts(place: World) -> AsyncIterator[None]:
    """Check at the end of the block that all is told and nothing is held."""
    yield
    await settled(place)
    sessions, messages = place.pages.of(Event.SESSION), place.pages.of(Event.MESSAGE)
    assert len({line["session"] for line in sessions}) == len(sessions)
    assert len(messages) == sum(int(str(line["transactions"])) for line in sessions)
    assert place.pages.of(Event.CRASH) == []
    assert place.record.violations == []
    outcomes = [line["outcome"] for line in messages]
    delivered, unknown = outcomes.count("delivered"), outcomes.count("unknown")
    assert delivered <= len(place.record.accepted) <= delivered + unknown
    assert place.service.memory.left == ROOM
    assert place.service.disk.left == ROOM


def no_insides(heard: Sequence[Heard]) -> None:
    """No client learns how we are made."""
    said = b"".join(reply.octets for reply in heard)
    assert not [word for word in _INSIDES if word in said]


async def honest_mail(place: World) -> None:
    """Send a mail as everybody does; it must arrive."""
    before = len(place.record.containing(_MARK))
    async with connected(place) as client:
        for octets, codes in (
            (HELLO, [250]),
            (ENVELOPE + b"DATA\r\n", [250, 250, 354]),
            (_MARK + b"\r\nhello\r\n.\r\n", [250]),
            (b"QUIT\r\n", [221]),
        ):
            await client.say(octets)
            assert [reply.code for reply in await client.hear(len(codes))] == codes
        assert await client.hear_the_end() == []
    assert len(place.record.containing(_MARK)) == before + 1


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Check that the product's own code holds little of what came during the block: the bound of a body, and a read."""
    tracemalloc.start()
    try:
        yield
        snapshot = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    ours = [tracemalloc.Filter(inclusive=True, filename_pattern=f"*/smtproxy/{floor}/*") for floor in _FLOORS]
    held = sum(statistic.size for statistic in snapshot.filter_traces(ours).statistics("filename"))
    assert held < 3 * MEGABYTE, f"{held} octets"


_FLOORS = ("wire", "session", "policy", "network")
