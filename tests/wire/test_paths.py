"""Tests of paths: what is compared and what is sent is the same mailbox, whatever tricks its spelling plays."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.wire.errors import Fault, PeerError
from smtproxy.wire.paths import NULL_PATH, Path, domain_key, parse_path
from tests.wire.pieces import PROPERTY, octets


@pytest.mark.parametrize(
    ("text", "path", "rest"),
    [
        (b"<a@b.example>", Path("a", "b.example"), b""),
        (b"a@b.example", Path("a", "b.example"), b""),
        (b"<a@b.example> SIZE=1", Path("a", "b.example"), b" SIZE=1"),
        (b"a@b.example\tSIZE=1", Path("a", "b.example"), b"\tSIZE=1"),
        (b"<a@B.Example.>", Path("a", "B.Example"), b""),
        (b"<>", NULL_PATH, b""),
        (b"<> BODY=7BIT", NULL_PATH, b" BODY=7BIT"),
        (b"<postmaster>", Path("postmaster", ""), b""),
        (b"Postmaster", Path("Postmaster", ""), b""),
        (b"<postmaster@b.example>", Path("postmaster", "b.example"), b""),
        (b"<@x.example:a@b.example>", Path("a", "b.example"), b""),
        (b"<@x.example,@[192.0.2.1],@[IPv6:2001:db8::1]:a@b.example>", Path("a", "b.example"), b""),
        (b'<"a b"@c.example>', Path('"a b"', "c.example"), b""),
        (b'<"a@x"@c.example>', Path('"a@x"', "c.example"), b""),
        (b'<"a>b<"@c.example>', Path('"a>b<"', "c.example"), b""),
        (b'<"a\\"b\\\\"@c.example>', Path('"a\\"b\\\\"', "c.example"), b""),
        (b"<a@[192.0.2.1]>", Path("a", "[192.0.2.1]"), b""),
        (b"<a@[IPv6:2001:DB8::1]>", Path("a", "[IPv6:2001:DB8::1]"), b""),
        (b"<victim%net@ours.example>", Path("victim%net", "ours.example"), b""),
        (b"<net!victim@ours.example>", Path("net!victim", "ours.example"), b""),
        (b"<.a..b.@c.example>", Path(".a..b.", "c.example"), b""),
        (b"<a=b+c/d@under_score.example>", Path("a=b+c/d", "under_score.example"), b""),
        (b"<root@localhost>", Path("root", "localhost"), b""),
        ("<jörg@exämple.example>".encode(), Path("jörg", "exämple.example"), b""),
        (b"<" + b"l" * 256 + b"@" + b"d." * 127 + b"d>", Path("l" * 256, "d." * 127 + "d"), b""),
        (b"<a@" + b"d" * 63 + b">", Path("a", "d" * 63), b""),
    ],
)
def test_paths(text: bytes, path: Path, rest: bytes) -> None:
    assert parse_path(text) == (path, rest)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" <a@b>",
        b"<",
        b">",
        b"< >",
        b"<a@b",
        b"a@b>",
        b"<<a@b>>",
        b"<a@b>>",
        b"<a@b>x",
        b"<a>",
        b"<a@>",
        b"<@b>",
        b"<a@b@c>",
        b"<a @b>",
        b"<a@ b>",
        b"<a@b >",
        b"<a@b\0>",
        b"<a\r@b>",
        b"<a@b\r\n>",
        b"<a@b>\n",
        b"<a@b\x7f>",
        b"<a@b..c>",
        b"<a@.b>",
        b"<a@b..>",
        b"<a@.>",
        b"<a@b%c>",
        b"<a@b,c>",
        b"<a@b/c>",
        b"<a@b:25>",
        b"<a(x)@b>",
        b"<a@b(x)>",
        b"<a\\@b@c>",
        b"<a:b@c>",
        b'<"a@b>',
        b'<"a"x@b>',
        b'<"a".b@c>',
        b'<""@b>',
        b'<"a\\"@b>',
        b'<"a\tb"@c>',
        b'<"a\r\nb"@c>',
        b'<"a\\\r"@c>',
        b'<"a\\\xc3\xa9"@c>',
        b"<a@[192.0.2.1>",
        b"<a@192.0.2.1]>",
        b"<a@[]>",
        b"<a@[x y]>",
        b"<a@[192.0.2.1].>",
        b"<a@[192.0.2.1].b>",
        b"<@x:>",
        b"<@x,:a@b>",
        b"<@x,y:a@b>",
        b"<@x a@b>",
        b"<postmaster@>",
        b"<postmasters>",
        b"<a@" + b"d" * 64 + b">",
        "<a\x85@b>".encode(),
        '<"a\u2028b"@c>'.encode(),
        "<a\u202eb@c>".encode(),
        "<a@b\u2066c>".encode(),
        "<a@b\u3002example>".encode(),  # IDNA takes it for a dot: b.example
        "<a@b\uff0eexample>".encode(),
        "<a@b\uff61example>".encode(),
        "<a@b\u00a0>".encode(),
        "<a@b\u3000>".encode(),
        "<a@b\u2003c>".encode(),
        "<a\uff20b>".encode(),  # a full-width @ is none
    ],
)
def test_what_is_no_path(text: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        parse_path(text)
    assert caught.value.fault is Fault.BAD_PATH


@pytest.mark.parametrize(
    "text",
    [
        b"<" + b"l" * 257 + b"@b>",
        b"<" + "é".encode() * 129 + b"@b>",
        b"<a@" + b"d." * 127 + b"dd>",
        b"<@x," + b"@yyyyyyy," * 70 + b"@z:a@b>",
    ],
)
def test_too_long(text: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        parse_path(text)
    assert caught.value.fault is Fault.PATH_TOO_LONG


@pytest.mark.parametrize(
    "text", [b"<\xff@b>", b"<a@\xc3>", b"<a@b> X=\xff", b"<\xed\xa0\x80@b>", b"<\xc0\xbe@b>", b"\x80"]
)
def test_invalid_utf8(text: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        parse_path(text)
    assert caught.value.fault is Fault.BAD_OCTETS


@pytest.mark.parametrize(
    ("path", "text", "mailbox", "utf8"),
    [
        (NULL_PATH, "", "", False),
        (Path("Postmaster", ""), "Postmaster", "Postmaster", False),
        (Path("a", "B.example"), "a@B.example", "a", False),
        (Path('"a b"', "c"), '"a b"@c', "a b", False),
        (Path('"a\\"\\\\\\b"', "c"), '"a\\"\\\\\\b"@c', 'a"\\b', False),
        (Path('"victim@net"', "c"), '"victim@net"@c', "victim@net", False),
        (Path('"v\\@net"', "c"), '"v\\@net"@c', "v@net", False),
        (Path("jörg", "c"), "jörg@c", "jörg", True),
        (Path("a", "exämple"), "a@exämple", "a", True),
    ],
)
def test_properties(path: Path, text: str, mailbox: str, utf8: bool) -> None:
    assert str(path) == text
    assert path.mailbox_local == mailbox
    assert path.utf8 is utf8
    assert path.is_null is (path == NULL_PATH)
    assert path.domain_key == domain_key(path.domain)


@pytest.mark.parametrize(
    ("domain", "key"),
    [
        ("", ""),
        ("example.org", "example.org"),
        ("EXAMPLE.org.", "example.org"),
        ("example.org..", "example.org."),
        ("[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]"),
        ("exämple.org", "xn--exmple-cua.org"),
        ("EXÄMPLE.ORG.", "xn--exmple-cua.org"),
        ("exa\u0308mple.org", "xn--exmple-cua.org"),  # the same, decomposed
        ("XN--EXMPLE-CUA.org", "xn--exmple-cua.org"),
        ("straße.example", "xn--strae-oqa.example"),  # not strasse.example: transitional mapping is over
        ("\uff45\uff58ample.org", "example.org"),  # full width: what IDNA says it is
        ("mail_1.exämple.org", "mail_1.xn--exmple-cua.org"),
    ],
)
def test_keys(domain: str, key: str) -> None:
    assert domain_key(domain) == key


@pytest.mark.parametrize(
    ("forged", "ours"),
    [
        ("example\u3002org", "example.org"),  # would be cut at another place than it is sent
        (
            "ours_\u212aelvin.org",
            "ours_kelvin.org",
        ),  # lower() of the Kelvin sign is "k", and IDNA refuses the underscore
        ("\u017fhop_1.org", "shop_1.org"),  # casefold() of the long s is "s"
        ("exam\u200bple.org\u2024", "example.org"),
        ("example.org\uff20evil.example", "example.org"),
        ("ex\u0430mple.org", "example.org"),  # Cyrillic a
        ("xn--example-.org", "example.org"),
        ("example.org.evil.example", "example.org"),
        ("1\u2044example.org", "1/example.org"),
    ],
)
def test_forged_domains_are_not_ours(forged: str, ours: str) -> None:
    assert domain_key(forged) != domain_key(ours)


@PROPERTY
@given(st.text(max_size=20))
def test_any_text_has_a_key(domain: str) -> None:
    key = domain_key(domain)
    assert key.count(".") == domain.removesuffix(".").count(".")
    assert key.isascii() or not domain.isascii()


@pytest.mark.parametrize("broken", ["\ud800", "\ud800.example", "xn--\udcff"])
def test_a_lone_surrogate_of_a_configuration_has_a_key(broken: str) -> None:
    assert domain_key(broken)


@PROPERTY
@given(octets(14))
def test_any_octets_are_a_path_or_a_fault(text: bytes) -> None:
    for spelling in (
        text,
        b"<" + text + b">",
        b"<a@" + text + b">",
        b"<" + text + b"@b.example>",
        b'<"' + text + b'"@b>',
    ):
        try:
            path, rest = parse_path(spelling)
        except PeerError:
            continue
        assert not rest.strip(b" \t") or rest[:1] in (b" ", b"\t")
        assert path.mailbox_local or path.is_null
        assert all(character.isprintable() or ord(character) > 0x9F for character in str(path))
        assert not set(path.domain) & set(' <>@"\\,;()%!/\t')
        again, rest = parse_path(f"<{path}>".encode())  # what is sent is read as what was compared
        assert (again, rest) == (path, b"")


def test_time_is_linear() -> None:
    start = process_time()
    for text in (
        b"<@" + b"a.a," * 100_000,
        b"<@" + b"a,@" * 100_000 + b"a:",
        b'<"' + b"\\a" * 100_000,
        b"<" + b"a." * 100_000 + b"@" + b"b." * 100_000,
        b"<a@" + b"b" * 200_000,
        b"<a@[" + b"1" * 200_000,
    ):
        with pytest.raises(PeerError):
            parse_path(text)
    assert process_time() - start < 10
