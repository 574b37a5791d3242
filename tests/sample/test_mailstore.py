"""Files hold exactly the message, their names nothing a client chose, and a failure leaves nothing behind."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from smtproxy.sample.mailstore import MailStore
from smtproxy.sample.record import Delivery, Recipient

MOMENT = datetime(2026, 11, 24, 4, 16, 44, 123456, tzinfo=UTC)


def delivery(body: bytes = b"a\r\n.b\n\x00\xff") -> Delivery:
    to = (Recipient("jürgen@example.org", ("NOTIFY=NEVER",)),)
    return Delivery(1, "192.0.2.1", "EHLO ../x", "../a@b.example", ("SIZE=9",), to, "DATA", b"", body, 9, 7)


def at(_self: object = None) -> datetime:
    return MOMENT


def test_the_message_and_its_envelope(tmp_path: Path) -> None:
    directory = tmp_path / "var" / "mail"
    file = MailStore(directory, at).save(delivery())
    assert file == directory / "20261124T041644123456Z-000001.eml"
    assert file.read_bytes() == b"a\r\n.b\n\x00\xff"
    assert json.loads(file.with_suffix(".json").read_text(encoding="utf-8")) == {
        "client": "192.0.2.1",
        "hello": "EHLO ../x",
        "sender": "../a@b.example",
        "parameters": ["SIZE=9"],
        "recipients": [{"address": "jürgen@example.org", "parameters": ["NOTIFY=NEVER"]}],
        "via": "DATA",
        "octets": 9,
        "internal_id": 7,
    }
    assert sorted(path.suffix for path in directory.iterdir()) == [".eml", ".json"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_names_differ_within_a_moment(tmp_path: Path) -> None:
    store = MailStore(tmp_path, at)
    assert [store.save(delivery()).stem[-6:] for _ in range(3)] == ["000001", "000002", "000003"]


def test_names_of_another_process_are_left_alone(tmp_path: Path) -> None:
    first = MailStore(tmp_path, at).save(delivery(b"first"))
    second = MailStore(tmp_path, at).save(delivery(b"second"))
    assert first != second
    assert (first.read_bytes(), second.read_bytes()) == (b"first", b"second")


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="Not a directory"):
        MailStore(tmp_path / "file" / "mail").save(delivery())


def test_a_failure_half_way_leaves_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "20261124T041644123456Z-000001.json"
    blocked.mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        MailStore(tmp_path, at).save(delivery())
    assert list(tmp_path.iterdir()) == [blocked]


def test_no_free_name(tmp_path: Path) -> None:
    for number in range(1, 101):
        (tmp_path / f"20261124T041644123456Z-{number:06}.partial").write_bytes(b"")
    with pytest.raises(FileExistsError, match="no free name"):
        MailStore(tmp_path, at).save(delivery())
