"""Replies are spelled as the profile says, and the list of keywords is read as a client reads it."""

from dataclasses import replace

import pytest

from smtproxy.sample.profile import Profile, encode, vulnerable

PLAIN = Profile(ehlo=("SIZE 1000", "8bitmime", "AUTH=LOGIN"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("250 OK", b"250 OK\r\n"),
        ("250", b"250 \r\n"),
        ("250 a\nb\nc", b"250-a\r\n250-b\r\n250 c\r\n"),
        ("214-a\n214 b", b"214-a\r\n214 b\r\n"),
        ("250 grün", "250 grün\r\n".encode()),
    ],
)
def test_encode(text: str, expected: bytes) -> None:
    assert encode(text, PLAIN) == expected


def test_odd_spelling() -> None:
    odd = replace(PLAIN, blank=b"", line_end=b"\n")
    assert encode("250 a\nb", odd) == b"250-a\n250b\n"


def test_keywords() -> None:
    assert PLAIN.keywords == {"SIZE", "8BITMIME", "AUTH"}
    assert replace(PLAIN, ehlo=None).keywords == frozenset()


def test_vulnerable_still_takes_the_right_end() -> None:
    assert vulnerable(PLAIN, b"\n.\n").end_of_data == (b"\r\n.\r\n", b"\n.\n")
