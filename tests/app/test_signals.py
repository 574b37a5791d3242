"""Signals come as octets, wait while a process is forked, and mean nothing to a worker."""

import os
import signal

import pytest

from smtproxy.app import signals


def test_signals_are_heard_as_numbers_and_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in signals.SIGNALS]
    with signals.heard() as heard:
        for number in signals.SIGNALS:
            os.kill(os.getpid(), number)
        numbers = b""
        while len(numbers) < len(signals.SIGNALS):
            numbers += heard.recv(10)
        assert sorted(numbers) == sorted(signals.SIGNALS)
    assert [signal.getsignal(number) for number in signals.SIGNALS] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_signals_wait_while_they_are_held_back() -> None:
    with signals.heard() as heard:
        heard.setblocking(False)
        with signals.held_back():
            signal.raise_signal(signal.SIGHUP)  # to this thread: the tests may have others, the supervisor has none
            with pytest.raises(BlockingIOError):
                heard.recv(10)
        heard.setblocking(True)
        assert list(heard.recv(10)) == [signal.SIGHUP]


def test_a_deaf_process_goes_on() -> None:
    pid = os.fork()
    if pid == 0:
        try:
            signals.ignore()
            for number in signals.SIGNALS:
                os.kill(os.getpid(), number)
            os._exit(7)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


@pytest.mark.parametrize(("status", "name"), [(-9, "SIGKILL"), (-15, "SIGTERM"), (0, ""), (1, "")])
def test_the_name_of_a_signal(status: int, name: str) -> None:
    assert signals.name_of(status) == name
