"""Exemptions: what they lift, and that they never lift a duty."""

from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations

import pytest

from smtproxy.policy.checks import recipient_domain
from smtproxy.policy.evidence import Evidence, Fact, Known
from smtproxy.policy.exemptions import Exemption, Match
from smtproxy.policy.facts import (
    DKIM,
    REPUTATION,
    SENDER_REPUTATION,
    SPF,
    Reputation,
    Scope,
    Signature,
    Signatures,
    Spf,
)
from smtproxy.policy.findings import Action, CheckSpec, Finding
from smtproxy.policy.judge import Check, Override, Policy, Thresholds
from smtproxy.policy.patterns import Patterns
from smtproxy.policy.replies import Reason
from smtproxy.session.dialogue import Dialogue, MessageFacts
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from smtproxy.wire.paths import Path
from tests.policy.facts import PHRASES

_SUSPECTS = CheckSpec("suspects", frozenset({Stage.CONNECT}), dict, lambda *_: Finding(Reason.HELLO_FORGED))
_LISTED = CheckSpec("listed", frozenset({Stage.CONNECT}), dict, lambda *_: Finding(Reason.HELLO_FORGED), lists=True)
_JUDGES = CheckSpec("judges", frozenset({Stage.MESSAGE}), dict, lambda *_: Finding(Reason.HELLO_FORGED))


def _unknown(_options: object, evidence: Evidence) -> Finding | None:
    recipient = evidence.dialogue.recipient
    unknown = recipient is not None and recipient.path.local == "nobody"
    return Finding(Reason.FOREIGN_RECIPIENT, action=Action.REJECT) if unknown else None


_DUTIES = (
    Check(recipient_domain.CHECK, recipient_domain.RecipientDomainOptions(frozenset({"example.org"}))),
    Check(CheckSpec("recipients", frozenset({Stage.RECIPIENT}), dict, _unknown, duty=True), None),
)


def _evidence(
    to: str = "user@example.org",
    *,
    client: str = "192.0.2.10",
    sender: str = "a@sender.example",
    spf: str = "pass",
    dkim: str = "none",
    allowed: str = "",
    stage: Stage = Stage.RECIPIENT,
) -> Evidence:
    dialogue = Dialogue("s", client)
    dialogue.envelope = Envelope(Path(*sender.split("@")))
    path = Path(*to.split("@"))
    dialogue.recipient = Recipient(path)
    dialogue.envelope.recipients.append(dialogue.recipient)
    facts: dict[str, Fact[object]] = {
        SPF.name: Known(Spf(spf, "sender.example")),
        **({REPUTATION.name: Known(Reputation(allowed=client))} if allowed == "client" else {}),
        **({SENDER_REPUTATION.name: Known(Reputation(allowed="sender.example"))} if allowed == "sender" else {}),
    }
    if dkim != "none":
        facts[DKIM.name] = Known(Signatures((Signature("signer.example", "s", dkim),)))
    if stage is Stage.MESSAGE:
        dialogue.message = MessageFacts(1, bare_newlines=False, dot_line=False, received=0, message_id=None)
    return Evidence(stage, dialogue, facts, path if stage is Stage.MESSAGE else None)


def _verdict(exemption: Exemption | None, evidence: Evidence, *specs: CheckSpec) -> Verdict:
    checks = (*_DUTIES, *(Check(spec, None, Action.REJECT) for spec in specs))
    return Policy(checks, exemptions=() if exemption is None else (exemption,)).judge(evidence, PHRASES)


@pytest.mark.parametrize(
    ("match", "evidence", "lifted"),
    [
        (Match(clients=(IPv4Network("192.0.2.0/24"),)), _evidence(), True),
        (Match(clients=(IPv4Network("192.0.2.0/24"),)), _evidence(client="198.51.100.1"), False),
        (Match(clients=(IPv4Network("192.0.2.0/24"),)), _evidence(client="::ffff:192.0.2.1"), True),
        (Match(clients=(IPv4Network("192.0.2.0/24"),)), _evidence(client=""), False),
        (Match(recipients=Patterns(["user@example.org"])), _evidence(), True),
        (Match(recipients=Patterns(["user@example.org"])), _evidence("other@example.org"), False),
        (Match(senders=Patterns(["sender.example"])), _evidence(), True),
        (Match(senders=Patterns(["sender.example"])), _evidence(spf="fail"), False),
        (Match(senders=Patterns(["sender.example"])), _evidence(spf="none"), False),
        (Match(senders=Patterns(["sender.example"]), recipients=Patterns(["x@example.org"])), _evidence(), False),
        (Match(senders=Patterns(["sender.example"]), recipients=Patterns(["example.org"])), _evidence(), True),
        (Match(senders=Patterns(["sender.example"]), proven=False), _evidence(spf="fail"), True),
        (Match(allowed=True), _evidence(), False),
        (Match(allowed=True), _evidence(allowed="client"), True),
        (Match(allowed=True), _evidence(allowed="sender"), True),
        (Match(allowed=True), _evidence(allowed="sender", spf="fail"), False),
        (Match(allowed=True), _evidence(allowed="sender", sender="a@other.example"), False),
    ],
)
def test_whom_a_judgement_is_lifted_for(match: Match, evidence: Evidence, lifted: bool) -> None:
    verdict = _verdict(Exemption(match), evidence, _SUSPECTS)
    assert isinstance(verdict, Accepted) is lifted
    if lifted:
        (note,) = verdict.notes
        assert (note["action"], note["applied"]) == ("reject", "observe")
        assert str(note["because"]).startswith("exempt: ")


@pytest.mark.parametrize(("dkim", "lifted"), [("pass", True), ("fail", False), ("permerror", False)])
def test_a_signature_proves_its_domain_for_the_message(dkim: str, lifted: bool) -> None:
    exemption = Exemption(Match(senders=Patterns(["signer.example"])))
    message = _evidence(stage=Stage.MESSAGE, dkim=dkim)
    assert isinstance(_verdict(exemption, message, _JUDGES), Accepted) is lifted
    assert isinstance(_verdict(exemption, _evidence(dkim=dkim), _SUSPECTS), Refused)


@pytest.mark.parametrize(
    ("exemption", "check", "lifted"),
    [
        (Exemption(Match(), frozenset({"suspects"})), _SUSPECTS, True),
        (Exemption(Match(), frozenset({"suspects"})), _LISTED, False),
        (Exemption(Match(), frozenset(), lists=True), _LISTED, True),
        (Exemption(Match(), frozenset(), lists=True), _SUSPECTS, False),
    ],
)
def test_which_checks_are_lifted(exemption: Exemption, check: CheckSpec, lifted: bool) -> None:
    anybody = Exemption(Match(recipients=Patterns(["*"])), exemption.checks, exemption.lists)
    assert isinstance(_verdict(anybody, _evidence(), check), Accepted) is lifted


def _every_kind() -> Iterator[Match]:
    conditions = {
        "clients": (IPv4Network("0.0.0.0/0"),),
        "senders": Patterns(["*", "sender.example", "<>"]),
        "recipients": Patterns(["*", "foreign.example", "nobody@*", "postmaster@*"]),
        "allowed": True,
    }
    for size in range(1, len(conditions) + 1):
        for names in combinations(conditions, size):
            for proven in (True, False):
                yield Match(proven=proven, **{name: conditions[name] for name in names})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "to", ["u@foreign.example", "nobody@example.org", "x%y@example.org", "postmaster@other.example"]
)
@pytest.mark.parametrize("match", list(_every_kind()), ids=lambda match: repr(match.needs)[:20])
@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("allowed", ["client", "sender"])
def test_nobody_relays_and_nobody_reaches_an_unknown_user_by_any_of_them(
    match: Match, to: str, action: Action, allowed: str
) -> None:
    """Every kind of exemption, override and allow list against a foreign recipient and an unknown one; and whom a
    person has allowed.
    """
    generous = (Check(_SUSPECTS, None, action, weight=-1000.0),)
    for checks in (None, frozenset({"recipient_domain", "recipients"}), frozenset({"suspects"})):
        policy = Policy(
            (*_DUTIES, *generous),
            exemptions=(Exemption(match, checks, lists=True),),
            overrides=(Override("all", match, (*_DUTIES, *generous)),),
            thresholds=Thresholds(reject=5.0),
        )
        verdict = policy.judge(_evidence(to, allowed=allowed), PHRASES)
        assert isinstance(verdict, Refused)
        # `drop` of the judgement comes first; no other reply than a refusal is possible in any case.
        assert verdict.reply.code >= 400


def test_for_an_exempt_client_nothing_is_looked_up() -> None:
    spec = CheckSpec("asks", frozenset({Stage.MAIL}), dict, lambda *_: Finding(Reason.HELLO_FORGED), needs=(SPF,))
    policy = Policy(
        (Check(spec, None, Action.REJECT),), exemptions=(Exemption(Match(clients=(IPv4Network("127.0.0.0/8"),))),)
    )
    assert policy.wanted("127.0.0.1") == {}
    assert policy.wanted("192.0.2.1") == {Scope.TRANSACTION: (SPF,)}
    assert policy.needs(_evidence(client="127.0.0.1")) == frozenset()
    assert policy.needs(_evidence()) == {"spf"}
    assert policy.judge(_evidence(client="127.0.0.1"), PHRASES) == Accepted(Stage.RECIPIENT)


def test_whether_somebody_is_allowed_is_looked_up_where_anything_is_judged() -> None:
    allows = (Exemption(Match(allowed=True)),)
    judging = Policy((Check(_SUSPECTS, None, Action.REJECT),), exemptions=allows)
    assert judging.wanted("192.0.2.1") == {Scope.SESSION: (REPUTATION,), Scope.TRANSACTION: (SENDER_REPUTATION,)}
    assert judging.needs(_evidence()) == {"reputation", "sender_reputation"}
    assert Policy(_DUTIES, exemptions=allows).wanted("192.0.2.1") == {}


def test_a_signature_of_a_part_of_the_body_proves_nobody() -> None:
    exemption = Exemption(Match(senders=Patterns(["signer.example"])))
    evidence = _evidence(stage=Stage.MESSAGE)
    partial = Signatures((Signature("signer.example", "s", "pass", partial=True),))
    made = Evidence(Stage.MESSAGE, evidence.dialogue, {DKIM.name: Known(partial)}, evidence.standing)
    assert isinstance(_verdict(exemption, made, _JUDGES), Refused)
