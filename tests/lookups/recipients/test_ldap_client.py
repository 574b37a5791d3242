"""The process that asks, with a directory that behaves badly. A good one is in tests/end_to_end/test_recipients.py."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from smtproxy.lookups.recipients.connecting import DirectorySettings
from smtproxy.lookups.recipients.entries import RefusedError, SourceError
from smtproxy.lookups.recipients.ldap_client import COMMAND, LdapClient
from tests.fakes.ldap_server import BUSY, INVALID_CREDENTIALS, LdapServer, Reply, Search

ANNA = {"cn=a,dc=x": {"mail": [b"anna@example.org"], "objectGUID": [bytes(range(16))]}}
FIND = ["(mail=anna@example.org)", "(mail=*)"]


@pytest.fixture
def server() -> Iterator[LdapServer]:
    with LdapServer(lambda search: Reply(ANNA)) as server:
        yield server


@pytest.fixture
def settings(server: LdapServer, tmp_path: Path) -> DirectorySettings:
    (tmp_path / "password").write_text("secret")
    return DirectorySettings(
        (server.url,), "dc=x", "(mail=*)", starttls=False, user="cn=u", password_file=tmp_path / "password"
    )


async def test_questions_over_one_connection(server: LdapServer, settings: DirectorySettings) -> None:
    client = LdapClient(settings)
    for _ in range(3):
        (piece,) = await client.ask("find", server.url, 5, FIND)
        attributes = {"mail": ["anna@example.org"], "objectguid": [bytes(range(16)).hex()]}
        assert piece["items"] == [["cn=a,dc=x", attributes]]
    assert server.binds == 1
    server.break_connections()
    assert await client.ask("find", server.url, 5, FIND)
    assert server.binds == 2
    await client.close()
    await client.close()


@pytest.mark.parametrize("do", ["find", "look", "read"])
async def test_no_code_but_success_says_that_nobody_is_there(
    server: LdapServer, settings: DirectorySettings, do: str
) -> None:
    client = LdapClient(settings)
    for code in (1, 2, 3, 10, 11, 32, 50, BUSY, 52, 53, 80):
        server.answers = lambda search, code=code: Reply({}, code)  # type: ignore[misc]
        try:
            pieces = await client.ask(do, server.url, 5, FIND if do == "find" else "(mail=*)")
        except SourceError:
            continue
        assert do == "read"
        assert [piece["items"] for piece in pieces] == [[]]  # which the source does not believe
    await client.close()


async def test_a_code_behind_some_objects_is_no_whole_reading(server: LdapServer, settings: DirectorySettings) -> None:
    """A server that breaks off in the middle, with half of its objects: the other half is not missing."""
    client = LdapClient(settings)
    taken = set[int]()
    for code in (1, 3, 4, 11, 32, BUSY, 52, 80):  # 10 is a referral, which is not followed
        server.answers = lambda search, code=code: Reply(ANNA, code) if search.base else Reply({})  # type: ignore[misc]
        try:
            await client.ask("read", server.url, 5)
        except SourceError:
            continue
        taken.add(code)
    await client.close()
    assert taken == set()


@pytest.mark.parametrize("do", ["find", "read"])
async def test_one_that_hangs_in_the_middle(server: LdapServer, settings: DirectorySettings, do: str) -> None:
    def answers(search: Search) -> Reply:
        return Reply(ANNA, ends=not search.base)

    server.answers = answers
    client = LdapClient(settings)
    with pytest.raises(SourceError, match=r"no answer within 0\.3 s|Timed out"):
        await client.ask(do, server.url, 0.3, FIND)
    server.answers = lambda search: Reply(ANNA)
    assert await client.ask("find", server.url, 5, FIND)
    await client.close()


async def test_a_password_that_is_wrong_is_told_apart(server: LdapServer, settings: DirectorySettings) -> None:
    server.bind_code = INVALID_CREDENTIALS
    client = LdapClient(settings)
    with pytest.raises(RefusedError, match="Invalid credentials"):
        await client.ask("find", server.url, 5, FIND)
    await client.close()


async def test_whoever_is_called_off_leaves_no_answer_to_the_next(
    server: LdapServer, settings: DirectorySettings
) -> None:
    client = LdapClient(settings)
    await client.ask("find", server.url, 5, FIND)
    for pause in (0, 0.0001, 0.001, 0.002):
        server.answers = lambda search: Reply({"cn=other": {"mail": [b"other@example.org"]}})
        with trio.move_on_after(pause):
            await client.ask("find", server.url, 5, ["(mail=other)", "(mail=*)"])
        server.answers = lambda search: Reply(
            ANNA if b"anna" in search.octets else {"cn=other": {"mail": [b"other@example.org"]}}
        )
        (piece,) = await client.ask("find", server.url, 5, FIND)
        assert piece["items"][0][0] == "cn=a,dc=x"
    await client.close()


async def test_many_who_are_called_off_fill_no_pipe(server: LdapServer, settings: DirectorySettings) -> None:
    """As clients do that say RCPT and hang up."""
    server.answers = lambda search: Reply({"cn=a,dc=x": {"mail": [b"anna@example.org"] * 1000}})
    client = LdapClient(settings)
    await client.ask("find", server.url, 5, FIND)
    for _ in range(100):
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.ask("find", server.url, 5, FIND)
        with trio.move_on_after(0.001):
            await client.ask("find", server.url, 5, FIND)
    assert await client.ask("find", server.url, 5, FIND)
    await client.close()


async def test_a_process_that_dies_is_started_anew(server: LdapServer, settings: DirectorySettings) -> None:
    client = LdapClient(settings)
    await client.ask("find", server.url, 5, FIND)
    assert client._process is not None
    client._process.kill()
    await client._process.wait()
    assert await client.ask("find", server.url, 5, FIND)
    await client.close()


@pytest.mark.parametrize("code", ["", "print('no answer')", "print('{}')", "raise SystemExit(3)"])
async def test_a_process_that_is_none_of_ours(settings: DirectorySettings, code: str) -> None:
    client = LdapClient(settings, (sys.executable, "-c", code))
    with pytest.raises(SourceError, match="process that asks it has failed"):
        await client.ask("find", "ldap://127.0.0.1:1", 5, FIND)
    missing = LdapClient(settings, ("/nonexistent/program", *COMMAND))
    with pytest.raises(SourceError, match="process that asks it has failed"):
        await missing.ask("find", "ldap://127.0.0.1:1", 5, FIND)
