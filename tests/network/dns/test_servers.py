"""Which name servers work: silence alone brings nobody down, death is noticed, said once, and ends by itself."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from smtproxy.network.dns.answers import Answer, Status
from smtproxy.network.dns.exchange import Silence
from smtproxy.network.dns.resolver import DnsSettings
from smtproxy.network.dns.servers import FAILURES, LONGEST_PAUSE, MOST, system_servers
from smtproxy.network.sockets import Endpoint
from smtproxy.session.records import Event
from tests.network.dns.fakes import ONE, ROOT, TWO, FakeNetwork, laboratory

BOTH = DnsSettings((ONE, TWO))


async def test_a_dead_server_is_down_and_costs_nothing_then(autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(silent={ONE: Silence.TIMEOUT})) as lab:
        assert (await lab.resolver.ask("a.test", "A")).status is Status.TIMEOUT
        await trio.sleep(5)
        asked, begin = len(lab.network.names()), trio.current_time()
        for number in range(100):
            assert await lab.resolver.ask(f"{number}.test", "A") == Answer(Status.DOWN)
        assert trio.current_time() == begin
        assert len(lab.network.names()) == asked
        assert lab.journal.one(Event.DNS_DOWN) == {"servers": ["192.0.2.1:53"], "reason": "timeout"}


async def test_it_is_asked_again_until_it_is_back(autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(silent={ONE: Silence.UNREACHABLE})) as lab:
        assert (await lab.resolver.ask("a.test", "A")).status is Status.DOWN
        await trio.sleep(1000)
        lab.network.silent.clear()
        await trio.sleep(LONGEST_PAUSE + 1)
        assert (await lab.resolver.ask("b.test", "A")).status is Status.NO_NAME
        up = lab.journal.one(Event.DNS_UP)
        assert up["servers"] == ["192.0.2.1:53"]
        assert 1000 < float(str(up["down"])) < 1000 + LONGEST_PAUSE + 1
        assert len(lab.journal.of(Event.DNS_DOWN)) == 1


async def test_a_slow_domain_brings_no_server_down(autojump_clock: MockClock) -> None:
    """Whoever owns a domain with dead servers could else switch our DNS off with three mails."""
    lab_network = FakeNetwork()

    async def exchange(server: Endpoint, octets: bytes, patience: float) -> Answer | Silence:
        if octets != ROOT:
            await trio.sleep(patience)
            return Silence.TIMEOUT
        return await lab_network(server, octets, patience)

    async with laboratory() as lab:
        lab.resolver._exchange = lab.resolver._servers._exchange = exchange
        for number in range(20):
            assert (await lab.resolver.ask(f"{number}.slow.test", "A")).status is Status.TIMEOUT
        assert lab.journal.lines == []
        assert 1 <= len(lab_network.asked) <= 20 * 4 / FAILURES


async def test_the_second_one_stands_in(autojump_clock: MockClock) -> None:
    async with laboratory(BOTH, FakeNetwork(silent={ONE: Silence.TIMEOUT})) as lab:
        for number in range(FAILURES):
            assert (await lab.resolver.ask(f"{number}.test", "A")).status is Status.NO_NAME
        await trio.sleep(5)
        begin = trio.current_time()
        assert (await lab.resolver.ask("a.test", "A")).status is Status.NO_NAME
        assert trio.current_time() - begin < 0.1
        assert lab.journal.lines == []
        lab.network.silent.clear()
        await trio.sleep(LONGEST_PAUSE + 1)
        await lab.resolver.ask("b.test", "A")
        assert lab.network.asked[-1][0] == ONE


async def test_all_down_means_all(autojump_clock: MockClock) -> None:
    silent = {ONE: Silence.TIMEOUT, TWO: Silence.UNREACHABLE}
    async with laboratory(BOTH, FakeNetwork(silent=silent)) as lab:
        await lab.resolver.ask("a.test", "A")
        await lab.resolver.ask("b.test", "A")
        await trio.sleep(20)
        assert (await lab.resolver.ask("c.test", "A")).status is Status.DOWN
        assert lab.journal.one(Event.DNS_DOWN)["servers"] == ["192.0.2.1:53", "192.0.2.2:53"]
        del lab.network.silent[TWO]
        await trio.sleep(LONGEST_PAUSE + 1)
        assert lab.journal.one(Event.DNS_UP)["servers"] == ["192.0.2.2:53"]


async def test_a_machine_without_sockets_blames_nobody(autojump_clock: MockClock) -> None:
    async with laboratory(network=FakeNetwork(silent={ONE: Silence.OURS})) as lab:
        for number in range(5):
            assert (await lab.resolver.ask(f"{number}.test", "A")).status is Status.TIMEOUT
        assert lab.journal.lines == []


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nameserver 10.0.0.1\n", ["10.0.0.1:53"]),
        (
            "# nameserver 10.0.0.9\nsearch lan\nnameserver\tfd00::1\n nameserver 10.0.0.2 \n",
            ["[fd00::1]:53", "10.0.0.2:53"],
        ),
        ("nameserver\n", ["127.0.0.1:53"]),
        ("", ["127.0.0.1:53"]),
        ("nameserver 10.0.0.1\n" * 9, ["10.0.0.1:53"] * MOST),
        ("nameserver 10.0.0.1 # bücher\n", ["10.0.0.1:53"]),
    ],
)
def test_servers_of_the_system(text: str, servers: list[str], tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(text, encoding="utf-8")
    assert [str(one) for one in system_servers(file)] == servers


def test_no_resolv_conf_means_this_machine(tmp_path: Path) -> None:
    assert [str(one) for one in system_servers(tmp_path / "none")] == ["127.0.0.1:53"]


async def test_a_bug_ends_no_worker_and_the_server_is_watched_again(autojump_clock: MockClock) -> None:
    """The nursery is that of everything in the background: an exception in it was the end of the worker."""
    asked = 0

    async def exchange(server: Endpoint, octets: bytes, patience: float) -> Answer | Silence:
        nonlocal asked
        if octets != ROOT:
            return Silence.UNREACHABLE
        asked += 1
        raise ValueError("odd packet")

    async with laboratory() as lab:
        lab.resolver._exchange = lab.resolver._servers._exchange = exchange
        for number in range(2):
            assert (await lab.resolver.ask(f"{number}.test", "A")).status is Status.TIMEOUT
        crash = lab.journal.of(Event.CRASH)[0]
        assert (crash["where"], str(crash["error"])) == ("dns", "odd packet")
        assert crash["traceback"] is not None
        assert asked > 1
