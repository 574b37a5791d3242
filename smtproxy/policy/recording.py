"""The record of decisions: what each verdict of a transaction was based on, as the `message` line keeps it, and back.

`Docket.record()` makes the plain form, `restore()` the evidence again; the policy is the function between them, so the
same configuration gives the same verdicts, and another one shows what it would have done. The form has a version
(`facts.VERSION`). Nothing of a message's content is in it.

Facts that changed between two decisions of a transaction (one was late) stand with the decision, the others once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from smtproxy.policy.evidence import Evidence, Fact, Known, Unknown
from smtproxy.policy.facts import (
    FACTS,
    VERSION,
    Dmarc,
    Exceeded,
    HelloName,
    Reputation,
    ReverseName,
    Scope,
    SenderDomain,
    Spf,
    brief,
)
from smtproxy.policy.facts import restore as restored
from smtproxy.session.dialogue import Dialogue, Hello, MessageFacts, Tls
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.verdicts import Refused, Stage, Verdict
from smtproxy.wire.commands import Parameters
from smtproxy.wire.errors import PeerError
from smtproxy.wire.paths import Path, parse_path
from smtproxy.wire.replies import Reply
from smtproxy.wire.values import value

ACCEPTED = "accepted"
"""How a verdict is recorded that is none of refusal."""
MOST = 50
"""Decisions of one transaction that are recorded; those about the recipients listed in the line, and the message's."""


MOST_OCTETS = 20_000
"""Octets of all decisions, roughly: the log cuts a record at 32 KiB, from its end, where that about the message stands.
A sender with long addresses would have chosen that nobody can ask why."""
FEW = 10
"""Decisions that fit in any case."""
_KEPT_IF_SAID = frozenset({Stage.MAIL, Stage.DATA})


@value
class _Greeting:
    """What the session showed before the transaction. It changes in a session: by another hello, by STARTTLS."""

    hello: Hello | None
    hello_names: int
    tls: Tls | None
    early: tuple[Stage, ...]

    def plain(self) -> dict[str, object]:
        return {
            "hello": None if self.hello is None else [self.hello.verb, self.hello.name],
            "hello_names": self.hello_names,
            "tls": None if self.tls is None else [self.tls.version, self.tls.cipher],
            "early": [stage.value for stage in self.early],
        }


_NO_GREETING = _Greeting(None, 1, None, ())


@dataclass(slots=True)
class _Decision:
    stage: Stage
    greeting: _Greeting
    facts: Mapping[str, Fact[Any]]
    demoted: frozenset[str]
    standing: Path | None
    recipient: Path | None
    parameters: Parameters
    number: int
    others: int
    verdict: Verdict


@dataclass(slots=True)
class Docket:
    """The decisions of a session, or of one of its transactions."""

    decisions: list[_Decision] = field(default_factory=list)
    more: int = 0
    """Decisions that are not recorded."""
    envelope: Envelope | None = None
    declared_size: int | None = None
    message: MessageFacts | None = None
    """As they were when the last decision was noted: a transaction that ends forgets them, and then writes its line."""

    def note(self, evidence: Evidence, verdict: Verdict) -> None:
        """Keep a decision. The facts are copied: some may still come, but they were not known to it.

        That nothing was found at MAIL or DATA is not kept: what was known there is known at RCPT, or of the message.
        """
        self.envelope = envelope = evidence.dialogue.envelope
        self.declared_size, self.message = evidence.dialogue.declared_size, evidence.dialogue.message
        if evidence.stage in _KEPT_IF_SAID and not verdict.notes and not isinstance(verdict, Refused):
            return
        recipient = evidence.dialogue.recipient if evidence.stage is Stage.RECIPIENT else None
        if len(self.decisions) >= MOST and evidence.stage is not Stage.MESSAGE:
            self.more += 1
            return
        self.decisions.append(
            _Decision(
                evidence.stage,
                _greeting(evidence.dialogue),
                dict(evidence.facts),
                evidence.demoted,
                evidence.standing,
                None if recipient is None else recipient.path,
                () if recipient is None else recipient.parameters,
                0 if envelope is None else len(envelope.recipients),
                _others(envelope, recipient),
                verdict,
            )
        )

    def record(self, dialogue: Dialogue) -> dict[str, object]:
        """Return the plain form."""
        last = self.decisions[-1].facts if self.decisions else {}
        plain: dict[str, object] = {"v": VERSION, "client": dialogue.client}
        greeting = self.decisions[-1].greeting if self.decisions else _greeting(dialogue)
        plain.update(_differing(greeting, _NO_GREETING))
        if self.envelope is not None:
            plain["sender"] = _written(self.envelope.sender)
            if self.envelope.parameters:
                plain["parameters"] = [list(one) for one in self.envelope.parameters]
        if self.declared_size is not None:
            plain["declared_size"] = self.declared_size
        if self.message is not None:
            message = self.message
            plain["message"] = {
                "size": message.size,
                "bare_newlines": message.bare_newlines,
                "dot_line": message.dot_line,
                "received": message.received,
            }
        plain["facts"] = {name: _plain(fact) for name, fact in last.items()}
        decided = [_decided(one, last, greeting) for one in self.decisions]
        plain["decisions"] = kept = decided if len(decided) <= FEW else _fitting(decided)
        cut = self.more + len(decided) - len(kept)
        if cut:
            plain["decisions_cut"] = cut
        return plain


@dataclass(frozen=True, slots=True)
class Recorded:
    """One decision as it was recorded."""

    evidence: Evidence
    verdict: str
    """accepted, or the code of the reply."""
    by: str
    """Who refused; empty: nobody."""


def outcome(verdict: Verdict) -> tuple[str, str]:
    """Return a verdict as it is recorded: "accepted" or the code of the reply, and who decided."""
    return (str(verdict.reply.code), verdict.by) if isinstance(verdict, Refused) else (ACCEPTED, "")


def restore(plain: Mapping[str, Any], session: str = "") -> list[Recorded]:
    """Make the evidence of all recorded decisions. Raises ValueError: it is no such record, or was cut."""
    if plain.get("v") != VERSION:
        raise ValueError(f"record of version {plain.get('v')}; this smtproxy reads {VERSION}")
    try:
        return [_restored(plain, one, session) for one in plain["decisions"]]
    except (KeyError, TypeError, AttributeError, PeerError) as error:
        raise ValueError(f"record is not whole: {error!r}") from None


def _restored(plain: Mapping[str, Any], one: Mapping[str, Any], session: str) -> Recorded:
    dialogue = Dialogue(session, plain["client"])
    shown = {**plain, **{name: one[name] for name in _NO_GREETING.plain() if name in one}}
    if shown.get("hello") is not None:
        dialogue.hello = Hello(*shown["hello"])
    dialogue.hello_names = shown.get("hello_names", 1)
    if shown.get("tls") is not None:
        dialogue.tls = Tls(*shown["tls"])
    dialogue.early = tuple(Stage(name) for name in shown.get("early", ()))
    dialogue.declared_size = plain.get("declared_size")
    stage = Stage(one["stage"])
    if "sender" in plain:
        dialogue.envelope = Envelope(_path(plain["sender"]), _parameters(plain.get("parameters", ())))
    if "to" in one:
        dialogue.recipient = Recipient(_path(one["to"]), _parameters(one.get("parameters", ())))
    if dialogue.envelope is not None:
        others = [Recipient(Path(f"other{number}", "invalid")) for number in range(one.get("others", 0))]
        known = [*others, *([] if dialogue.recipient is None else [dialogue.recipient])]
        rest = [Recipient(Path("refused", "invalid"), (), _REFUSED, "protocol")] * (one.get("number", 0) - len(known))
        dialogue.envelope.recipients.extend([*rest, *known])
    if stage is Stage.MESSAGE:
        message = plain["message"]
        dialogue.message = MessageFacts(
            message["size"], message["bare_newlines"], message["dot_line"], message["received"], None
        )
    facts = {name: fact for name, fact in plain["facts"].items() if _can_be_there(name, stage)}
    facts.update(one.get("facts", {}))
    evidence = Evidence(
        stage,
        dialogue,
        {name: _fact(name, fact) for name, fact in facts.items() if fact is not None},
        _path(one["standing"]) if "standing" in one else None,
        frozenset(one.get("demoted", ())),
    )
    return Recorded(evidence, one["verdict"], one.get("by", ""))


def _greeting(dialogue: Dialogue) -> _Greeting:
    return _Greeting(dialogue.hello, dialogue.hello_names, dialogue.tls, dialogue.early)


def _differing(one: _Greeting, other: _Greeting) -> dict[str, object]:
    if one == other:
        return {}
    known = other.plain()
    return {name: said for name, said in one.plain().items() if said != known[name]}


def _decided(one: _Decision, last: Mapping[str, Fact[Any]], greeting: _Greeting) -> dict[str, object]:
    verdict, by = outcome(one.verdict)
    plain: dict[str, object] = {"stage": one.stage.value, "verdict": verdict, **_differing(one.greeting, greeting)}
    if by:
        plain["by"] = by
    if one.recipient is not None:
        plain["to"] = _written(one.recipient)
        if one.parameters:
            plain["parameters"] = [list(each) for each in one.parameters]
    if one.number:
        plain["number"] = one.number
    if one.others:
        plain["others"] = one.others
    if one.standing is not None:
        plain["standing"] = _written(one.standing)
    if one.demoted:
        plain["demoted"] = sorted(one.demoted)
    if one.facts is not last:
        differing = {name: _plain(fact) for name, fact in one.facts.items() if last.get(name) is not fact}
        missing = {name: None for name in last if name not in one.facts and _can_be_there(name, one.stage)}
        if differing or missing:
            plain["facts"] = {**differing, **missing}
    return plain


def _fitting(decided: list[dict[str, object]]) -> list[dict[str, object]]:
    """Leave out decisions about recipients, the last ones first, until the others fit."""
    room = MOST_OCTETS - sum(len(repr(one)) for one in decided if "to" not in one)
    kept = []
    for one in decided:
        room -= len(repr(one)) if "to" in one else 0
        if "to" not in one or room > 0:
            kept.append(one)
    return kept


_REFUSED = Reply(550, (b"",))


def _others(envelope: Envelope | None, recipient: Recipient | None) -> int:
    """Count the recipients besides one that stand, those of the same path left out."""
    if envelope is None or recipient is None or len(envelope.recipients) <= 1:
        return 0
    standing = (one for one in envelope.recipients if one.reply is None or one.accepted)
    return sum(one is not recipient and one.path != recipient.path for one in standing)


def _can_be_there(name: str, stage: Stage) -> bool:
    """Whether a fact may be known at a stage: those of a message need not be said to be missing before it."""
    key = FACTS.get(name)
    return key is None or key.scope is not Scope.MESSAGE or stage is Stage.MESSAGE


_LASTING: Final = frozenset({ReverseName, HelloName, SenderDomain, Spf, Reputation, Dmarc, Exceeded})
"""Facts that are the same value in many sessions: who looks them up keeps them (`lookups/recent.py`)."""
_MOST_BRIEFS: Final = 2000
_briefs: dict[int, tuple[object, object]] = {}
"""Values and their plain form, by identity: nobody writes to either."""


def _plain(fact: Fact[Any]) -> dict[str, object]:
    if not isinstance(fact, Known):
        return {"unknown": fact.reason}
    known: object = fact.value
    if type(known) not in _LASTING:
        return {"known": brief(known)}
    kept = _briefs.get(id(known))
    if kept is None or kept[0] is not known:
        if len(_briefs) >= _MOST_BRIEFS:
            _briefs.clear()
        kept = _briefs[id(known)] = known, brief(known)
    return {"known": kept[1]}


def _fact(name: str, plain: Mapping[str, Any]) -> Fact[Any]:
    key = FACTS.get(name)
    if key is None:
        raise ValueError(f'no fact is called "{name}"')
    return Known(restored(key, plain["known"])) if "known" in plain else Unknown(str(plain["unknown"]))


def _written(path: Path) -> str:
    return f"<{path}>"


def _path(text: str) -> Path:
    return parse_path(text.encode())[0]


def _parameters(plain: Any) -> Parameters:  # noqa: ANN401 - as JSON has it
    return tuple((str(keyword), None if value is None else str(value)) for keyword, value in plain)
