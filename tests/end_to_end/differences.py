"""What random clients of the differential test say, and in what proxy and backend may differ, each with its reason.

Data only. A difference that is none any more fails in `test_differential.py`, as does one that is not declared here.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """What a client says: to the proxy, and to the backend."""

    proxy: bytes
    direct: bytes | None
    """None: nothing, because what the proxy refuses must leave no trace at the backend."""
    refused: frozenset[int] = frozenset()
    """Codes of the proxy where the backend is not told."""
    pairs: frozenset[tuple[int, int]] = frozenset()
    """Codes of backend and proxy that may differ."""
    body: bytes | None = None
    """Sent behind a 354."""


def same(*lines: bytes) -> list[Line]:
    return [Line(line, line) for line in lines]


def refused(code: int, *lines: bytes) -> list[Line]:
    """Refused by the proxy, or misplaced for both."""
    return [Line(line, None, refused=frozenset({code, 503})) for line in lines]


def another(direct: int, proxy: int, *lines: bytes) -> list[Line]:
    return [Line(line, line, pairs=frozenset({(direct, proxy)})) for line in lines]


def read_leniently(*lines: tuple[bytes, bytes]) -> list[Line]:
    return [Line(proxy, direct) for proxy, direct in lines]


SAME = same(
    *(
        b"NOOP",
        b"NOOP words",
        b"VRFY user@example.org",
        b"HELP",
        b"RSET",
        b"EHLO client.example",
        b"HELO client.example",
    ),
    *(b"FOO", b"FOO bar", b"", b" ", b"N\0OP", b"\xff\xfb\x01", b"XEXCH50 1 2", b"ehlo [192.0.2.7]", b"noop", b"EHLO"),
    *(
        b"MAIL FROM:<a@client.example>",
        b"MAIL FROM:<>",
        b'MAIL FROM:<"a b"@client.example>',
        b"mail from:<b@client.example>",
    ),
    *(
        b"MAIL FROM: <a@client.example>",
        b"MAIL FROM:<@relay.example:a@client.example>",
        b"MAIL FROM:<a+b=c@client.example>",
    ),
    *(
        b"RCPT TO:<user@example.org>",
        b"RCPT TO:<other@example.org>",
        b"RCPT TO:<Third@Example.ORG>",
        b"RCPT TO:<postmaster>",
    ),
    *(b"RCPT TO:<user@example.org>", b"RCPT TO:<other@example.org>", b"RCPT TO:<fourth@example.org>"),
    *(
        b"RCPT TO:<nobody@example.org>",
        b"RCPT TO: <user@example.org>",
        b"rcpt to:<@a.example,@b.example:other@example.org>",
    ),
    *(b"RCPT TO:<>", b"RCPT TO:user", b"RCPT TO:<user@>", b"RCPT FROM:<user@example.org>", b"RCPT", b"RCPT TO:<a@@b>"),
)
EXTENDED = same(
    *(
        b"MAIL FROM:<a@client.example> SIZE=100",
        b"MAIL FROM:<a@client.example> SIZE=5000",
        b"MAIL FROM:<c@client.example> BODY=8BITMIME",
        b"MAIL FROM:<b@client.example> BODY=BINARYMIME",
    ),
    *(
        b"MAIL FROM:<a@client.example> RET=HDRS ENVID=1+2B SIZE=1",
        "MAIL FROM:<süd@client.example> SMTPUTF8".encode(),
    ),
    *(
        b"RCPT TO:<user@example.org> NOTIFY=NEVER",
        b"RCPT TO:<other@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a@b.example",
    ),
)
"""With parameters: said after EHLO alone, as RFC 5321 2.2.1 asks. The proxy says EHLO to its backend in any case."""

DIFFERENCES: dict[str, list[Line]] = {
    "502 for verbs that are known and not for strangers; Exchange knows none of them": another(
        500, 502, b"EXPN list", b"ETRN example.org", b"TURN"
    ),
    "STARTTLS is withheld in this half": another(454, 502, b"STARTTLS"),
    "AUTH is withheld on role mx": another(504, 500, b"AUTH LOGIN"),
    "an address that is none: 501 5.1.3, where Exchange says 550 5.1.7": another(
        550, 501, b"MAIL FROM:<a@@b>", b"MAIL FROM:", b"MAIL", b"MAIL TO:<a@client.example>"
    ),
    "a parameter that is not offered: 555 5.5.4, and it never reaches the backend": refused(
        555,
        b"MAIL FROM:<a@client.example> AUTH=<>",
        b"MAIL FROM:<a@client.example> MT-PRIORITY=3",
        b"RCPT TO:<user@example.org> FOO=BAR",
    ),
    "a parameter with a value that it cannot have: 501, and it never reaches the backend": refused(
        501,
        b"MAIL FROM:<a@client.example> SIZE=many",
        b"MAIL FROM:<a@client.example> RET=ALL",
        b"RCPT TO:<user@example.org> NOTIFY=SOMETIMES",
        b"MAIL FROM:<a@client.example> SIZE=1 SIZE=1",
    ),
    "no open relay: foreign domains and local parts that are routes": refused(
        550,
        b"RCPT TO:<user@other.example>",
        b"RCPT TO:<user@[192.0.2.1]>",
        b"RCPT TO:<victim%other.example@example.org>",
        b'RCPT TO:<"victim@other.example"@example.org>',
        b"RCPT TO:<IMCEASMTP-victim+40other@example.org>",
    ),
    "non-ASCII addresses need SMTPUTF8; the sample backend takes them without": refused(
        553, "MAIL FROM:<ü@client.example>".encode()
    ),
    "lines above 4 KiB": refused(500, b"NOOP " + b"x" * 5000),
    "lenient in reading: no brackets, blanks anywhere, a trailing dot, arguments where there are none": read_leniently(
        (b"MAIL FROM:a@client.example", b"MAIL FROM:<a@client.example>"),
        (b"MAIL  FROM : <a@client.example> ", b"MAIL FROM:<a@client.example>"),
        (b"RCPT TO:user@example.org", b"RCPT TO:<user@example.org>"),
        (b"RCPT TO:<user@example.org.>", b"RCPT TO:<user@example.org>"),
        (b"  NOOP\t", b"NOOP"),
        (b"RSET now", b"RSET"),
    ),
}
DATA_PAIRS = frozenset({(503, 554)})
"""DATA without a recipient: 554 5.5.1 (RFC 5321 3.3), where Exchange says 503."""
