"""What the process that asks does with its connections. The process itself is in test_ldap_client."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import bonsai
import orjson
import pytest

from smtproxy.lookups.recipients import ldap_process
from smtproxy.lookups.recipients.changes import Mark
from smtproxy.lookups.recipients.connecting import DirectorySettings
from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.lookups.recipients.ldap_process import Asker, Question, settings_of
from tests.fakes.ldap_connection import Entry, FakeConnection

SETTINGS = DirectorySettings(("ldap://a",), "dc=x", "(mail=*)")
FIND, LOOK = "(mail=a@example.org)", "(look)"
ANNA = Entry("cn=a", {"mail": ["a@example.org"]})
QUESTION = Question(1, "find", "ldap://a", 5, [FIND, LOOK])


class Stage:
    """Connections in the order in which they are opened."""

    def __init__(
        self,
        *answers: dict[str, list[Entry] | Exception],
        objects: Mapping[str, Mapping[str, Sequence[object]]] | None = None,
        settings: DirectorySettings = SETTINGS,
    ) -> None:
        self.connections = [FakeConnection(objects or {}, one) for one in answers]
        self.opened = 0
        self.asker = Asker(settings, self.open)

    def open(self, settings: DirectorySettings, server: str, limit: float) -> FakeConnection:
        assert limit > 0
        self.opened += 1
        return self.connections[self.opened - 1]

    def ask(self, question: Question = QUESTION) -> list[dict[str, object]]:
        return list(self.asker.answer(question))


def test_one_connection_for_all_questions() -> None:
    stage = Stage({FIND: [ANNA]})
    for _ in range(3):
        assert stage.ask() == [{"items": [("cn=a", {"mail": ["a@example.org"]})]}]
    assert stage.opened == 1
    assert stage.connections[0].asked == [FIND] * 3


def test_a_connection_that_broke_while_it_lay_idle_is_opened_anew() -> None:
    stage = Stage({FIND: [ANNA]}, {FIND: [ANNA]})
    stage.ask()
    stage.connections[0].answers[FIND] = bonsai.ConnectionError("gone")
    assert stage.ask()
    assert (stage.opened, stage.connections[0].closed) == (2, True)


def test_one_that_breaks_at_once_is_a_failure() -> None:
    stage = Stage({FIND: bonsai.ConnectionError("gone")})
    with pytest.raises(bonsai.ConnectionError):
        stage.ask()
    assert stage.connections[0].closed


def test_one_that_lay_idle_for_long_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage({FIND: [ANNA]}, {FIND: [ANNA]})
    stage.ask()
    monkeypatch.setattr(ldap_process, "IDLE", 0)
    stage.ask()
    assert (stage.opened, stage.connections[0].closed) == (2, True)


def test_nobody_is_missing_where_nobody_is_seen() -> None:
    """A user without rights, or a base that is not there, finds nobody without any error."""
    stage = Stage({})
    with pytest.raises(SourceError, match="no recipient at all"):
        stage.ask()
    stage.connections[0].answers[LOOK] = bonsai.SizeLimitError()
    assert stage.ask() == [{"items": []}]
    assert stage.ask() == [{"items": []}]
    assert stage.connections[0].asked == [FIND, LOOK] * 2 + [FIND]  # seen is seen, for a while
    assert stage.opened == 1


def test_whoever_was_found_was_seen() -> None:
    stage = Stage({FIND: [ANNA]})
    stage.ask()
    assert stage.ask(replace(QUESTION, argument=["(mail=b)", LOOK])) == [{"items": []}]


def test_a_look() -> None:
    stage = Stage({LOOK: [ANNA]})
    assert stage.ask(Question(1, "look", "ldap://a", 5, LOOK)) == []


def test_everything_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldap_process, "PIECE", 2)
    stage = Stage({"(mail=*)": [Entry(f"cn={one}", {}) for one in "abc"]})
    question = Question(1, "read", "ldap://a", 5)
    assert stage.ask(question) == [
        {"items": [("cn=a", {}), ("cn=b", {})]},
        {"items": [("cn=c", {})], "mark": None},
    ]
    monkeypatch.setattr(ldap_process, "MOST_ENTRIES", 2)
    with pytest.raises(SourceError, match="more than 2 objects"):
        stage.ask(question)


def test_changes_and_none() -> None:
    root: dict[str, list[object]] = {"dsServiceName": ["cn=dsa"], "highestCommittedUSN": [9]}
    stage = Stage({"(uSNChanged>=8)": [ANNA], "(&(uSNChanged>=8)(mail=*))": [ANNA]}, objects={"": root})
    (answer,) = stage.ask(Question(1, "changes", "ldap://a", 5, asdict(Mark("ldap://a", "cn=dsa", 7))))
    assert answer["mark"] == {"server": "ldap://a", "identity": "cn=dsa", "usn": 9}
    assert stage.ask(Question(1, "changes", "ldap://a", 5, asdict(Mark("ldap://a", "cn=other", 7)))) == []


def test_accepted_domains() -> None:
    entry = Entry("cn=d", {"msExchAcceptedDomainName": ["example.org"], "msExchAcceptedDomainFlags": [0]})
    objects = {"": {"configurationNamingContext": ["cn=configuration"]}}
    question, text = Question(1, "domains", "ldap://a", 5), "(objectClass=msExchAcceptedDomain)"
    assert Stage({text: [entry]}, objects=objects).ask(question) == [{"domains": {"example.org": True}}]
    own = replace(SETTINGS, configuration_base="cn=own")
    assert Stage({text: [entry]}, settings=own).ask(question) == [{"domains": {"example.org": True}}]
    with pytest.raises(SourceError, match="no accepted domain below 'cn=own'"):
        Stage({}, settings=own).ask(question)
    with pytest.raises(SourceError, match="set configuration_base"):
        Stage({text: [entry]}).ask(question)


def test_settings_travel() -> None:
    settings = replace(SETTINGS, password_file=Path("/a/b"), user="u")
    assert settings_of(orjson.loads(orjson.dumps(asdict(settings), default=str))) == settings
