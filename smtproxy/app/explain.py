"""`smtproxy explain`: why a mail was let in or refused, and what single change would have let it in.

All of it comes from the record in the log, judged again by the policy itself. Must never guess.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from smtproxy.app.config import Config
from smtproxy.app.config.checks import DUTIES
from smtproxy.app.config.units import show_seconds
from smtproxy.app.recordings import Recording
from smtproxy.app.replay import Bench
from smtproxy.app.single_changes import changes, lets_in
from smtproxy.policy.checks import blocked, reputation
from smtproxy.policy.evidence import Fact, Known
from smtproxy.policy.facts import GREYLIST as GREYLIST_FACT
from smtproxy.policy.facts import REPUTATION, SENDER_REPUTATION, Reputation
from smtproxy.policy.greylist import NAME as GREYLIST
from smtproxy.policy.recording import ACCEPTED, Recorded
from smtproxy.policy.rules.check import PREFIX

MOST: Final = 20
"""Lines of a log that are explained: a session may have had thousands of mails."""


def explain(recording: Recording, config: Config | None) -> Iterator[str]:
    """Write the decisions of a line. Without the configuration nothing can be judged again."""
    yield from _head(recording.line)
    if recording.unreadable:
        yield f"\nthe record of its decisions cannot be used: {recording.unreadable}"
        return
    if recording.decisions:
        yield "\nfacts"
        yield from _facts(recording.decisions[-1].evidence.facts)
    for one in recording.decisions:
        yield from _decision(recording, one, config)
    if not recording.decisions:
        yield "\nnothing of it was decided by a check"


_SHOWN: Final = ("client", "hello", "sender", "message_id", "size", "outcome", "by", "reply", "backend_reply", "ended")


def _head(line: Mapping[str, Any]) -> Iterator[str]:
    what = "transaction" if "transaction" in line else "session"
    yield f"{what} {line.get(what, '?')} at {line.get('time', '?')}, listener {line.get('listener', '?')}"
    for name in _SHOWN:
        if line.get(name) not in (None, ""):
            yield _row(name, line[name])


def _row(name: str, said: object) -> str:
    return f"  {name:<18} {said}"


_EMPTY: Final = ("", None, ())


def _facts(facts: Mapping[str, Fact[Any]]) -> Iterator[str]:
    for name, fact in facts.items():
        if isinstance(fact, Known):
            values = asdict(fact.value)
            said = ", ".join(
                f"{field} {_plain(value)}" for field, value in values.items() if value not in ("", None, ())
            )
            yield _row(name, said)
        else:
            yield _row(name, f"unknown: {fact.reason}")
    if not facts:
        yield "  none were needed"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, dict):
        return f"({', '.join(f'{name} {_plain(one)}' for name, one in value.items())})"
    return str(value)


def _decision(recording: Recording, one: Recorded, config: Config | None) -> Iterator[str]:
    recipient = one.evidence.dialogue.recipient
    to = f" <{recipient.path}>" if recipient is not None else ""
    yield f"\n{one.evidence.stage.value}{to}: {one.verdict}{f' by {one.by}' * bool(one.by)}"
    yield from _block(one)
    if config is None:
        return
    bench = Bench(config)
    policy = bench.policy(recording.listener)
    if policy is None:
        yield f'  the configuration has no listener "{recording.listener}": nothing is judged again'
        return
    verdict, by, notes = bench.judge(policy, one)
    if (verdict, by) != (one.verdict, one.by):
        yield f"  by this configuration it would be: {verdict}{f' by {by}' * bool(by)}"
    for note in notes:
        yield _finding(note, config)
    if verdict != ACCEPTED:
        yield from _ways_in(recording, one, by, config)


def _block(one: Recorded) -> Iterator[str]:
    """Say who has set the block that decided, why, when it ends, and how it is lifted."""
    for key in (REPUTATION, SENDER_REPUTATION):
        fact = one.evidence.get(key)
        if not isinstance(fact, Known):
            continue
        known: Reputation = fact.value
        if one.by == blocked.CHECK.name and known.blocked:
            why = f" ({known.reason})" * bool(known.reason)
            yield f"  {known.blocked} is blocked by {known.set_by}{why} until {known.until}; {_lifts(known.blocked)}"
            return
        if one.by == reputation.CHECK.name and known.penalty:
            what = f"the client is in the penalty box until {known.penalty_until}, for {known.penalty}"
            yield f"  {what}; {_lifts(one.evidence.dialogue.client)}"


def _lifts(key: str) -> str:
    return f"`smtproxy reputation forgive {key}` lifts that"


_OF_A_NOTE: Final = ("check", "stage", "reason", "action", "applied", "because", "points")


def _finding(note: Mapping[str, object], config: Config) -> str:
    check = str(note["check"])
    words = [f"found {note['reason']}, action {note['action']}"]
    if "applied" in note or "because" in note:
        words.append(f"applied {note.get('applied', note['action'])} ({note.get('because', 'score')})")
    if "points" in note:
        words.append(f"{note['points']} points (weight {_weight(check, config):g})")
    saw = ", ".join(f"{name} {_plain(value)}" for name, value in note.items() if name not in _OF_A_NOTE)
    return _row(check, "; ".join([*words, *([saw] if saw else [])]))


def _weight(check: str, config: Config) -> float:
    if check.startswith(PREFIX):
        return next((rule.weight for rule in config.rules if PREFIX + rule.name == check), 1.0)
    return float(getattr(getattr(config.checks, check, None), "weight", 1.0))


def _ways_in(recording: Recording, one: Recorded, by: str, config: Config) -> Iterator[str]:
    if by == GREYLIST:
        yield from _comes_again(one, config)
    found = [
        change.words for change in changes(one.evidence, config) if lets_in(change, recording.listener, one, config)
    ]
    if found:
        yield "  would have been let in by any one of"
        yield from (f"    {words}" for words in found)
    elif by in DUTIES:
        yield f"  {by} is a duty: no exemption and no action lifts it"
    else:
        yield "  no single change would have let it in"


def _comes_again(one: Recorded, config: Config) -> Iterator[str]:
    """Say that nothing has to be done."""
    fact = one.evidence.get(GREYLIST_FACT)
    key = fact.value.key if isinstance(fact, Known) else "the sender"
    wait, within = show_seconds(config.greylist.wait), show_seconds(config.greylist.retry_within)
    yield f"  nothing has to be done: {key} is let through, for all its mail, once it comes again"
    yield f"  {wait} or more after its first attempt, and within {within}"
