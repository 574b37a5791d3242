"""What becomes of what a server gives. Real ones are asked in tests/end_to_end/test_recipients.py."""

from pathlib import Path

import pytest

from smtproxy.lookups.recipients.connecting import _text, item_of, one_of, password, words
from smtproxy.lookups.recipients.entries import SourceError
from tests.fakes.ldap_connection import Entry, FakeConnection


def test_an_entry_becomes_text() -> None:
    item = item_of(
        Entry(
            "cn=a",
            {
                "dn": ["cn=a"],
                "Mail": ["a@b.org"],
                "msExchRequireAuthToSendTo": [True],
                "delivContLength": [10],
                "x": [b"\xff"],
                "objectGUID": [b"\x00\xff"],
            },
        )
    )
    assert item.dn == "cn=a"
    assert dict(item.attributes) == {
        "mail": ["a@b.org"],
        "msexchrequireauthtosendto": ["TRUE"],
        "delivcontlength": ["10"],
        "x": ["\ufffd"],
        "objectguid": ["00ff"],
    }
    assert _text(False) == "FALSE"


def test_one_object() -> None:
    connection = FakeConnection({"": {"dsServiceName": ["cn=x"], "empty": []}})
    assert one_of(connection, "", ("dsServiceName",), 1) == {"dsservicename": "cn=x"}
    assert one_of(connection, "cn=none", ("dsServiceName",), 1) == {}


def test_a_password(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("secret\r\n")
    assert password(tmp_path / "a") == "secret"
    assert password(None) == ""
    with pytest.raises(SourceError, match="password file cannot be read: No such file"):
        password(tmp_path / "none")


def test_words() -> None:
    assert words(ValueError("a\n b")) == "a b"
    assert words(ValueError()) == "ValueError"
