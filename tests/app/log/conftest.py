"""A log call that blocks would hang the tests: an alarm turns it into a failure. Nothing waits for it otherwise."""

import signal
from collections.abc import Iterator
from types import FrameType

import pytest


class Blocked(BaseException):
    """No Exception: those the log swallows."""


@pytest.fixture(autouse=True)
def nothing_blocks() -> Iterator[None]:
    def expired(_number: int, _frame: FrameType | None) -> None:
        raise Blocked

    previous = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, 60)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)
