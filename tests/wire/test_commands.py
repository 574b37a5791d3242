"""Tests of command lines: read leniently, written canonically, and never two of one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.wire.commands import (
    Command,
    PathCommand,
    compose_mail,
    compose_rcpt,
    parse_command,
    parse_mail,
    parse_rcpt,
)
from smtproxy.wire.errors import Fault, PeerError
from smtproxy.wire.paths import NULL_PATH, Path
from tests.wire.pieces import PROPERTY, octets

A_B = Path("a", "b.example")


@pytest.mark.parametrize(
    ("line", "verb", "argument"),
    [
        (b"QUIT", "QUIT", b""),
        (b"quit \t ", "QUIT", b""),
        (b"  NOOP", "NOOP", b""),
        (b"EHLO mail.example.org", "EHLO", b"mail.example.org"),
        (b"ehlo\t mail.example.org ", "EHLO", b"mail.example.org"),
        (b"MAIL FROM:<a@b>  SIZE=1 ", "MAIL", b"FROM:<a@b>  SIZE=1"),
        (b"X-EXPS GSSAPI", "X-EXPS", b"GSSAPI"),
        (b"XEXCH50 1 2", "XEXCH50", b"1 2"),
        (b"GET / HTTP/1.1", "GET", b"/ HTTP/1.1"),
        ("MAIL FROM:<é@b>".encode(), "MAIL", "FROM:<é@b>".encode()),
    ],
)
def test_commands(line: bytes, verb: str, argument: bytes) -> None:
    assert parse_command(line) == Command(verb, argument)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"", Fault.EMPTY_COMMAND),
        (b" \t ", Fault.EMPTY_COMMAND),
        (b"NO\0OP", Fault.UNKNOWN_COMMAND_SYNTAX),
        (b"NOOP\r", Fault.UNKNOWN_COMMAND_SYNTAX),
        (b"NOOP x\rRCPT TO:<a@b>", Fault.BAD_OCTETS),
        (b"NOOP x\nRCPT TO:<a@b>", Fault.BAD_OCTETS),
        (b"NOO\x08OP", Fault.UNKNOWN_COMMAND_SYNTAX),
        (b"\xff\xfb\x01NOOP", Fault.UNKNOWN_COMMAND_SYNTAX),
        (b"\x16\x03\x01\x02", Fault.UNKNOWN_COMMAND_SYNTAX),  # a TLS ClientHello
        (b"EHLO \xe9", Fault.BAD_OCTETS),
        (b"EHLO \xed\xa0\x80", Fault.BAD_OCTETS),  # a surrogate
        (b"EHLO \xc0\xaf", Fault.BAD_OCTETS),  # an overlong form
        ("ÉHLO x".encode(), Fault.UNKNOWN_COMMAND_SYNTAX),
        ("NOO\u212a".encode(), Fault.UNKNOWN_COMMAND_SYNTAX),  # upper() of a Kelvin sign and others would be ASCII
        (b"Subject: x", Fault.UNKNOWN_COMMAND_SYNTAX),
        (b"<html>", Fault.UNKNOWN_COMMAND_SYNTAX),
        (b"250 OK", Fault.UNKNOWN_COMMAND_SYNTAX),
        (b"X" * 33, Fault.UNKNOWN_COMMAND_SYNTAX),
    ],
)
def test_what_is_no_command(line: bytes, fault: Fault) -> None:
    with pytest.raises(PeerError) as caught:
        parse_command(line)
    assert caught.value.fault is fault


@pytest.mark.parametrize(
    ("argument", "path", "parameters"),
    [
        (b"FROM:<a@b.example>", A_B, ()),
        (b"from:<a@b.example>", A_B, ()),
        (b"FROM: <a@b.example> ", A_B, ()),
        (b"FROM :\t<a@b.example>\t", A_B, ()),
        (b"FROM:a@b.example", A_B, ()),
        (b"FROM: a@b.example SIZE=1", A_B, (("SIZE", "1"),)),
        (b"FROM:<>", NULL_PATH, ()),
        (b"FROM:<> size=10 body=8BITMIME", NULL_PATH, (("SIZE", "10"), ("BODY", "8BITMIME"))),
        (b"FROM:<a@b.example>  SMTPUTF8\t RET=HDRS", A_B, (("SMTPUTF8", None), ("RET", "HDRS"))),
        (b"FROM:<a@b.example> ENVID=a=b", A_B, (("ENVID", "a=b"),)),
        ("FROM:<a@b.example> X-Y=é".encode(), A_B, (("X-Y", "é"),)),
    ],
)
def test_mail(argument: bytes, path: Path, parameters: tuple[tuple[str, str | None], ...]) -> None:
    assert parse_mail(argument) == PathCommand(path, parameters)


@pytest.mark.parametrize(
    ("argument", "fault"),
    [
        (b"", Fault.BAD_MAIL_SYNTAX),
        (b"<a@b>", Fault.BAD_MAIL_SYNTAX),
        (b"TO:<a@b>", Fault.BAD_MAIL_SYNTAX),
        (b"FROM<a@b>", Fault.BAD_MAIL_SYNTAX),
        (b"FROM:", Fault.BAD_PATH),
        (b"FROM: SIZE=1", Fault.BAD_PATH),
        (b"FROM:<postmaster>", Fault.BAD_PATH),
        (b"FROM:<a@b>SIZE=1", Fault.BAD_PATH),
        (b"FROM:<a@b>\r\nRCPT TO:<c@d>", Fault.BAD_PATH),
        (b"FROM:<a@b> SIZE=", Fault.BAD_PARAMETER),
        (b"FROM:<a@b> =1", Fault.BAD_PARAMETER),
        (b"FROM:<a@b> -X", Fault.BAD_PARAMETER),
        (b"FROM:<a@b> SIZE=1\0", Fault.BAD_PARAMETER),
        (b"FROM:<a@b> SIZE=1\r", Fault.BAD_PARAMETER),
        (b"FROM:<a@b> SIZE=1\n", Fault.BAD_PARAMETER),  # "$" would let it pass
        (b"FROM:<a@b> \r\nRSET", Fault.BAD_PARAMETER),
        (b"FROM:<a@b> <c@d>", Fault.BAD_PARAMETER),
        ("FROM:<a@b> ENVID=\u2028x".encode(), Fault.BAD_PARAMETER),
        (b"FROM:<a@b> SIZE=1 size=2", Fault.DUPLICATE_PARAMETER),
        (b"FROM:<a@b> ENVID=\xff", Fault.BAD_OCTETS),
        (b"FROM:<\xff@b>", Fault.BAD_OCTETS),
    ],
)
def test_what_is_no_mail(argument: bytes, fault: Fault) -> None:
    with pytest.raises(PeerError) as caught:
        parse_mail(argument)
    assert caught.value.fault is fault


@pytest.mark.parametrize(
    ("argument", "path", "parameters"),
    [
        (b"TO:<a@b.example>", A_B, ()),
        (b"to: a@b.example", A_B, ()),
        (b"TO:<postmaster>", Path("postmaster", ""), ()),
        (b"TO:<PostMaster>", Path("PostMaster", ""), ()),
        (b"TO:<a@b.example> ORCPT=rfc822;a+2Bb@b.example", A_B, (("ORCPT", "rfc822;a+2Bb@b.example"),)),
    ],
)
def test_rcpt(argument: bytes, path: Path, parameters: tuple[tuple[str, str | None], ...]) -> None:
    assert parse_rcpt(argument) == PathCommand(path, parameters)


@pytest.mark.parametrize(
    ("argument", "fault"),
    [
        (b"FROM:<a@b>", Fault.BAD_RCPT_SYNTAX),
        (b"TO:<>", Fault.NULL_RECIPIENT),
        (b"TO:", Fault.BAD_PATH),
        (b"TO:<root>", Fault.BAD_PATH),
        (b"TO:<a@b>,<c@d>", Fault.BAD_PATH),
        (b"TO:<a@b> <c@d>", Fault.BAD_PARAMETER),
    ],
)
def test_what_is_no_rcpt(argument: bytes, fault: Fault) -> None:
    with pytest.raises(PeerError) as caught:
        parse_rcpt(argument)
    assert caught.value.fault is fault


@pytest.mark.parametrize("path", [b"<@x.example,@y.example:a@b.example>", b"@x.example:a@b.example"])
def test_a_source_route_is_dropped_and_told(path: bytes) -> None:
    assert parse_mail(b"FROM:" + path + b" SIZE=1") == PathCommand(A_B, (("SIZE", "1"),), routed=True)
    assert parse_rcpt(b"TO: " + path + b" NOTIFY=NEVER") == PathCommand(A_B, (("NOTIFY", "NEVER"),), routed=True)


def test_writes_the_canonical_spelling() -> None:
    mail = parse_mail(b"from: a@B.example.  size=100 SMTPUTF8")
    assert compose_mail(mail.path, mail.parameters) == b"MAIL FROM:<a@B.example> SIZE=100 SMTPUTF8\r\n"
    rcpt = parse_rcpt(b'to:<@route.example:"a b"@[192.0.2.1]> notify=Success')
    assert compose_rcpt(rcpt.path, rcpt.parameters) == b'RCPT TO:<"a b"@[192.0.2.1]> NOTIFY=Success\r\n'
    assert compose_mail(NULL_PATH, ()) == b"MAIL FROM:<>\r\n"
    assert compose_rcpt(Path("postmaster", ""), ()) == b"RCPT TO:<postmaster>\r\n"
    assert compose_mail(Path("é", "ü.example"), ()) == "MAIL FROM:<é@ü.example>\r\n".encode()


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        (Path("a\r\nRCPT TO:<x", "b"), ()),
        (Path("a", "b>\n"), ()),
        (Path("a", "b"), (("X", "1\r\n"),)),
        (Path("a", "b"), (("X\0", None),)),
    ],
)
def test_never_writes_two_commands(path: Path, parameters: tuple[tuple[str, str | None], ...]) -> None:
    for compose in (compose_mail, compose_rcpt):
        with pytest.raises(ValueError, match="control character"):
            compose(path, parameters)


@PROPERTY
@given(octets())
def test_any_octets_are_a_command_or_a_fault(line: bytes) -> None:
    try:
        command = parse_command(line)
    except PeerError:
        return
    assert command.verb.isascii()
    assert command.verb == command.verb.upper()
    assert command.argument == command.argument.strip(b" \t")
    assert command.argument.decode().encode() == command.argument


ARGUMENTS = st.builds(
    bytes.__add__, st.sampled_from((b"", b"FROM:", b"TO:", b"FROM:<a@b.example> ", b"TO:<a@b.example> ")), octets(12)
)


@PROPERTY
@given(ARGUMENTS)
def test_what_is_sent_is_one_line_and_means_what_was_read(argument: bytes) -> None:
    for parse, compose in ((parse_mail, compose_mail), (parse_rcpt, compose_rcpt)):
        try:
            said = parse(argument)
        except PeerError:
            continue
        line = compose(said.path, said.parameters)
        assert line.endswith(b"\r\n")
        assert b"\r" not in line[:-2]
        assert b"\n" not in line[:-2]
        assert parse(parse_command(line[:-2]).argument) == PathCommand(said.path, said.parameters)  # no route any more
