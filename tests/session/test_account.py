"""The account of a session: what its `session` line says."""

from smtproxy.session.account import Account
from smtproxy.session.dialogue import Hello
from smtproxy.session.events import Wait
from smtproxy.session.records import FIELDS, Event
from tests.session.parts import NOW, OK, dialogue


def test_the_line_has_all_documented_fields_and_no_other() -> None:
    facts = dialogue()
    direct = Account(NOW).fields(facts, "mx", 0, "quit", "client")
    facts.proxy = "192.0.2.1"
    hurried = Account(NOW, delays_left_out={"max_total": 2})
    fields = hurried.fields(facts, "mx", 0, "quit", "client")
    assert set(fields) == set(FIELDS[Event.SESSION]) - {"evidence"}
    assert set(fields) - set(direct) == {"proxy", "delays_left_out"}
    assert fields["delays_left_out"] == {"max_total": 2}


def test_what_the_line_says() -> None:
    made, facts = Account(NOW - 3.25), dialogue()
    facts.hello = Hello("EHLO", "client.example")
    facts.commands, facts.errors, facts.octets_in = 7, 1, 100
    made.last_reply = OK
    made.origins["backend"] = 2
    fields = made.fields(facts, "mx", 3, "timeout", "proxy")
    assert (fields["hello"], fields["hello_verb"]) == ("client.example", "EHLO")
    assert (fields["commands"], fields["errors"], fields["octets_in"]) == (7, 1, 100)
    assert (fields["ended"], fields["by"], fields["backend_connections"]) == ("timeout", "proxy", 3)
    assert (fields["duration"], fields["reply"], fields["origins"]) == (3.25, "250 2.0.0 ok", {"backend": 2})


def test_only_waits_that_mean_something_are_told() -> None:
    made = Account(NOW)
    made.waited = dict.fromkeys(Wait, 1.00001)
    told = made.fields(dialogue(), "mx", 0, "quit", "client")["waited"]
    assert told == {"client": 1.0, "backend": 1.0, "verdict": 1.0, "delay": 1.0, "pace": 1.0, "tls": 1.0}


def test_findings_are_bounded() -> None:
    made = Account()
    made.note(({"check": "a"}, {"check": "b"}), 3)
    made.note(({"check": "c"}, {"check": "d"}), 3)
    assert [note["check"] for note in made.notes] == ["a", "b", "c"]
