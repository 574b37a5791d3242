"""A file of recipients into entries: which of the three formats it has, and the simplest of them, an address a line.

A file that ends in the middle of a line is half-written, and is no list of all recipients.
"""

from smtproxy.lookups.recipients import csv_export, ldif
from smtproxy.lookups.recipients.entries import Entries, SourceError
from smtproxy.lookups.recipients.exchange import entries_of, smtp_address
from smtproxy.lookups.recipients.spelling import Spelling

LARGEST_FILE = 256 * 1024 * 1024
"""Octets. A million recipients with ten addresses each need as much in LDIF; more is another file."""

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def read(octets: bytes, spelling: Spelling) -> Entries:
    """Read a whole file. Raises SourceError: it is half-written, no such file, or lists nobody."""
    text = _text(octets)
    if text and not text.endswith("\n"):
        raise SourceError("the last line has no end: it is half-written")
    found = _entries(text, spelling)
    if not found.by_address:
        raise SourceError("there is no address in it")
    return found


def _text(octets: bytes) -> str:
    """Decode: UTF-8, or UTF-16 with a byte order mark, as PowerShell's redirection writes it."""
    encoding = next((name for mark, name in _MARKS if octets.startswith(mark)), "utf-8")
    try:
        return octets.decode(encoding)
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise SourceError(f"line {line} is no {encoding.removesuffix('-sig').upper()}") from None


def _entries(text: str, spelling: Spelling) -> Entries:
    for line in text.splitlines():
        said = line.strip()
        if said.lower().startswith(("dn:", "version:")):
            return entries_of(ldif.items(text), spelling)
        if csv_export.columns(said) is not None:
            return csv_export.entries(text, spelling)
        if said and not said.startswith("#"):
            break
    return _lines(text, spelling)


def _lines(text: str, spelling: Spelling) -> Entries:
    found = Entries()
    for number, line in enumerate(text.splitlines(), 1):
        said = line.partition(" #")[0].strip()
        if not said or said.startswith("#"):
            continue
        written = smtp_address(said)
        address = None if written is None else spelling.read(written)
        if address is None:
            found.skip(f"line {number}: {said[:100]}")
        else:
            found.add(address)
    return found
