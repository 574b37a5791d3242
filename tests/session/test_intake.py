"""Taking in one body: its end is always found, and nothing comes out once it is spoilt."""

import pytest

from smtproxy.session.intake import Intake
from smtproxy.wire.chunks import Chunk
from smtproxy.wire.newlines import NewlineMode

_BIG = 1 << 20


def _take(made: Intake, octets: bytes, *, pieces: int) -> tuple[bytes, bytes]:
    body = rest = b""
    for at in range(0, len(octets), pieces):
        one, behind = made.feed(octets[at : at + pieces])
        body, rest = body + one, rest + behind
    return body, rest


@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_a_clean_body_comes_out_as_it_went_in(pieces: int) -> None:
    made = Intake(NewlineMode.NORMALISE, _BIG, _BIG)
    body, rest = _take(made, b"Subject: x\r\n\r\n..dots\r\nend\r\n.\r\nQUIT\r\n", pieces=pieces)
    assert (body, rest) == (b"Subject: x\r\n\r\n..dots\r\nend", b"QUIT\r\n")
    assert made.ended
    assert made.terminator == b"\r\n.\r\n"
    assert not made.normalised


def test_an_empty_body_ends_with_a_dot_alone() -> None:
    made = Intake(NewlineMode.NORMALISE, _BIG, _BIG)
    assert made.feed(b".\r\n") == (b"", b"")
    assert made.terminator == b".\r\n"
    assert made.facts().size == 0


@pytest.mark.parametrize("pieces", [1, 1000])
def test_no_line_becomes_a_lone_dot(pieces: int) -> None:
    made = Intake(NewlineMode.NORMALISE, _BIG, _BIG)
    body, _ = _take(made, b"a\n.\nb\r.\r\n.\nc\r\n.\r\n", pieces=pieces)
    assert body == b"a\r\n..\r\nb\r\n..\r\n..\r\nc"
    assert made.normalised
    assert made.facts().bare_newlines


@pytest.mark.parametrize("pieces", [1, 1000])
def test_reject_lets_nothing_out_from_the_first_bare_newline_on(pieces: int) -> None:
    made = Intake(NewlineMode.REJECT, _BIG, _BIG)
    body, rest = _take(made, b"good\r\nbad\nmore\r\n.\r\nNOOP\r\n", pieces=pieces)
    assert b"\n" not in body.replace(b"\r\n", b"")
    assert b"more" not in body
    assert rest == b"NOOP\r\n"
    assert made.spoilt
    assert made.ended
    assert made.dropped > 0


def test_pass_lets_bare_newlines_out_but_not_beside_dots() -> None:
    made = Intake(NewlineMode.PASS, _BIG, _BIG)
    assert made.feed(b"a\nb\r\n.\r\n")[0] == b"a\nb"
    assert not made.spoilt
    made = Intake(NewlineMode.PASS, _BIG, _BIG)
    made.feed(b"a\n.\nb\r\n.\r\n")
    assert made.spoilt
    assert made.facts().dot_line


def test_without_the_duty_bodies_pass_as_they_are() -> None:
    made = Intake(None, _BIG, _BIG)
    assert made.feed(b"a\n.\nb\r\n.\r\n")[0] == b"a\n.\nb"
    assert not made.facts().bare_newlines


def test_too_large_is_counted_and_its_end_is_found() -> None:
    made = Intake(NewlineMode.NORMALISE, 10, _BIG)
    assert made.feed(b"0123456789abc")[0] == b""
    assert made.spoilt
    body, rest = made.feed(b"more\r\n.\r\nQUIT\r\n")
    assert (body, rest) == (b"", b"QUIT\r\n")
    assert made.facts().size == len(b"0123456789abcmore\r\n")
    assert made.dropped == len(b"0123456789abcmore")


def test_the_size_is_what_the_client_sent() -> None:
    made = Intake(NewlineMode.NORMALISE, _BIG, _BIG)
    made.feed(b"a\nb\r\n.\r\n")
    assert made.facts().size == len(b"a\nb\r\n")


def test_what_the_headers_say() -> None:
    made = Intake(NewlineMode.NORMALISE, _BIG, _BIG)
    made.feed(b"Received: a\r\nreceived: b\r\nMessage-ID: <1@x>\r\n\r\nReceived: no\r\n.\r\n")
    facts = made.facts()
    assert (facts.received, facts.message_id) == (2, "<1@x>")


def _chunks(made: Intake, octets: bytes, sizes: list[int]) -> bytes:
    """Feed octets as chunks of these sizes, the last one with all that is left, an octet at a time."""
    body = b""
    for number, size in enumerate([*sizes, len(octets)]):
        text, octets = octets[:size], octets[size:]
        made.begin(Chunk(len(text), last=number == len(sizes)))
        assert made.left == len(text)
        for at in range(len(text) or 1):
            assert not made.complete
            body += made.feed(text[at : at + 1])[0]
        assert (made.complete, made.left) == (True, 0)
    assert made.ended
    return body


@pytest.mark.parametrize("sizes", [[], [0], [1, 1, 1], [3, 0, 5]])
def test_chunks_that_stay_chunks_are_not_looked_at(sizes: list[int]) -> None:
    text = b"a\n.\r\n.\r\r\n\xff\0."
    made = Intake(NewlineMode.REJECT, _BIG, _BIG, chunks_in=True, chunks_out=True)
    assert _chunks(made, text, sizes) == text
    assert (made.spoilt, made.normalised, made.lengthened, made.facts().size) == (False, False, False, len(text))


@pytest.mark.parametrize("sizes", [[], [0], [1, 1, 1], [3, 0, 5]])
@pytest.mark.parametrize(
    ("text", "body", "changed"),
    [
        (b".\r\n..\r\n.", b"..\r\n...\r\n..", (False, True)),
        (b"a\r\n.b\r\n", b"a\r\n..b", (False, False)),
        (b"a\n.\n.b\r.\r\n", b"a\r\n..\r\n..b\r\n..", (True, False)),
        (b"a\n", b"a", (True, False)),
        (b"a\r", b"a", (True, False)),
        (b"\r\n", b"", (False, False)),
        (b"\r\n\r\n", b"\r\n", (False, False)),
        (b"a", b"a", (False, True)),
    ],
)
def test_chunks_become_data(text: bytes, body: bytes, changed: tuple[bool, bool], sizes: list[int]) -> None:
    made = Intake(NewlineMode.NORMALISE, _BIG, _BIG, chunks_in=True)
    assert _chunks(made, text, sizes) == body
    assert made.terminator == b"\r\n.\r\n"
    assert (made.normalised, made.lengthened) == changed


def test_no_octet_in_chunks_is_a_lone_dot_in_data() -> None:
    made = Intake(NewlineMode.NORMALISE, _BIG, _BIG, chunks_in=True)
    assert _chunks(made, b"", []) == b""
    assert made.terminator == b".\r\n"
    assert made.facts().size == 0


@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_data_becomes_a_chunk(pieces: int) -> None:
    made = Intake(NewlineMode.NORMALISE, _BIG, _BIG, chunks_out=True)
    body, rest = _take(made, b"..\r\n...a\r\nb..\n.\nend\r\n.\r\n", pieces=pieces)
    assert (body, rest) == (b".\r\n..a\r\nb..\r\n.\r\nend\r\n", b"")


def test_a_chunk_that_says_it_is_too_large_spoils_the_body_at_once() -> None:
    made = Intake(None, 10, _BIG, chunks_in=True)
    made.begin(Chunk(8, last=False))
    assert made.feed(b"12345678")[0] == b"12345678"
    made.begin(Chunk(3, last=True))
    assert made.spoilt
    assert made.feed(b"9ab")[0] == b""
    assert made.ended
    assert made.facts().size == 11
