"""Command lines into verb and argument, MAIL and RCPT into path and parameters, and those two back. RFC 5321 4.1

Read leniently, written canonically: what goes to a backend is composed from values, never from a client's octets. Which
verb and which parameter is allowed when is not known here.
"""

import re

from smtproxy.wire.errors import Fault, PeerError
from smtproxy.wire.paths import FORBIDDEN, Path, decode_utf8, parse_path
from smtproxy.wire.values import value

Parameters = tuple[tuple[str, str | None], ...]
"""(keyword in upper case, value as it was sent or None), in the order of the wire."""

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # all but TAB, which many take for a blank
# RFC 5321 4.1.1 knows letters only; digits and hyphens are in XEXCH50 and X-EXPS. The length keeps a verb fit for a log
# line.
_COMMAND = re.compile(rb"[ \t]*([A-Za-z][A-Za-z0-9-]{0,31})(?:[ \t]+(.*))?\Z", re.DOTALL)
_FROM = re.compile(rb"FROM[ \t]*:[ \t]*", re.IGNORECASE)
_TO = re.compile(rb"TO[ \t]*:[ \t]*", re.IGNORECASE)
_ROUTE = (b"<@", b"@")  # no path without a source route begins so
# RFC 5321 4.1.2 esmtp-param. Values: visible ASCII, UTF-8 by RFC 6531 3.3; "=" is taken, clients forget to encode it.
_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-~\x80-\xff]+))?\Z")


@value
class Command:
    """A command line, cut in two."""

    verb: str
    """In upper case: a letter, then letters, digits, hyphens; at most 32."""
    argument: bytes
    """Without blanks around it; valid UTF-8 without ASCII controls but TAB."""


@value
class PathCommand:
    """What stands behind MAIL or RCPT."""

    path: Path
    parameters: Parameters
    routed: bool = False
    """The path had a source route, which is dropped. RFC 5321 Appendix C"""


def parse_command(line: bytes) -> Command:
    """Cut a line without its ending into verb and argument.

    Raises PeerError EMPTY_COMMAND, UNKNOWN_COMMAND_SYNTAX or, behind a verb, BAD_OCTETS (RFC 5321 4.1.2).
    """
    match = _COMMAND.match(line)
    if match is None:
        raise PeerError(Fault.UNKNOWN_COMMAND_SYNTAX, "no verb") if line.strip() else PeerError(Fault.EMPTY_COMMAND)
    if _CONTROL.search(line):
        raise PeerError(Fault.BAD_OCTETS, "control character in a command")
    if not line.isascii():
        decode_utf8(line)
    verb, argument = match.groups()
    return Command(verb.decode("ascii").upper(), argument.rstrip(b" \t") if argument else b"")


def parse_mail(argument: bytes) -> PathCommand:
    """Read the argument of MAIL. RFC 5321 4.1.1.2

    Raises PeerError BAD_MAIL_SYNTAX and what parse_path and parameters raise.
    """
    match = _FROM.match(argument)
    if match is None:
        raise PeerError(Fault.BAD_MAIL_SYNTAX, "no FROM:")
    text = argument[match.end() :]
    path, rest = parse_path(text)
    if not path.domain and path.local:
        raise PeerError(Fault.BAD_PATH, "postmaster without a domain as sender")  # only RCPT may say so
    return PathCommand(path, _parse_parameters(rest) if rest else (), text.startswith(_ROUTE))


def parse_rcpt(argument: bytes) -> PathCommand:
    """Read the argument of RCPT. RFC 5321 4.1.1.3; `<postmaster>` alone is allowed.

    Raises PeerError BAD_RCPT_SYNTAX, NULL_RECIPIENT and what parse_path and parameters raise.
    """
    match = _TO.match(argument)
    if match is None:
        raise PeerError(Fault.BAD_RCPT_SYNTAX, "no TO:")
    text = argument[match.end() :]
    path, rest = parse_path(text)
    if path.is_null:
        raise PeerError(Fault.NULL_RECIPIENT)
    return PathCommand(path, _parse_parameters(rest) if rest else (), text.startswith(_ROUTE))


def _parse_parameters(text: bytes) -> Parameters:
    """Read blank-separated `KEYWORD[=value]`; raises PeerError BAD_PARAMETER, DUPLICATE_PARAMETER, BAD_OCTETS."""
    found: dict[str, str | None] = {}
    for word in text.replace(b"\t", b" ").split(b" "):
        if not word:
            continue
        match = _PARAMETER.match(word)
        if match is None:
            raise PeerError(Fault.BAD_PARAMETER, "no KEYWORD or KEYWORD=value")
        keyword = match[1].decode("ascii").upper()
        if keyword in found:
            raise PeerError(Fault.DUPLICATE_PARAMETER, keyword[:32])
        said = None if match[2] is None else decode_utf8(match[2])
        if said is not None and FORBIDDEN.search(said):
            raise PeerError(Fault.BAD_PARAMETER, "a value with control characters")
        found[keyword] = said
    return tuple(found.items())


def compose_mail(path: Path, parameters: Parameters) -> bytes:
    """Write a MAIL command, ending included."""
    return _compose("MAIL FROM:", path, parameters)


def compose_rcpt(path: Path, parameters: Parameters) -> bytes:
    """Write a RCPT command, ending included."""
    return _compose("RCPT TO:", path, parameters)


def _compose(head: str, path: Path, parameters: Parameters) -> bytes:
    line = f"{head}<{path}>"
    for keyword, argument in parameters:
        line += f" {keyword}" if argument is None else f" {keyword}={argument}"
    octets = line.encode()
    # The parsers let no control character in; a value that was made elsewhere must not become a second command either.
    if _CONTROL.search(octets):
        raise ValueError("control character in a composed command")
    return octets + b"\r\n"
