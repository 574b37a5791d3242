"""The DNS as it is: real name servers, dead ones, and lists that go mad while mail comes in."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.programs.name_servers import Nsd, Unbound
from tests.end_to_end.programs.process import HOST, free_port
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy
from tests.fakes.name_server import SOA, NameServer, name_of, nobody, reply

pytestmark = pytest.mark.end_to_end

ZONES = {
    "test": """\
good MX 10 mx.good
mx.good A 8.8.4.4
nomail MX 0 .
bogus MX 10 mx.bogus
mx.bogus A 127.0.0.1
alias CNAME good
client A 198.51.100.7
2.0.0.127.key123.list A 127.0.0.2
8.100.51.198.key123.list A 127.0.0.4
""",
    "100.51.198.in-addr.arpa": "7 PTR client.test.\n8 PTR client.test.\n",
}
BALANCER = "127.0.0.2"
"""By way of which clients come from addresses that are not of this machine."""
LIST = '[[lists]]\nname = "mylist"\nzone = "key123.list.test"\n'


def plan(sink: SmtpSink, servers: Sequence[str], more: str = LIST) -> Plan:
    return Plan(
        [f"127.0.0.1:{sink.port}"],
        listener={"proxy_protocol": [BALANCER]},
        quotas={"exempt": ["0.0.0.0/0"]},
        dns={"servers": list(servers)},
        more=more,
    )


@dataclass(frozen=True, slots=True)
class Said:
    """What a session was answered to RCPT, and how long it took."""

    recipient: str
    seconds: float


def send(port: int, client: str, sender: str = "a@good.test") -> Said:
    """Come from an address by way of a balancer, up to RCPT."""
    begin = time.monotonic()
    with socket.create_connection((HOST, port), 20, (BALANCER, 0)) as sock, sock.makefile("rwb") as peer:

        def say(text: str) -> str:
            peer.write(f"{text}\r\n".encode())
            peer.flush()
            return hear()

        def hear() -> str:
            line = peer.readline()
            while line[3:4] == b"-":
                line = peer.readline()
            return line.decode().strip()

        peer.write(f"PROXY TCP4 {client} {HOST} 4711 25\r\n".encode())
        peer.flush()
        hear()
        say("EHLO client.test")
        say(f"MAIL FROM:<{sender}>")
        recipient = say("RCPT TO:<user@example.org>")
        say("QUIT")
    return Said(recipient, time.monotonic() - begin)


@pytest.fixture(scope="module")
def sink(directory: Path) -> Iterator[SmtpSink]:
    with SmtpSink(directory / "sink-dns", keep=False) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(directory: Path, sink: SmtpSink) -> Iterator[Smtproxy]:
    """One that asks unbound, with nsd behind it."""
    with (
        Nsd(directory / "nsd", ZONES) as nsd,
        Unbound(directory / "unbound", nsd, "test") as unbound,
        Smtproxy(directory / "proxy-dns", plan(sink, [unbound.address])) as running,
    ):
        yield running


@pytest.mark.parametrize(
    ("client", "sender", "answer"),
    [
        ("198.51.100.7", "a@good.test", "250"),
        ("198.51.100.7", "a@alias.test", "250"),
        ("198.51.100.7", "", "250"),
        ("198.51.100.8", "a@good.test", "550 5.7.1 Listed by mylist:198.51.100.8;"),
        ("198.51.100.7", "a@gone.test", "550 5.1.8 Sender's domain gone.test does not exist"),
        ("198.51.100.7", "a@nomail.test", "550 5.7.27"),
        ("198.51.100.7", "a@bogus.test", "550 5.1.8 Mail servers of"),
    ],
)
def test_what_a_session_is_answered(proxy: Smtproxy, client: str, sender: str, answer: str) -> None:
    for _ in range(2):  # and from memory the same
        assert send(proxy.port, client, sender).recipient.startswith(answer)


def test_what_was_seen_stands_in_the_log_and_no_key_does(proxy: Smtproxy) -> None:
    send(proxy.port, "198.51.100.9")
    (line,) = [one for one in proxy.wait_lines("message", 1) if one["client"] == "198.51.100.9"]
    assert "no_reverse_name" in str(line["findings"])
    assert "key123" not in str(proxy.lines())
    assert proxy.lines("list_off") == proxy.lines("dns_down") == []


def test_a_dead_name_server_costs_nothing_after_a_while(directory: Path, sink: SmtpSink) -> None:
    with Smtproxy(directory / "proxy-dead", plan(sink, [f"{HOST}:{free_port()}"])) as proxy:
        said = [send(proxy.port, f"198.51.100.{number}") for number in range(1, 21)]
        assert {one.recipient[:3] for one in said} == {"250"}
        assert max(one.seconds for one in said[1:]) < 1
        assert len(proxy.wait_lines("dns_down", 1)) == 1


def test_a_silent_name_server(directory: Path, sink: SmtpSink) -> None:
    with (
        NameServer(lambda _question: []) as silent,
        Smtproxy(directory / "proxy-silent", plan(sink, [f"{HOST}:{silent.port}"])) as proxy,
    ):
        threads = [threading.Thread(target=send, args=(proxy.port, f"198.51.100.{number}")) for number in range(1, 9)]
        for thread in threads:
            thread.start()
        proxy.wait_lines("dns_down", 1)
        for thread in threads:
            thread.join()
        said = send(proxy.port, "198.51.100.200")
        assert said.recipient.startswith("250")
        assert said.seconds < 1


def well(question: bytes) -> list[bytes]:
    """A list that is well, and a world in which every domain takes mail."""
    name = name_of(question)
    if name == "2.0.0.127.key123.list.test":
        return [reply(question, f"{name}. 300 IN A 127.0.0.2")]
    if name == "good.test" and question[-15:-11] == b"\x00\x0f\x00\x01":
        return [reply(question, "good.test. 300 IN MX 10 mx.good.test.")]
    if name == "mx.good.test":
        return [reply(question, "mx.good.test. 300 IN A 8.8.4.4")]
    return nobody(question)


def answering(address: str) -> Callable[[bytes], list[bytes]]:
    """Make a list that answers so to everything."""

    def behaviour(question: bytes) -> list[bytes]:
        name = name_of(question)
        return [reply(question, f"{name}. 300 IN A {address}")] if name.endswith(".list.test") else well(question)

    return behaviour


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.255.255.254", "error answer 127.255.255.254"),
        ("127.0.0.2", "lists what nobody may list"),
        ("203.0.113.80", "outside 127.0.0.0/8"),
    ],
)
def test_a_list_that_goes_mad_under_load_refuses_no_mail(
    address: str, reason: str, directory: Path, sink: SmtpSink
) -> None:
    """PEERS complaint 2. It was well when the load began, and lists the world, or says so, in the middle of it."""
    with (
        NameServer(well) as server,
        Smtproxy(directory / f"proxy-{address}", plan(sink, [f"{HOST}:{server.port}"])) as proxy,
    ):
        said: list[Said] = []
        sent = threading.Semaphore(0)

        def load(worker: int) -> None:
            for number in range(1, 41):
                said.append(send(proxy.port, f"198.51.{100 + worker}.{number}"))
                sent.release()

        threads = [threading.Thread(target=load, args=(worker,)) for worker in range(5)]
        for thread in threads:
            thread.start()
        for _ in range(60):
            assert sent.acquire(timeout=20)
        server.behaviour = answering(address)
        for thread in threads:
            thread.join()
        assert len(said) == 200
        assert [one.recipient for one in said if not one.recipient.startswith("250")] == []
        (line,) = proxy.wait_lines("list_off", 1)
        assert line["list"] == "mylist"
        assert reason in str(line["reason"])
        assert line["level"] == "error"


def test_lies_are_not_believed(directory: Path, sink: SmtpSink) -> None:
    """Wrong ids and wrong questions in front of each true answer: what they say would refuse all mail."""

    def lying(question: bytes) -> list[bytes]:
        name = name_of(question)
        forged = bytes((question[0] ^ 1,)) + question[1:]
        lies = [reply(forged, f"{name}. 300 IN A 127.0.0.2"), reply(forged, authority=(SOA,), code=3)]
        return [*lies, *well(question)]

    with (
        NameServer(lying) as server,
        Smtproxy(directory / "proxy-lies", plan(sink, [f"{HOST}:{server.port}"])) as proxy,
    ):
        said = [send(proxy.port, f"198.51.100.{number}") for number in range(1, 11)]
        assert {one.recipient[:3] for one in said} == {"250"}
        assert proxy.lines("list_off") == []
