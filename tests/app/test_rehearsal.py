"""A session that did not happen: judged as a real one, with real look-ups, and nobody hears of it."""

from pathlib import Path as File

import pytest

from smtproxy.app.cli import MISTAKE, main
from tests.fakes.name_server import NameServer, name_of, nobody, reply

TEXT = """
server.hostname = "mx.example.org"
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
[backends.b]
servers = ["127.0.0.1:9"]
[dns]
servers = ["127.0.0.1:{port}"]
[checks.spf]
action = "reject"
[checks.header]
action = "reject"
"""


def _world(question: bytes) -> list[bytes]:
    name = name_of(question)
    if name == "strict.test" and question[-15:-11] == b"\x00\x10\x00\x01":
        return [reply(question, 'strict.test. 60 IN TXT "v=spf1 ip4:192.0.2.0/24 -all"')]
    if name == "strict.test":
        return [reply(question, "strict.test. 60 IN A 8.8.4.4")]
    return nobody(question)


def _explained(directory: File, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    with NameServer(_world) as server:
        file = directory / "a.toml"
        file.write_text(TEXT.format(port=server.port))
        assert main(["explain", "-c", str(file), "--hello", "client.test", *more]) == 0
    return capsys.readouterr().out


def test_what_would_be_refused_and_what_would_let_it_in(tmp_path: File, capsys: pytest.CaptureFixture[str]) -> None:
    said = _explained(
        tmp_path,
        capsys,
        "--client",
        "198.51.100.7",
        "--from",
        "a@strict.test",
        "--to",
        "u@example.org",
        "--to",
        "x@y.test",
    )
    assert "recipient <u@example.org>: 550 by spf" in said
    assert 'checks.spf.action = "observe"' in said
    assert "recipient <x@y.test>: 550 by recipient_domain" in said
    assert "a duty: no exemption and no action lifts it" in said
    assert "spf                result fail, domain strict.test" in said


def test_a_message_is_judged_too(tmp_path: File, capsys: pytest.CaptureFixture[str]) -> None:
    message = tmp_path / "message.eml"
    message.write_bytes(b"Subject: no author\n\nx\n")
    address = ["--client", "192.0.2.7", "--from", "<a@strict.test>", "--to", "u@example.org"]
    said = _explained(tmp_path, capsys, *address, "--message", str(message))
    assert "recipient <u@example.org>: accepted" in said
    assert "message: 554 by header" in said
    message.write_bytes(b"From: a@strict.test\nDate: Tue, 24 Nov 2099 10:00:00 +0000\nSubject: x\n\nx\n")
    assert "header_bad_date" in _explained(tmp_path, capsys, *address, "--message", str(message))


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (["--client", "nobody", "--to", "a@b.test"], '--client: "nobody" is no address'),
        (["--client", "192.0.2.7", "--to", "a b"], '--to: "a b" is no address'),
        (["--client", "192.0.2.7", "--to", "a\udcff@b.test"], r'--to: "a\udcff@b.test" is no address'),
        (["--client", "192.0.2.7", "--to", "<a@b.test> x"], '--to: "<a@b.test> x" is more than an address'),
        (["--client", "192.0.2.7", "--to", "a@b.test", "--listener", "x"], '--listener: there is none called "x"'),
        (
            ["--client", "192.0.2.7", "--to", "a@b.test", "--message", "/nowhere/x"],
            "--message: /nowhere/x cannot be read",
        ),
        (["--client", "192.0.2.7"], "needs -c FILE and --to ADDRESS"),
        ([], "explain needs an ID, or --client ADDRESS"),
    ],
)
def test_mistakes(options: list[str], wrong: str, tmp_path: File, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.toml"
    file.write_text(TEXT.format(port=9))
    assert main(["explain", "-c", str(file), *options]) == MISTAKE
    assert wrong in capsys.readouterr().err
