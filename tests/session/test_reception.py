"""Where a body is kept: in memory as long as both bounds allow, and every octet is given back once."""

import tracemalloc

from smtproxy.session.limits import Limits
from smtproxy.session.memory import Memory
from smtproxy.session.reception import Reception
from smtproxy.session.settings import RelaySettings
from tests.session.parts import HOSTNAME, NOW

_SETTINGS = RelaySettings(HOSTNAME, limits=Limits(body_memory=10))


def _reception(total: int = 100, prefix: bytes = b"") -> tuple[Reception, Memory]:
    memory = Memory(total)
    return Reception(_SETTINGS, memory, NOW, prefix), memory


def test_octets_are_kept_while_there_is_room() -> None:
    made, memory = _reception()
    assert made.keep(b"12345")
    assert made.keep(b"67890")
    assert memory.left == 90
    assert made.empty() == b"1234567890"
    assert memory.left == 100


def test_the_bound_of_one_body_is_told_and_nothing_is_lost() -> None:
    made, memory = _reception()
    assert not made.keep(b"12345678901")
    assert made.empty() == b"12345678901"
    assert memory.left == 100


def test_the_bound_of_all_is_told_and_nothing_is_lost() -> None:
    made, memory = _reception(total=3)
    assert not made.keep(b"12345")
    assert memory.left == 3
    assert made.empty() == b"12345"
    assert memory.left == 3


def test_the_smallest_segments_cost_no_more_than_their_octets() -> None:
    settings = RelaySettings(HOSTNAME, limits=Limits(body_memory=1 << 20))
    made = Reception(settings, Memory(1 << 20), NOW, b"")
    tracemalloc.start()
    try:
        for _ in range(100_000):
            made.keep(b"x\n")
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 2 * 200_000


def test_its_rate_is_taken_in_windows_and_others_time_is_not_its_own() -> None:
    made, _ = _reception()
    made.intake.size = 1000
    assert not made.is_slow(NOW + 9.0, 10.0, 50.0)  # no window is over
    assert not made.is_slow(NOW + 10.0, 10.0, 50.0)
    made.others_took(5.0)
    assert not made.is_slow(NOW + 24.0, 10.0, 50.0)
    assert made.is_slow(NOW + 25.0, 10.0, 50.0)  # a thousand octets at the start, and none in this window
    assert (made.started, made.touched) == (NOW + 5.0, NOW + 5.0)


def test_the_trace_header_goes_in_front() -> None:
    made, _ = _reception(prefix=b"Received: x\r\n")
    made.keep(b"text")
    assert made.empty() == b"Received: x\r\ntext"
    assert made.empty() == b""


def test_what_is_dropped_is_given_back_and_a_file_is_told_of_once() -> None:
    made, memory = _reception()
    made.keep(b"12345")
    made.on_disk = True
    assert made.drop()
    assert memory.left == 100
    assert not made.drop()
