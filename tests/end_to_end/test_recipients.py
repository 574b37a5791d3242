"""Recipients of a real slapd: through the whole proxy, and how it is asked."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from smtproxy.app.cli import main
from smtproxy.lookups.recipients.connecting import DirectorySettings
from smtproxy.lookups.recipients.directory import LdapDirectory
from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.lookups.recipients.exchange import entries_of
from smtproxy.lookups.recipients.spelling import Spelling
from tests.end_to_end.programs.postfix import Postfix
from tests.end_to_end.programs.process import HOST
from tests.end_to_end.programs.slapd import BASE, PASSWORD, USER, Slapd
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy
from tests.end_to_end.unknown_recipients import CountingServer, ask, measure, records, unknown

pytestmark = pytest.mark.end_to_end

ENTRIES, UNKNOWN = 2500, 1000


def test_no_unknown_one_reaches_the_backend_and_no_known_one_is_refused(directory: Path) -> None:
    """With the directory up, stopped in the middle, and at a start while it is down."""
    for figures in measure(directory / "unknown", ENTRIES, UNKNOWN):
        assert (figures.reached, figures.known, figures.unknown) == (0, {250: ENTRIES}, {550: UNKNOWN}), figures.phase
        assert figures.violations == 0


def test_whom_the_backend_lacks_it_is_asked_for_once(directory: Path) -> None:
    with CountingServer("nobody@example.org") as backend:
        plan = Plan([f"{HOST}:{backend.port}"], sources=[{"kind": "learned"}])
        with Smtproxy(directory / "learned", plan) as proxy:
            for turn in range(1, 4):
                assert ask(proxy.port, ["nobody@example.org", "anna@example.org"]) == {550: 1, 250: 1}
                proxy.wait_lines("message", turn)
        assert backend.recipients == {"nobody@example.org": 1, "anna@example.org": 3}


def test_a_running_worker_is_asked_and_made_to_forget(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nobody, state = "nobody@example.org", directory / "admin-state"
    state.mkdir()
    with CountingServer(nobody) as backend:
        plan = Plan([f"{HOST}:{backend.port}"], server={"state": str(state)}, sources=[{"kind": "learned"}])
        with Smtproxy(directory / "admin", plan) as proxy:
            asked = ["-c", str(proxy.configuration)]
            assert ask(proxy.port, [nobody]) == {550: 1}
            proxy.wait_lines("message", 1)
            assert main(["recipients", "show", nobody, *asked]) == 0
            assert "learned (learned): does not exist" in capsys.readouterr().out
            assert main(["recipients", "forget", nobody, *asked]) == 0
            assert "learned (learned): forgotten" in capsys.readouterr().out
            assert ask(proxy.port, [nobody]) == {550: 1}
        assert backend.recipients == {nobody: 2}
    assert list(state.glob("*.sock")) == []


class TestCallOuts:
    """A front that takes anybody, as Exchange's does, and a real smtpd behind another port that knows who there is."""

    KNOWN = ("postmaster@example.org", *(f"user{number}@example.org" for number in range(40)))

    @staticmethod
    def plan(front: CountingServer, *hub: int) -> Plan:
        servers = ", ".join(f'"{HOST}:{port}"' for port in hub)
        return Plan(
            [f"{HOST}:{front.port}"],
            sources=[{"kind": "callout", "backend": "hub", "connections": 4}],
            more=f"[backends.hub]\nservers = [{servers}]\n",
        )

    def test_an_unknown_one_reaches_no_backend(self, directory: Path) -> None:
        known, nobody = self.KNOWN[1:], unknown(100)
        with (
            CountingServer() as front,
            Postfix(directory / "hub", recipients=self.KNOWN) as hub,
            Smtproxy(directory / "callouts", self.plan(front, hub.port)) as proxy,
        ):
            for _ in range(2):
                assert ask(proxy.port, [*known, *nobody]) == {250: len(known), 550: len(nobody)}
            assert front.recipients == dict.fromkeys(known, 2)
            hub.stop()
            refused = [line for line in hub.log().splitlines() if ": reject: RCPT" in line]
            assert len(refused) == len(nobody) + 1  # each once, and the recipient whom nobody can have
            # Whoever is remembered goes on; of the others nobody knows, and they come again.
            assert ask(proxy.port, [*known, *nobody]) == {250: len(known), 550: len(nobody)}
            assert ask(proxy.port, unknown(20, seed=2)) == {451: 20}
            (line,) = proxy.wait_lines("recipients_failed", 1)
            assert (line["source"], line["kind"], line["level"]) == ("callout", "callout", "error")
            assert proxy.lines("backend_accepts_all") == []
            assert proxy.lines("crash") == []

    def test_a_server_that_takes_anybody_is_named(self, directory: Path) -> None:
        with CountingServer() as front, CountingServer() as hub:
            with Smtproxy(directory / "everybody", self.plan(front, hub.port)) as proxy:
                assert ask(proxy.port, ["anna@example.org", "bob@example.org"]) == {250: 2}
                (line,) = proxy.wait_lines("backend_accepts_all", 1)
                assert (line["backend"], line["domain"], line["source"]) == ("hub", "example.org", "callout")
            assert front.recipients == {"anna@example.org": 1, "bob@example.org": 1}
            assert len(hub.recipients) == 2  # anna, and whom nobody can have


class TestNoSourceAtAll:
    """`check` and start say what follows."""

    @pytest.mark.parametrize("workers", [1, 2])
    def test_the_log_warns_once_of_a_backend_that_will_bounce(self, directory: Path, workers: int) -> None:
        with CountingServer() as backend:
            plan = Plan([f"{HOST}:{backend.port}"], server={"workers": workers})
            with Smtproxy(directory / f"unguarded-{workers}", plan) as proxy:
                (line,) = proxy.wait_lines("backend_accepts_all", 1)
                assert (line["backend"], line["domain"], line["source"]) == ("real", "example.org", "")
                assert (line["reply"], line["level"]) == ("250 2.1.5 OK", "warning")
            assert sum(backend.recipients.values()) == 1

    def test_check_says_so(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = directory / "check.toml"
        with CountingServer() as backend:
            file.write_text(Plan([f"{HOST}:{backend.port}"]).text())
            assert main(["check", "-c", str(file)]) == 0
            assert "backend real  TAKES ANYBODY in example.org" in " ".join(capsys.readouterr().out.split(" " * 6))
            assert main(["check", "--offline", "-c", str(file)]) == 0
            assert "TAKES ANYBODY" not in capsys.readouterr().out
            assert sum(backend.recipients.values()) == 1
        assert main(["check", "-c", str(file)]) == 0
        assert "could not be asked" in capsys.readouterr().out


class TestAsking:
    @pytest.fixture(scope="class")
    @staticmethod
    def authority() -> trustme.CA:
        return trustme.CA()

    @pytest.fixture(scope="class")
    @staticmethod
    def directory_server(directory: Path, authority: trustme.CA) -> Iterator[tuple[Slapd, Path]]:
        place = directory / "asking"
        place.mkdir()
        certificate, key, trusted = place / "cert.pem", place / "key.pem", place / "ca.pem"
        made = authority.issue_cert("127.0.0.1")
        made.cert_chain_pems[0].write_to_path(certificate)
        made.private_key_pem.write_to_path(key)
        authority.cert_pem.write_to_path(trusted)
        (place / "password").write_text(PASSWORD)
        more = (
            f"dn: cn=list,{BASE}\nobjectClass: exchangeUser\ncn: list\nsn: l\nproxyAddresses: smtp:list@example.org\n"
            f"msExchRequireAuthToSendTo: TRUE\ndelivContLength: 10\nauthOrig: cn=user1,{BASE}\n"
        )
        with Slapd(place / "slapd", [*records(1200), more], (certificate, key)) as slapd:
            yield slapd, place

    @staticmethod
    def settings(server: tuple[Slapd, Path], host: str = "127.0.0.1") -> DirectorySettings:
        slapd, place = server
        return DirectorySettings(
            (f"ldap://{host}:{slapd.port}",),
            BASE,
            "(|(proxyAddresses=*)(mail=*)(member=*))",
            authorities=place / "ca.pem",
            user=USER,
            password_file=place / "password",
            timeout=5,
        )

    async def test_all_pages_are_read_under_verified_tls(self, directory_server: tuple[Slapd, Path]) -> None:
        items = (await LdapDirectory(self.settings(directory_server)).read()).items
        assert len(items) == 1201
        entries = entries_of(items, Spelling())
        assert len(entries) == 2 * 1200 + 1
        listed = entries.by_address["list@example.org"]
        assert (listed.requires_authentication, listed.size_limit) == (True, 10240)
        assert listed.allowed_senders == ("alias1@example.org", "user1@example.org")

    @pytest.mark.parametrize("wrong", ["name", "authority", "password"])
    async def test_whoever_is_not_the_right_one_gets_nothing(
        self, directory_server: tuple[Slapd, Path], tmp_path: Path, wrong: str
    ) -> None:
        settings = self.settings(directory_server, "localhost" if wrong == "name" else "127.0.0.1")
        if wrong == "authority":
            trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
            settings = replace(settings, authorities=tmp_path / "other.pem")
        if wrong == "password":
            (tmp_path / "password").write_text("guessed-secret")
            settings = replace(settings, password_file=tmp_path / "password")
        with pytest.raises(SourceError, match=r"ldap://\S+: ") as refused:
            await LdapDirectory(settings).read()
        assert "no answer within" not in str(refused.value)  # it was refused, and did not just take too long
        assert PASSWORD not in str(refused.value)
        assert "guessed-secret" not in str(refused.value)
