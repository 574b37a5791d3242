"""Where a body is kept: in memory as long as both bounds allow, and every octet is given back once."""

import tracemalloc

from smtproxy.session.limits import Limits
from smtproxy.session.memory import Memory
from smtproxy.session.reception import Reception
from smtproxy.session.settings import RelaySettings
from smtproxy.session.slots import Slot
from smtproxy.wire.chunks import Chunk
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
    made.on_disk = 5
    assert made.drop()
    assert memory.left == 100
    assert not made.drop()


def _by_chunks(prefix: bytes = b"") -> tuple[Reception, Memory]:
    settings = RelaySettings(HOSTNAME, limits=Limits(body_memory=100, chunk=8, chunk_end=4))
    memory = Memory(100)
    return Reception(settings, memory, NOW, prefix, chunks_in=True, chunks_out=True), memory


def test_the_end_of_a_body_by_chunks_stays_for_the_commit() -> None:
    made, memory = _by_chunks(b"head")
    made.keep(b"0123456")
    assert (made.leaving, made.fills_chunk) == (7, False)
    made.keep(b"7")
    assert (made.leaving, made.fills_chunk) == (8, True)
    assert made.empty() == b"head0123"
    assert (memory.left, made.leaving) == (96, 0)
    assert made.empty() == b""
    assert made.last_octets() == b"BDAT 4 LAST\r\n4567"
    assert not made.drop()
    assert memory.left == 100


def test_what_goes_to_disk_is_counted_and_is_never_the_end() -> None:
    made, _ = _by_chunks()
    made.keep(b"0123456789")
    assert (made.shelve(), made.on_disk) == (b"012345", 6)
    assert made.last_octets() == b"BDAT 4 LAST\r\n6789"
    assert made.drop()


def test_a_small_body_leaves_with_its_command() -> None:
    made, _ = _by_chunks()
    assert made.last_octets() == b"BDAT 0 LAST\r\n"
    made.keep(b"ab")
    assert made.empty() == b""
    assert made.last_octets() == b"BDAT 2 LAST\r\nab"


def test_time_between_chunks_is_not_the_bodys() -> None:
    made, _ = _by_chunks()
    made.paused = NOW + 1.0
    one = Slot("BDAT")
    made.begin_chunk(one, Chunk(1, last=False), NOW + 31.0)
    assert (made.chunk, made.started, made.intake.left) == (one, NOW + 30.0, 1)


def test_empty_chunks_now_and_then_are_as_slow_as_silence() -> None:
    """A client that said BDAT 0 every nine seconds held a place for an hour while others waited."""
    made, _ = _by_chunks()
    for now in range(9, 28, 9):
        made.paused = NOW + now - 9
        made.begin_chunk(Slot("BDAT"), Chunk(0, last=False), NOW + now)
    assert made.is_slow(NOW + 27.0, 10.0, 50.0)
