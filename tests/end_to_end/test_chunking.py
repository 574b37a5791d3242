"""A hundred mixed mails from Exim to Postfix and from Postfix to Exim: the two that speak BDAT, on either side.

Exim sends by BDAT to whoever offers CHUNKING, Postfix never does; both take it. What arrives must be what was sent,
octet by octet, but for the trace fields in front.
"""

import random
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.programs.exim import Exim
from tests.end_to_end.programs.postfix import Postfix
from tests.end_to_end.programs.process import HOST, wait_until
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

pytestmark = pytest.mark.end_to_end

_MAILS = 100
_SEED = 3030
_MARK = b"X-Number: "


def _bodies() -> Iterator[bytes]:
    """Bodies of all sizes with all that an MTA may stumble over, but for bare newlines and NUL, which MTAs change."""
    dice = random.Random(_SEED)
    eight_bit = bytes(octet for octet in range(1, 256) if octet not in b"\r\n")
    lines = (
        *(b"", b".", b"..", b"...", b".hidden", b" .", b"From here", b"QUIT", b"BDAT 5 LAST", b"."),
        *(b"x" * 998, b"y" * 5000, "Grüße".encode(), "Grüße".encode("latin-1")),
    )
    fixed = (
        *(b"", b"\r\n", b".", b".\r\n", b".\r\n.\r\n", b"\r\n.\r\n", b"no last newline", b"\r\n\r\n\r\n", b"a\r\n."),
        *(b".\r\n" * 2000, b"line\r\n" * 50_000, b"z" * 200_000, b"4" * 4094, b"4" * 4096, b"6" * 65_536),
    )
    yield from fixed
    for _ in range(_MAILS - len(fixed)):
        size = int(10 ** dice.uniform(0, 5.5))
        text = b""
        while len(text) < size:
            word = bytes(dice.choices(eight_bit, k=dice.randint(0, 120)))
            text += dice.choice((*lines, word, word)) + b"\r\n"
        yield text if dice.random() < 0.7 else text.removesuffix(b"\r\n")


def _mails() -> list[bytes]:
    return [
        b"%s%d\r\nFrom: <me@example.net>\r\nDate: Thu, 1 Oct 2026 10:00:00 +0000\r\n"
        b"Message-ID: <%d@example.net>\r\nSubject: mixed\r\n\r\n%s" % (_MARK, number, number, body)
        for number, body in enumerate(_bodies())
    ]


def _stored(mail: bytes) -> bytes:
    """As a maildir holds it: lines end with LF, the last one, too."""
    text = mail.replace(b"\r\n", b"\n")
    return text if text.endswith(b"\n") else text + b"\n"


def _arrived(mail: bytes) -> bytes:
    """Without the fields that MTAs put in front."""
    return mail[mail.index(_MARK) :]


def _plan(server: int, chunking: str, body: str) -> Plan:
    """Larger bodies than 50 KB are streamed, or lie on disk."""
    return Plan(
        [f"{HOST}:{server}"],
        listener={"body": body},
        backend={"chunking": chunking},
        bounds={"body_memory": 50_000},
    )


def _hand_over(port: int, mails: list[bytes], *, chunks: bool) -> None:
    """Give the mails to an MTA that will send them on."""
    with smtplib.SMTP(HOST, port, local_hostname="client.example.net", timeout=60) as client:
        client.ehlo()
        for number, mail in enumerate(mails):
            if not chunks:
                client.sendmail("me@example.net", [f"user-{number}@example.org"], mail)
                continue
            client.docmd("MAIL FROM:<me@example.net> BODY=8BITMIME")
            client.docmd(f"RCPT TO:<user-{number}@example.org>")
            client.send(b"BDAT %d LAST\r\n" % len(mail) + mail)
            code, text = client.getreply()
            assert code == 250, text


def _compare(stored: list[bytes], mails: list[bytes]) -> None:
    arrived = {_number(mail): mail for mail in map(_arrived, stored)}
    assert len(stored) == len(arrived) == len(mails)
    changed = [number for number, mail in enumerate(mails) if arrived[number] != _stored(mail)]
    assert not changed, f"changed on the way: {changed}"


def _number(mail: bytes) -> int:
    return int(mail[len(_MARK) : mail.index(b"\n")])


def _framings(proxy: Smtproxy) -> set[object]:
    """How the bodies travelled, as the log has it; all of them were delivered, once."""
    lines = proxy.wait_lines("message", _MAILS)
    assert [line["outcome"] for line in lines] == ["delivered"] * _MAILS
    return {line.get("framing") for line in lines}


@pytest.mark.parametrize(
    ("chunking", "body", "framing"),
    [("mirror", "auto", "BDAT"), ("mirror", "stream", "BDAT"), ("never", "auto", "BDAT to DATA")],
)
def test_from_exim_to_postfix(directory: Path, chunking: str, body: str, framing: str) -> None:
    mails = _mails()
    here = directory / f"exim-postfix-{chunking}-{body}"
    with (
        Postfix(here / "postfix") as backend,
        Smtproxy(here / "proxy", _plan(backend.port, chunking, body)) as proxy,
        Exim(here / "exim", relay_to=proxy.port) as sender,
    ):
        _hand_over(sender.port, mails, chunks=True)
        sender.wait_empty()
        backend.wait_delivered()
        assert _framings(proxy) == {framing}
        _compare([mail.text.encode("utf-8", "surrogateescape") for mail in backend.mails()], mails)


@pytest.mark.parametrize(("chunking", "framing"), [("always", "DATA to BDAT"), ("mirror", None)])
def test_from_postfix_to_exim(directory: Path, chunking: str, framing: str | None) -> None:
    mails = _mails()
    here = directory / f"postfix-exim-{chunking}"
    with (
        Exim(here / "exim") as backend,
        Smtproxy(here / "proxy", _plan(backend.port, chunking, "auto")) as proxy,
        Postfix(here / "postfix", relay_to=proxy.port) as sender,
    ):
        _hand_over(sender.port, mails, chunks=False)
        sender.wait_delivered()
        wait_until(lambda: len(backend.mails()) >= _MAILS, 60, f"not all mails arrived: {backend.log()[-1500:]}")
        assert _framings(proxy) == {framing}
        _compare(backend.mails(), mails)
