"""The verdict at the end of a message: each reason for a refusal, and the id that the reply names."""

from dataclasses import replace

import pytest

from smtproxy.sample.profile import Profile, UnknownRecipients
from smtproxy.sample.profiles import EXCHANGE
from smtproxy.sample.record import Delivery, Recipient
from smtproxy.sample.transaction import Transaction, judge

FILTER = replace(EXCHANGE, unknown_recipients=UnknownRecipients.RECIPIENT_FILTER)
STRICT = replace(EXCHANGE, refuses_bare_newlines=True)


def verdict(profile: Profile, body: bytes, *, recipients: int = 1, unknown: bool = False) -> tuple[str, str]:
    transaction = Transaction(recipients=[Recipient("a@example.org")] * recipients, unknown=unknown)
    message = Delivery(1, "", "", "", (), (), "DATA", body, body, len(body), 9)
    return judge(profile, transaction, message)


@pytest.mark.parametrize(
    ("profile", "body", "code"),
    [
        (EXCHANGE, b"", "250"),
        (EXCHANGE, b"a\nb\rc\r\n", "250"),
        (STRICT, b"a\r\nb\r\n", "250"),
        (STRICT, b"a\nb\r\n", "550 5.6.11"),
        (STRICT, b"a\rb\r\n", "550 5.6.11"),
        (replace(EXCHANGE, max_size=3), b"abc", "250"),
        (replace(EXCHANGE, max_size=3), b"abcd", "552 5.3.4"),
        (EXCHANGE, b"Received: x\r\n" * 30 + b"\r\n", "250"),
        (EXCHANGE, b"Received: x\r\n" * 31 + b"\r\n", "554 5.4.6"),
        (EXCHANGE, b"\r\n" + b"Received: x\r\n" * 31, "250"),
    ],
)
def test_content(profile: Profile, body: bytes, code: str) -> None:
    assert verdict(profile, body)[0].startswith(code)


def test_recipients() -> None:
    assert verdict(EXCHANGE, b"", recipients=0)[0].startswith("503")
    assert verdict(EXCHANGE, b"", unknown=True)[0].startswith("250")
    assert verdict(FILTER, b"", unknown=True)[0].startswith("550 5.1.10")
    assert verdict(FILTER, b"", unknown=False)[0].startswith("250")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"Subject: a\r\nMessage-ID: <x@y>\r\n\r\n", "<x@y>"),
        (b"message-id:\r\n <x@y>\r\n\r\n", "<x@y>"),
        (b"Subject: a\r\n\r\nMessage-ID: <x@y>\r\n", "<9@mx1.example.org>"),
        (b"Message-ID: <x y>\r\n\r\n", "<9@mx1.example.org>"),
        (b"Message-ID: <x@y\r\n z>\r\n\r\n", "<9@mx1.example.org>"),
    ],
)
def test_message_id(body: bytes, expected: str) -> None:
    assert verdict(EXCHANGE, body)[1] == expected
