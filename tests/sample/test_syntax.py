"""The double's own grammar: strict, and honest about what it let pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.sample.syntax import BadSyntax, line_notes, parse_address, parse_chunk, split_command


@pytest.mark.parametrize(
    ("argument", "address", "parameters"),
    [
        (b"FROM:<a@b.example>", "a@b.example", ()),
        (b"from:<a@b.example> SIZE=10 BODY=8BITMIME", "a@b.example", ("SIZE=10", "BODY=8BITMIME")),
        (b"FROM:<>", "", ()),
        (b'FROM:<"a b>\\" c"@b.example>', '"a b>\\" c"@b.example', ()),
        (b"FROM:<a@[IPv6:::1]>", "a@[IPv6:::1]", ()),
        ("FROM:<jürgen@b.example> SMTPUTF8".encode(), "jürgen@b.example", ("SMTPUTF8",)),
    ],
)
def test_canonical_paths(argument: bytes, address: str, parameters: tuple[str, ...]) -> None:
    parsed = parse_address(argument, "FROM:")
    assert (parsed.address, parsed.parameters, parsed.notes) == (address, parameters, ())


@pytest.mark.parametrize(
    ("argument", "note"),
    [
        (b"TO: <a@b.example>", "blank behind the colon"),
        (b"TO:<@r.example,@s.example:a@b.example>", "source route"),
        (b"TO:<a@b.example>  NOTIFY=NEVER", "more than one blank between parameters"),
        (b"TO:<a@b.example> NOTIFY=NEVER notify=FAILURE", "a parameter twice"),
    ],
)
def test_what_is_taken_with_a_note(argument: bytes, note: str) -> None:
    parsed = parse_address(argument, "TO:")
    assert (parsed.address, parsed.notes) == ("a@b.example", (note,))


def test_postmaster_needs_no_domain() -> None:
    assert parse_address(b"TO:<Postmaster> NOTIFY=NEVER", "TO:").address == "Postmaster"
    with pytest.raises(BadSyntax):
        parse_address(b"FROM:<postmaster>", "FROM:")


@pytest.mark.parametrize(
    "argument",
    [
        b"",
        b"<a@b.example>",
        b"FROM:a@b.example",
        b"FROM:<a@b.example",
        b"FROM:<a@b.example>SIZE=1",
        b"FROM:<a@b.example> =1",
        b"FROM:<a b@c.example>",
        b"FROM:<a@b@c.example>",
        b"FROM:<a>",
        b"FROM:<@>",
        b"FROM:<a@b..example>",
        b"FROM:<a\x00@b.example>",
        b"FROM:<\xff@b.example>",
        b"FROM:<" + b"a" * 570 + b"@b>",
    ],
)
def test_bad_paths(argument: bytes) -> None:
    with pytest.raises(BadSyntax):
        parse_address(argument, "FROM:")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"mail FROM:<>", ("MAIL", b"FROM:<>")),
        (b"QUIT", ("QUIT", b"")),
        (b"", ("", b"")),
        (b"\x16\x03\x01 x", ("", b"x")),
        (b"MA\xe4L x", ("", b"x")),
    ],
)
def test_split_command(line: bytes, expected: tuple[str, bytes]) -> None:
    assert split_command(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"NOOP", []),
        (b"NOOP ", ["blank at the end of a command"]),
        (b"NO\rOP", ["control character in a command"]),
        (b"N" * 2049, ["command longer than 2048 octets"]),
    ],
)
def test_line_notes(line: bytes, expected: list[str]) -> None:
    assert line_notes(line) == expected


@pytest.mark.parametrize(
    ("argument", "expected"), [(b"0", (0, False)), (b"10 LAST", (10, True)), (b"86 last", (86, True))]
)
def test_chunks(argument: bytes, expected: tuple[int, bool]) -> None:
    assert parse_chunk(argument) == expected


@pytest.mark.parametrize("argument", [b"", b"-1", b"x", b"1  LAST", b"1 LAST 2", b"9" * 19, b"\xd9\xa1"])
def test_bad_chunks(argument: bytes) -> None:
    with pytest.raises(BadSyntax):
        parse_chunk(argument)


@given(st.binary(max_size=80), st.sampled_from(["FROM:", "TO:"]))
def test_any_octets_are_parsed_or_bad_syntax(octets: bytes, keyword: str) -> None:
    split_command(octets)
    line_notes(octets)
    for argument in (octets, keyword.encode() + b"<" + octets, keyword.encode() + b"<a@b>" + octets):
        try:
            assert "\r" not in parse_address(argument, keyword).address
        except BadSyntax:
            continue
