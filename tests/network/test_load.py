"""How busy this process is: measured by files as the kernel writes them, and told to overload, log and sessions."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from smtproxy.network.load import (
    INTERVAL,
    Gauges,
    free_descriptors,
    gauges_of,
    memory_limit,
    own_memory,
    processors,
    watch_load,
)
from smtproxy.policy.overload import STEADY, Level, Overload, OverloadSettings
from smtproxy.session.records import Event
from tests.fakes.journal import FakeJournal
from tests.network.stage import no_descriptors_left, quiet, stage, until

PAGE = os.sysconf("SC_PAGE_SIZE")
WELL = Gauges(lambda: 0.1, lambda: 1000)


class Somebody:
    """A session that is told to look."""

    looked = 0

    def look_at_clock(self) -> None:
        self.looked += 1


@dataclass
class Machine:
    """A root directory with what the kernel tells of a process."""

    root: Path

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One with 4 GiB, whose process has 100 pages, 40 of them shared, and is in no control group that limits it."""
    made = Machine(tmp_path)
    made.write("proc/meminfo", "MemTotal:        4194304 kB\nMemFree:           99999 kB\n")
    made.write("proc/self/statm", "900 100 40 1 0 200 0\n")
    made.write("proc/self/cgroup", "0::/system.slice/smtproxy.service\n")
    made.write("sys/fs/cgroup/system.slice/smtproxy.service/memory.max", "max\n")
    return made


def test_memory_that_belongs_to_this_process_alone(machine: Machine) -> None:
    assert own_memory(machine.root) == 60 * PAGE


def test_all_the_memory_of_the_machine(machine: Machine) -> None:
    assert memory_limit(machine.root) == 4 << 30


@pytest.mark.parametrize("group", ["system.slice/smtproxy.service", "system.slice"])
def test_a_limit_of_the_group_or_of_one_above_it(machine: Machine, group: str) -> None:
    machine.write(f"sys/fs/cgroup/{group}/memory.max", "1073741824\n")
    assert memory_limit(machine.root) == 1 << 30


def test_a_container_sees_its_own_group_as_the_root(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/\n")
    machine.write("sys/fs/cgroup/memory.max", "268435456\n")
    assert memory_limit(machine.root) == 256 << 20


def test_more_than_the_machine_has_is_no_limit(machine: Machine) -> None:
    machine.write("sys/fs/cgroup/system.slice/memory.max", str(1 << 40))
    assert memory_limit(machine.root) == 4 << 30


def test_the_share_counts_all_siblings(machine: Machine) -> None:
    machine.write("sys/fs/cgroup/system.slice/memory.max", str(600 * PAGE))
    assert gauges_of(3, machine.root).memory() == pytest.approx(0.3)


@pytest.mark.parametrize("broken", ["proc/self/statm", "proc/meminfo"])
def test_what_cannot_be_read_is_not_known(machine: Machine, broken: str) -> None:
    (machine.root / broken).write_text("no numbers\n")
    assert gauges_of(1, machine.root).memory() is None


@pytest.mark.parametrize(
    ("group", "quota", "most"),
    [
        ("system.slice/smtproxy.service", "50000 100000", 1),
        ("system.slice", "150000 100000", 2),
        ("system.slice", "9000000 100000", 4),
        ("system.slice", "max 100000", 4),
        ("system.slice", "1 0", 4),
        ("elsewhere", "50000 100000", 4),
    ],
)
def test_processors_that_we_may_use(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, group: str, quota: str, most: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5})
    machine.write(f"sys/fs/cgroup/{group}/cpu.max", f"{quota}\n")
    assert processors(machine.root) == most


def test_without_control_groups_it_is_the_affinity(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    machine.write("proc/self/cgroup", "5:cpu:/somewhere\n")
    assert processors(machine.root) == 3


def test_descriptors_that_nobody_can_count(machine: Machine) -> None:
    assert free_descriptors(machine.root) is None
    assert gauges_of(1, machine.root).descriptors() is None


def test_this_very_process() -> None:
    """As far as its kernel tells: the number of descriptors since Linux 6.2."""
    gauges = gauges_of(1)
    share = gauges.memory()
    assert share is not None
    assert 0 < share < 1
    before = gauges.descriptors()
    if before is not None:
        with open(os.devnull):  # noqa: PTH123 - a descriptor, no file
            assert gauges.descriptors() == before - 1
        with no_descriptors_left():
            assert (gauges.descriptors() or 0) < 5


async def test_a_level_is_logged_with_all_that_was_measured(mock_clock: MockClock) -> None:
    journal, overload, sessions = FakeJournal(), Overload(OverloadSettings(), 100), [Somebody() for _ in range(60)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_load, overload, sessions, Gauges(lambda: 0.25, lambda: None), journal)
        for _ in range(STEADY):
            await quiet()
            mock_clock.jump(INTERVAL + 2.5)
        await until(lambda: bool(journal.lines))
        nursery.cancel_scope.cancel()
    assert journal.one(Event.OVERLOAD) == {
        "pid": os.getpid(),
        "state": "stressed",
        "before": "calm",
        "because": "lag",
        "sessions": 60,
        "room": 50,
        "lag": 2.5,
        "memory": 0.25,
        "descriptors": None,
        "turned_away": 0,
    }
    assert {one.looked for one in sessions} == {1}


async def test_a_loop_in_time_has_no_lag(autojump_clock: MockClock) -> None:
    journal, overload = FakeJournal(), Overload(OverloadSettings(lag=0.01), 100)
    with trio.move_on_after(100):
        await watch_load(overload, [Somebody()] * 60, WELL, journal)
    assert (overload.level, journal.lines) == (Level.CALM, [])


async def test_who_waits_already_is_waited_for_no_longer(mock_clock: MockClock) -> None:
    """An idle client's deadline is kept by its session; it is looked at again when stress begins, and when it ends."""
    overload = Overload(OverloadSettings(calm_after=5.0), 1)
    async with stage(overload=overload) as here, trio.open_nursery() as nursery:
        idle, other = await here.enter(), await here.enter()
        await idle.says_hello()
        await other.says_hello()
        here.sweep()  # their deadlines are known from now on
        nursery.start_soon(watch_load, overload, [one.session for one in here.guests], WELL, here.journal)
        await here.pass_time(INTERVAL)
        assert here.journal.one(Event.OVERLOAD)["state"] == "full"
        await here.pass_time(8)
        here.sweep()
        assert here.endings() == []
        assert await other.codes(b"NOOP\r\n") == [250]
        await here.pass_time(2)
        await here.swept(lambda: bool(here.endings()))
        assert here.endings() == ["timeout"]
        (reply,) = await idle.client.hear(1)
        assert reply.text.startswith("4.4.2 Timeout waiting for a command")
        nursery.cancel_scope.cancel()
