"""The copy of a directory in a file."""

from pathlib import Path

import pytest

from smtproxy.lookups.recipients.entries import PRESENT
from smtproxy.lookups.recipients.safe_copy import read, write
from smtproxy.policy.facts import RecipientEntry


def test_what_is_written_is_read(tmp_path: Path) -> None:
    entries = {"a@b.org": PRESENT, "c@b.org": RecipientEntry(exists=True, size_limit=5, allowed_senders=("x@y",))}
    path = tmp_path / "copy"
    write(path, entries, 17.5)
    write(path, entries, 18.5)
    kept = read(path)
    assert kept is not None
    assert (kept[0].by_address, kept[1]) == (entries, 18.5)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["copy"]


@pytest.mark.parametrize(
    "octets",
    [b"", b"{", b"[]", b"{}", b'{"version":2,"read_at":1,"entries":{}}', b'{"version":1,"read_at":1,"entries":[]}'],
)
def test_what_is_none(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "copy"
    path.write_bytes(octets)
    assert read(path) is None
