"""Strangers get less time for a command and fewer errors. Bodies, and clients with a good record, lose nothing."""

import pytest

from smtproxy.session import events
from smtproxy.session.stress import Stress
from tests.fakes.laboratory import Laboratory
from tests.session.sample import begin, begin_body, codes

SHORT = 10.0


def _session(*, good: bool = False, on: bool = True) -> tuple[Laboratory, Stress]:
    """A client that has said hello."""
    stress = Stress(SHORT)
    stress.on = on
    lab = Laboratory()
    lab.relay.heed(stress)
    lab.event(events.Started(good=good))
    lab.run()
    assert set(codes(lab.send(b"EHLO client.example\r\n"))) == {250}
    return lab, stress


@pytest.mark.parametrize(("good", "on", "patience"), [(False, True, SHORT), (True, True, 300), (False, False, 300)])
def test_strangers_get_less_time_for_a_command(good: bool, on: bool, patience: float) -> None:
    lab, _ = _session(good=good, on=on)
    lab.pass_time(patience - 1)
    assert not lab.finished
    lab.pass_time(1)
    assert (lab.finished, lab.codes[-1], lab.log[-1][1]["ended"]) == (True, 421, "timeout")


def test_it_counts_from_the_last_command() -> None:
    lab, _ = _session()
    for _ in range(5):
        lab.pass_time(SHORT - 1)
        assert codes(lab.send(b"NOOP\r\n")) == [250]


def test_and_from_our_answer() -> None:
    """What the backend took for its reply is no time of the client's."""
    lab, _ = _session()
    begin(lab)
    lab.on_wait = lambda: _later(lab, 60.0)
    assert codes(lab.send(b"RCPT TO:<slow@example.org>\r\n")) == [250]
    lab.on_wait = lambda: None
    lab.pass_time(SHORT - 1)
    assert not lab.finished
    lab.pass_time(1)
    assert lab.finished


def _later(lab: Laboratory, seconds: float) -> None:
    """The backend's reply takes its time."""
    if lab.relay.waits_for is events.Wait.BACKEND:
        lab.now += seconds


def test_who_waits_already_is_not_spared() -> None:
    lab, stress = _session(on=False)
    due = lab.relay.deadline
    stress.on = True
    assert lab.relay.deadline == due - 300 + SHORT


def test_who_was_in_a_hurry_has_time_again() -> None:
    lab, stress = _session()
    lab.pass_time(SHORT - 1)
    stress.on = False
    lab.pass_time(60)
    assert not lab.finished


def test_bodies_keep_their_time() -> None:
    lab, _ = _session()
    begin_body(lab)
    lab.pass_time(60)
    assert not lab.finished


def test_so_do_chunks() -> None:
    lab, _ = _session()
    begin(lab)
    assert codes(lab.send(b"BDAT 5\r\nhello")) == [250]
    lab.pass_time(60)
    assert not lab.finished


def test_a_longer_time_than_usual_is_nobodys() -> None:
    lab, stress = _session()
    stress.command_time = 3600.0
    lab.pass_time(300)
    assert lab.finished


@pytest.mark.parametrize(("good", "heard"), [(False, [500, 500, 500, 421]), (True, [500] * 10)])
def test_strangers_may_make_fewer_errors(good: bool, heard: list[int]) -> None:
    lab, _ = _session(good=good)
    assert codes(lab.send(b"XYZZY\r\n" * 10)) == heard
