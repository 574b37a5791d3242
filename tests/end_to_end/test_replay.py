"""A log of a real smtproxy, with facts from a real resolver, SPF, DKIM and DMARC, judged again and explained."""

import contextlib
import io
import random
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import dns.message
import dns.rdatatype
import pytest

from smtproxy.app.cli import main
from tests.end_to_end.programs.process import HOST
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy
from tests.fakes.name_server import NameServer, name_of, nobody, reply

pytestmark = pytest.mark.end_to_end

BALANCER = "127.0.0.2"
MORE = """
[[lists]]
name = "mylist"
zone = "list.test"
[checks.spf]
action = "reject"
[checks.dmarc]
action = "reject"
[checks.header]
action = "score"
weight = 2
[checks.reverse_name]
action = "score"
[score]
defer = 3
[[exemptions]]
recipients = ["open@example.org"]
[[policy]]
name = "mild"
recipients = ["mild@example.org"]
checks.dmarc.action = "observe"
[[rules]]
name = "big"
stage = "message"
when = "size > 3000"
then = "defer"
[recipients]
[[recipients.sources]]
kind = "file"
path = "recipients.txt"
"""
RECORDS = {
    ("2.0.0.127.list.test", "A"): "127.0.0.2",
    ("strict.test", "TXT"): '"v=spf1 ip4:198.51.1.0/24 -all"',
    ("_dmarc.strict.test", "TXT"): '"v=DMARC1; p=reject"',
    ("strict.test", "MX"): "10 mx.strict.test.",
    ("loose.test", "MX"): "10 mx.strict.test.",
    ("mx.strict.test", "A"): "8.8.4.4",
    ("1.1.51.198.in-addr.arpa", "PTR"): "mx.client.test.",
    ("mx.client.test", "A"): "198.51.1.1",
}
CLIENTS = ("198.51.1.1", "198.51.2.2", "198.51.3.3")
SENDERS = ("a@strict.test", "a@loose.test", "a@nowhere.test", "a@broken.test", "")
RECIPIENTS = ("user@example.org", "mild@example.org", "open@example.org", "nobody@example.org", "x@foreign.test")
FROMS = ("From: a@strict.test\r\n", "From: a@loose.test\r\n", "", "From: a@x.test\r\nFrom: b@y.test\r\n")


def world(question: bytes) -> Sequence[bytes]:
    """Zones of the test; one client is listed, and one domain's name server answers nothing useful."""
    name, kind = name_of(question), dns.rdatatype.to_text(dns.message.from_wire(question).question[0].rdtype)
    if name.endswith("broken.test"):
        return [reply(question, code=2)]
    if name == "3.3.51.198.list.test" or name.split(".")[:-2][-3:] == ["128", "127"]:
        return [reply(question, f"{name}. 60 IN A 127.0.0.2")] if name.startswith("3.3.51") else nobody(question)
    record = RECORDS.get((name, kind))
    if record is not None:
        return [reply(question, f"{name}. 60 IN {kind} {record}")]
    known = any(one == name for one, _ in RECORDS)
    return [reply(question, authority=("test. 60 IN SOA ns.test. h.test. 1 2 3 4 60",))] if known else nobody(question)


def send(port: int, client: str, sender: str, recipients: Sequence[str], message: str) -> None:
    """Send a mail by way of a balancer, as far as it goes."""
    with socket.create_connection((HOST, port), 20, (BALANCER, 0)) as sock, sock.makefile("rwb") as peer:

        def say(text: str) -> int:
            peer.write(f"{text}\r\n".encode())
            peer.flush()
            line = peer.readline()
            while line[3:4] == b"-":
                line = peer.readline()
            return int(line[:3] or b"0")

        say(f"PROXY TCP4 {client} {HOST} 4711 25")
        say("EHLO client.test")
        say(f"MAIL FROM:<{sender}>")
        if 250 in [say(f"RCPT TO:<{one}>") for one in recipients] and say("DATA") == 354:
            say(f"{message}\r\n.")
        say("QUIT")


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[SmtpSink]:
    with SmtpSink(tmp_path / "sink") as running:
        yield running


def _said(*arguments: str) -> tuple[int, str]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        out.reconfigure = lambda **_: None  # type: ignore[attr-defined] # main() sets how it is encoded
        status = main(arguments)
    return status, out.getvalue()


def test_the_same_configuration_decides_the_same(tmp_path: Path, sink: SmtpSink) -> None:
    draw = random.Random(4)
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "recipients.txt").write_text("user@example.org\nmild@example.org\nopen@example.org\n")
    with NameServer(world) as server:
        plan = Plan(
            [f"{HOST}:{sink.port}"],
            listener={"proxy_protocol": [BALANCER]},
            quotas={"exempt": ["0.0.0.0/0"]},
            dns={"servers": [f"{HOST}:{server.port}"]},
            more=MORE,
        )
        with Smtproxy(tmp_path / "proxy", plan) as proxy:
            for number in range(120):
                client, sender, head = draw.choice(CLIENTS), draw.choice(SENDERS), draw.choice(FROMS)
                to = draw.sample(RECIPIENTS, draw.randint(1, 3))
                text = "x" * 76 + "\r\n"
                message = f"{head}Message-ID: <{number}@test>\r\n\r\n{text * draw.choice((1, 50))}"
                send(proxy.port, client, sender, to, message)
            lines = proxy.wait_lines("message", 120)
            proxy.wait_lines("session", 120)
            log = str(proxy.child.output_path)
    records = [line["evidence"] for line in lines]
    deciders = {one.get("by") for record in records for one in record["decisions"]}  # type: ignore[index]
    assert deciders >= {
        "score",
        "recipients",
        "spf",
        "policy",
        "sender_domain",
        "dmarc",
        "null_sender",
        "dnsbl",
        "rule:big",
    }
    configuration = str(proxy.configuration)
    status, said = _said("replay", "--log", log, "-c", configuration)
    assert (status, said.splitlines()[0].partition(" judged ")[2]) == (0, "again, 0 differ"), said
    other = tmp_path / "proxy" / "other.toml"
    other.write_text(
        proxy.configuration.read_text().replace('[checks.spf]\naction = "reject"', '[checks.spf]\naction = "observe"')
    )
    status, said = _said("replay", "--log", log, "-c", str(other))
    assert status == 1
    assert "newly accepted by spf" in said
    refused = next(
        line
        for line in lines
        if any(one.get("by") == "spf" for one in line["evidence"]["decisions"])  # type: ignore[index]
    )
    status, said = _said("explain", str(refused["transaction"]), "--log", log, "-c", configuration)
    assert status == 0
    assert "spf" in said
