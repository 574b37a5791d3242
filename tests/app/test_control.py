"""Supervisor and worker: words, and what is heard when one of them is gone."""

import socket
from collections.abc import Iterator

import pytest

from smtproxy.app.control import GONE, Line, Order, Report


@pytest.fixture
def lines() -> Iterator[tuple[Line, Line]]:
    one, other = (Line(sock) for sock in socket.socketpair())
    yield one, other
    one.close()
    other.close()


def test_words_arrive_in_order(lines: tuple[Line, Line]) -> None:
    supervisor, worker = lines
    assert worker.hear() == []
    supervisor.say(Order.RETIRE, Order.DRAIN)
    supervisor.say(Order.CUT)
    assert worker.hear() == [Order.RETIRE, Order.DRAIN, Order.CUT]


def test_half_a_word_waits_for_its_rest(lines: tuple[Line, Line]) -> None:
    supervisor, worker = lines
    worker.sock.send(b"ready\nbe")
    assert supervisor.hear() == [Report.READY]
    worker.sock.send(b"at\n")
    assert supervisor.hear() == [Report.BEAT]


def test_the_end_is_a_word_and_nobody_is_told_anything_then(lines: tuple[Line, Line]) -> None:
    supervisor, worker = lines
    worker.say(f"{Report.CUT} 3")
    worker.close()
    assert supervisor.hear() == ["cut 3"]
    assert supervisor.hear() == [GONE]
    supervisor.say(Order.CUT)


def test_who_died_with_words_unread_is_gone(lines: tuple[Line, Line]) -> None:
    supervisor, worker = lines
    supervisor.say(Order.DRAIN)
    worker.close()
    assert supervisor.hear() == [GONE]
