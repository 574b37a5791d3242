"""Events and effects: plain data, compared by their fields, nothing in common between the two."""

from typing import get_args

from smtproxy.session import events
from smtproxy.session.relay import Relay


def test_nothing_is_both_an_event_and_an_effect() -> None:
    assert not set(get_args(events.Event)) & set(get_args(events.Effect))


def test_the_relay_takes_every_event() -> None:
    assert set(Relay._TAKE) == set(get_args(events.Event))


def test_they_are_compared_by_their_fields() -> None:
    assert events.ClientBytes(b"x") == events.ClientBytes(b"x") != events.ClientBytes(b"y")
    assert events.Looked() == events.Looked(b"", closed=False, client_gone=False)
    commit: object = events.Commit(b".\r\n")
    assert commit != events.Forward(b".\r\n")


def test_no_other_effect_than_the_commit_speaks_of_a_terminator() -> None:
    named = {kind.__name__ for kind in get_args(events.Effect) if "terminator" in (kind.__doc__ or "").lower()}
    assert named == {"Commit", "Forward", "ForwardKept"}  # the last two: that they never hold one
