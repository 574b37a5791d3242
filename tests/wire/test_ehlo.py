"""Tests of EHLO answers: what is read from real servers, what may be offered, what a client may say then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.wire.commands import Parameters
from smtproxy.wire.ehlo import (
    ALLOWED,
    HELO_ONLY,
    PARAMETERS,
    Capabilities,
    ehlo_lines,
    intersect,
    parse_ehlo,
    required,
    unsupported,
)
from smtproxy.wire.errors import Fault, PeerError
from smtproxy.wire.replies import Reply
from tests.wire.pieces import PROPERTY, octets

# The front end of Exchange 2019, and Exchange 2003.
EXCHANGE = Reply(
    250,
    (
        b"mx1.example.org Hello [192.0.2.10]",
        *(
            b"SIZE 37748736",
            b"PIPELINING",
            b"DSN",
            b"ENHANCEDSTATUSCODES",
            b"STARTTLS",
            b"X-ANONYMOUSTLS",
            b"AUTH NTLM",
        ),
        *(b"X-EXPS GSSAPI NTLM", b"8BITMIME", b"BINARYMIME", b"CHUNKING", b"SMTPUTF8", b"XRDST"),
    ),
)
OLD_EXCHANGE = Reply(
    250,
    (b"mx1.example.org Hello [192.0.2.10]", b"TURN", b"SIZE", b"8bitmime", b"X-EXPS=LOGIN", b"AUTH=LOGIN", b"OK"),
)
ALL = Capabilities(tuple((keyword, "") for keyword in ALLOWED))


def offers(*keywords: str) -> Capabilities:
    return parse_ehlo(Reply(250, (b"hello", *(keyword.encode() for keyword in keywords))))


def test_reads_exchange() -> None:
    found = parse_ehlo(EXCHANGE)
    assert [keyword for keyword, _ in found.keywords] == [line.split()[0].decode() for line in EXCHANGE.lines[1:]]
    assert found.get("X-EXPS") == "GSSAPI NTLM"
    assert found.get("DSN") == ""
    assert found.get("HELP") is None
    assert found.has("CHUNKING")
    assert not found.has("MX1.EXAMPLE.ORG")
    assert found.size == 37748736


def test_reads_old_exchange() -> None:
    expected = (("TURN", ""), ("SIZE", ""), ("8BITMIME", ""), ("X-EXPS", "LOGIN"), ("AUTH", "LOGIN"))
    assert parse_ehlo(OLD_EXCHANGE).keywords == expected
    assert parse_ehlo(OLD_EXCHANGE).size is None


@pytest.mark.parametrize(
    ("lines", "keywords"),
    [
        ((b"hello",), ()),
        ((b"hello", b"OK"), ()),
        ((b"hello", b"HELP"), (("HELP", ""),)),
        ((b"hello", b"OK", b"DSN"), (("OK", ""), ("DSN", ""))),
        ((b"hello", b"", b"  dsn  "), (("DSN", ""),)),
        ((b"hello", b"SIZE  5 ", b"size=7"), (("SIZE", "5"), ("SIZE", "7"))),
        ((b"hello", b"***", b"-X", b"D\xffSN", b"DSN;", b"DSN"), (("DSN", ""),)),
    ],
)
def test_reads_what_is_a_keyword(lines: tuple[bytes, ...], keywords: tuple[tuple[str, str], ...]) -> None:
    assert parse_ehlo(Reply(250, lines)).keywords == keywords


@pytest.mark.parametrize(
    ("line", "size"),
    [("SIZE 100", 100), ("SIZE", None), ("SIZE 0", 0), ("SIZE x", None), ("SIZE -1", None), ("SIZE " + "9" * 21, None)],
)
def test_size(line: str, size: int | None) -> None:
    assert offers(line).size == size


@pytest.mark.parametrize(
    ("servers", "limit", "offered"),
    [
        ([], 100, ()),
        ([HELO_ONLY], 100, (("PIPELINING", ""), ("CHUNKING", ""))),
        ([offers("SIZE 50", "DSN")], 100, (("SIZE", "50"), ("PIPELINING", ""), ("DSN", ""), ("CHUNKING", ""))),
        ([offers("SIZE 500")], 100, (("SIZE", "100"), ("PIPELINING", ""), ("CHUNKING", ""))),
        ([offers("SIZE 0"), offers("SIZE")], 100, (("SIZE", "100"), ("PIPELINING", ""), ("CHUNKING", ""))),
        ([offers("SIZE 90"), offers("SIZE 80")], 100, (("SIZE", "80"), ("PIPELINING", ""), ("CHUNKING", ""))),
        ([offers("SIZE 90"), offers("DSN")], 100, (("PIPELINING", ""), ("CHUNKING", ""))),
        (
            [offers("DSN", "8BITMIME"), offers("8bitmime")],
            100,
            (("PIPELINING", ""), ("8BITMIME", ""), ("CHUNKING", "")),
        ),
        ([offers("SIZE")], 0, (("SIZE", ""), ("PIPELINING", ""), ("CHUNKING", ""))),
        ([offers("SMTPUTF8")], 100, (("PIPELINING", ""), ("CHUNKING", ""))),
        ([offers("SMTPUTF8", "8BITMIME"), offers("SMTPUTF8")], 100, (("PIPELINING", ""), ("CHUNKING", ""))),
        (
            [parse_ehlo(EXCHANGE)],
            36_000_000,
            (
                *(("SIZE", "36000000"), ("PIPELINING", ""), ("DSN", "")),
                *(
                    ("ENHANCEDSTATUSCODES", ""),
                    ("8BITMIME", ""),
                    ("BINARYMIME", ""),
                    ("CHUNKING", ""),
                    ("SMTPUTF8", ""),
                ),
            ),
        ),
    ],
)
def test_offers_what_all_have(servers: list[Capabilities], limit: int, offered: tuple[tuple[str, str], ...]) -> None:
    assert intersect(servers, limit).keywords == offered


def test_a_binary_body_needs_chunks_all_the_way() -> None:
    able = offers("BINARYMIME", "CHUNKING")
    assert intersect([able, able], 100).has("BINARYMIME")
    for other in (offers("BINARYMIME"), offers("CHUNKING"), HELO_ONLY):
        assert not intersect([able, other], 100).has("BINARYMIME")
    assert intersect([able], 100, {"BINARYMIME"}).keywords == (("PIPELINING", ""), ("CHUNKING", ""))


def test_never_offers_what_is_not_ours() -> None:
    greedy = offers("STARTTLS", "AUTH", "X-EXPS", "X-ANONYMOUSTLS", "XEXCH50", "XPROXY", "ETRN", "PRDR", "LIMITS")
    assert intersect([greedy], 100).keywords == (("PIPELINING", ""), ("CHUNKING", ""))


def test_writes_the_answer() -> None:
    offered = Capabilities((("SIZE", "100"), ("PIPELINING", "")))
    lines = ehlo_lines("mx.example.org", "192.0.2.1", offered)
    assert lines == (b"mx.example.org Hello [192.0.2.1]", b"SIZE 100", b"PIPELINING")
    assert parse_ehlo(Reply(250, lines)) == offered
    assert ehlo_lines("mx.example.org", "2001:db8::1", HELO_ONLY) == (b"mx.example.org Hello [2001:db8::1]",)


@pytest.mark.parametrize(
    ("verb", "parameters"),
    [
        ("MAIL", ()),
        ("MAIL", (("SIZE", "0"), ("BODY", "8bitmime"), ("SMTPUTF8", None), ("RET", "hdrs"), ("ENVID", "QQ314159+2B"))),
        ("MAIL", (("BODY", "BinaryMIME"),)),
        ("MAIL", (("SIZE", "9" * 20), ("BODY", "7BIT"), ("RET", "FULL"), ("ENVID", "x" * 100))),
        ("RCPT", (("NOTIFY", "NEVER"),)),
        ("RCPT", (("NOTIFY", "success,FAILURE,Delay"), ("ORCPT", "rfc822;a+2Bb+2b@example.org"))),
        ("RCPT", (("ORCPT", "utf-8;jörg@example.org"),)),
        ("RCPT", (("ORCPT", "rfc822;" + "x" * 493),)),
    ],
)
def test_parameters_that_may_be_used(verb: str, parameters: Parameters) -> None:
    assert unsupported(verb, parameters, ALL) is None


@pytest.mark.parametrize(
    ("verb", "parameters", "offered", "first"),
    [
        ("MAIL", (("AUTH", "<>"),), ALL, "AUTH"),
        ("MAIL", (("SIZE", "1"), ("MT-PRIORITY", "3"), ("X", None)), ALL, "MT-PRIORITY"),
        ("MAIL", (("NOTIFY", "NEVER"),), ALL, "NOTIFY"),
        ("RCPT", (("SIZE", "1"),), ALL, "SIZE"),
        ("MAIL", (("SIZE", "1"),), HELO_ONLY, "SIZE"),
        ("MAIL", (("BODY", "7BIT"),), offers("SIZE"), "BODY"),
        ("MAIL", (("SMTPUTF8", None),), offers("SIZE"), "SMTPUTF8"),
        ("RCPT", (("NOTIFY", "garbage"),), offers("SIZE"), "NOTIFY"),
        ("RCPT", (("ORCPT", "utf-8;jörg@example.org"),), offers("DSN"), "ORCPT"),
        ("MAIL", (("BODY", "binarymime"),), offers("8BITMIME", "BINARYMIME"), "BODY"),
        ("MAIL", (("BODY", "binarymime"),), offers("8BITMIME", "CHUNKING"), "BODY"),
    ],
)
def test_parameters_that_may_not_be_used(verb: str, parameters: Parameters, offered: Capabilities, first: str) -> None:
    assert unsupported(verb, parameters, offered) == first


@pytest.mark.parametrize(
    ("verb", "keyword", "value"),
    [
        ("MAIL", "SIZE", None),
        ("MAIL", "SIZE", "x"),
        ("MAIL", "SIZE", "-1"),
        ("MAIL", "SIZE", "٣"),  # a digit, says str.isdigit()
        ("MAIL", "SIZE", "9" * 21),
        ("MAIL", "BODY", "8BITMIMEX"),
        ("MAIL", "RET", "ALL"),
        ("MAIL", "ENVID", "x" * 101),
        ("MAIL", "ENVID", "a+2"),
        ("MAIL", "ENVID", "a=b"),
        ("MAIL", "ENVID", "a b"),
        ("MAIL", "SMTPUTF8", "1"),
        ("RCPT", "NOTIFY", "NEVER,SUCCESS"),
        ("RCPT", "NOTIFY", "SUCCESS,"),
        ("RCPT", "NOTIFY", "DELAY,DELAY,DELAY,DELAY"),
        ("RCPT", "ORCPT", "a@example.org"),
        ("RCPT", "ORCPT", "rfc822;"),
        ("RCPT", "ORCPT", "rfc822;a\r\nb"),
        ("RCPT", "ORCPT", "rfc822;" + "x" * 494),
    ],
)
def test_values_that_cannot_be(verb: str, keyword: str, value: str | None) -> None:
    with pytest.raises(PeerError) as caught:
        unsupported(verb, ((keyword, value),), ALL)
    assert caught.value.fault is Fault.BAD_PARAMETER


@pytest.mark.parametrize(
    ("parameters", "keywords"),
    [
        ((), set()),
        ((("SIZE", "1"), ("BODY", "7BIT")), {"SIZE", "8BITMIME"}),
        ((("BODY", "binarymime"),), {"BINARYMIME", "CHUNKING"}),
        ((("RET", "FULL"), ("ENVID", "x"), ("NOTIFY", "NEVER"), ("ORCPT", "rfc822;a")), {"DSN"}),
        ((("SMTPUTF8", None),), {"SMTPUTF8"}),
        ((("ORCPT", "utf-8;jörg"),), {"DSN", "SMTPUTF8"}),
        ((("X-NEW", None),), {"X-NEW"}),  # offered by nobody whom we would send it
    ],
)
def test_required(parameters: Parameters, keywords: set[str]) -> None:
    assert required(parameters) == keywords


def test_the_tables_fit_together() -> None:
    for rules in PARAMETERS.values():
        assert {rule.keyword for rule in rules.values()} <= ALLOWED.keys()
    assert not PARAMETERS["MAIL"].keys() & PARAMETERS["RCPT"].keys()


@PROPERTY
@given(st.lists(octets(5), min_size=1, max_size=5))
def test_any_lines_have_capabilities(lines: list[bytes]) -> None:
    found = parse_ehlo(Reply(250, tuple(lines)))
    for keyword, arguments in found.keywords:
        assert keyword.isascii()
        assert keyword == keyword.upper()
        assert arguments == arguments.strip()
    for keyword, _ in intersect([found], 100).keywords:
        assert keyword in ALLOWED


@PROPERTY
@given(
    st.sampled_from(("MAIL", "RCPT")),
    st.sampled_from([key for rules in PARAMETERS.values() for key in rules]),
    st.none() | st.text(),
)
def test_any_value_is_taken_or_a_fault(verb: str, keyword: str, value: str | None) -> None:
    try:
        answer: str | Fault | None = unsupported(verb, ((keyword, value),), ALL)
    except PeerError as error:
        answer = error.fault
    assert answer in (None, keyword, Fault.BAD_PARAMETER)
