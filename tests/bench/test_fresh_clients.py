"""The load of clients that were never seen: each is another one, and any other reply gives no figures."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import fresh_clients
from tests.end_to_end.programs.process import HOST, ProgramError
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="smtproxy-test-") as name:
        yield Path(name)


def plan(sink: SmtpSink, domain: str) -> Plan:
    listener = {"proxy_protocol": [fresh_clients.BALANCER], "domains": [domain]}
    return Plan([f"{HOST}:{sink.port}"], listener, more='[checks.sender_domain]\naction = "off"\n')


def test_no_client_comes_twice(directory: Path) -> None:
    with SmtpSink(directory / "sink") as sink, Smtproxy(directory / "proxy", plan(sink, "example.org")) as proxy:
        assert fresh_clients.run_apart(proxy.port, 60).seconds > 0
        seen = [line for line in proxy.wait_lines("session", 60) if line["recipients"]]
        assert len({line["client"] for line in seen}) == 60
        assert len({line["hello"] for line in seen}) == 60


def test_another_reply_is_no_figure(directory: Path) -> None:
    with (
        SmtpSink(directory / "sink") as sink,
        Smtproxy(directory / "proxy", plan(sink, "example.com")) as proxy,
        pytest.raises(ProgramError, match="were to come"),
    ):
        fresh_clients.run_apart(proxy.port, 1)
