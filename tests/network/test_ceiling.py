"""The ceiling: exact over processes, first come first served between workers, and no place is lost with a worker."""

import os
import select
import signal

import pytest

from smtproxy.network.ceiling import STALE, Ceiling, Ceilings, Page, quieten
from smtproxy.network.pace import SILENT
from smtproxy.network.record_lock import LockFile

BACKEND, SERVER = "exchange", "192.0.2.1:25"


class Shared:
    """Ceilings with the views of some workers."""

    def __init__(self, limit: int, workers: int) -> None:
        self.all = Ceilings(workers, LockFile())
        self.all.allow(BACKEND, SERVER, limit)
        self.workers = [Ceiling(self.page, row) for row in range(workers)]

    @property
    def page(self) -> Page:
        """The page of the only server."""
        page = self.all.page(BACKEND, SERVER)
        assert page is not None
        return page

    def rung(self, row: int) -> bool:
        """Whether the bell of a row rang, which is quiet again then."""
        rings = bool(select.select([self.all.bell(row)], [], [], 0)[0])
        quieten(self.all.bell(row))
        return rings


@pytest.fixture
def two() -> "Shared":
    return Shared(2, 2)


def test_the_ceiling_holds_over_two_workers(two: Shared) -> None:
    one, other = two.workers
    assert [one.take(1.0), other.take(1.0), one.take(1.0), other.take(1.0)] == [True, True, False, False]
    assert (one.held, other.held, one.total, one.has_room()) == (1, 1, 2, False)
    other.give()
    assert one.take(2.0)
    assert (one.held, other.held) == (2, 0)


def test_some_places_are_kept_for_those_who_are_known() -> None:
    one, other = Shared(8, 2).workers
    one.share = other.share = 0.25
    assert one.spare == 2
    assert [one.take(1.0, known=False) for _ in range(4)] == [True] * 4
    assert [other.take(1.0, known=False) for _ in range(4)] == [True, True, False, False]
    assert (other.has_room(), other.has_room(known=True)) == (False, True)
    assert [other.take(1.0) for _ in range(3)] == [True, True, False]
    one.change(3)
    assert one.spare == 0


def test_workers_do_not_ring_for_each_other_about_a_place_that_is_kept() -> None:
    shared = Shared(8, 2)
    one, other = shared.workers
    one.share = other.share = 0.25
    for _ in range(6):
        assert one.take(1.0, known=False)
    one.claim(2.0)
    other.claim(3.0)
    for row in (0, 1):
        shared.rung(row)
    one.claim(2.0)
    assert not one.take(2.0, known=False)
    assert not other.take(3.0, known=False)
    other.claim(3.0)
    assert [shared.rung(row) for row in (0, 1)] == [False, False]
    one.give()
    assert shared.rung(1)


def test_a_private_ceiling_is_nobody_elses() -> None:
    one, other = Ceiling(Page(1)), Ceiling(Page(1))
    assert one.take(1.0)
    assert other.take(1.0)
    one.give()
    one.claim(5.0)
    assert (one.rivals, other.rivals) == (0, 0)


def test_who_has_waited_longer_in_another_worker_comes_first() -> None:
    shared = Shared(1, 2)
    one, other = shared.workers
    other.claim(10.0)
    assert not one.take(11.0)
    assert shared.rung(1)
    assert other.take(10.0)


def test_who_has_waited_shorter_in_another_worker_does_not() -> None:
    one, other = Shared(1, 2).workers
    other.claim(10.0)
    assert one.take(9.0)


def test_a_worker_that_hangs_with_a_claim_keeps_the_others_from_one_place_and_no_more() -> None:
    """It held up everybody for a minute, though places were free."""
    shared = Shared(4, 3)
    one, other, hung = shared.workers
    hung.claim(10.0)
    assert [one.take(11.0), other.take(11.0), one.take(11.0), other.take(11.0)] == [True, True, True, False]
    other.claim(11.0)
    shared.rung(1)
    one.give()
    assert shared.rung(1)
    assert other.take(11.0)


def test_a_claim_that_is_too_old_is_that_of_a_worker_that_hangs() -> None:
    one, other = Shared(1, 2).workers
    other.claim(10.0)
    assert not one.take(9.9 + STALE)
    assert one.take(10.0 + STALE)


def test_who_gives_rings_for_the_two_who_have_waited_longest() -> None:
    four = Shared(1, 4)
    holder, last, late, early = four.workers
    assert holder.take(1.0)
    for worker, since in ((last, 4.0), (late, 3.0), (early, 2.0)):
        worker.claim(since)
    for row in range(4):
        four.rung(row)
    holder.give()
    assert [four.rung(row) for row in range(4)] == [False, False, True, True]


def test_who_begins_to_wait_rings_for_those_who_hold_places(two: Shared) -> None:
    one, other = two.workers
    assert one.take(1.0)
    assert one.take(1.0)
    other.claim(2.0)
    assert (two.rung(0), two.rung(1), one.rivals, other.rivals) == (True, False, 1, 0)
    other.claim(3.0)
    assert not two.rung(0)
    other.claim(0.0)
    assert one.rivals == 0


def test_what_is_left_over_is_passed_on(two: Shared) -> None:
    """Two places became free at once, and the first who waited took one: the other one is for the next."""
    one, other = two.workers
    other.claim(2.0)
    two.rung(1)
    one.claim(0.0)
    assert two.rung(1)


def test_a_lowered_ceiling_is_everybodys(two: Shared) -> None:
    one, other = two.workers
    one.change(0)
    assert other.ceiling == 1
    other.change(99)
    assert (one.ceiling, one.limit) == (2, 2)


def test_one_worker_judges_for_all_on_one_clock() -> None:
    shared = Shared(1, 2).page
    early, late = Ceiling(shared, 0, offset=0.0), Ceiling(shared, 1, offset=100.0)
    assert early.judges(1000.0)
    assert not late.judges(900.0 + SILENT - 0.1)
    assert late.judges(900.0 + SILENT)
    assert not early.judges(1000.0 + SILENT)


def test_times_of_workers_are_compared_on_one_clock() -> None:
    shared = Shared(1, 1).page
    late, early = Ceiling(shared, 0, offset=100.0), Ceiling(shared, 0, offset=0.0)
    late.claim(5.0)
    assert shared.since[0] == 105.0
    early.claim(5.0)
    assert shared.since[0] == 5.0


@pytest.mark.parametrize(
    ("lowered", "limit", "ceiling"), [(None, 3, 3), (None, 16, 16), (4, 16, 4), (4, 3, 3)], ids=str
)
def test_a_reload_sets_the_limit_for_those_who_live(lowered: int | None, limit: int, ceiling: int) -> None:
    shared = Shared(8, 1)
    (worker,) = shared.workers
    if lowered is not None:
        worker.change(lowered)
    assert worker.take(1.0)
    shared.all.allow(BACKEND, SERVER, limit)
    assert (worker.ceiling, worker.held, shared.page.limit) == (ceiling, 1, limit)


def test_the_places_of_a_worker_that_ended_come_back(two: Shared) -> None:
    one, other = two.workers
    assert one.take(1.0)
    assert one.take(1.0)
    one.claim(2.0)
    other.claim(3.0)
    two.rung(1)
    two.all.vacate(0)
    assert (one.held, one.total, other.rivals) == (0, 0, 0)
    assert two.rung(1)
    assert other.take(3.0)


def test_backends_and_servers_have_pages_of_their_own(two: Shared) -> None:
    two.all.allow("other", SERVER, 1)
    assert two.all.page("other", SERVER) is not two.page
    assert two.all.page(BACKEND, "192.0.2.2:25") is None


def _press(shared: Shared, row: int, rounds: int) -> int:
    """Take and give as fast as possible in a process of its own, which tells how many it saw at most; -> its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        worker, most = shared.workers[row], 0
        for number in range(rounds):
            if worker.take(float(number)):
                most = max(most, worker.total)
                worker.give()
        os._exit(most)
    finally:
        os._exit(99)


def test_the_ceiling_is_exact_between_processes() -> None:
    shared = Shared(2, 4)
    children = [_press(shared, row, 3000) for row in range(4)]
    most = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert 1 <= max(most) <= 2  # Some may have found all places taken each time.
    assert shared.page.total == 0


def test_a_worker_that_is_killed_takes_no_lock_with_it() -> None:
    shared = Shared(2, 2)
    pid = _press(shared, 0, 10_000_000)
    while not shared.page.total:
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    shared.all.vacate(0)
    assert shared.workers[1].take(1.0)
    assert shared.workers[1].take(1.0)
    assert not shared.workers[1].take(1.0)


def test_descriptors_are_closed(two: Shared) -> None:
    bell = two.all.bell(0)
    two.all.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(bell)
