"""Segments leave as asked, and a message counts as answered when its last octet left."""

from smtproxy.sample.outlet import Outlet
from smtproxy.sample.record import Connection, Delivery


def delivery() -> Delivery:
    return Delivery(1, "192.0.2.1", "EHLO mx", "", (), (), "DATA", b"", b"", 0, 1)


def test_one_segment_for_all_that_is_due() -> None:
    connection = Connection(1, "192.0.2.1")
    outlet = Outlet(connection, keep=True)
    outlet.say(b"250 a\r\n")
    outlet.say(b"250 b\r\n")
    assert outlet.segment(None) == b"250 a\r\n250 b\r\n"
    assert (len(outlet), outlet.sent) == (0, 14)
    assert connection.sent == b"250 a\r\n250 b\r\n"


def test_nothing_is_kept_when_not_asked_for() -> None:
    connection = Connection(1, "192.0.2.1")
    outlet = Outlet(connection, keep=False)
    outlet.say(b"250\r\n")
    assert outlet.segment(None) == b"250\r\n"
    assert connection.sent == b""


def test_octet_by_octet_and_limit() -> None:
    outlet = Outlet(Connection(1, ""), keep=True)
    outlet.say(b"250\r\n")
    assert outlet.segment(2) == b"25"
    outlet.octet_by_octet = True
    assert [outlet.segment(None) for _ in range(3)] == [b"0", b"\r", b"\n"]
    assert outlet.segment(None) == b""


def test_a_message_is_answered_with_its_last_octet() -> None:
    outlet, message = Outlet(Connection(1, ""), keep=True), delivery()
    outlet.say(b"250 ok\r\n", message)
    outlet.segment(7)
    assert message.replied is False
    outlet.segment(None)
    assert [message.replied, message.reply] == [True, b"250 ok\r\n"]


def test_parked_octets_come_behind_new_ones() -> None:
    outlet, message = Outlet(Connection(1, ""), keep=True), delivery()
    outlet.say(b"250 ok\r\n", message)
    outlet.segment(3)
    rest = outlet.park()
    assert len(outlet) == 0
    outlet.say(b"!!")
    outlet.resume(rest)
    assert outlet.segment(6) == b"!! ok\r"
    assert not message.replied
    assert outlet.segment(None) == b"\n"
    assert message.replied
