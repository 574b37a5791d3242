"""What the proxy remembers, over the end of its process."""

from pathlib import Path

import pytest

from smtproxy.policy.acquaintances import HALF_LIFE
from smtproxy.stores.arithmetic import worth
from smtproxy.stores.sqlite import read
from tests.end_to_end.programs.process import HOST, wait_until
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtp_source import Load, send
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

pytestmark = pytest.mark.end_to_end

KEY = b"1/delivered/127.0.0.0/24"


def deliveries(file: Path) -> float:
    """Return how many deliveries of this machine's network the file of the store has."""
    _, rows = read(file, 0.0)
    return sum(worth(row.expires, row.since, HALF_LIFE) for _, row in rows if row.key == KEY)


def test_who_had_mail_delivered_is_known_after_kill_9_and_after_a_restart(directory: Path) -> None:
    state = directory / "store-state"
    state.mkdir()
    with SmtpSink(directory / "sink") as sink:
        plan = Plan([f"{HOST}:{sink.port}"], server={"state": str(state)}, top="default_exemptions = false\n")

        def mails(proxy: Smtproxy, number: int) -> None:
            assert send(Load(messages=number, sessions=1, octets=100), proxy.port).clean

        file = state / "store.sqlite"
        with Smtproxy(directory / "killed", plan) as proxy:
            mails(proxy, 2)
            wait_until(lambda: deliveries(file) > 1.9, 20, "nothing is written")
            proxy.kill()
        with Smtproxy(directory / "again", plan) as proxy:
            mails(proxy, 1)
            assert proxy.terminate() == 0
        assert 2.9 < deliveries(file) <= 3.01
