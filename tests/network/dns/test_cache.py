"""What is remembered: for how long, how much, and what goes first."""

import tracemalloc

import pytest

from smtproxy.network.dns.answers import Answer, Status
from smtproxy.network.dns.cache import Cache, size

YES = Answer(Status.FOUND, ("192.0.2.1",), 60)
NO = Answer(Status.NO_NAME, (), 60)


def test_it_forgets_in_time() -> None:
    cache = Cache(10, 100_000)
    cache.put(("a", "A"), YES, 5.0)
    assert cache.get(("a", "A"), 4.9) is YES
    assert cache.get(("a", "MX"), 4.9) is None
    assert cache.get(("a", "A"), 5.0) is None
    assert (len(cache), cache.octets) == (0, 0)


def test_the_one_longest_not_asked_for_goes_first() -> None:
    cache = Cache(2, 100_000)
    cache.put(("a", "A"), YES, 9)
    cache.put(("b", "A"), NO, 9)
    assert cache.get(("a", "A"), 0) is YES
    cache.put(("c", "A"), NO, 9)
    assert [cache.get((name, "A"), 0) for name in "abc"] == [YES, None, NO]


def test_octets_are_bounded_too() -> None:
    large = Answer(Status.FOUND, ("x" * 4000,), 60)
    cache = Cache(1000, 50_000)
    for number in range(100):
        cache.put((str(number), "TXT"), large, 9)
    assert cache.octets <= 50_000
    assert len(cache) == 50_000 // size(("99", "TXT"), large)
    assert cache.get(("99", "TXT"), 0) is large


def test_one_answer_does_not_throw_out_all_others() -> None:
    cache = Cache(1000, 50_000)
    cache.put(("a", "A"), YES, 9)
    cache.put(("b", "TXT"), YES, 9)
    cache.put(("b", "TXT"), Answer(Status.FOUND, ("x" * 6000,), 60), 9)
    assert len(cache) == 1
    assert cache.get(("b", "TXT"), 0) is None


def test_what_is_put_again_counts_once() -> None:
    cache = Cache(10, 100_000)
    for _ in range(5):
        cache.put(("a", "A"), YES, 9)
    assert cache.octets == size(("a", "A"), YES)


def test_a_zone_is_forgotten() -> None:
    cache = Cache(10, 100_000)
    for name in ("list.test", "2.list.test", "a.2.list.test", "otherlist.test"):
        cache.put((name, "A"), YES, 9)
    cache.forget("list.test")
    assert len(cache) == 1
    assert cache.get(("otherlist.test", "A"), 0) is YES


@pytest.mark.parametrize(
    "answer",
    [
        lambda n: Answer(Status.NO_NAME, (), 60.0 + n, 1.0 + n),
        lambda n: Answer(Status.FOUND, (f"127.0.{n // 200}.{n % 200}",), 60.0 + n, 1.0 + n),
        lambda n: Answer(Status.FOUND, tuple(f"{i} mail-{n}.example.net" for i in range(10)), 60.0 + n, 1.0 + n),
    ],
    ids=["negative", "address", "ten records"],
)
def test_the_octets_are_those_of_this_machine(answer: object) -> None:
    """A full cache takes no more memory than it says, and not much less."""
    cache = Cache(2000, 1 << 30)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(4000):
            made: Answer = answer(number)  # type: ignore[operator]
            cache.put((f"{number}.2.0.192.dnsbl.example.org", "A"), made, 100.0 + number)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(cache) == 2000
    assert cache.octets / 2 < taken < cache.octets, (taken, cache.octets)
