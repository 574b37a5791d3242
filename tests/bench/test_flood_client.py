"""The flood: bots that stay are held as long as they are delayed, those that come are refused, and none delivers."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import flood_client
from bench.flood_client import Flood, FloodClient, source
from bench.sink import Sink
from tests.end_to_end.programs.process import HOST, ProgramError
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

TOP = "default_exemptions = false\n"
TARPIT = """\
[tarpit]
delay = "30s"
max_per_client = 1
[checks.hello]
action = "tarpit"
[checks.sender_domain]
action = "off"
[checks.spf]
action = "off"
[checks.dmarc]
action = "off"
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="smtproxy-test-") as name:
        yield Path(name)


def test_no_address_comes_twice_in_a_flood() -> None:
    assert len({source(number) for number in range(100_000)}) == 100_000
    assert (source(0), source(39_999), source(40_000)) == ("127.1.1.1", "127.1.200.200", "127.2.1.1")


def test_what_the_bots_say_is_one_reply_each() -> None:
    assert [said[:4] for said in flood_client.SAID] == [b"EHLO", b"MAIL", b"RCPT", b"QUIT"]


@pytest.mark.end_to_end
def test_bots_are_held_and_refused_and_the_backend_sees_none_of_them(directory: Path) -> None:
    with Sink(directory / "sink", ()) as sink:
        plan = Plan([f"{HOST}:{sink.port}"], top=TOP, more=TARPIT)
        with (
            Smtproxy(directory / "proxy", plan) as proxy,
            FloodClient(directory / "held", proxy.port, held=20) as held,
            FloodClient(directory / "coming", proxy.port, held=0, rate=50) as coming,
        ):
            asked = sink.counts().mails  # smtproxy itself asks it something at the start
            proxy.wait_lines("session", 20)
            came, stayed = coming.over(), held.over()
            assert sink.counts().mails == asked
    assert (stayed.staying, stayed.returned, stayed.accepted) == (20, 0, 0)
    assert came.refused >= 15
    assert (came.turned_away, came.accepted) == (0, 0)


def test_bots_that_are_not_let_in_are_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood_client, "SLACK", 0.05)
    reader, writer = os.pipe()
    try:
        with pytest.raises(ProgramError, match="only 0 of 2 bots"):
            Flood(1, 2, 0.0, 0).run(reader)
    finally:
        os.close(reader)
        os.close(writer)
