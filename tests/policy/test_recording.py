"""The record of decisions: what stands in the log can be judged again."""

from typing import Any

import orjson
import pytest

from smtproxy.app.log.json_lines import ALLOWANCES, JsonLines, Stamp
from smtproxy.app.log.values import Allowance, bounded
from smtproxy.policy.checks.null_sender import NullSenderOptions, null_sender
from smtproxy.policy.evidence import Evidence, Fact, Known, Unknown
from smtproxy.policy.facts import RECIPIENT, SENDER_DOMAIN, SPF, RecipientEntry, SenderDomain, Spf
from smtproxy.policy.recording import MOST, Docket, restore
from smtproxy.session.dialogue import Dialogue, Hello, MessageFacts, Tls
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.verdicts import Accepted, Refused, Stage
from smtproxy.wire.paths import Path
from smtproxy.wire.replies import Reply


def _dialogue() -> Dialogue:
    made = Dialogue("s", "192.0.2.10", hello=Hello("EHLO", "client.example"), tls=Tls("TLSv1.3", "X"), hello_names=2)
    made.early = (Stage.HELLO,)
    made.envelope = Envelope(Path("a", "example.net"), (("SIZE", "100"), ("BODY", "8BITMIME"), ("SMTPUTF8", None)))
    made.declared_size = 100
    return made


def _to(dialogue: Dialogue, name: str) -> Dialogue:
    dialogue.recipient = Recipient(Path(name, "example.org"), (("NOTIFY", "NEVER"),))
    assert dialogue.envelope is not None
    dialogue.envelope.recipients.append(dialogue.recipient)
    return dialogue


def _logged(docket: Docket, dialogue: Dialogue) -> dict[str, object]:
    made: dict[str, object] = orjson.loads(orjson.dumps(bounded(docket.record(dialogue), Allowance(100_000))))
    return made


def test_each_decision_comes_back_with_the_facts_that_it_had() -> None:
    dialogue, docket = _dialogue(), Docket()
    facts: dict[str, Fact[Any]] = {SPF.name: Known(Spf("pass", "example.net")), SENDER_DOMAIN.name: Unknown("timeout")}
    facts[RECIPIENT.name] = Known(RecipientEntry(exists=False, source="file"))
    refused = Refused(Stage.RECIPIENT, Reply(550, (b"5.1.1 no",)), "recipients")
    docket.note(Evidence(Stage.RECIPIENT, _to(dialogue, "u1"), facts, None, frozenset({"dnsbl"})), refused)
    facts[RECIPIENT.name] = Known(RecipientEntry(exists=True, source="file"))
    facts[SENDER_DOMAIN.name] = Known(SenderDomain(exists=True))
    standing = Path("u2", "example.org")
    docket.note(Evidence(Stage.RECIPIENT, _to(dialogue, "u2"), facts), Accepted(Stage.RECIPIENT))
    dialogue.message = MessageFacts(77, bare_newlines=True, dot_line=False, received=3, message_id="<x@y>")
    docket.note(Evidence(Stage.MESSAGE, dialogue, facts, standing), Accepted(Stage.MESSAGE))
    first, second, message = restore(_logged(docket, dialogue))
    assert (first.verdict, first.by) == ("550", "recipients")
    assert (second.verdict, second.by) == ("accepted", "")
    assert first.evidence.demoted == {"dnsbl"}
    assert first.evidence.get(SENDER_DOMAIN) == Unknown("timeout")
    assert first.evidence.get(RECIPIENT) == Known(RecipientEntry(exists=False, source="file"))
    assert second.evidence.get(SENDER_DOMAIN) == Known(SenderDomain(exists=True))
    assert message.evidence.standing == standing
    assert message.evidence.dialogue.message == MessageFacts(77, True, False, 3, None)
    for one in (first, second, message):
        again = one.evidence.dialogue
        assert again.hello_names == 2
        assert (again.client, again.hello, again.tls, again.early) == (
            dialogue.client,
            dialogue.hello,
            dialogue.tls,
            dialogue.early,
        )
        assert again.envelope is not None
        assert (again.envelope.sender, again.envelope.parameters, again.declared_size) == (
            Path("a", "example.net"),
            (("SIZE", "100"), ("BODY", "8BITMIME"), ("SMTPUTF8", None)),
            100,
        )
        assert one.evidence.get(SPF) == Known(Spf("pass", "example.net"))
    assert first.evidence.dialogue.recipient == Recipient(Path("u1", "example.org"), (("NOTIFY", "NEVER"),))
    assert [len(one.evidence.dialogue.envelope.recipients) for one in (first, second)] == [1, 2]  # type: ignore[union-attr]


def test_a_fact_that_came_later_was_not_known_before() -> None:
    dialogue, docket = _dialogue(), Docket()
    facts: dict[str, Known[Spf]] = {}
    docket.note(Evidence(Stage.RECIPIENT, _to(dialogue, "u1"), facts), Accepted(Stage.RECIPIENT))
    facts[SPF.name] = Known(Spf("fail"))
    docket.note(Evidence(Stage.RECIPIENT, _to(dialogue, "u2"), facts), Accepted(Stage.RECIPIENT))
    first, second = restore(_logged(docket, dialogue))
    assert first.evidence.get(SPF) == Unknown("not_asked")
    assert second.evidence.get(SPF) == Known(Spf("fail"))


def test_it_is_bounded_and_says_how_many_are_missing() -> None:
    dialogue, docket = _dialogue(), Docket()
    for number in range(MOST + 7):
        docket.note(Evidence(Stage.RECIPIENT, _to(dialogue, f"u{number}")), Accepted(Stage.RECIPIENT))
    made = docket.record(dialogue)
    assert made["decisions_cut"] == 7
    assert len(restore(_logged(docket, dialogue))) == MOST


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"v": 99},
        {"v": 1, "client": "192.0.2.1"},
        {"v": 1, "client": "192.0.2.1", "facts": {}, "decisions": "...[cut]"},
        {"v": 1, "client": "x", "facts": {}, "sender": "nonsense", "decisions": [{"stage": "mail", "verdict": "x"}]},
        {"v": 1, "client": "x", "facts": {"nofact": {}}, "decisions": [{"stage": "mail", "verdict": "x"}]},
    ],
)
def test_what_is_no_record(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"record|no fact"):
        restore(wrong)


def test_what_the_transaction_forgets_at_its_end_is_in_the_record() -> None:
    """Envelope and message were gone from every line of a mail that had ended: none of them could be judged again."""
    dialogue, docket = _dialogue(), Docket()
    dialogue.message = MessageFacts(77, bare_newlines=False, dot_line=False, received=3, message_id=None)
    docket.note(Evidence(Stage.MESSAGE, _to(dialogue, "u1"), {}), Accepted(Stage.MESSAGE))
    dialogue.envelope = dialogue.recipient = dialogue.message = dialogue.declared_size = None
    (again,) = restore(_logged(docket, dialogue))
    assert again.evidence.dialogue.message is not None
    assert again.evidence.dialogue.message.size == 77
    assert again.evidence.dialogue.envelope is not None
    assert again.evidence.dialogue.envelope.sender == Path("a", "example.net")
    assert again.evidence.dialogue.declared_size == 100


def test_each_decision_keeps_the_hello_that_it_saw() -> None:
    """A client refused by one name and let in by the next was recorded with the last one only."""
    dialogue, docket = Dialogue("s", "192.0.2.10", hello=Hello("EHLO", "mx.example.org"), hello_names=1), Docket()
    dialogue.early = (Stage.HELLO,)
    docket.note(Evidence(Stage.HELLO, dialogue, {}), Refused(Stage.HELLO, Reply(550, (b"5.7.1 no",)), "hello"))
    dialogue.hello, dialogue.hello_names, dialogue.early = Hello("EHLO", "client.example"), 2, ()
    dialogue.tls = Tls("TLSv1.3", "X")
    docket.note(Evidence(Stage.HELLO, dialogue, {}), Accepted(Stage.HELLO))
    dialogue.hello, dialogue.tls = Hello("HELO", "later.example"), None
    first, second = (one.evidence.dialogue for one in restore(_logged(docket, dialogue)))
    assert (first.hello, first.hello_names, first.tls, first.early) == (
        Hello("EHLO", "mx.example.org"),
        1,
        None,
        (Stage.HELLO,),
    )
    assert (second.hello, second.hello_names, second.tls, second.early) == (
        Hello("EHLO", "client.example"),
        2,
        Tls("TLSv1.3", "X"),
        (),
    )


def test_a_bounce_keeps_whether_another_recipient_stands() -> None:
    """The check null_sender found nothing in a record: all recipients in it were the judged one."""
    dialogue, docket = _dialogue(), Docket()
    dialogue.envelope = Envelope(Path("", ""))
    assert dialogue.envelope.sender.is_null
    for name in ("u1", "u2"):
        docket.note(Evidence(Stage.RECIPIENT, _to(dialogue, name), {}), Accepted(Stage.RECIPIENT))
    said = [null_sender(NullSenderOptions(), one.evidence) for one in restore(_logged(docket, dialogue))]
    assert [one is None for one in said] == [True, False]


def test_refusals_before_a_transaction_are_bounded() -> None:
    dialogue, docket = _dialogue(), Docket()
    refused = Refused(Stage.HELLO, Reply(550, (b"5.7.1 no",)), "hello")
    for _ in range(MOST + 3):
        docket.note(Evidence(Stage.HELLO, dialogue, {}), refused)
    assert (len(docket.decisions), docket.more) == (MOST, 3)


def test_as_many_recipients_as_are_recorded_fit_into_a_line() -> None:
    dialogue, docket = _dialogue(), Docket()
    for number in range(MOST):
        entry = RecipientEntry(exists=False, source="a source with a rather long name")
        facts: dict[str, Fact[Any]] = {RECIPIENT.name: Known(entry), SPF.name: Known(Spf("pass", "example.net"))}
        refused = Refused(Stage.RECIPIENT, Reply(550, (b"5.1.1 no",)), "recipients")
        docket.note(Evidence(Stage.RECIPIENT, _to(dialogue, f"{'u' * 60}{number}"), facts), refused)
    line = orjson.loads(JsonLines(Stamp()).render("message", "info", {"evidence": docket.record(dialogue)}))
    assert len(orjson.dumps(line["evidence"])) > ALLOWANCES[0]
    assert [one.by for one in restore(line["evidence"])] == ["recipients"] * MOST


def test_long_addresses_do_not_push_the_decision_about_the_message_out() -> None:
    dialogue, docket = _dialogue(), Docket()
    for number in range(MOST):
        docket.note(Evidence(Stage.RECIPIENT, _to(dialogue, f"u{number}" + "x" * 200)), Accepted(Stage.RECIPIENT))
        docket.note(Evidence(Stage.RECIPIENT, dialogue, {SPF.name: Unknown("y" * 300)}), Accepted(Stage.RECIPIENT))
    dialogue.message = MessageFacts(77, bare_newlines=True, dot_line=False, received=3, message_id="<x@y>")
    docket.note(Evidence(Stage.MESSAGE, dialogue), Accepted(Stage.MESSAGE))
    plain = orjson.loads(orjson.dumps(bounded(docket.record(dialogue), Allowance(32768))))
    again = restore(plain)
    assert again[-1].evidence.stage is Stage.MESSAGE
    assert 10 < len(again) < MOST
    assert plain["decisions_cut"] == 2 * MOST + 1 - len(again)
