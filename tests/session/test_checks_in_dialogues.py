"""Each judgement in a dialogue: found, exempt, observed, and not known with both values of `on_error`.

What is found before RCPT is heard at RCPT, and no backend is opened for it; what is found in a message, at its dot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

import pytest

from smtproxy.policy.checks import (
    CHECKS,
    blocked,
    dkim,
    dmarc,
    dnsbl,
    early_talker,
    header,
    hello,
    not_smtp,
    null_sender,
    own_sender,
    reputation,
    reverse_name,
    sender_domain,
    spf,
)
from smtproxy.policy.evidence import Fact, Known, Unknown
from smtproxy.policy.exemptions import Exemption, Match
from smtproxy.policy.facts import (
    DKIM,
    DMARC,
    HEADER,
    LISTED_CLIENT,
    REPUTATION,
    REVERSE_NAME,
    SENDER_DOMAIN,
    SPF,
    Dmarc,
    HeaderBlock,
    Listed,
    Listings,
    Reputation,
    ReverseName,
    SenderDomain,
    Signature,
    Signatures,
    Spf,
)
from smtproxy.policy.findings import Action, CheckSpec, OnError
from smtproxy.policy.judge import Check, Policy
from smtproxy.session.records import Event as LogEvent
from tests.fakes.laboratory import Laboratory

_ONE_LIST = dnsbl.DnsblOptions(weights={"zen": 1.0}, keys=frozenset({LISTED_CLIENT}))
_MAIL = b"MAIL FROM:<a@sender.example>\r\n"
_RCPT = b"RCPT TO:<u@example.org>\r\n"
_TO_THE_END = (b"EHLO client.example\r\n", _MAIL, _RCPT, b"DATA\r\n", b"Subject: x\r\n\r\nx\r\n.\r\n")


@dataclass(frozen=True)
class Case:
    """What is said until the check speaks, with the facts by which it finds something."""

    spec: CheckSpec
    options: object
    code: int
    facts: Mapping[str, Fact[Any]] = field(default_factory=dict)
    unknown: str = ""
    """The fact without which it cannot tell."""
    said: tuple[bytes, ...] = _TO_THE_END[:3]
    at_the_dot: bool = False


def _found(name: str, value: object) -> dict[str, Fact[Any]]:
    return {name: Known(value)}


CASES = {
    "hello": Case(
        hello.CHECK,
        hello.HelloOptions(frozenset({"mx.example.org"})),
        550,
        said=(b"EHLO mx.example.org\r\n", _MAIL, _RCPT),
    ),
    "early_talker": Case(
        early_talker.CHECK, early_talker.EarlyTalkerOptions(), 554, said=(b"EHLO x.example\r\nNOOP\r\n", _MAIL, _RCPT)
    ),
    "reverse_name": Case(
        reverse_name.CHECK,
        reverse_name.ReverseNameOptions(),
        550,
        _found(REVERSE_NAME.name, ReverseName()),
        REVERSE_NAME.name,
    ),
    "sender_domain": Case(
        sender_domain.CHECK,
        sender_domain.SenderDomainOptions(),
        550,
        _found(SENDER_DOMAIN.name, SenderDomain(exists=False)),
        SENDER_DOMAIN.name,
    ),
    "dnsbl": Case(
        dnsbl.CHECK,
        _ONE_LIST,
        550,
        _found(LISTED_CLIENT.name, Listings((Listed("zen", "198.51.100.7", ("127.0.0.2",)),))),
        LISTED_CLIENT.name,
    ),
    "blocked": Case(
        blocked.CHECK,
        blocked.BlockedOptions(),
        550,
        _found(REPUTATION.name, Reputation(blocked="198.51.100.0/24", set_by="anna", until="2026-01-01T00:00:00Z")),
        REPUTATION.name,
    ),
    "reputation": Case(
        reputation.CHECK,
        reputation.ReputationOptions(),
        550,
        _found(REPUTATION.name, Reputation(penalty="40 refused", penalty_until="2026-01-01T00:00:00Z")),
        REPUTATION.name,
    ),
    "spf": Case(spf.CHECK, spf.SpfOptions(), 550, _found(SPF.name, Spf("fail", "sender.example")), SPF.name),
    "own_sender": Case(
        own_sender.CHECK,
        own_sender.OwnSenderOptions(domains=frozenset({"sender.example"})),
        550,
        _found(SPF.name, Spf("fail", "sender.example")),
        SPF.name,
    ),
    "null_sender": Case(
        null_sender.CHECK,
        null_sender.NullSenderOptions(),
        550,
        said=(b"EHLO client.example\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<t@example.org>\r\n", _RCPT),
    ),
    "dkim": Case(
        dkim.CHECK,
        dkim.DkimOptions(),
        550,
        _found(DKIM.name, Signatures((Signature("sender.example", "s", "fail"),))),
        DKIM.name,
        said=_TO_THE_END,
        at_the_dot=True,
    ),
    "dmarc": Case(
        dmarc.CHECK,
        dmarc.DmarcOptions(),
        550,
        _found(DMARC.name, Dmarc("fail", "sender.example", "reject", "sender.example")),
        DMARC.name,
        said=_TO_THE_END,
        at_the_dot=True,
    ),
    "header": Case(
        header.CHECK,
        header.HeaderOptions(),
        554,
        _found(HEADER.name, HeaderBlock(from_fields=0, from_understood=False, date_off=0.0)),
        HEADER.name,
        said=_TO_THE_END,
        at_the_dot=True,
    ),
}


def _dialogue(
    case: Case,
    action: Action,
    *,
    on_error: OnError = OnError.PASS,
    exempt: bool = False,
    unknown: bool = False,
) -> tuple[Laboratory, int]:
    """Play a case; return the last code that the client heard."""
    exemptions = (Exemption(Match(clients=(IPv4Network("198.51.100.0/24"),))),) if exempt else ()
    lab = Laboratory(
        policy=Policy((Check(case.spec, case.options, action, on_error),), exemptions=exemptions),
        client="198.51.100.7",
    )
    lab.facts = {case.unknown: Unknown("timeout")} if unknown else dict(case.facts)
    lab.start()
    return lab, int(_played(lab, case).splitlines()[-1][:3])


def _played(lab: Laboratory, case: Case) -> bytes:
    """Say all of it; return what was heard last."""
    return [lab.send(octets) for octets in case.said][-1]


def _findings(lab: Laboratory) -> list[Mapping[str, Any]]:
    lab.send(b"QUIT\r\n")
    lines = [*lab.lines(LogEvent.SESSION), *lab.messages]
    return [note for line in lines for note in line["findings"]]  # type: ignore[attr-defined]


def test_every_judgement_is_here() -> None:
    judgements = {check.name for check in CHECKS if not check.duty}
    assert set(CASES) == judgements - {not_smtp.CHECK.name}  # that one speaks at once: test_commands.py


@pytest.mark.parametrize("name", CASES)
class TestInADialogue:
    def test_found(self, name: str) -> None:
        case = CASES[name]
        lab, code = _dialogue(case, Action.REJECT)
        assert code == case.code
        assert lab.record.terminators == 0
        if not case.at_the_dot and name != "null_sender":
            assert lab.relay.dialogue.recipients == 1
            assert lab.line is None  # no backend was opened for it
        lab.send(b"QUIT\r\n")
        (line,) = lab.messages
        if name != "null_sender":  # its first recipient is accepted
            assert (line["outcome"], line["by"]) == ("rejected", name)

    @pytest.mark.parametrize(("action", "kind"), [(Action.DEFER, 4), (Action.DROP, 4), (Action.TARPIT, 2)])
    def test_other_actions(self, name: str, action: Action, kind: int) -> None:
        lab, code = _dialogue(CASES[name], action)
        assert code // 100 == kind
        assert lab.finished is (action is Action.DROP)

    def test_exempt(self, name: str) -> None:
        lab, code = _dialogue(CASES[name], Action.REJECT, exempt=True)
        assert code == 250
        if not CASES[name].spec.needs:  # nothing is looked up for an exempt client
            assert {note["because"] for note in _findings(lab)} == {"exempt: client 198.51.100.7"}

    def test_observed(self, name: str) -> None:
        lab, code = _dialogue(CASES[name], Action.OBSERVE)
        assert code == 250
        notes = _findings(lab)
        assert {note["check"] for note in notes} == {name}
        assert {note["action"] for note in notes} == {"observe"}

    @pytest.mark.parametrize(("on_error", "code"), [(OnError.PASS, 250), (OnError.DEFER, 451)])
    def test_not_known(self, name: str, on_error: OnError, code: int) -> None:
        case = CASES[name]
        if not case.unknown:
            assert name in ("hello", "early_talker", "null_sender")
            return
        lab, heard = _dialogue(case, Action.REJECT, on_error=on_error, unknown=True)
        assert heard == code
        notes = [note for note in _findings(lab) if note["reason"] == "cannot_check"]
        assert [note["unknown"] for note in notes] == ["timeout"]

    def test_soft(self, name: str) -> None:
        case = CASES[name]
        lab = Laboratory(
            policy=Policy((Check(case.spec, case.options, Action.REJECT),), soft_bounce=True), client="198.51.100.7"
        )
        lab.facts = dict(case.facts)
        lab.start()
        assert _played(lab, case)[:1] == b"4"
