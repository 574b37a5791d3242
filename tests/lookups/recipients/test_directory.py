"""Which server is asked, and for how long. A real one is asked in tests/end_to_end/test_recipients.py."""

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from smtproxy.lookups.recipients.changes import Changes, Mark
from smtproxy.lookups.recipients.connecting import DirectorySettings
from smtproxy.lookups.recipients.directory import REFUSED_REST, REST, LdapDirectory
from smtproxy.lookups.recipients.entries import RefusedError, SourceError
from smtproxy.lookups.recipients.exchange import Item
from smtproxy.lookups.recipients.spelling import Address

A, B = "ldap://a:3268", "ldaps://b:3269"
ANNA = [Address("anna", "example.org")]
PLAIN = ["cn=a", {"mail": ["anna@example.org"]}]


class FakeClient:
    """What servers say; one that hangs does so for its whole time."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, float]] = []
        self.troubles: dict[str, SourceError | None] = {}
        self.answers: dict[str, list[dict[str, Any]]] = {"find": [{"items": [PLAIN]}]}
        self.closed = 0

    async def ask(self, do: str, server: str, limit: float, argument: object = None) -> list[dict[str, Any]]:
        self.asked.append((do, server, round(limit, 3)))
        if server in self.troubles:
            trouble = self.troubles[server]
            await trio.sleep(limit if trouble is None else 0)
            raise trouble or SourceError("no answer")
        await trio.lowlevel.checkpoint()
        return self.answers.get(do, [])

    async def close(self) -> None:
        self.closed += 1

    @property
    def servers(self) -> list[str]:
        return [server for _, server, _ in self.asked]


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def directory(client: FakeClient) -> LdapDirectory:
    return LdapDirectory(DirectorySettings((A, B), "", "(mail=*)", ask_timeout=4), lambda settings: client)


async def test_the_first_that_answers(directory: LdapDirectory, client: FakeClient) -> None:
    assert await directory.find(ANNA) == [Item("cn=a", {"mail": ["anna@example.org"]})]
    assert client.asked == [("find", A, 2.0)]  # the other one would have the other half of the time
    await directory.look()
    await directory.close()
    assert client.closed == 1


async def test_one_that_hangs_is_left_alone(
    directory: LdapDirectory, client: FakeClient, autojump_clock: trio.testing.MockClock
) -> None:
    client.troubles = {A: None}
    await directory.find(ANNA)
    assert (client.servers, trio.current_time()) == ([A, B], 2.0)
    await directory.find(ANNA)
    assert client.servers == [A, B, B]
    assert directory.trouble() == ""
    await trio.sleep(REST + 1)
    await directory.find(ANNA)
    assert client.servers == [A, B, B, A, B]


async def test_none_answers(
    directory: LdapDirectory, client: FakeClient, autojump_clock: trio.testing.MockClock
) -> None:
    client.troubles = {A: SourceError("down"), B: None}
    with pytest.raises(SourceError, match=f"{A}: down; {B}: no answer"):
        await directory.find(ANNA)
    assert trio.current_time() == 4.0
    assert directory.trouble() == f"{A}: down; {B}: no answer"
    with pytest.raises(SourceError, match=f"{A}: down; {B}: no answer"):  # at once
        await directory.find(ANNA)
    assert (trio.current_time(), len(client.asked)) == (4.0, 2)
    directory.wake()
    assert directory.trouble() == ""


async def test_a_wrong_password_locks_no_account(
    directory: LdapDirectory, client: FakeClient, autojump_clock: trio.testing.MockClock
) -> None:
    client.troubles = {A: RefusedError("no"), B: RefusedError("no")}
    for _ in range(5):
        with pytest.raises(SourceError):
            await directory.find(ANNA)
        await trio.sleep((REFUSED_REST - 1) / 5)
    assert len(client.asked) == 2


async def test_too_many_at_once_wait_for_half_of_their_time(
    directory: LdapDirectory, client: FakeClient, autojump_clock: trio.testing.MockClock
) -> None:
    client.troubles = {A: None, B: None}
    reasons: list[str] = []

    async def ask() -> None:
        with pytest.raises(SourceError) as error:
            await directory.find(ANNA)
        reasons.append(str(error.value))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
    assert reasons[:2] == ["too many questions at once"] * 2
    assert trio.current_time() == 4.0


async def test_reading_tries_all_and_names_them(directory: LdapDirectory, client: FakeClient) -> None:
    mark = {"server": A, "identity": "x", "usn": 7}
    client.answers["read"] = [{"items": [PLAIN]}, {"items": [PLAIN], "mark": mark}]
    reading = await directory.read()
    assert (len(reading.items), reading.mark, client.closed) == (2, Mark(A, "x", 7), 1)
    client.troubles = {A: SourceError("down"), B: SourceError("down, too")}
    with pytest.raises(SourceError, match=f"{A}: down; {B}: down, too"):
        await directory.read()
    assert client.closed == 2
    assert directory.trouble() == ""


async def test_a_password_that_cannot_be_read(tmp_path: Path, client: FakeClient) -> None:
    settings = DirectorySettings((A,), "", "(mail=*)", user="a", password_file=tmp_path / "none")
    with pytest.raises(SourceError, match="password file cannot be read: No such file"):
        await LdapDirectory(settings, lambda settings: client).read()
    assert client.asked == []


async def test_changes_are_those_of_one_server(directory: LdapDirectory, client: FakeClient) -> None:
    mark = Mark(B, "x", 7)
    assert await directory.changes(mark) is None
    client.answers["changes"] = [
        {"items": [PLAIN], "touched": [["cn=b", {}]], "mark": {"server": B, "identity": "x", "usn": 8}}
    ]
    changes = await directory.changes(mark)
    assert changes == Changes([Item("cn=a", {"mail": ["anna@example.org"]})], [Item("cn=b", {})], Mark(B, "x", 8))
    assert client.servers == [B, B]


async def test_accepted_domains_are_not_in_the_catalog(directory: LdapDirectory, client: FakeClient) -> None:
    client.answers["domains"] = [{"domains": {"example.org": True}}]
    client.troubles = {"ldap://a:389": SourceError("down")}
    assert await directory.accepted_domains() == {"example.org": True}
    assert client.servers == ["ldap://a:389", "ldaps://b:636"]
