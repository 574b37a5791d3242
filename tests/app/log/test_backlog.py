"""The rule of what waits and what is lost, alone."""

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtproxy.app.log.backlog import LOST, Backlog, Rank


def lost_line(counts: Mapping[str, int]) -> bytes:
    return b"lost " + b" ".join(b"%b=%d" % (event.encode(), number) for event, number in sorted(counts.items())) + b"\n"


def backlog(capacity: int = 100, reserve: int = 40) -> Backlog:
    return Backlog(capacity=capacity, reserve=reserve, lost_line=lost_line)


def all_of(lines: Backlog) -> list[bytes]:
    out = []
    while taken := lines.take():
        out.append(taken[0])
    return out


def line(name: str, size: int = 10) -> bytes:
    return name.encode().ljust(size - 1, b".") + b"\n"


def test_an_empty_one() -> None:
    lines = backlog()
    assert not lines
    assert lines.take() is None
    assert (lines.octets, lines.lost, lines.unreported) == (0, 0, False)


def test_lines_leave_in_the_order_they_came_whatever_their_rank() -> None:
    lines = backlog()
    for number, rank in enumerate([Rank.MESSAGE, Rank.ORDINARY, Rank.RESERVED, Rank.ORDINARY, Rank.MESSAGE]):
        lines.put(line(str(number)), "e", rank)
    assert lines.octets == 50
    assert all_of(lines) == [line(str(number)) for number in range(5)]
    assert lines.octets == 0


def test_ordinary_lines_cannot_use_the_reserve() -> None:
    lines = backlog()
    for number in range(6):
        lines.put(line(str(number)), "other", Rank.ORDINARY)
    assert not lines.unreported
    lines.put(line("6"), "other", Rank.ORDINARY)
    assert (lines.octets, lines.lost, lines.unreported) == (60, 1, True)


@pytest.mark.parametrize("rank", [Rank.RESERVED, Rank.MESSAGE])
def test_the_others_can(rank: Rank) -> None:
    lines = backlog()
    for number in range(10):
        lines.put(line(str(number)), "e", rank)
    assert (lines.octets, lines.lost) == (100, 0)
    lines.put(line("10"), "e", rank)
    assert (lines.octets, lines.lost) == (100, 1)
    assert all_of(lines) == [*(line(str(number)) for number in range(10)), b"lost e=1\n"]


def test_ordinary_lines_are_pushed_out_first_then_reserved_ones_and_messages_by_nothing() -> None:
    lines = backlog()
    for number in range(6):
        lines.put(line(f"o{number}"), "other", Rank.ORDINARY)
    for number in range(4):
        lines.put(line(f"r{number}"), "session", Rank.RESERVED)
    lines.put(line("r4"), "session", Rank.RESERVED)
    assert lines.lost == 1
    for number in range(6):
        lines.put(line(f"m{number}"), "message", Rank.MESSAGE)
    assert lines.lost == 7
    for number in range(6, 10):
        lines.put(line(f"m{number}"), "message", Rank.MESSAGE)
    lines.put(line("m10"), "message", Rank.MESSAGE)
    lines.put(line("o6"), "other", Rank.ORDINARY)
    lines.put(line("r5"), "session", Rank.RESERVED)
    out = all_of(lines)
    assert [one for one in out if one[:1] == b"m"] == [line(f"m{number}") for number in range(10)]
    assert out.count(b"lost message=1 other=7 session=6\n") == 1
    assert len(out) == 11


def test_the_newest_line_of_a_rank_is_pushed_out() -> None:
    lines = backlog(capacity=30, reserve=0)
    for name in "abc":
        lines.put(line(name), "other", Rank.ORDINARY)
    lines.put(line("m"), "message", Rank.MESSAGE)
    assert all_of(lines) == [line("a"), line("b"), b"lost other=1\n", line("m")]


def test_nothing_is_pushed_out_in_vain() -> None:
    lines = backlog(capacity=30, reserve=0)
    lines.put(line("o"), "other", Rank.ORDINARY)
    lines.put(line("m"), "message", Rank.MESSAGE)
    lines.put(line("big", 25), "session", Rank.RESERVED)
    assert all_of(lines) == [line("o"), line("m"), b"lost session=1\n"]


def test_the_report_stands_where_the_first_loss_was_and_counts_the_later_ones() -> None:
    lines = backlog(capacity=20, reserve=0)
    lines.put(line("a"), "a", Rank.ORDINARY)
    lines.put(line("b", 11), "b", Rank.ORDINARY)
    lines.put(line("c"), "c", Rank.ORDINARY)
    lines.put(line("b", 11), "b", Rank.ORDINARY)
    assert all_of(lines) == [line("a"), b"lost b=2\n", line("c")]
    assert not lines.unreported
    lines.put(line("d", 21), "d", Rank.ORDINARY)
    assert all_of(lines) == [b"lost d=1\n"]
    assert lines.lost == 3


def test_losses_without_a_place_in_the_queue_wait_for_a_mark() -> None:
    lines = backlog()
    lines.lose("a")
    lines.lose("a")
    assert not lines
    assert lines.unreported
    lines.mark()
    lines.mark()
    assert all_of(lines) == [b"lost a=2\n"]


def test_a_report_that_is_lost_is_made_again_and_not_counted_as_a_line() -> None:
    lines = backlog()
    lines.lose("a")
    lines.mark()
    assert lines.take() == (b"lost a=1\n", LOST)
    lines.lose(LOST)
    lines.lose("b")
    lines.mark()
    assert all_of(lines) == [b"lost a=1 b=1\n"]
    assert lines.lost == 2


PUTS = st.tuples(st.sampled_from(list(Rank)), st.integers(1, 60))


@settings(deadline=None)
@given(st.lists(st.one_of(PUTS, st.none()), max_size=60), st.integers(0, 120), st.integers(0, 60))
def test_all_lines_are_bounded_in_order_and_accounted_for(
    steps: list[tuple[Rank, int] | None], capacity: int, reserve: int
) -> None:
    lines = backlog(capacity, reserve)
    put: Counter[str] = Counter()
    taken: list[int] = []
    reported: Counter[str] = Counter()

    def take() -> bool:
        if (one := lines.take()) is None:
            return False
        octets, event = one
        if event == LOST:
            reported.update({name: int(n) for name, n in (word.split("=") for word in octets.decode().split()[1:])})
        else:
            taken.append(int(event.split("-")[1]))
            put[event.split("-")[0]] -= 1
        return True

    names: dict[int, str] = {}
    for number, step in enumerate(steps):
        if step is None:
            take()
            continue
        rank, size = step
        names[number] = rank.name
        put[rank.name] += 1
        lines.put(b"x" * size, f"{rank.name}-{number}", rank)
        assert lines.octets <= capacity
    while take():
        pass
    assert taken == sorted(taken)
    lost = Counter[str]()
    for event, number in reported.items():
        lost[event.split("-")[0]] += number
    assert +lost == +put
    assert lines.lost == sum(lost.values())
    assert not lines.unreported
