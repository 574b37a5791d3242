"""The CSV export of Exchange's Get-Recipient, as PowerShell's Export-Csv writes it.

    Get-Recipient -ResultSize Unlimited |
      Select-Object PrimarySmtpAddress, RequireSenderAuthenticationEnabled,
        @{n='EmailAddresses';e={$_.EmailAddresses -join ';'}} |
      Export-Csv -NoTypeInformation -Encoding UTF8 recipients.csv

Without the `-join` PowerShell writes the name of a type instead of the addresses: refused, as all other addresses than
the primary ones would be unknown users.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence

from smtproxy.lookups.recipients.entries import PRESENT, Entries, SourceError
from smtproxy.lookups.recipients.exchange import smtp_address
from smtproxy.lookups.recipients.spelling import Spelling
from smtproxy.policy.facts import RecipientEntry

ADDRESS_COLUMNS = frozenset({"emailaddresses", "primarysmtpaddress"})
_TYPE = re.compile(r"(?:System|Microsoft)\.[\w.`]+(?:\[.*\])?")
_OCTETS = re.compile(r"\(([0-9.,\u00a0' ]+) bytes\)")
_FULL = frozenset({"mailboxdisabled", "nochecking_mailboxdisabled"})


def columns(line: str) -> tuple[str, list[str]] | None:
    """Return delimiter and names of the columns, if a line is the head of such a file."""
    for delimiter in ",;\t":
        names = [name.strip().lower() for name in next(csv.reader([line], delimiter=delimiter), [])]
        if ADDRESS_COLUMNS & set(names):
            return delimiter, names
    return None


def entries(text: str, spelling: Spelling) -> Entries:
    """Read the whole of such a file. Raises SourceError."""
    lines = text.removeprefix("\ufeff").splitlines(keepends=True)
    skip = 1 if lines and lines[0].startswith("#TYPE") else 0
    head = columns(lines[skip].strip()) if lines[skip:] else None
    if head is None:
        raise SourceError("there is no column EmailAddresses or PrimarySmtpAddress")
    delimiter, names = head
    found = Entries()
    rows = csv.reader(io.StringIO("".join(lines[skip + 1 :]), newline=""), delimiter=delimiter)
    try:
        for row in rows:
            if row:
                where = f"line {rows.line_num + skip + 1}"
                if len(row) != len(names):
                    raise SourceError(f"{where} has {len(row)} columns, and the head has {len(names)}")
                _take(dict(zip(names, row, strict=True)), where, found, spelling)
    except csv.Error as error:
        raise SourceError(f"line {rows.line_num + skip + 1}: {error}") from None
    return found


def _take(row: Mapping[str, str], where: str, found: Entries, spelling: Spelling) -> None:
    entry = _entry(row)
    for name in sorted(ADDRESS_COLUMNS & row.keys()):
        if _TYPE.fullmatch(row[name].strip()):
            raise SourceError(
                f"{where}: EmailAddresses holds the name of a type; export it with "
                "@{n='EmailAddresses';e={$_.EmailAddresses -join ';'}}"
            )
        for value in _values(row[name]):
            text = smtp_address(value)
            if text is None:
                continue
            address = spelling.read(text)
            if address is None:
                found.skip(f"{where}: {text}")
            else:
                found.add(address, entry)


def _values(cell: str) -> Sequence[str]:
    """Cut a cell into its values: `a;b`, `a,b`, `{a, b}`, one a line. X500 addresses may hold blanks and commas."""
    cut = r"[;\r\n]" if ";" in cell else r"[,\r\n]"
    return [one.strip() for one in re.split(cut, cell.strip().strip("{}")) if one.strip()]


def _entry(row: Mapping[str, str]) -> RecipientEntry:
    octets = _OCTETS.search(row.get("maxreceivesize", ""))
    entry = RecipientEntry(
        exists=True,
        requires_authentication=row.get("requiresenderauthenticationenabled", "").strip().lower() == "true",
        over_quota=row.get("storagelimitstatus", "").strip().lower() in _FULL,
        size_limit=int(re.sub(r"\D", "", octets[1])) if octets else None,
    )
    return PRESENT if entry == PRESENT else entry
