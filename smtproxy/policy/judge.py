"""The judge: asks the checks of a stage, folds their findings into one verdict.

Findings are folded in the order of configuration, never in the order in which facts came in, so a decision can be
repeated. The hardest action wins; among equals the check that stands first is the one that is named. A check that
crashes accepts nothing by accident: a duty defers, a judgement does what its `on_error` says.

What is found at CONNECT, HELLO and MAIL is spoken at RECIPIENT, unless a check is `early`: so that hello, sender and
recipient are in the log, a recipient can be exempt, and the facts have time to come. Such checks are asked again there.

Greylisting (`greylist.py`) comes last at RECIPIENT: only where nothing else refuses is a client asked to come again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from smtproxy.policy import greylist
from smtproxy.policy.evidence import Evidence
from smtproxy.policy.exemptions import Exemption, Match, is_from
from smtproxy.policy.facts import FACTS, GREYLIST, REVERSE_NAME, SPF, Key, Scope
from smtproxy.policy.findings import Action, CannotTell, CheckSpec, Finding, OnError
from smtproxy.policy.greylist import Greylisting
from smtproxy.policy.replies import TABLE, Phrasebook, Reason, deferred, dropped, rejected
from smtproxy.session.tarpit import TarpitSettings
from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from smtproxy.wire.paths import Path
from smtproxy.wire.replies import Reply

_ORDER = {action: place for place, action in enumerate(Action)}
_DEFAULT = TarpitSettings()
_REFUSING = frozenset({Action.DEFER, Action.REJECT, Action.DROP})
_BEFORE_RECIPIENT = frozenset({Stage.CONNECT, Stage.HELLO, Stage.MAIL})
_UP_TO_RECIPIENT = _BEFORE_RECIPIENT | {Stage.RECIPIENT}
_NOT_YET: Mapping[Stage, frozenset[Scope]] = {
    Stage.CONNECT: frozenset({Scope.HELLO, Scope.TRANSACTION, Scope.RECIPIENT, Scope.MESSAGE}),
    Stage.HELLO: frozenset({Scope.TRANSACTION, Scope.RECIPIENT, Scope.MESSAGE}),
    Stage.MAIL: frozenset({Scope.RECIPIENT, Scope.MESSAGE}),
    Stage.MESSAGE: frozenset(),
}
"""Of what nothing can be known at a stage; where it is not said, of the message."""
_OF_MESSAGE = frozenset({Scope.MESSAGE})
SCORE = "score"
"""Who decides where a sum did, in the log."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check as configured."""

    spec: CheckSpec
    options: object
    action: Action = Action.REJECT
    on_error: OnError = OnError.PASS
    weight: float = 1.0
    early: bool = False
    soft_bounce: bool = False


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which sum on what follows; None: never."""

    tarpit: float | None = None
    defer: float | None = None
    reject: float | None = None

    def action(self, total: float) -> Action | None:
        """Return what follows from a sum."""
        for least, action in ((self.reject, Action.REJECT), (self.defer, Action.DEFER), (self.tarpit, Action.TARPIT)):
            if least is not None and total >= least:
                return action
        return None


@dataclass(frozen=True, slots=True)
class Override:
    """A block [[policy]]: the checks for those whom it is about."""

    name: str
    match: Match
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A check at a stage."""

    check: Check
    speaks: bool = True
    """False: what it finds is spoken later."""
    quiet: bool = False
    """It is asked for its points alone; what it found was noted before."""


Wanted: TypeAlias = Mapping[Scope, tuple[Key[Any], ...]]
"""Facts by what they are about; a scope of which none is wanted is left out."""
_Kind: TypeAlias = tuple[bool, ...]
"""By which of the exemptions that look at the client alone a client is exempt."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A stage, for clients of one kind."""

    rows: tuple[_Asked, ...]
    """Without the checks from which they are exempt, whatever they send, and whose facts are not looked up for them."""
    needs: frozenset[str]
    """Names of the facts that should be there."""


@dataclass(slots=True)
class _Found:
    check: Check
    finding: Finding
    action: Action
    """As configured."""
    applied: Action
    because: str = ""
    """Why it is not what is configured."""
    quiet: bool = False


class _Table:
    """The checks of one configuration of them, by the stage at which they are asked."""

    __slots__ = ("asked", "governed", "message", "name")

    def __init__(self, name: str, checks: Iterable[Check], *, scoring: bool) -> None:
        on = [one for one in checks if one.spec.duty or one.action is not Action.OFF]
        self.name = name
        self.asked: Mapping[Stage, tuple[_Asked, ...]] = {stage: _asked(on, stage, scoring=scoring) for stage in Stage}
        self.governed: Mapping[Stage, tuple[str, ...]] = {
            stage: tuple(one.check.spec.name for one in rows if one.speaks and _can_be_demoted(one.check))
            for stage, rows in self.asked.items()
        }
        self.message = (
            tuple((one.check, one.quiet) for one in self.asked[Stage.MESSAGE]),
            tuple(one.check for one in self.asked[Stage.DATA]),
        )
        """What may follow for the message: two recipients in which this differs cannot share one."""


def _asked(checks: list[Check], stage: Stage, *, scoring: bool) -> tuple[_Asked, ...]:
    rows = []
    for check in checks:
        stages = check.spec.stages
        judgement = not check.spec.duty
        if judgement and stage in _BEFORE_RECIPIENT and not check.early:
            # Where facts are needed there is nothing to say yet; what MAIL shows is noted at RECIPIENT, on one line.
            if stage in stages and stage is not Stage.MAIL and not check.spec.needs:
                rows.append(_Asked(check, speaks=check.action is Action.TARPIT))
        elif stage in stages or (judgement and stage is Stage.RECIPIENT and stages & _UP_TO_RECIPIENT):
            rows.append(_Asked(check))
        elif stage is Stage.MESSAGE and scoring and check.action is Action.SCORE and stages & _BEFORE_RECIPIENT:
            rows.append(_Asked(check, quiet=True))
    return tuple(rows)


class Policy:
    """All enabled checks of a listener."""

    __slots__ = (
        "_allows",
        "_alone",
        "_asks",
        "_base",
        "_by_recipient",
        "_exemptions",
        "_greylisting",
        "_overrides",
        "_rows",
        "_soft",
        "_tables",
        "_tarpit",
        "_thresholds",
        "_turns",
        "_wanted",
    )

    def __init__(
        self,
        checks: tuple[Check, ...],
        tarpit: float = _DEFAULT.delay,
        *,
        exemptions: tuple[Exemption, ...] = (),
        overrides: tuple[Override, ...] = (),
        thresholds: Thresholds | None = None,
        greylisting: Greylisting | None = None,
        soft_bounce: bool = False,
    ) -> None:
        """Take the checks in the order in which their findings are to be folded; `tarpit`: seconds of that action.

        The first of the overrides that matches puts its checks in the place of these. `greylisting`: None: never.
        """
        self._tarpit = tarpit
        self._thresholds = thresholds or Thresholds()
        self._soft = soft_bounce
        self._exemptions = exemptions
        self._alone = tuple(one for one in exemptions if one.match.by_client_alone)
        self._by_recipient = tuple(one for one in exemptions if one.match.recipients)
        self._wanted: dict[_Kind, Wanted] = {}
        self._turns: dict[tuple[_Table, Stage, _Kind], _Turn] = {}
        """Made when they are first needed; bounded by the combinations of exemptions that clients have."""
        scoring = thresholds is not None and thresholds != Thresholds()
        self._base = _Table("", checks, scoring=scoring)
        self._overrides = tuple((one.match, _Table(one.name, one.checks, scoring=scoring)) for one in overrides)
        self._tables = (self._base, *(table for _, table in self._overrides))
        self._allows = tuple(key for one in exemptions if one.match.allowed for key in one.match.needs)
        self._rows = [row for table in self._tables for rows in table.asked.values() for row in rows]
        every = [row.check for row in self._rows]
        # Where no check adds to the sum nobody is ever asked to come again, and nothing is looked up for it.
        self._greylisting = greylisting if greylisting and any(_adds(one, greylisting) for one in every) else None
        self._asks = self._greylisting is not None or any(
            one.spec.needs or (self._allows and not one.spec.duty) for one in every
        )

    @property
    def names(self) -> frozenset[str]:
        """Who may decide, by name."""
        return frozenset(row.check.spec.name for row in self._rows) | {SCORE, greylist.NAME}

    # What is to be known

    def wanted(self, client: str) -> Wanted:
        """Return the facts that may be needed in a session with a client, those that others need left out."""
        if not self._asks:
            return _NO_FACTS
        kind = self._kind(client)
        known = self._wanted.get(kind)
        if known is None:
            known = self._wanted[kind] = self._wanted_of(kind)
        return known

    def _wanted_of(self, kind: _Kind) -> Wanted:
        specs = [row.check.spec for row in self._rows if not self._spared(row.check, kind)]
        keys = {key for spec in specs for key in spec.needs}
        if not all(spec.duty for spec in specs):
            keys.update(self._allows)
        if self._greylists(kind):
            keys.update((GREYLIST, REVERSE_NAME, SPF))
        if keys:
            keys.update(key for one in self._exemptions for key in one.match.needs)
        by_scope = {
            scope: tuple(key for key in FACTS.values() if key in keys and key.scope is scope) for scope in Scope
        }
        return {scope: some for scope, some in by_scope.items() if some}

    def needs(self, evidence: Evidence) -> frozenset[str]:
        """Return the names of the facts that should be there before a verdict of this stage is given."""
        return self._turn(self._table(evidence), evidence).needs

    def governed(self, evidence: Evidence) -> tuple[str, ...]:
        """Return the names of the checks that were asked at this stage and may refuse for good."""
        return self._table(evidence).governed[evidence.stage]

    def _turn(self, table: _Table, evidence: Evidence) -> _Turn:
        case = (table, evidence.stage, self._kind(evidence.dialogue.client))
        known = self._turns.get(case)
        if known is None:
            known = self._turns[case] = self._turn_of(*case)
        return known

    def _turn_of(self, table: _Table, stage: Stage, kind: _Kind) -> _Turn:
        rows = tuple(row for row in table.asked[stage] if not (row.check.spec.needs and self._spared(row.check, kind)))
        keys = {key for row in rows if not row.quiet for key in row.check.spec.needs}
        if stage is Stage.RECIPIENT and self._greylists(kind):
            keys.add(GREYLIST)
        if stage in (Stage.RECIPIENT, Stage.MESSAGE):
            keys.update(key for one in self._exemptions for key in one.match.needs)
        return _Turn(rows, frozenset(key.name for key in keys if _by_then(key, stage)))

    def spares(self, client: str) -> bool:
        """Whether a client is exempt from every judgement, whatever it sends."""
        return any(exempt and one.checks is None for one, exempt in zip(self._alone, self._kind(client), strict=True))

    def _kind(self, client: str) -> _Kind:
        if not self._alone:
            return ()
        return tuple(is_from(client, one.match.clients) for one in self._alone)

    def _spared(self, check: Check, kind: _Kind) -> bool:
        """Whether a client is exempt from a check whatever it sends: then nothing is looked up for it."""
        spec = check.spec
        return not spec.duty and self._exempt(spec.name, kind, lists=spec.lists)

    def _exempt(self, name: str, kind: _Kind, *, lists: bool = False) -> bool:
        return any(exempt and one.covers(name, lists=lists) for one, exempt in zip(self._alone, kind, strict=True))

    def _greylists(self, kind: _Kind) -> bool:
        """Whether clients of a kind may be asked to come again."""
        return self._greylisting is not None and not self._exempt(greylist.NAME, kind)

    def _table(self, evidence: Evidence) -> _Table:
        return self._table_for(evidence, _concerned(evidence)) if self._overrides else self._base

    def _table_for(self, evidence: Evidence, recipient: Path | None) -> _Table:
        return next((table for match, table in self._overrides if match.why(evidence, recipient)), self._base)

    # Judging

    def judge(self, evidence: Evidence, phrases: Phrasebook) -> Verdict:
        """Return the verdict of a stage. Pure: the same evidence gives the same verdict."""
        stage = evidence.stage
        table = self._table(evidence)
        rows = self._turn(table, evidence).rows
        if not rows and stage is not Stage.RECIPIENT:
            return _NOTHING_FOUND[stage]
        found = [one for row in rows if (one := self._ask(row, evidence)) is not None]
        if stage is Stage.RECIPIENT and evidence.standing is not None and (self._overrides or self._by_recipient):
            apart = self._apart(evidence, evidence.standing, table)
            if apart and not any(one.applied in _REFUSING for one in found):
                return Refused(stage, phrases.say(Reason.OTHER_POLICY), "policy", self._notes(stage, found))
        if not found:
            return _NOTHING_FOUND[stage]
        return self._fold(evidence, found, phrases)

    def _apart(self, evidence: Evidence, first: Path, table: _Table) -> bool:
        """Whether a recipient cannot share the message with the first one: something else may follow for it.

        Whoever is judged as the first one is: postmaster, exempt, in front of a victim would lift it for both.
        """
        if self._table_for(evidence, first).message != table.message:
            return True
        mine = _concerned(evidence)
        for one in self._by_recipient:
            if mine is not None and bool(one.match.recipients.find(mine)) != bool(one.match.recipients.find(first)):
                for row in (*table.asked[Stage.MESSAGE], *table.asked[Stage.DATA]):
                    spec = row.check.spec
                    lifts = not spec.duty and row.check.action is not Action.OBSERVE
                    if lifts and one.covers(spec.name, lists=spec.lists):
                        return True
        return False

    def _ask(self, row: _Asked, evidence: Evidence) -> _Found | None:
        check = row.check
        try:
            outcome = check.spec.run(check.options, evidence)
        except Exception as error:  # noqa: BLE001 - whatever a check does, mail must not be accepted by it
            crashed = Finding(Reason.CHECK_CRASHED, {"error": type(error).__name__})
            return self._weighed(row, evidence, crashed, _on_error(check), "crashed")
        if outcome is None:
            return None
        if isinstance(outcome, CannotTell):
            unknown = Finding(Reason.CANNOT_CHECK, {"fact": outcome.fact, "unknown": outcome.why})
            return self._weighed(row, evidence, unknown, _on_error(check), "unknown")
        return self._weighed(row, evidence, outcome, outcome.action or check.action)

    def _weighed(self, row: _Asked, evidence: Evidence, finding: Finding, applied: Action, because: str = "") -> _Found:
        """Say what follows from a finding. `applied`: from this one alone, `because` it is not what is configured."""
        check, spec = row.check, row.check.spec
        action = finding.action or check.action
        if not spec.duty:
            lifted = "" if check.action is Action.OBSERVE else self._lifted(spec.name, evidence, lists=spec.lists)
            if lifted:
                applied, because = Action.OBSERVE, f"exempt: {lifted}"
        if not row.speaks and applied is not Action.OBSERVE:
            applied, because = Action.OBSERVE, "spoken at RCPT"
        if applied in (Action.REJECT, Action.DROP) and spec.name in evidence.demoted:
            applied, because = Action.DEFER, "governor"
        if applied is Action.REJECT and (self._soft or check.soft_bounce):
            applied, because = Action.DEFER, "soft_bounce"
        return _Found(check, finding, action, applied, because, row.quiet)

    def _lifted(self, name: str, evidence: Evidence, *, lists: bool = False) -> str:
        for one in self._exemptions:
            if one.covers(name, lists=lists):
                why = one.match.why(evidence, _concerned(evidence))
                if why:
                    return why
        return ""

    def _fold(self, evidence: Evidence, found: list[_Found], phrases: Phrasebook) -> Verdict:
        stage = evidence.stage
        notes = self._notes(stage, found)
        delay = sum(one.finding.delay for one in found)
        tarpits = [one.finding.tarpit for one in found if one.applied is Action.TARPIT and _delays(one, evidence)]
        delay += max((self._tarpit if one is None else one for one in tarpits), default=0.0)
        worst = max(found, key=lambda one: _ORDER[one.applied])
        action, by, finding = worst.applied, worst.check.spec.name, worst.finding
        total = sum(one.finding.points * one.check.weight for one in found if one.applied is Action.SCORE)
        scored = self._thresholds.action(total) if stage in (Stage.RECIPIENT, Stage.MESSAGE) else None
        if scored is not None:
            applied = _softened(scored, soft=self._soft, demoted=SCORE in evidence.demoted)
            notes = (*notes, _score_note(stage, total, scored, applied))
            if applied is Action.TARPIT:
                delay += self._tarpit
            elif _ORDER[applied] > _ORDER[action]:
                action, by, finding = applied, SCORE, Finding(Reason.SCORE_REACHED)
        if stage is Stage.RECIPIENT and action not in _REFUSING and self._greylisting is not None:
            suspicion = sum(_suspicion(one, self._greylisting) for one in found)
            if suspicion >= self._greylisting.least:
                again, note = self._greylisted(self._greylisting, evidence, suspicion)
                notes = (*notes, note)
                if again is not None:
                    action, by, finding = Action.DEFER, greylist.NAME, again
        if action not in _REFUSING:
            return Accepted(stage, notes, delay, suspect=any(_is_felt(one) for one in found))
        return Refused(stage, _reply(stage, finding, action, phrases), by, notes, delay, drop=action is Action.DROP)

    def _greylisted(
        self, greylisting: Greylisting, evidence: Evidence, suspicion: float
    ) -> tuple[Finding | None, Mapping[str, object]]:
        """Return what a suspicious client is to hear (None: nothing), and the note."""
        finding, why_not = greylist.judge(greylisting, evidence)
        lifted = self._lifted(greylist.NAME, evidence)
        if lifted:
            why_not = f"exempt: {lifted}"
        action = Action.OBSERVE if greylisting.observe else Action.DEFER
        note: dict[str, object] = {
            "check": greylist.NAME,
            "stage": evidence.stage.value,
            "reason": finding.reason.value,
            "action": action.value,
            "sum": round(suspicion, 3),
        }
        if why_not:
            note.update(applied=Action.OBSERVE.value, because=why_not)
        note.update(finding.saw)
        return finding if action is Action.DEFER and not why_not else None, note

    def _notes(self, stage: Stage, found: list[_Found]) -> tuple[Mapping[str, object], ...]:
        return tuple(_note(stage, one) for one in found if not one.quiet)


def _adds(check: Check, greylisting: Greylisting) -> bool:
    """Whether what a check finds may make a client suspicious."""
    acts = check.action is Action.SCORE or (greylisting.observe and check.action is Action.OBSERVE)
    return acts and not check.spec.duty and not check.spec.stages.isdisjoint(_UP_TO_RECIPIENT)


def _suspicion(one: _Found, greylisting: Greylisting) -> float:
    """Return what a finding adds to the sum; what was lifted, or could not be told, adds nothing."""
    if not _adds(one.check, greylisting) or one.because or one.applied is not one.action:
        return 0.0
    return one.finding.points * one.check.weight


def _can_be_demoted(check: Check) -> bool:
    if check.spec.name in _UNGOVERNED:
        return False
    return check.action in (Action.REJECT, Action.DROP) if not check.spec.duty else check.spec.name in _GOVERNED_DUTIES


_GOVERNED_DUTIES = frozenset({"recipients"})
"""What others tell it may be wrong: an export that lost half of the directory. It still refuses, but not for good."""

_UNGOVERNED = frozenset({"blocked"})
"""What persons have set is no matter of chance: it refuses as many as they meant it to."""


def _concerned(evidence: Evidence) -> Path | None:
    """Return the recipient whose settings count."""
    if evidence.stage is Stage.RECIPIENT:
        recipient = evidence.dialogue.recipient
        return None if recipient is None else recipient.path
    return evidence.standing


def _by_then(key: Key[Any], stage: Stage) -> bool:
    """Whether a fact can be there at a stage."""
    return key.scope not in _NOT_YET.get(stage, _OF_MESSAGE)


def _delays(one: _Found, evidence: Evidence) -> bool:
    """Whether a tarpit is to be felt now: what was found before RCPT delays one answer, not one for each recipient."""
    if evidence.stage is not Stage.RECIPIENT or Stage.RECIPIENT in one.check.spec.stages:
        return True
    if not one.check.spec.needs and not one.check.early and not one.check.spec.stages <= {Stage.MAIL}:
        return False  # it was felt at CONNECT or HELLO
    envelope = evidence.dialogue.envelope
    return envelope is None or len(envelope.recipients) <= 1


def _is_felt(one: _Found) -> bool:
    """Whether a finding counts against the client, or delays it."""
    if one.applied is Action.SCORE:
        return one.finding.points * one.check.weight > 0
    return one.applied is Action.TARPIT


def _on_error(check: Check) -> Action:
    if check.spec.duty:
        return Action.DEFER
    if check.action is Action.OBSERVE or check.on_error is OnError.PASS:
        return Action.OBSERVE
    return Action.DEFER


def _softened(action: Action, *, soft: bool, demoted: bool) -> Action:
    return Action.DEFER if action is Action.REJECT and (soft or demoted) else action


def _score_note(stage: Stage, total: float, action: Action, applied: Action) -> Mapping[str, object]:
    note: dict[str, object] = {
        "check": SCORE,
        "stage": stage.value,
        "reason": Reason.SCORE_REACHED.value,
        "action": action.value,
        "sum": round(total, 3),
    }
    if applied is not action:
        note["applied"] = applied.value
    return note


def _note(stage: Stage, one: _Found) -> Mapping[str, object]:
    note: dict[str, object] = {
        "check": one.check.spec.name,
        "stage": stage.value,
        "reason": one.finding.reason.value,
        "action": one.action.value,
    }
    if one.applied is not one.action:
        note["applied"] = one.applied.value
    if one.because:
        note["because"] = one.because
    if one.applied is Action.SCORE:
        note["points"] = round(one.finding.points * one.check.weight, 3)
    note.update(one.finding.saw)
    return note


def _reply(stage: Stage, finding: Finding, action: Action, phrases: Phrasebook) -> Reply:
    wording, connect = finding.wording or TABLE[finding.reason], stage is Stage.CONNECT
    match action:
        case Action.DEFER:
            wording = deferred(wording, connect=connect)
        case Action.DROP:
            wording = dropped(wording, connect=connect)
        case _:
            wording = rejected(wording, connect=connect)
    return phrases.phrase(wording, finding.detail)


_NO_FACTS: Wanted = {}
_NOTHING_FOUND: Mapping[Stage, Verdict] = {stage: Accepted(stage) for stage in Stage}
