"""Clients with too many connections: they hear a 421 in place of the banner, and nobody else notices."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

pytestmark = pytest.mark.end_to_end

GREEDY, MODEST = "127.0.0.5", "127.0.0.6"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_greedy_client_and_a_modest_one(directory: Path, workers: int) -> None:
    place = directory / f"quotas-{workers}"
    with ExitStack() as stack:
        sink = stack.enter_context(SmtpSink(place))
        plan = Plan([f"127.0.0.1:{sink.port}"], quotas={"connections": 3, "exempt": []}, server={"workers": workers})
        proxy = stack.enter_context(Smtproxy(place, plan))

        def banner(source: str) -> bytes:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port), 20, (source, 0)))
            return connection.recv(1000)

        heard = [banner(GREEDY)[:9] for _ in range(10)]
        assert heard == [b"220 mx.ex"] * 3 + [b"421 4.7.0"] * 7
        assert banner(MODEST).startswith(b"220 ")
        refused = [line for line in proxy.wait_lines("session", 7) if line["ended"] == "refused"]
        assert {(line["client"], line["by"]) for line in refused} == {(GREEDY, "quotas")}
        assert len(refused) == 7
