"""Changes of a domain controller, and when there are none to be had."""

from dataclasses import replace

import pytest

from smtproxy.lookups.recipients import changes
from smtproxy.lookups.recipients.changes import Mark, changes_since, mark_of
from smtproxy.lookups.recipients.connecting import DirectorySettings
from tests.fakes.ldap_connection import Entry, FakeConnection

DSA = "CN=NTDS Settings,CN=DC1"
SERVER = "ldap://dc1.example.org:3268"
SETTINGS = DirectorySettings((SERVER,), "", "(mail=*)")
MARK = Mark(SERVER, f"{DSA} 0102".lower(), 100)


def controller(usn: object = 200, invocation: bytes = b"\x01\x02") -> FakeConnection:
    root: dict[str, list[object]] = {"dsServiceName": [DSA], "highestCommittedUSN": [usn]}
    return FakeConnection({"": root, DSA: {"invocationId": [invocation]}})


def test_a_mark() -> None:
    assert mark_of(controller(100), SERVER, 1) == MARK
    unnamed = FakeConnection({"": controller(100).objects[""]})
    assert mark_of(unnamed, SERVER, 1) == replace(MARK, identity=DSA.lower())


@pytest.mark.parametrize("root", [{}, {"dsServiceName": [DSA]}, {"dsServiceName": [DSA], "highestCommittedUSN": ["x"]}])
def test_no_active_directory(root: dict[str, list[str]]) -> None:
    assert mark_of(FakeConnection({"": root}), SERVER, 1) is None
    assert changes_since(FakeConnection({"": root}), SETTINGS, MARK, 1) is None


def test_an_invocation_id_that_nobody_may_read() -> None:
    connection = controller()
    connection.closed_objects.add(DSA)
    assert mark_of(connection, SERVER, 1) == Mark(SERVER, DSA.lower(), 200)


def test_what_changed() -> None:
    connection = controller()
    connection.answers = {
        "(uSNChanged>=101)": [Entry("cn=a", {"objectGUID": [b"\x01"]}), Entry("cn=b", {"objectGUID": [b"\x02"]})],
        "(&(uSNChanged>=101)(mail=*))": [Entry("cn=a", {"mail": ["a@example.org"], "objectGUID": [b"\x01"]})],
    }
    found = changes_since(connection, SETTINGS, MARK, 1)
    assert found is not None
    assert [item.dn for item in found.touched] == ["cn=a", "cn=b"]
    assert [item.attributes["mail"] for item in found.items] == [["a@example.org"]]
    assert found.mark == replace(MARK, usn=200)
    assert connection.asked == ["(uSNChanged>=101)", "(&(uSNChanged>=101)(mail=*))"]  # in this order


def test_nothing_changed() -> None:
    connection = controller(100)
    assert changes_since(connection, SETTINGS, MARK, 1) == changes.Changes([], [], MARK)
    assert connection.asked == ["(uSNChanged>=101)", "(&(uSNChanged>=101)(mail=*))"]


@pytest.mark.parametrize("connection", [controller(99), controller(invocation=b"\x09")])
def test_another_one_or_one_that_was_put_back(connection: FakeConnection) -> None:
    assert changes_since(connection, SETTINGS, MARK, 1) is None


def test_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST_CHANGES", 1)
    connection = controller()
    connection.answers = {"(uSNChanged>=101)": [Entry("cn=a", {}), Entry("cn=b", {})]}
    assert changes_since(connection, SETTINGS, MARK, 1) is None
