"""The sample backend's own grammar of commands: small and strict, an independent check of what the proxy sends.

It must never share code with `smtproxy.wire`, nor be lenient without saying so: what an honest client may do and the
proxy must not (a blank behind the colon, a source route) is taken, and comes back as a note that ends in the record.
"""

import re
from dataclasses import dataclass

# RFC 5321 4.1.2 and RFC 6531 3.3; dots in a local part may stand anywhere, since real addresses do that.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-\x80-\U0010ffff]+"
_QUOTED = r'"(?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])*"'
_LABEL = r"[A-Za-z0-9_\-\x80-\U0010ffff]+"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[!-Z^-~]+\])"
_PATH = re.compile(rf"<(?P<route>@{_DOMAIN}(?:,@{_DOMAIN})*:)?(?P<address>(?:{_ATOM}|{_QUOTED})@{_DOMAIN}|)>")
_PARAMETER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(?:=[!-<>-~\x80-\U0010ffff]+)?")
_CHUNK = re.compile(rb"(\d{1,18})( LAST)?", re.IGNORECASE)
_FOREIGN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

ADDRESS_LIMIT = 571
"""Octets of an address: Exchange without LongAddressesEnabled."""


class BadSyntax(Exception):  # noqa: N818  a fact about the line, answered with a reply
    """The argument is not what the grammar asks for."""


@dataclass(frozen=True, slots=True)
class Address:
    """The argument of MAIL or RCPT."""

    address: str
    parameters: tuple[str, ...]
    notes: tuple[str, ...]
    """What is not canonical about it."""


def split_command(line: bytes) -> tuple[str, bytes]:
    """Verb (upper case) and argument; a verb that is no word is "" (RFC 5321 4.1.1)."""
    verb, _, argument = line.partition(b" ")
    if not verb.isalnum() or not verb.isascii():
        return "", argument
    return verb.decode().upper(), argument


def line_notes(line: bytes) -> list[str]:
    """What no canonical command line has: control characters, a trailing blank, more than 2,048 octets."""
    notes = []
    if _FOREIGN.search(line):
        notes.append("control character in a command")
    if line.endswith((b" ", b"\t")):
        notes.append("blank at the end of a command")
    if len(line) > 2048:  # RFC 5321 4.5.3.1.4 says 512, and more with parameters
        notes.append("command longer than 2048 octets")
    return notes


def parse_address(argument: bytes, keyword: str) -> Address:
    """The argument of MAIL (keyword "FROM:") or RCPT ("TO:"); `<postmaster>` needs no domain. BadSyntax."""
    try:
        text = argument.decode()
    except UnicodeDecodeError:
        raise BadSyntax("not UTF-8") from None
    if text[: len(keyword)].upper() != keyword:
        raise BadSyntax(keyword)
    rest = text[len(keyword) :]
    path = rest.lstrip(" ")
    notes = ["blank behind the colon"] if path != rest else []
    if keyword == "TO:" and path[:12].lower() == "<postmaster>":
        address, end = path[1:11], 12
    elif (found := _PATH.match(path)) is None:
        raise BadSyntax("path")
    else:
        address, end = found["address"], found.end()
        if found["route"]:
            notes.append("source route")
    if len(address.encode()) > ADDRESS_LIMIT:
        raise BadSyntax("address too long")
    parameters = _parse_parameters(path[end:], notes)
    return Address(address, parameters, tuple(notes))


def _parse_parameters(text: str, notes: list[str]) -> tuple[str, ...]:
    if not text.strip(" "):
        return ()
    if not text.startswith(" "):
        raise BadSyntax("no blank behind the path")
    parameters = text[1:].split(" ")
    if "" in parameters:
        notes.append("more than one blank between parameters")
        parameters = [parameter for parameter in parameters if parameter]
    if not all(_PARAMETER.fullmatch(parameter) for parameter in parameters):
        raise BadSyntax("parameter")
    keywords = [parameter.partition("=")[0].upper() for parameter in parameters]
    if len(set(keywords)) != len(keywords):
        notes.append("a parameter twice")
    return tuple(parameters)


def parse_chunk(argument: bytes) -> tuple[int, bool]:
    """The argument of BDAT: octets of the chunk, whether it is the last one (RFC 3030). BadSyntax."""
    if (found := _CHUNK.fullmatch(argument)) is None:
        raise BadSyntax("chunk")
    return int(found[1]), found[2] is not None
