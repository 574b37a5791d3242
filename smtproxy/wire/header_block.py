"""The header block of a whole message: where it ends, its fields, and whom From names. RFC 5322 2.2, 3.6

A CR, an LF and a CRLF end a line here: some server behind us may see it so, and by default (`bare_newlines`) all of
them become CRLF on the way. Linear in time whatever comes; a header may have 40 MB.

From is read twice: by the parser of the standard library, and by looking for every "@domain" outside of comments and
quotes. A sender that makes readers disagree ("a@bank.example <x@evil.example>", two From fields, an encoded word with a
comma in it) gets all the domains that anybody may see, and `understood` is false.
"""

import email.policy
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.errors import MessageDefect, ObsoleteHeaderDefect
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import islice
from typing import Final

from smtproxy.wire.paths import domain_key
from smtproxy.wire.values import value

LONGEST_PLAIN: Final = 2048
"""Characters of a From field that may be in the plain form, which needs no parser."""
LONGEST_PARSED: Final = 512
"""Characters of all From fields that the standard parser is given: it is quadratic, and three fields of 2,000 held the
loop for 0.2 s. Honest ones have 200, and most are plain."""
LONGEST_SEARCHED: Final = 65536
"""Octets of a From field in which domains are looked for: the header as a whole is no larger at most servers."""
MOST_DOMAINS: Final = 20
"""Of From. RFC 5322 allows any number; mail with two is rare."""
MOST_READ: Final = 2 * MOST_DOMAINS
"""Domains of all From fields, as written, that are brought into the form in which they are compared: IDNA is slow, and
some hundreds held the loop for 0.3 s."""
LONGEST_DOMAIN: Final = 255
"""Characters. What is longer is in no DNS. RFC 1035 2.3.4"""
LONGEST_DATE: Final = 200
"""Octets. With comments honest ones have 60."""

_FOLD: Final = re.compile(r"(?:\r\n|\r|\n)(?=[ \t])")
# No possessive group: Python 3.11.2 (Debian 12) gives back part of one. gh-106052
# Only where a line begins: else a line of 256 KB without a colon is tried from each of its octets, for a minute.
_FIELD: Final = re.compile(rb"(?<![^\r\n])([!-9;-~]++)[ \t]*+:((?:[^\r\n]++|(?:\r\n|\r|\n)(?=[ \t]))*)")
_ENCODED_WORD: Final = re.compile(r"=\?[^\s?]*+\?[^\s?]*+\?[^\s?]*+\?=")  # RFC 2047 2
_PIECES: Final = re.compile(r'"(?:[^"\\]++|\\.)*"|\\.|[()]|[^"\\()]++|"|\\', re.DOTALL)
_DOMAIN: Final = re.compile(r'@\s*+(\[[^\[\]]*+\]|[^\s<>()\[\]:;@\\,"\x00-\x1f\x7f]++)')
# What nearly all mail has: nobody reads it in two ways, and it needs no parser (70 microseconds).
_ATEXT: Final = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_PLAIN: Final = re.compile(
    rf"""(?:[{_ATEXT} \t]*|"[{_ATEXT} .,\t]*"[ \t]*)<([{_ATEXT}]+(?:\.[{_ATEXT}]+)*)@({_NAME}(?:\.{_NAME})+)>"""
)
# What nearly all mail has, too: the parser of the standard library takes four times as long, and says the same.
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_USUAL_DATE: Final = re.compile(
    rf"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?(\d{{1,2}}) ({'|'.join(_MONTHS)}) ([1-9]\d{{3}}) "
    r"(\d\d):(\d\d):(\d\d) ([+-])([01]\d)([0-5]\d)(?: \([A-Z]{1,5}\))?",
    re.ASCII,
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def empty_line(octets: bytes | bytearray, start: int = 0) -> int:
    """Return where the line in front of the first empty one ends, from `start` on; -1: there is none.

    An empty line at the very beginning is the caller's matter.
    """
    end = -1
    for pair in (b"\n\r", b"\n\n", b"\r\r"):  # of the four only CR LF is one newline
        found = octets.find(pair, start) if end < 0 else octets.find(pair, start, end + 1)
        if found >= 0:
            end = found
    return end


def halves(message: bytes) -> tuple[int, int]:
    """Return where the header block ends (the newline of its last line included), and where the body begins."""
    if message.startswith((b"\r", b"\n")):
        return 0, 2 if message.startswith(b"\r\n") else 1
    end = empty_line(message)
    if end < 0:
        return len(message), len(message)
    return end + 1, end + (3 if message.startswith(b"\r\n", end + 1) else 2)


def fields(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and value of each field, as they came; lines that are none are left out."""
    for match in _FIELD.finditer(block):
        yield match[1], match[2]


@value
class Values:
    """The fields of one name."""

    number: int
    first: tuple[bytes, ...]
    """The values of the first of them, cut at `LONGEST_SEARCHED`."""


def values(block: bytes, names: tuple[bytes, ...], most: int) -> dict[bytes, Values]:
    """Return the values of fields by name (lower case), at most so many of each, and how many there are."""
    lower = b"\n" + block.lower().replace(b"\r", b"\n")
    numbers = dict.fromkeys(names, 0)
    first: dict[bytes, tuple[bytes, ...]] = dict.fromkeys(names, ())
    for match in _beginning(names).finditer(lower):
        name = match[1]
        if numbers[name] < most and (field := _FIELD.match(block, match.start(), match.start() + LONGEST_SEARCHED)):
            first[name] += (field[2],)
        numbers[name] += 1
    return {name: Values(numbers[name], first[name]) for name in names}


@lru_cache(maxsize=16)
def _beginning(names: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """Return what finds the first line of each field of these names, in lower case, behind a newline."""
    return re.compile(rb"\n(" + b"|".join(map(re.escape, names)) + rb")[ \t]*+:")


@value
class Authors:
    """Whom From names."""

    domains: tuple[str, ...] = ()
    """In the form of `domain_key`, each once, in order."""
    understood: bool = False
    """All readers see the same, and at least one domain."""


def authors(froms: Sequence[bytes]) -> Authors:
    """Read the values of all From fields of a message. RFC 5322 3.6.2, RFC 6854"""
    domains: dict[str, None] = {}
    understood = len(froms) == 1
    room, unread = LONGEST_PARSED, MOST_READ
    for field in froms:
        text = _FOLD.sub("", _text(field[:LONGEST_SEARCHED])).strip()
        plain = _PLAIN.fullmatch(text) if len(text) <= LONGEST_PLAIN else None
        if plain is not None:
            domains[plain[2].lower()] = None
            continue
        found = (match[1] for match in _DOMAIN.finditer(outside(text)))
        written = dict.fromkeys(one for one in found if len(one) <= LONGEST_DOMAIN)
        seen = dict.fromkeys(domain_key(_bare(one)) for one in islice(written, unread))
        parsed, clean = _parsed(text) if len(field) <= room else ((), False)
        understood = understood and clean and len(written) <= unread and set(seen) == set(parsed)
        room -= min(room, len(field))
        unread -= min(unread, len(written))
        domains.update(dict.fromkeys(parsed))
        domains.update(seen)
    named = tuple(domain for domain in domains if domain)
    return Authors(named[:MOST_DOMAINS], understood and 0 < len(named) <= MOST_DOMAINS)


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def outside(text: str) -> str:
    """Return what is in neither comments nor quotes. What is never closed is neither."""
    kept: list[str] = []
    depth = mark = 0
    for match in _PIECES.finditer(text):
        piece = match[0]
        if piece == "(":
            if not depth:
                mark = match.start()
            depth += 1
        elif piece == ")" and depth:
            depth -= 1
        elif not depth and not (len(piece) > 1 and piece.startswith('"')):
            kept.append(piece)
    if depth:
        kept.append(text[mark:])
    return "".join(kept)


def _parsed(text: str) -> tuple[tuple[str, ...], bool]:
    """Return the domains that the standard parser sees, and whether it had nothing to complain of.

    It decodes encoded words before it looks for commas and addresses, which no other reader does: they are hidden.
    """
    hidden = _ENCODED_WORD.sub("encoded", text)
    try:
        header = email.policy.SMTP.header_factory("From", hidden)
        domains = tuple(domain_key(_bare(one.domain)) for one in header.addresses)
        defects: tuple[MessageDefect, ...] = header.defects
    except Exception:  # noqa: BLE001 - it raises IndexError, RecursionError and others for what it does not expect
        return (), False
    clean = all(isinstance(one, ObsoleteHeaderDefect) for one in defects)
    return domains, clean and all(domains) and not _CONTROL.search(text)


def _bare(domain: str) -> str:
    return _CONTROL.sub("", domain).strip(" \t.")


def timestamp(date: bytes) -> float | None:
    """Return the seconds since 1970 of a Date field; None: it cannot be read. RFC 5322 3.3"""
    text = _text(date[:LONGEST_DATE]).strip()
    usual = _USUAL_DATE.fullmatch(text)
    try:
        if usual is not None:
            day, month, year, hour, minute, second, sign, hours, minutes = usual.groups()
            at = datetime(
                int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second), tzinfo=UTC
            ).timestamp()
            ahead = int(hours) * 3600 + int(minutes) * 60
            return at + ahead if sign == "-" else at - ahead
        read = parsedate_to_datetime(text)
        return read.timestamp() if read.tzinfo else read.replace(tzinfo=UTC).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
