"""`smtproxy replay`: recorded decisions judged again. The same configuration gives the same ones; another one a diff.

Facts are those of the record: nothing is looked up. Where a configuration needs a fact that the record does not have,
its checks cannot tell, and that is counted: such a decision says little. Memory does not grow with the log.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from smtproxy.app.assembly import policy
from smtproxy.app.config import Config
from smtproxy.app.recordings import Recording
from smtproxy.policy.judge import Policy
from smtproxy.policy.recording import ACCEPTED, MOST, Recorded, outcome
from smtproxy.policy.replies import Phrasebook

_MOST_LISTED: Final = 50
"""Differences that are listed one by one; all are counted."""
_MOST_SENDERS: Final = 10_000
"""Domains of senders that are counted for each group of differences."""
_WORST: Final = 5
"""Senders that are named for each group."""


class Bench:
    """The policies of a configuration, to judge recorded evidence by."""

    __slots__ = ("_config", "_policies")

    def __init__(self, config: Config) -> None:
        """Make the policy of each listener."""
        self._config = config
        self._policies: Mapping[str, Policy] = {one.name: policy(config, one) for one in config.listeners}

    def policy(self, listener: str) -> Policy | None:
        """Return the policy of a listener; None: there is none of that name."""
        return self._policies.get(listener)

    def judge(self, by: Policy, one: Recorded) -> tuple[str, str, tuple[Mapping[str, object], ...]]:
        """Return "accepted" or the code of the reply, who decided, and the findings."""
        phrases = Phrasebook(self._config.server.hostname, one.evidence.dialogue.session, soft=self._config.soft_bounce)
        verdict = by.judge(one.evidence, phrases)
        return (*outcome(verdict), verdict.notes)


@dataclass(slots=True)
class _Group:
    """Differences of one kind."""

    number: int = 0
    senders: Counter[str] = field(default_factory=Counter)
    other_senders: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, sender: str, name: str) -> None:
        self.number += 1
        if sender in self.senders or len(self.senders) < _MOST_SENDERS:
            self.senders[sender] += 1
        else:
            self.other_senders += 1
        if len(self.examples) < 3 and name not in self.examples:
            self.examples.append(name)


@dataclass(slots=True)
class Comparison:
    """What came of a replay."""

    lines: int = 0
    judged: int = 0
    differing: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    """Lines whose record cannot be used, by the reason."""
    left_out: int = 0
    """Decisions that were not recorded."""
    strangers: Counter[str] = field(default_factory=Counter)
    """Decisions of listeners that the configuration does not have."""
    lacking: Counter[str] = field(default_factory=Counter)
    """Facts that the new policy asks for and the record lacks, with the number of decisions."""
    listed: list[str] = field(default_factory=list)
    groups: dict[tuple[str, str], _Group] = field(default_factory=dict)
    """By kind of difference and check."""

    @property
    def unverified(self) -> int:
        """Lines and decisions that could not be judged."""
        return self.unreadable.total() + self.strangers.total() + self.left_out


def replay(past: Iterable[Recording], config: Config, against: Config | None = None) -> Comparison:
    """Judge all decisions again by `config`; compare with what was decided, or with what `against` decides."""
    old, new = Bench(config), None if against is None else Bench(against)
    made = Comparison()
    for recording in past:
        made.lines += 1
        if recording.unreadable:
            made.unreadable[recording.unreadable[:100]] += 1
            continue
        made.left_out += recording.left_out
        for one in recording.decisions:
            _compare(made, recording, one, old, new)
    return made


def _compare(made: Comparison, recording: Recording, one: Recorded, old: Bench, new: Bench | None) -> None:
    last = new or old
    before, after = old.policy(recording.listener), last.policy(recording.listener)
    if before is None or after is None:
        made.strangers[recording.listener] += 1
        return
    made.judged += 1
    was = (one.verdict, one.by) if new is None else old.judge(before, one)[:2]
    is_ = last.judge(after, one)[:2]
    made.lacking.update(after.needs(one.evidence) - one.evidence.facts.keys())
    if was == is_:
        return
    made.differing += 1
    kind = _kind(was[0], is_[0])
    envelope = one.evidence.dialogue.envelope
    sender = "" if envelope is None else envelope.sender.domain_key
    group = made.groups.setdefault((kind, is_[1] or was[1]), _Group())
    group.add(sender or "<>", recording.id)
    if len(made.listed) < _MOST_LISTED:
        recipient = one.evidence.dialogue.recipient
        to = f" to <{recipient.path}>" if recipient is not None else ""
        said = f"{_said(was)}, now {_said(is_)}"
        made.listed.append(f"{recording.id} {one.evidence.stage.value}{to}: {said}")


def _kind(was: str, is_: str) -> str:
    if was == ACCEPTED:
        return "newly refused" if is_.startswith("5") else "newly deferred"
    if is_ == ACCEPTED:
        return "newly accepted"
    return "refused otherwise"


def _said(decided: tuple[str, str]) -> str:
    return f"{decided[0]} by {decided[1]}" if decided[1] else decided[0]


def report(made: Comparison) -> Iterator[str]:
    """Write a comparison in lines, for people."""
    yield f"{made.judged} decisions of {made.lines} lines judged again, {made.differing} differ"
    for reason, number in made.unreadable.most_common(_WORST):
        yield f"  {number} lines cannot be used: {reason}"
    if made.left_out:
        yield f"  {made.left_out} decisions were not recorded: a line has the first {MOST}"
    for listener, number in made.strangers.most_common(_WORST):
        yield f'  {number} decisions of listener "{listener}", which the configuration does not have'
    for fact, number in made.lacking.most_common():
        yield f"  {number} decisions lack the fact {fact}: what needs it could not tell"
    for (kind, check), group in sorted(made.groups.items(), key=lambda item: (item[0][0], -item[1].number)):
        yield f"\n{kind} by {check}: {group.number}"
        worst = ", ".join(f"{sender} ({number})" for sender, number in group.senders.most_common(_WORST))
        more = len(group.senders) - _WORST
        rest = f", and {more}{' or more' * bool(group.other_senders)} others" if more > 0 else ""
        yield f"  senders: {worst}{rest}"
        yield f"  as in: {', '.join(group.examples)}"
    if made.listed:
        yield f"\ndifferences{f', the first {len(made.listed)} of them' * (made.differing > len(made.listed))}"
        yield from (f"  {one}" for one in made.listed)
