"""A directory that changes while the proxy runs, and one that fails: what a client hears, with a real slapd.

slapd plays Active Directory: it says of itself what a domain controller says, and its objects have uSNChanged.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smtproxy.lookups.recipients.accepted_domains import AcceptedDomains
from smtproxy.lookups.recipients.changes import Mark
from smtproxy.lookups.recipients.connecting import DirectorySettings
from smtproxy.lookups.recipients.directory import LdapDirectory
from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.lookups.recipients.spelling import Address
from tests.end_to_end.programs.process import HOST, wait_until
from tests.end_to_end.programs.slapd import BASE, PASSWORD, USER, Slapd
from tests.end_to_end.programs.smtproxy import Plan, Setting, Smtproxy
from tests.end_to_end.unknown_recipients import CountingServer, ask, records

pytestmark = pytest.mark.end_to_end

ROOT = {"dsServiceName": "CN=NTDS Settings,CN=DC1", "highestCommittedUSN": "100"}
ACCEPTED = [
    f"dn: cn={name},{BASE}\nobjectClass: msExchAcceptedDomain\ncn: {name}\n"
    f"msExchAcceptedDomainName: {name}\nmsExchAcceptedDomainFlags: {flags}\n"
    for name, flags in (("example.org", 0), ("relay.example", 1), ("more.example", 0))
]


def added(name: str, usn: int = 0) -> str:
    more = f"uSNChanged: {usn}\n" if usn else ""
    return (
        f"dn: cn={name},{BASE}\nchangetype: add\nobjectClass: exchangeUser\ncn: {name}\nsn: x\n"
        f"proxyAddresses: SMTP:{name}@example.org\n{more}\n"
    )


def deleted(name: str) -> str:
    return f"dn: cn={name},{BASE}\nchangetype: delete\n\n"


@contextmanager
def running(
    directory: Path, slapd: Slapd, domains: tuple[str, ...] = ("example.org",), **source: Setting
) -> Iterator[Smtproxy]:
    (directory / "state").mkdir(parents=True, exist_ok=True)
    (directory / "password").write_text(f"{PASSWORD}\n")
    table: dict[str, Setting] = {
        "kind": "ldap",
        "servers": [f"ldap://{HOST}:{slapd.port}"],
        "base": BASE,
        "starttls": False,
        "user": USER,
        "password_file": str(directory / "password"),
        "ask_timeout": "1s",
    }
    with CountingServer() as backend:
        plan = Plan(
            [f"{HOST}:{backend.port}"],
            listener={"domains": domains},
            server={"state": str(directory / "state")},
            sources=[table | source],
        )
        with Smtproxy(directory / "proxy", plan) as proxy:
            yield proxy


def heard(proxy: Smtproxy, recipient: str) -> int:
    (code,) = ask(proxy.port, [recipient if "@" in recipient else f"{recipient}@example.org"])
    return code


def becomes(proxy: Smtproxy, recipient: str, code: int) -> None:
    wait_until(lambda: heard(proxy, recipient) == code, 10, f"{recipient} never hears {code}")


def test_a_new_mailbox_gets_mail_at_once_and_an_old_one_is_gone_with_the_next_reading(directory: Path) -> None:
    with Slapd(directory / "slapd-new", records(3)) as slapd:
        with running(directory / "new", slapd) as proxy:
            assert heard(proxy, "emil") == 550
            slapd.change(added("fritz"))
            assert [heard(proxy, name) for name in ("fritz", "emil", "user1")] == [250, 550, 250]
            slapd.change(added("emil"))
            assert heard(proxy, "emil") == 550  # for a minute, as it was asked for before
        with running(directory / "old", slapd, refresh="1s") as proxy:
            assert heard(proxy, "fritz") == 250
            slapd.change(deleted("fritz"))
            becomes(proxy, "fritz", 550)


def test_a_directory_that_is_read_and_stops_or_hangs(directory: Path) -> None:
    with Slapd(directory / "slapd-down", records(3)) as slapd, running(directory / "down", slapd) as proxy:
        slapd.change(added("emil"))
        assert heard(proxy, "emil") == 250
        slapd.freeze()
        assert [heard(proxy, name) for name in ("user1", "emil", "nobody")] == [250, 250, 550]
        slapd.thaw()
        slapd.stop()
        assert [heard(proxy, name) for name in ("user1", "emil", "nobody")] == [250, 250, 550]
        reasons = [str(line["reason"]) for line in proxy.wait_lines("recipients_failed", 1)]
        assert reasons[0].startswith("addresses cannot be asked for: ldap://")
        assert proxy.lines("worker_died") == []


def test_a_directory_that_is_only_asked(directory: Path) -> None:
    hostile = [
        '"*"@example.org',
        "*@example.org",
        '")(mail=*"@example.org',
        '"\\\\2a"@example.org',
        f"{'a' * 256}@example.org",
    ]
    with Slapd(directory / "slapd-asked", records(3)) as slapd:
        with running(directory / "asked", slapd, read="asked", filter="(proxyAddresses=*)") as proxy:
            assert [heard(proxy, name) for name in ("USER1", "alias1", "nobody")] == [250, 250, 550]
            assert [heard(proxy, one) for one in hostile] == [550] * len(hostile)
            slapd.stop()
            assert [heard(proxy, name) for name in ("user1", "user2")] == [250, 451]
        with running(directory / "rights", slapd, read="asked", user="", password_file="") as proxy:
            assert [heard(proxy, name) for name in ("user1", "nobody")] == [451, 451]  # it may see nobody


def test_changes_of_active_directory(directory: Path) -> None:
    with (
        Slapd(directory / "slapd-ad", records(3), root_dse=ROOT) as slapd,
        running(directory / "ad", slapd, ask_missing=False, changes="100ms") as proxy,
    ):
        assert heard(proxy, "emil") == 550
        slapd.change(added("emil", 101))
        # Of user1 the addresses are gone, and so it does not match the filter any more.
        slapd.change(
            f"dn: cn=user1,{BASE}\nchangetype: modify\ndelete: proxyAddresses\n-\nadd: uSNChanged\nuSNChanged: 102\n\n"
        )
        becomes(proxy, "emil", 250)
        becomes(proxy, "user1", 550)
        assert len(proxy.lines("recipients_loaded")) >= 2


def test_accepted_domains(directory: Path) -> None:
    root = {"configurationNamingContext": BASE}
    ours = ("example.org", "relay.example", "foreign.example")
    with (
        Slapd(directory / "slapd-domains", [*records(3), *ACCEPTED], root_dse=root) as slapd,
        running(directory / "domains", slapd, ours, accepted_domains=True) as proxy,
    ):
        names = ("nobody@example.org", "nobody@relay.example", "nobody@foreign.example", "nobody@more.example")
        assert [heard(proxy, name) for name in names] == [550, 250, 250, 550]
        (line,) = proxy.wait_lines("recipients_domains", 1)
        assert (line["not_ours"], line["not_accepted"]) == (["more.example"], ["foreign.example"])
        by = [one["by"] for message in proxy.lines("message") for one in message["recipients"]]  # type: ignore[attr-defined]
        assert by == ["recipients", "backend", "backend", "recipient_domain"]


class TestAsking:
    @pytest.fixture
    def slapd(self, directory: Path, tmp_path: Path) -> Iterator[Slapd]:
        with Slapd(directory / tmp_path.name, [*records(3), *ACCEPTED], root_dse=ROOT) as slapd:
            yield slapd

    @staticmethod
    def asked(slapd: Slapd, directory: Path, base: str = BASE) -> LdapDirectory:
        (directory / "password").write_text(PASSWORD)
        return LdapDirectory(
            DirectorySettings(
                (f"ldap://{HOST}:{slapd.port}",),
                base,
                "(proxyAddresses=*)",
                starttls=False,
                user=USER,
                password_file=directory / "password",
                timeout=2,
                ask_timeout=1,
                configuration_base=BASE,
            )
        )

    async def test_connections_outlive_a_restart(self, slapd: Slapd, tmp_path: Path) -> None:
        directory = self.asked(slapd, tmp_path)
        user, nobody = [Address("user1", "example.org")], [Address("nobody", "example.org")]
        assert len(await directory.find(user)) == 1
        slapd.stop()
        slapd.start()
        assert (len(await directory.find(user)), await directory.find(nobody)) == (1, [])
        await directory.close()

    async def test_a_base_that_is_not_there_finds_nobody_missing(self, slapd: Slapd, tmp_path: Path) -> None:
        directory = self.asked(slapd, tmp_path, f"ou=none,{BASE}")
        with pytest.raises(SourceError, match="no recipient at all"):
            await directory.find([Address("user1", "example.org")])
        await directory.close()

    async def test_a_reading_that_hangs_ends_and_harms_nobody(self, slapd: Slapd, tmp_path: Path) -> None:
        """In this process it was a segmentation fault."""
        directory = self.asked(slapd, tmp_path)
        reading = await directory.read()
        assert (len(reading.items), reading.mark) == (
            3,
            Mark(f"ldap://{HOST}:{slapd.port}", ROOT["dsServiceName"].lower(), 100),
        )
        slapd.freeze()
        try:
            with pytest.raises(SourceError, match=r"no answer within|Timed out"):
                await directory.read()
        finally:
            slapd.thaw()
        assert len((await directory.read()).items) == 3
        await directory.close()

    async def test_changes_are_those_of_one_server(self, slapd: Slapd, tmp_path: Path) -> None:
        directory = self.asked(slapd, tmp_path)
        mark = (await directory.read()).mark
        assert mark is not None
        slapd.change(added("emil", 101))
        changes = await directory.changes(mark)
        assert changes is not None
        assert [item.dn for item in changes.items] == [f"cn=emil,{BASE}"]
        for root in ({"dsServiceName": "CN=NTDS Settings,CN=DC2"}, {"highestCommittedUSN": "99"}):
            slapd.stop()
            slapd.says(ROOT | root)
            slapd.start()
            assert await directory.changes(mark) is None
        await directory.close()

    async def test_accepted_domains(self, slapd: Slapd, tmp_path: Path) -> None:
        domains: AcceptedDomains = await self.asked(slapd, tmp_path).accepted_domains()
        assert domains == {"example.org": True, "relay.example": False, "more.example": True}
