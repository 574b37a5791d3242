"""The reactor: edges reach the link they belong to, and nobody else."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import trio
from trio.testing import wait_all_tasks_blocked

from smtproxy.network.reactor import ENDED, READABLE, WRITABLE, Reactor, reactor
from tests.network.stage import guarded, until


@dataclass(slots=True)
class Watch:
    """Remembers edges."""

    edges: list[int] = field(default_factory=list)

    def notice(self, edges: int) -> None:
        """Take edges."""
        self.edges.append(edges)


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets."""
    ours, peer = socket.socketpair()
    for one in (ours, peer):
        one.setblocking(False)
    with ours, peer:
        yield ours, peer


async def test_there_is_one_for_each_run() -> None:
    made: list[Reactor] = []

    async def makes() -> None:
        made.extend((reactor(), reactor()))

    await makes()
    await trio.to_thread.run_sync(trio.run, makes)
    assert made[0] is made[1] is reactor()
    assert made[2] is made[3] is not made[0]


async def test_the_present_state_is_the_first_edge() -> None:
    with pair() as (ours, peer):
        peer.send(b"x")
        watch = Watch()
        reactor().add(ours.fileno(), watch)
        async with guarded():
            await until(lambda: bool(watch.edges))
        assert watch.edges[0] & READABLE
        assert watch.edges[0] & WRITABLE
        assert not watch.edges[0] & ENDED
        reactor().forget(ours.fileno())


async def test_each_change_is_one_edge_and_quiet_is_quiet() -> None:
    with pair() as (ours, peer):
        watch = Watch()
        reactor().add(ours.fileno(), watch)
        async with guarded():
            await until(lambda: bool(watch.edges))
            for _ in range(3):
                before = len(watch.edges)
                peer.send(b"x")
                await until(lambda before=before: len(watch.edges) > before)  # type: ignore[misc]
                await wait_all_tasks_blocked(0.01)
                assert len(watch.edges) == before + 1
            peer.close()
            await until(lambda: bool(watch.edges[-1] & ENDED))
        reactor().forget(ours.fileno())


async def test_edges_belong_to_one_descriptor() -> None:
    with pair() as (ours, peer), pair() as (other, _):
        watch, bystander = Watch(), Watch()
        reactor().add(ours.fileno(), watch)
        reactor().add(other.fileno(), bystander)
        async with guarded():
            await until(lambda: bool(watch.edges and bystander.edges))
            peer.send(b"x")
            await until(lambda: len(watch.edges) == 2)
            await wait_all_tasks_blocked(0.01)
        assert len(bystander.edges) == 1
        reactor().forget(ours.fileno())
        reactor().forget(other.fileno())


async def test_who_is_forgotten_hears_nothing_and_a_number_can_be_used_again() -> None:
    with pair() as (ours, peer):
        gone = Watch()
        number = ours.fileno()
        reactor().add(number, gone)
        async with guarded():
            await until(lambda: bool(gone.edges))
            reactor().forget(number)
            peer.send(b"x")
            await wait_all_tasks_blocked(0.01)
            assert len(gone.edges) == 1
            ours.close()
            with pair() as (again, _):
                assert again.fileno() == number
                new = Watch()
                reactor().add(number, new)
                await until(lambda: bool(new.edges))
                reactor().forget(number)
        assert len(gone.edges) == 1
        reactor().forget(number)
