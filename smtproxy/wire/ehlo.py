"""The EHLO answer: read, intersected, written, and what MAIL and RCPT may therefore say. RFC 5321 4.1.1.1

An allow-list, never a block-list: a keyword that is not in ALLOWED is not offered, a parameter that is not in
PARAMETERS is not taken. None may be added whose verbs or parameters the relay does not carry through to the server that
is reached.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from types import MappingProxyType

from smtproxy.wire.commands import Parameters
from smtproxy.wire.errors import Fault, PeerError
from smtproxy.wire.replies import Reply

_KEYWORD = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9-]*)(?:[ \t=]+(.*))?\Z"
)  # "AUTH=LOGIN" is an old spelling of "AUTH LOGIN"
_SIZE = re.compile(r"[0-9]{1,20}")  # RFC 1870 3


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server offers, or what we do."""

    keywords: tuple[tuple[str, str], ...]
    """(keyword in upper case, arguments as sent), in the order of the wire."""

    def has(self, keyword: str) -> bool:
        """Whether the keyword (in upper case) is offered."""
        return self.get(keyword) is not None

    def get(self, keyword: str) -> str | None:
        """Return the arguments of the keyword (in upper case), "" if it has none, None if it is not offered."""
        for name, arguments in self.keywords:
            if name == keyword:
                return arguments
        return None

    @property
    def size(self) -> int | None:
        """The largest message in octets, 0 for no fixed limit; None if SIZE is missing or has no number. RFC 1870 4"""
        value = self.get("SIZE")
        return int(value) if value is not None and _SIZE.fullmatch(value) else None


HELO_ONLY = Capabilities(())
"""A server that knows no EHLO."""


class Combination(Enum):
    """How a keyword of several servers becomes one of ours."""

    OURS = "ours"
    """Offered always: it concerns the link between client and us."""
    ALL = "all"
    """Offered if all servers offer it."""
    SMALLEST = "smallest"
    """As ALL; the value is the smallest one above 0, our own limit included."""


ALLOWED: Mapping[str, Combination] = MappingProxyType(
    {
        "SIZE": Combination.SMALLEST,  # RFC 1870
        "PIPELINING": Combination.OURS,  # RFC 2920
        "DSN": Combination.ALL,  # RFC 3461
        "ENHANCEDSTATUSCODES": Combination.ALL,  # RFC 2034
        "8BITMIME": Combination.ALL,  # RFC 6152
        "BINARYMIME": Combination.ALL,  # RFC 3030 3; see NEEDS
        "CHUNKING": Combination.OURS,  # RFC 3030 2: what comes by BDAT can go by DATA
        "SMTPUTF8": Combination.ALL,  # RFC 6531
    }
)
"""The keywords that a client may see, in the order in which it sees them (Exchange's)."""

NEEDS: Mapping[str, str] = MappingProxyType({"BINARYMIME": "CHUNKING", "SMTPUTF8": "8BITMIME"})
"""Keyword -> what a server must offer beside it. RFC 3030 3: a binary body goes by BDAT. RFC 6531 3.1: who offers
SMTPUTF8 must announce 8BITMIME."""


def parse_ehlo(reply: Reply) -> Capabilities:
    """Read the 2xx answer to EHLO. What is no keyword is skipped: a backend that promises garbage promises nothing."""
    found = []
    for line in reply.lines[1:]:
        text = line.decode("ascii", "replace").strip()
        match = _KEYWORD.match(text)
        if match is not None:
            found.append((match[1].upper(), (match[2] or "").strip()))
    if found and found[-1] == ("OK", "") and reply.lines[-1].strip().upper() == b"OK":
        del found[-1]  # Exchange 2003 ends its list with "250 OK"
    return Capabilities(tuple(found))


def intersect(servers: Sequence[Capabilities], max_message_size: int, withheld: Collection[str] = ()) -> Capabilities:
    """Return what may be offered when any of `servers` may be the one that is reached; nothing if none is known.

    `max_message_size`: our own limit in octets. `withheld`: keywords that a setting rules out.
    """
    if not servers:
        return HELO_ONLY
    offered = []
    for keyword, combination in ALLOWED.items():
        needed = (keyword, NEEDS.get(keyword, keyword))
        if keyword in withheld:
            continue
        if combination is not Combination.OURS and not all(server.has(one) for server in servers for one in needed):
            continue
        value = ""
        if combination is Combination.SMALLEST:
            limits = [limit for limit in (max_message_size, *(server.size for server in servers)) if limit]
            value = str(min(limits)) if limits else ""
        offered.append((keyword, value))
    return Capabilities(tuple(offered))


def ehlo_lines(hostname: str, client: str, offered: Capabilities) -> tuple[bytes, ...]:
    """Write the lines of our answer to EHLO. Greets the client's address, as Exchange does, not the name it claims."""
    return (
        f"{hostname} Hello [{client}]".encode("ascii", "replace"),
        *_keyword_lines(offered),
    )


@lru_cache(maxsize=64)
def _keyword_lines(offered: Capabilities) -> tuple[bytes, ...]:
    """Written once for all clients that are offered the same: each of them keeps its last reply, 350 octets of it."""
    return tuple(
        f"{keyword} {arguments}".rstrip().encode("ascii", "replace") for keyword, arguments in offered.keywords
    )


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of MAIL or RCPT that we carry through."""

    keyword: str
    """What must be offered for it."""
    value: re.Pattern[str] | None
    """What its value looks like; None: it has none."""

    def needs(self, value: str | None) -> tuple[str, ...]:
        """Return all that must be offered for it with this value."""
        if value is not None and self.keyword == "8BITMIME" and value.upper() == "BINARYMIME":
            return "BINARYMIME", NEEDS["BINARYMIME"]  # a value of BODY, but a keyword of its own. RFC 3030 3
        return (self.keyword,)


def _value(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# RFC 3461 4 writes hexadecimal digits in upper case only; clients do not. Non-ASCII: RFC 6533 3, under SMTPUTF8.
_XTEXT = "(?:[!-*,-<>-~\x80-\U0010ffff]|\\+[0-9A-F]{2})"

PARAMETERS: Mapping[str, Mapping[str, Parameter]] = MappingProxyType(
    {
        "MAIL": MappingProxyType(
            {
                "SIZE": Parameter("SIZE", _SIZE),  # RFC 1870 6
                "BODY": Parameter("8BITMIME", _value("7BIT|8BITMIME|BINARYMIME")),  # RFC 6152 2, RFC 3030 3
                "RET": Parameter("DSN", _value("FULL|HDRS")),  # RFC 3461 4.3
                "ENVID": Parameter("DSN", _value(f"{_XTEXT}{{1,100}}")),  # RFC 3461 4.4
                "SMTPUTF8": Parameter("SMTPUTF8", None),  # RFC 6531 3.4
            }
        ),
        "RCPT": MappingProxyType(
            {
                # RFC 3461 4.1
                "NOTIFY": Parameter(
                    "DSN", _value("NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2}")
                ),
                "ORCPT": Parameter("DSN", _value(f"(?=.{{1,500}}\\Z)[A-Z0-9][A-Z0-9-]*;{_XTEXT}+")),  # RFC 3461 4.2
            }
        ),
    }
)


def unsupported(verb: str, parameters: Parameters, offered: Capabilities) -> str | None:
    """Return the first parameter that may not be used with `verb` (answer: 555 5.5.4), None if all may.

    Raises PeerError BAD_PARAMETER for a value that a parameter cannot have.
    """
    rules = PARAMETERS[verb]
    for keyword, value in parameters:
        rule = rules.get(keyword)
        if rule is None or not all(offered.has(one) for one in rule.needs(value)):
            return keyword
        if rule.value is None:
            if value is not None:
                raise PeerError(Fault.BAD_PARAMETER, f"{keyword} takes no value")
        elif value is None or not rule.value.fullmatch(value):
            raise PeerError(Fault.BAD_PARAMETER, f"{keyword} with a value it cannot have")
        elif not value.isascii() and not offered.has("SMTPUTF8"):
            return keyword
    return None


def required(parameters: Parameters) -> frozenset[str]:
    """Return the keywords that a server must offer to be sent these parameters, of MAIL, RCPT or both.

    A parameter that is in no table asks for a keyword of its own name, so that nobody is sent it unasked.
    """
    needed: set[str] = set()
    for keyword, value in parameters:
        rule = PARAMETERS["MAIL"].get(keyword) or PARAMETERS["RCPT"].get(keyword)
        needed.update((keyword,) if rule is None else rule.needs(value))
        if value is not None and not value.isascii():
            needed.add("SMTPUTF8")
    return frozenset(needed)
