"""How a directory is asked, as far as that needs none. A real one is asked in tests/end_to_end/test_recipients.py."""

from pathlib import Path

import pytest

from smtproxy.lookups.recipients.directory import DirectorySettings, _item, _text, read_all
from smtproxy.lookups.recipients.entries import SourceError


class Entry(dict[str, list[object]]):
    """As bonsai gives it."""

    dn = "cn=a"


def test_an_entry_becomes_text() -> None:
    item = _item(
        Entry(dn=["cn=a"], Mail=["a@b.org"], msExchRequireAuthToSendTo=[True], delivContLength=[10], x=[b"\xff"])
    )
    assert item.dn == "cn=a"
    assert dict(item.attributes) == {
        "mail": ["a@b.org"],
        "msexchrequireauthtosendto": ["TRUE"],
        "delivcontlength": ["10"],
        "x": ["\ufffd"],
    }
    assert _text(False) == "FALSE"


async def test_every_server_is_tried_and_named() -> None:
    settings = DirectorySettings(("ldap://127.0.0.1:1", "ldap://127.0.0.1:2"), "dc=x", "(mail=*)", starttls=False)
    with pytest.raises(SourceError, match=r"ldap://127\.0\.0\.1:1: .*; ldap://127\.0\.0\.1:2: "):
        await read_all(settings)


async def test_a_password_that_cannot_be_read(tmp_path: Path) -> None:
    settings = DirectorySettings(("ldap://127.0.0.1:1",), "dc=x", "(mail=*)", user="a", password_file=tmp_path / "none")
    with pytest.raises(SourceError, match="password file cannot be read: No such file"):
        await read_all(settings)
