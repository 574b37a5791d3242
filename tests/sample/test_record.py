"""The record answers what tests ask, and keeps no more than it is told to."""

import json
from collections.abc import Callable

from smtproxy.sample.record import BackendRecord, Connection, Delivery, Recipient, as_fields


def delivery(body: bytes, sender: str = "a@client.example") -> Delivery:
    to = (Recipient("user@example.org", ("NOTIFY=NEVER",)), Recipient("b@example.org"))
    return Delivery(1, "192.0.2.1", "EHLO mx", sender, ("SIZE=3",), to, "DATA", body, body, len(body), 7)


def test_connections_are_numbered() -> None:
    record = BackendRecord()
    assert [record.open("").number, record.open("", 5).number, record.open("").number] == [1, 5, 6]
    assert [connection.number for connection in record.connections] == [1, 5, 6]


def test_each_fate_has_its_list() -> None:
    record = BackendRecord()
    taken, refused, cut = delivery(b"id-1"), delivery(b"id-2"), delivery(b"id-3")
    record.accept(taken)
    record.refuse(refused)
    record.abort(cut)
    assert (record.accepted, record.refused, record.aborted) == ([taken], [refused], [cut])
    assert (taken.accepted, refused.accepted, cut.complete) == (True, False, False)
    assert record.containing(b"id-1") == [taken]
    assert record.containing(b"id-2") == []
    assert record.envelopes == [("a@client.example", ("user@example.org", "b@example.org"))]


def test_sums_over_connections() -> None:
    record = BackendRecord()
    for terminators in (1, 2):
        connection = record.open("192.0.2.1")
        connection.terminators = terminators
        connection.violations.append("talk")
        connection.commands += [b"ehlo a", b"QUIT"]
    assert record.terminators == 3
    assert record.violations == ["1: talk", "2: talk"]
    assert record.commands == [b"ehlo a", b"QUIT"] * 2
    assert record.connections[0].verbs == ["EHLO", "QUIT"]


def test_without_keeping_only_counts_stay() -> None:
    record = BackendRecord(keep=False)
    record.open("192.0.2.1")
    record.accept(delivery(b"a"))
    record.refuse(delivery(b"b"))
    assert (record.opened, record.messages) == (1, 1)
    assert (record.connections, record.accepted, record.refused) == ([], [], [])


def test_the_observer_sees_each_end() -> None:
    seen: list[object] = []
    note: Callable[[object], None] = seen.append
    record = BackendRecord(keep=False, observe=note)
    connection, message = record.open("192.0.2.1"), delivery(b"a")
    record.accept(message)
    record.end(connection, "client")
    assert seen == [message, connection]
    assert connection.ended == "client"


def test_json_lines_hold_every_octet() -> None:
    message = delivery(bytes(range(256)))
    line = json.loads(json.dumps(dict(as_fields(message))))
    assert line["body"].encode("latin-1") == message.body
    assert line["recipients"][0] == {"address": "user@example.org", "parameters": ["NOTIFY=NEVER"]}
    connection = Connection(3, "192.0.2.1", received=bytearray(b"\xff\r\n"), commands=[b"NOOP"])
    line = json.loads(json.dumps(dict(as_fields(connection))))
    assert (line["event"], line["number"], line["received"], line["commands"]) == (
        "connection",
        3,
        "\xff\r\n",
        ["NOOP"],
    )
