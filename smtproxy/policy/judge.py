"""The judge: asks the checks of a stage, folds their findings into one verdict.

Findings are folded in the order of configuration, never in the order in which facts came in, so a decision can be
repeated. The hardest action wins; among equals the check that stands first is the one that is named. A check that
crashes accepts nothing by accident: a duty defers, a judgement does what its `on_error` says.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from smtproxy.policy.evidence import Evidence
from smtproxy.policy.findings import Action, CannotTell, CheckSpec, Finding, OnError
from smtproxy.policy.replies import TABLE, Phrasebook, Reason, deferred, dropped, rejected
from smtproxy.session.tarpit import TarpitSettings
from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from smtproxy.wire.replies import Reply

_ORDER = {action: place for place, action in enumerate(Action)}
_DEFAULT = TarpitSettings()
_REFUSING = frozenset({Action.DEFER, Action.REJECT, Action.DROP})


@dataclass(frozen=True, slots=True)
class Check:
    """A check as configured."""

    spec: CheckSpec
    options: object
    action: Action = Action.REJECT
    on_error: OnError = OnError.PASS


class Policy:
    """All enabled checks of a listener."""

    __slots__ = ("_by_stage", "_tarpit")

    def __init__(self, checks: tuple[Check, ...], tarpit: float = _DEFAULT.delay) -> None:
        """Take the checks in the order in which their findings are to be folded; `tarpit`: seconds of that action."""
        self._tarpit = tarpit
        self._by_stage: Mapping[Stage, tuple[Check, ...]] = {
            stage: tuple(one for one in checks if stage in one.spec.stages and one.action is not Action.OFF)
            for stage in Stage
        }

    def judge(self, evidence: Evidence, phrases: Phrasebook) -> Verdict:
        """Return the verdict of a stage. Pure: the same evidence gives the same verdict."""
        stage = evidence.stage
        checks = self._by_stage[stage]
        if not checks:
            return _NOTHING_FOUND[stage]
        found: list[tuple[Check, Finding, Action]] = []
        for check in checks:
            try:
                outcome = check.spec.run(check.options, evidence)
            except Exception as error:  # noqa: BLE001 - whatever a check does, mail must not be accepted by it
                outcome = Finding(Reason.CHECK_CRASHED, {"error": type(error).__name__}, action=_on_error(check))
            if isinstance(outcome, CannotTell):
                saw = {"fact": outcome.fact, "unknown": outcome.why}
                outcome = Finding(Reason.CANNOT_CHECK, saw, action=_on_error(check))
            if outcome is not None:
                found.append((check, outcome, outcome.action or check.action))
        if not found:
            return _NOTHING_FOUND[stage]
        return _fold(stage, found, phrases, self._tarpit)


def _on_error(check: Check) -> Action:
    if check.spec.duty:
        return Action.DEFER
    if check.action is Action.OBSERVE or check.on_error is OnError.PASS:
        return Action.OBSERVE
    return Action.DEFER


def _fold(stage: Stage, found: list[tuple[Check, Finding, Action]], phrases: Phrasebook, tarpit: float) -> Verdict:
    notes = tuple(_note(stage, check, finding, action) for check, finding, action in found)
    delay = sum(finding.delay + (tarpit if action is Action.TARPIT else 0.0) for _, finding, action in found)
    check, finding, action = max(found, key=lambda one: _ORDER[one[2]])
    if action not in _REFUSING:
        return Accepted(stage, notes, delay)
    return Refused(
        stage,
        _reply(stage, finding, action, phrases),
        check.spec.name,
        notes,
        delay,
        drop=action is Action.DROP,
    )


def _note(stage: Stage, check: Check, finding: Finding, action: Action) -> Mapping[str, object]:
    return {
        "check": check.spec.name,
        "stage": stage.value,
        "reason": finding.reason.value,
        "action": action.value,
        **finding.saw,
    }


def _reply(stage: Stage, finding: Finding, action: Action, phrases: Phrasebook) -> Reply:
    wording, connect = TABLE[finding.reason], stage is Stage.CONNECT
    match action:
        case Action.DEFER:
            wording = deferred(wording, connect=connect)
        case Action.DROP:
            wording = dropped(wording, connect=connect)
        case _:
            wording = rejected(wording, connect=connect)
    return phrases.phrase(wording, finding.detail)


_NOTHING_FOUND: Mapping[Stage, Verdict] = {stage: Accepted(stage) for stage in Stage}
