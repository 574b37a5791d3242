"""A real balancer in front of the proxy: its clients keep their addresses, and its own checks are served."""

import contextlib
import smtplib
import socket
from pathlib import Path

import pytest

from tests.end_to_end.programs.haproxy import Haproxy
from tests.end_to_end.programs.process import wait_until
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

pytestmark = pytest.mark.end_to_end

BALANCER = "127.0.0.9"
CLIENT = "127.0.0.8"


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
def test_clients_of_a_balancer_keep_their_addresses(version: str, directory: Path) -> None:
    place = directory / version
    with SmtpSink(place, keep=True) as sink:
        plan = Plan([f"127.0.0.1:{sink.port}"], listener={"proxy_protocol": [BALANCER]})
        # The server's checks carry a header as well: they are the balancer speaking for itself.
        options = f" source {BALANCER} {version} check check-send-proxy inter 100ms"
        with Smtproxy(place, plan) as proxy, Haproxy(place, proxy.port, options=options) as balancer:
            with smtplib.SMTP("127.0.0.1", balancer.port, timeout=30, source_address=(CLIENT, 0)) as client:
                client.sendmail("me@example.net", "you@example.org", "Subject: balanced\n\nhello\n")
                port = client.sock.getsockname()[1] if client.sock else 0
            (message,) = proxy.wait_lines("message", 1)
            assert (message["client"], message["proxy"], message["outcome"]) == (CLIENT, BALANCER, "delivered")
            assert f"([{CLIENT}])" in next(iter(sink.mails())).content
            wait_until(
                lambda: any(line["client"] == BALANCER for line in proxy.lines("session")), 20, "no check of haproxy"
            )
            sessions = proxy.lines("session")
            assert [line["port"] for line in sessions if line["client"] == CLIENT] == [port]
            assert not [line for line in sessions if line["ended"] == "proxy_header"]


def test_a_balancer_that_forgets_its_header_is_not_served(directory: Path) -> None:
    place = directory / "forgetful"
    with SmtpSink(place) as sink:
        plan = Plan([f"127.0.0.1:{sink.port}"], listener={"proxy_protocol": [BALANCER]})
        with Smtproxy(place, plan) as proxy:
            with socket.create_connection(("127.0.0.1", proxy.port), 20, (BALANCER, 0)) as connection:
                connection.sendall(b"EHLO client.example\r\n")
                with contextlib.suppress(ConnectionResetError):  # what it said was not even read
                    assert connection.recv(1000) == b""
            wait_until(lambda: proxy.lines("session")[-1]["ended"] == "proxy_header", 20, "no line about it")
