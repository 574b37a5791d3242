"""When octets came that were read later: never claimed to be later than they did, and not much earlier."""

import socket

from smtproxy.network.arrivals import Arrivals, queued


def test_what_is_queued_is_counted_and_left_there() -> None:
    ours, peer = socket.socketpair()
    with ours, peer:
        assert queued(ours) == 0
        peer.sendall(b"12345")
        assert queued(ours) == 5
        assert ours.recv(10) == b"12345"
        assert queued(ours) == 0


def test_what_came_after_silence_came_after_it() -> None:
    assert Arrivals(10.0, 0).reading(50.0, 0, 100) == 10.0


def test_octets_that_were_not_there_at_an_earlier_look_came_later() -> None:
    made = Arrivals(10.0, 0)
    made.reading(50.0, 0, 100)
    assert made.reading(60.0, 50, 70) == 10.0  # octet 50 was among the first hundred
    assert made.reading(70.0, 100, 20) == 50.0  # octet 100 was not
    assert made.reading(80.0, 119, 1) == 50.0  # there at 60: 50 + 70 octets, so it came between 50 and 60
    assert made.reading(90.0, 120, 5) == 80.0


def test_what_was_learnt_of_octets_that_are_read_is_forgotten() -> None:
    made = Arrivals(0.0, 0)
    for number in range(10_000):
        made.reading(float(number), number * 10, 30)
    assert len(made._seen) <= 4
