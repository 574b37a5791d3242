"""Actions are values: equal when they say the same, and never changed."""

from dataclasses import FrozenInstanceError

import pytest

from smtproxy.sample.actions import Close, Send, Wait


def test_actions_compare_by_value() -> None:
    assert Send(b"250 OK\r\n") == Send(b"250 OK\r\n") != Send(b"250 ok\r\n")
    assert Close() == Close()


def test_actions_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Wait(1.0).seconds = 2.0  # type: ignore[misc]
