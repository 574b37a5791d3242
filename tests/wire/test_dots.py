"""Tests of dot-stuffing: put on and taken off, whatever the cuts."""

import re
from itertools import product

import pytest
from hypothesis import given

from smtproxy.wire.dots import Dots
from tests.wire.pieces import PROPERTY, cut, every_cut, octets


def run(dots: Dots, pieces: list[bytes]) -> bytes:
    out = b"".join([dots.feed(piece) for piece in pieces])
    return out + dots.finish()


def stuffed(body: bytes) -> bytes:
    return re.sub(rb"(\A|\r\n)\.", rb"\1..", body)


def stuffed_behind_any_newline(body: bytes) -> bytes:
    return re.sub(rb"(\A|[\r\n])\.", rb"\1..", body)


def unstuffed(body: bytes) -> bytes:
    return re.sub(rb"(\A|\r\n)\.", rb"\1", body)


def check(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    assert run(Dots(stuff=True), pieces) == stuffed(body)
    assert run(Dots(stuff=True, any_newline=True), pieces) == stuffed_behind_any_newline(body)
    assert run(Dots(stuff=False), pieces) == unstuffed(body)


def test_all_short_bodies_in_all_cuts() -> None:
    for length in range(6):
        for characters in product((b"\r", b"\n", b".", b"a"), repeat=length):
            for pieces in every_cut(b"".join(characters)):
                check(pieces)


@PROPERTY
@given(cut(octets()))
def test_agrees_with_one_substitution(pieces: list[bytes]) -> None:
    check(pieces)


@PROPERTY
@given(cut(octets()))
def test_what_is_put_on_can_be_taken_off(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    wire = run(Dots(stuff=True), pieces)
    assert b"\r\n.\r\n" not in b"\r\n" + wire
    assert run(Dots(stuff=False), [wire]) == body


@pytest.mark.parametrize(
    ("body", "held"), [(b"a\r\n", b"\r\n"), (b"a\n", b"\n"), (b"a\r", b"\r"), (b"a\r\n\r\n", b"\r\n"), (b"a", b"")]
)
def test_the_last_newline_is_held_back(body: bytes, held: bytes) -> None:
    for pieces in every_cut(body):
        dots = Dots(stuff=True)
        out = b"".join([dots.feed(piece) for piece in pieces])
        assert (out, dots.finish()) == (body.removesuffix(held), held)
