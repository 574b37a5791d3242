"""Reverse and forward paths: `<local@domain>`, `<>`, `<postmaster>`. RFC 5321 4.1.2, RFC 6531 3.3

What is compared and what is sent come from this one parse: a path never leaves as the octets that came, it is written
again from the two parts. So nothing that survives here may be read differently by another parser: no controls, no
blanks, brackets or second @ outside quotes, no other characters that IDNA takes for a dot.
"""

import re
from dataclasses import dataclass

import idna

from smtproxy.wire.errors import Fault, PeerError

# RFC 5321 4.5.3.1.1 says 64, but VERP, SRS and BATV senders exceed it and everybody takes their mail. 256 is what
# 4.5.3.1.3 allows for a whole path; nothing honest was seen above.
MAX_LOCAL = 256
MAX_DOMAIN = 255  # RFC 5321 4.5.3.1.2
MAX_LABEL = 63  # RFC 1035 2.3.4
# With brackets and source route. RFC 5321 4.5.3.1.3 says 256; Exchange takes addresses of 571 octets
# (LongAddressesEnabled off).
MAX_PATH = 571

_NAME = rb"[A-Za-z0-9_\x80-\xff-]+(?:\.[A-Za-z0-9_\x80-\xff-]+)*"  # underscores are no host name, but they send mail
_LITERAL = rb"\[[A-Za-z0-9.:_-]+\]"  # RFC 5321 4.1.3, with less freedom for tags that nobody registered
_DOMAIN = rb"(?:" + _NAME + rb"|" + _LITERAL + rb")"
_DOT_STRING = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\x80-\xff-]+"  # dots anywhere: old mobile providers gave out "a..b."
_QUOTED = rb'"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])+"'  # not empty: it would name nobody

# Each piece ends at an octet that it cannot hold, so the match is linear.
_PATH = re.compile(
    rb"""
    (?P<open> < )?
    (?:
        (?: @%(domain)b (?: ,@%(domain)b )* : )?  # source route: accepted, dropped. RFC 5321 4.1.1.3, C
        (?P<local> %(dot_string)b | %(quoted)b ) @ (?: (?P<name> %(name)b ) \.? | (?P<literal> %(literal)b ) )
    |
        (?P<postmaster> (?i: postmaster ) )
    |
        (?P<null> )
    )
    (?(open) > ) (?= [ \t] | \Z )
    """
    % {b"domain": _DOMAIN, b"dot_string": _DOT_STRING, b"quoted": _QUOTED, b"name": _NAME, b"literal": _LITERAL},
    re.VERBOSE,
)
_ESCAPED = re.compile(r"\\(.)")
# C1 controls, line and paragraph separators, and the marks that turn the direction of writing: they forge log lines.
FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
# What IDNA 2003 takes for a dot would cut the compared name at other places than the sent one; blanks hide the end of a
# name.
_FORBIDDEN_IN_NAME = re.compile("[\u3002\uff0e\uff61\\s]")


@dataclass(frozen=True, slots=True)
class Path:
    """A path, in the spelling in which it is sent. Made by parse_path; everything else must keep its promises."""

    local: str
    """As it is sent, quotes included; "" for the null path."""
    domain: str
    """As it is sent, an address literal with its brackets; "" for the null path and for postmaster alone."""

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}" if self.domain else self.local

    @property
    def is_null(self) -> bool:
        """The path `<>` of bounces. RFC 5321 4.5.5"""
        return not self.local

    @property
    def utf8(self) -> bool:
        """Whether it can only be sent under SMTPUTF8. RFC 6531"""
        return not (self.local.isascii() and self.domain.isascii())

    @property
    def mailbox_local(self) -> str:
        """The local part as a mailbox name: quotes and backslashes removed."""
        if not self.local.startswith('"'):
            return self.local
        return _ESCAPED.sub(r"\1", self.local[1:-1])

    @property
    def domain_key(self) -> str:
        """The domain as it is compared."""
        return domain_key(self.domain)


NULL_PATH = Path("", "")


def domain_key(domain: str) -> str:
    """Return the form in which domains are compared: lower case, no trailing dot, A-labels (UTS 46, then IDNA 2008).

    A label that IDNA refuses keeps its non-ASCII characters, with ASCII letters alone in lower case: Unicode case
    folding makes ASCII of some of them (the Kelvin sign), and then a name nobody can look up would equal one of ours.
    """
    domain = domain.removesuffix(".")
    if domain.isascii():
        return domain.lower()
    return ".".join(map(_label_key, domain.split(".")))


def _label_key(label: str) -> str:
    if label.isascii():
        return label.lower()
    try:
        key = idna.encode(label, uts46=True).decode("ascii").lower()
    except UnicodeError:
        key = ""
    if not key or "." in key:
        return label.encode("utf-8", "replace").lower().decode()  # bytes.lower() knows ASCII only
    return key


def parse_path(text: bytes) -> tuple[Path, bytes]:
    """Read the path at the start of `text`; return it and what is behind it, which is empty or begins with a blank.

    Lenient where the meaning is plain: no brackets, a source route, a trailing dot of the domain. Raises PeerError
    BAD_PATH, PATH_TOO_LONG, or BAD_OCTETS for invalid UTF-8.
    """
    ascii_only = text.isascii()
    if not ascii_only:
        decode_utf8(text)
    match = _PATH.match(text)
    if match is None:
        raise PeerError(Fault.BAD_PATH, "no path")
    bracket, local, name, literal, postmaster, _ = match.groups()
    rest = text[match.end() :]
    if local is None:
        if postmaster is not None:
            return Path(postmaster.decode("ascii"), ""), rest
        if bracket is None:
            raise PeerError(Fault.BAD_PATH, "no path")
        return NULL_PATH, rest
    domain = name or literal
    if len(local) > MAX_LOCAL:
        raise PeerError(Fault.PATH_TOO_LONG, f"local part of more than {MAX_LOCAL} octets")
    if len(domain) > MAX_DOMAIN:
        raise PeerError(Fault.PATH_TOO_LONG, f"domain of more than {MAX_DOMAIN} octets")
    if match.end() > MAX_PATH:
        raise PeerError(Fault.PATH_TOO_LONG, f"path of more than {MAX_PATH} octets")
    path = Path(local.decode(), domain.decode())
    if len(domain) > MAX_LABEL and name and any(len(label) > MAX_LABEL for label in path.domain.split(".")):
        raise PeerError(Fault.BAD_PATH, f"domain with a label of more than {MAX_LABEL} characters")
    if not ascii_only and (
        FORBIDDEN.search(path.local) or FORBIDDEN.search(path.domain) or _FORBIDDEN_IN_NAME.search(path.domain)
    ):
        raise PeerError(Fault.BAD_PATH, "path with a character that hides or forges")
    return path, rest


def decode_utf8(octets: bytes) -> str:
    """Decode, or raise PeerError BAD_OCTETS. RFC 6531 3.7.1 knows no other charset."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise PeerError(Fault.BAD_OCTETS, "invalid UTF-8") from None
