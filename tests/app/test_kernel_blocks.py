"""Who is put into the sets of the kernel, when, by whom, and what becomes of a failure; nft is a list of inputs."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ipaddress import ip_network
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from smtproxy.app.config import load
from smtproxy.app.kernel_blocks import (
    DEADLINE,
    LOOK,
    MOST,
    OCTETS,
    PACE,
    REFRESH,
    RETRY,
    KernelBlocks,
    KernelSettings,
    Pending,
    kernel_settings,
)
from smtproxy.network.nftables import NftError
from smtproxy.network.record_lock import LockFile
from smtproxy.policy.reputation import BALANCED, ENTRY, PENALTY
from smtproxy.session.records import Event
from smtproxy.stores.at_hand import AtHand
from tests.fakes.clock import START
from tests.fakes.journal import FakeJournal
from tests.stores.tables import memory_store

SETTINGS = KernelSettings("inet t", penalties=True, blocks=True)
TEXT = """
[reputation]
nft = "inet t"
{more}
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
proxy_protocol = ["10.1.0.0/16"]
[backends.b]
servers = ["192.0.2.25:25", "[2001:db8::25]:25", "mx.example.net:25"]
"""


class Case:
    """A worker's sets."""

    def __init__(self, settings: KernelSettings = SETTINGS, pending: Pending | None = None) -> None:
        self.journal = FakeJournal()
        here = memory_store(MOST * 2, clock=self.clock)  # type: ignore[arg-type]
        self.kept = AtHand(here, here, None, lambda work: work)
        self.locks = LockFile()
        self.pending = pending or Pending(memoryview(bytearray(OCTETS)), self.locks.lock())
        self.given: list[str] = []
        self.error: Exception | None = None
        self.takes = 0.0
        self.moves = False
        """The clock does, with that of the test."""
        self.blocks = KernelBlocks(settings, self.kept, self.pending, self.journal, self.clock, self.load)

    def clock(self) -> float:
        return START + (trio.current_time() if self.moves else 0.0)

    async def load(self, text: str) -> None:
        self.given.append(text)
        await trio.sleep(self.takes)
        if self.error is not None:
            raise self.error

    def say(self, word: str, name: str, seconds: float = 60.0) -> None:
        self.kept.pin(ENTRY, name, f"{word} anna", seconds)

    def penalise(self, name: str, seconds: float = 60.0) -> None:
        self.kept.put(PENALTY, name, "3 refused", seconds)

    def found(self) -> list[str]:
        return [f"{one.network} {one.seconds}" for one in trio.run(self.blocks.elements)]


def _settings(directory: Path, more: str = "") -> KernelSettings:
    file = directory / "config.toml"
    file.write_text(TEXT.format(more=more))
    made = kernel_settings(load(file))
    assert made is not None
    return made


def test_addresses_and_networks_are_put_there_until_their_end_and_domains_are_not() -> None:
    case = Case()
    case.say("block", "192.0.2.0/24", 100)
    case.say("block", "example.net")
    case.say("allow", "198.51.100.9")
    case.penalise("203.0.113.5", 900)
    case.penalise("2001:db8::/64", 30)
    assert case.found() == ["192.0.2.0/24 100", "203.0.113.5/32 900", "2001:db8::/64 30"]


def test_of_two_that_overlap_the_larger_is_put_there() -> None:
    case = Case()
    for name in ("192.0.2.0/24", "192.0.0.0/16", "192.0.2.7", "193.0.0.0/8", "2001:db8:1::/48"):
        case.say("block", name)
    case.penalise("192.0.9.9")
    case.penalise("2001:db8:1:2::/64")
    assert case.found() == ["192.0.0.0/16 60", "193.0.0.0/8 60", "2001:db8:1::/48 60"]


def test_a_network_with_somebody_who_is_allowed_or_spared_is_not() -> None:
    case = Case(replace(SETTINGS, spared=(ip_network("127.0.0.0/8"), ip_network("2001:db8::25/128"))))
    case.say("allow", "192.0.2.7")
    case.say("allow", "198.51.100.0/24")
    case.say("block", "192.0.2.0/24")
    case.say("block", "192.0.3.0/24")
    case.penalise("198.51.100.1")
    case.penalise("127.0.0.1")
    case.penalise("2001:db8::/64")
    assert case.found() == ["192.0.3.0/24 60"]


def test_a_client_behind_a_balancer_is_not_but_where_a_person_says_so() -> None:
    case = Case()
    for name in ("192.0.2.1", "192.0.2.2"):
        case.penalise(name)
        case.kept.put(BALANCED, name, "", 60)
    case.say("block", "192.0.2.2")
    assert case.found() == ["192.0.2.2/32 60"]


@pytest.mark.parametrize(
    ("penalties", "blocks", "found"), [(True, False, ["192.0.2.2/32 60"]), (False, True, ["192.0.2.1/32 60"])]
)
def test_nobody_is_whom_the_checks_would_not_refuse(*, penalties: bool, blocks: bool, found: list[str]) -> None:
    case = Case(replace(SETTINGS, penalties=penalties, blocks=blocks))
    case.say("block", "192.0.2.1")
    case.penalise("192.0.2.2")
    assert case.found() == found


def test_of_too_many_those_stay_that_end_last_and_what_persons_say() -> None:
    case = Case()
    case.say("block", "192.0.2.1", 5)
    for at in range(MOST):
        case.penalise(f"10.0.{at // 250}.{at % 250}", 100.0 + at)
    found = case.found()
    assert len(found) == MOST
    assert "192.0.2.1/32 5" in found
    assert "10.0.0.0/32 100" not in found
    assert "10.0.0.1/32 101" in found


async def _run(case: Case, during: Callable[[], object] | None = None, *, first: bool = False, lasts: float) -> None:
    case.moves = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(case.blocks.run, first=first))
        await trio.sleep(LOOK * 1.5)
        if during is not None:
            during()
        await trio.sleep(lasts - LOOK * 1.5)
        nursery.cancel_scope.cancel()


async def test_they_are_filled_at_the_start_and_when_a_person_says_something(autojump_clock: MockClock) -> None:
    case = Case()
    case.penalise("192.0.2.1", 900)

    def forgive() -> None:
        case.kept.lift(PENALTY, "192.0.2.1")
        case.blocks.said()

    await _run(case, forgive, first=True, lasts=3 * LOOK)
    assert ["192.0.2.1" in text for text in case.given] == [True, False]


async def test_what_is_learned_waits_for_more_of_it(autojump_clock: MockClock) -> None:
    case = Case()

    def learn() -> None:
        for at in range(9):
            case.penalise(f"192.0.2.{at}")
            case.blocks.learned()

    await _run(case, learn, first=True, lasts=PACE - LOOK)
    assert len(case.given) == 1
    await _run(case, lasts=PACE)
    assert [text.count("timeout") for text in case.given] == [0, 9]


async def test_they_are_filled_from_time_to_time(autojump_clock: MockClock) -> None:
    case = Case()
    await _run(case, first=True, lasts=2.5 * REFRESH)
    assert len(case.given) == 3


async def test_a_failure_is_said_once_until_it_works_again(autojump_clock: MockClock) -> None:
    case = Case()
    case.error = NftError("No such file or directory")
    await _run(case, first=True, lasts=3.5 * RETRY)
    assert len(case.given) == 4
    assert case.journal.one(Event.NFT_FAILED) == {"table": "inet t", "reason": "No such file or directory"}
    words = await case.blocks.words()
    assert words.endswith("cannot be filled now: see nft_failed in the log")
    case.error = None
    await _run(case, lasts=2 * RETRY)
    assert len(case.given) == 5
    words = await case.blocks.words()
    assert words == "0 addresses and networks refused by the kernel, too: table inet t of nftables"
    case.error = NftError("again")
    await _run(case, case.blocks.said, lasts=3 * LOOK)
    assert [one["reason"] for one in case.journal.of(Event.NFT_FAILED)] == ["No such file or directory", "again"]


async def test_one_that_hangs_is_a_failure(autojump_clock: MockClock) -> None:
    case = Case()
    case.takes = 2 * DEADLINE
    await _run(case, first=True, lasts=DEADLINE + RETRY)
    assert case.journal.one(Event.NFT_FAILED)["reason"] == f"no end within {DEADLINE:g} s"


async def test_a_bug_ends_one_attempt(autojump_clock: MockClock) -> None:
    case = Case()
    case.error = ZeroDivisionError("no")
    await _run(case, first=True, lasts=1.5 * RETRY)
    assert [one["where"] for one in case.journal.of(Event.CRASH)] == ["nft", "nft"]
    assert len(case.given) == 2


async def test_what_was_cut_off_is_done_by_the_next_worker(autojump_clock: MockClock) -> None:
    case = Case()
    case.takes = DEADLINE - 1
    await _run(case, first=True, lasts=2 * LOOK)
    other = Case(pending=case.pending)
    await _run(other, lasts=2 * RETRY)
    assert (len(case.given), len(other.given)) == (1, 1)


async def test_one_worker_does_it(autojump_clock: MockClock) -> None:
    case, (told, tells), (asked, asks) = Case(), os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        case.pending.turn.take()
        os.write(tells, b".")
        os.read(asked, 1)
        os._exit(0)
    os.read(told, 1)
    await _run(case, first=True, lasts=REFRESH)
    assert case.given == []
    os.write(asks, b".")
    await trio.to_thread.run_sync(os.waitpid, child, 0)
    await _run(case, lasts=2 * LOOK)
    assert len(case.given) == 1


async def test_hosts_by_name_are_spared_and_stay_known_while_nobody_can_find_them(autojump_clock: MockClock) -> None:
    class Names(trio.abc.HostnameResolver):
        known = True

        async def getaddrinfo(self, *_: object, **__: object) -> list[object]:  # type: ignore[override]
            if not self.known:
                raise OSError("no")
            return [(0, 0, 0, "", ("192.0.2.25", 0)), (0, 0, 0, "", ("fe80::25%eth0", 0, 0, 0))]

        async def getnameinfo(self, *_: object) -> tuple[str, str]:
            raise NotImplementedError

    names, case = Names(), Case(replace(SETTINGS, names=("mx.example.net",)))
    trio.socket.set_custom_hostname_resolver(names)
    for name in ("192.0.2.25", "192.0.2.26", "fe80::/64"):
        case.penalise(name, 900)
    await _run(case, first=True, lasts=2 * LOOK)
    names.known = False
    await _run(case, case.blocks.said, lasts=3 * LOOK)
    assert len(case.given) == 2
    assert all("{ 192.0.2.26/32 timeout" in text and "fe80" not in text for text in case.given)


async def test_it_is_said_of_whom_the_kernel_refuses() -> None:
    case = Case()
    case.say("block", "192.0.2.0/24")
    assert await case.blocks.of("192.0.2.7") == "refused by the kernel, too: table inet t of nftables"
    for other in ("192.0.0.0/16", "198.51.100.1", "example.net"):
        assert await case.blocks.of(other) == ""
    assert (await case.blocks.words()).startswith("1 addresses and networks refused")


def test_whom_the_configuration_spares(tmp_path: Path) -> None:
    more = """
[[exemptions]]
clients = ["10.2.0.0/16"]
[[policy]]
name = "partner"
clients = ["10.3.0.0/16"]
checks = { spf = { action = "off" } }
[quotas]
exempt = ["10.4.0.0/16"]
"""
    made = _settings(tmp_path, more)
    assert (made.table, made.names) == ("inet t", ("mx.example.net",))
    assert set(map(str, made.spared)) >= {
        *("127.0.0.0/8", "::1/128", "192.0.2.25/32", "2001:db8::25/128"),
        *("10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"),
    }


@pytest.mark.parametrize("action", ["observe", "off", "defer", "reject", "drop", "tarpit", "score"])
def test_the_actions_decide_who_is_put_there(tmp_path: Path, action: str) -> None:
    refuses = action in ("defer", "reject", "drop")
    made = _settings(tmp_path, f'[checks.reputation]\naction = "{action}"\n[checks.blocked]\naction = "reject"\n')
    assert (made.penalties, made.blocks) == (refuses, True)
    made = _settings(tmp_path, f'[checks.reputation]\naction = "reject"\n[checks.blocked]\naction = "{action}"\n')
    assert (made.penalties, made.blocks) == (True, refuses)


def test_nobody_is_where_it_is_off(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(TEXT.format(more="").replace('"inet t"', '""'))
    assert kernel_settings(load(file)) is None
