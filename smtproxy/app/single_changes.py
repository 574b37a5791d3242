"""Single changes, tried: of one check, one exemption, one fact. Each is made, and the policy judges again.

Must never leave the tried thing changed: configurations and evidence are copied.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from smtproxy.app.config import Config
from smtproxy.app.config.checks import DUTIES
from smtproxy.app.config.judging import Exemption
from smtproxy.app.replay import Bench
from smtproxy.policy.evidence import Evidence, Fact, Known, Unknown
from smtproxy.policy.exemptions import proven
from smtproxy.policy.facts import (
    DMARC,
    FACTS,
    GREYLIST,
    HELLO_NAME,
    RECIPIENT,
    REPUTATION,
    REVERSE_NAME,
    SENDER_DOMAIN,
    SENDER_REPUTATION,
    SPF,
    SPF_HELLO,
    Dmarc,
    Greylist,
    HelloName,
    Listings,
    RecipientEntry,
    Reputation,
    ReverseName,
    SenderDomain,
    Spf,
)
from smtproxy.policy.findings import Action, OnError
from smtproxy.policy.greylist import PASSED
from smtproxy.policy.recording import ACCEPTED, Recorded


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is other than it was."""

    words: str
    config: Callable[[Config], Config] | None = None
    evidence: Callable[[Evidence], Evidence] | None = None


def lets_in(change: Change, listener: str, one: Recorded, config: Config) -> bool:
    """Whether a decision of a listener would have been to accept, with this change."""
    bench = Bench(config if change.config is None else change.config(config))
    policy = bench.policy(listener)
    evidence = one.evidence if change.evidence is None else change.evidence(one.evidence)
    return policy is not None and bench.judge(policy, Recorded(evidence, "", ""))[0] == ACCEPTED


def changes(evidence: Evidence, config: Config) -> Iterator[Change]:
    """Yield every single change: of each judgement, of each kind of exemption, of each fact."""
    judgements = [name for name in type(config.checks).model_fields if name not in DUTIES]
    for name in judgements:
        if getattr(config.checks, name).action is not Action.OFF:
            yield Change(f'checks.{name}.action = "observe"', _with_check(name, "action", Action.OBSERVE))
            if getattr(config.checks, name).on_error is OnError.DEFER:
                yield Change(f'checks.{name}.on_error = "pass"', _with_check(name, "on_error", OnError.PASS))
    for number, rule in enumerate(config.rules):
        if rule.then is not Action.OFF:
            yield Change(f'then = "observe" in rule {rule.name}', _with_rule(number, "then", Action.OBSERVE))
            if rule.on_error is OnError.DEFER:
                yield Change(f'on_error = "pass" in rule {rule.name}', _with_rule(number, "on_error", OnError.PASS))
    for number, limit in enumerate(config.limits):
        if limit.action is not Action.OFF:
            yield Change(f'action = "observe" in limit {limit.name}', _with_limit(number, Action.OBSERVE))
    if any((config.score.defer, config.score.reject)):
        yield Change("[score] without thresholds", lambda one: one.model_copy(update={"score": type(one.score)()}))
    if config.greylist.action == "defer" and config.score.greylist:
        yield Change('greylist.action = "observe"', _greylist_observed)
    yield from _exemptions(evidence)
    yield from _other_facts(evidence)
    if evidence.demoted:
        yield Change(
            "no check demoted by the governor",
            evidence=lambda one: Evidence(one.stage, one.dialogue, one.facts, one.standing),
        )


def _greylist_observed(config: Config) -> Config:
    return config.model_copy(update={"greylist": config.greylist.model_copy(update={"action": "observe"})})


def _with_check(name: str, setting: str, value: object) -> Callable[[Config], Config]:
    """Return what gives a check another setting, in [[policy]] blocks that speak of it too."""

    def changed(config: Config) -> Config:
        table = getattr(config.checks, name).model_copy(update={setting: value})
        blocks = []
        for block in config.policy:
            own = getattr(block.checks, name)
            if name in block.checks.model_fields_set and setting in own.model_fields_set:
                own = own.model_copy(update={setting: value})
                block = block.model_copy(update={"checks": block.checks.model_copy(update={name: own})})  # noqa: PLW2901
            blocks.append(block)
        checks = config.checks.model_copy(update={name: table})
        return config.model_copy(update={"checks": checks, "policy": tuple(blocks)})

    return changed


def _with_rule(number: int, setting: str, value: object) -> Callable[[Config], Config]:
    def changed(config: Config) -> Config:
        rules = list(config.rules)
        rules[number] = rules[number].model_copy(update={setting: value})
        return config.model_copy(update={"rules": tuple(rules)})

    return changed


def _with_limit(number: int, action: Action) -> Callable[[Config], Config]:
    def changed(config: Config) -> Config:
        limits = list(config.limits)
        limits[number] = limits[number].model_copy(update={"action": action})
        return config.model_copy(update={"limits": tuple(limits)})

    return changed


def _exemptions(evidence: Evidence) -> Iterator[Change]:
    dialogue = evidence.dialogue
    recipient = dialogue.recipient.path if dialogue.recipient is not None else evidence.standing
    whom: list[tuple[str, str]] = []
    if dialogue.client:
        whom.append(("clients", dialogue.client))
    if recipient is not None and recipient.domain:
        whom.append(("recipients", str(recipient)))
    whom += [("senders", domain) for domain in sorted(proven(evidence))]
    for name, value in whom:
        try:
            block = Exemption.model_validate({name: [value]})
        except ValueError:  # an address that no block can name
            continue
        yield Change(f'[[exemptions]] with {name} = ["{value}"]', _exempting(block))


def _exempting(block: Exemption) -> Callable[[Config], Config]:
    return lambda config: config.model_copy(update={"exemptions": (*config.exemptions, block)})


def _other_facts(evidence: Evidence) -> Iterator[Change]:
    for name, fact in evidence.facts.items():
        better = _BETTER.get(name)
        if better is not None:
            words, make = better
            yield Change(f"the fact {name}: {words}", evidence=_with_fact(name, Known(make(evidence))))
        if isinstance(fact, Known):
            yield Change(f"the fact {name} unknown", evidence=_with_fact(name, Unknown("unknown")))


def _with_fact(name: str, fact: Fact[Any]) -> Callable[[Evidence], Evidence]:
    return lambda one: Evidence(one.stage, one.dialogue, {**one.facts, name: fact}, one.standing, one.demoted)


def _sender(evidence: Evidence) -> str:
    envelope = evidence.dialogue.envelope
    return "" if envelope is None else envelope.sender.domain_key


def _client(evidence: Evidence) -> str:
    return evidence.dialogue.client


_NAME: Final = "mail.example.org"
_BETTER: Mapping[str, tuple[str, Callable[[Evidence], object]]] = {
    **{name: ("not listed", lambda _: Listings()) for name, key in FACTS.items() if key.shape is Listings},
    REPUTATION.name: ("neither blocked nor in the penalty box", lambda _: Reputation()),
    SENDER_REPUTATION.name: ("not blocked", lambda _: Reputation()),
    REVERSE_NAME.name: ("a name that leads back", lambda _: ReverseName((_NAME,), _NAME)),
    HELLO_NAME.name: ("leads to the client", lambda one: HelloName((_client(one),))),
    SPF.name: ("pass", lambda one: Spf("pass", _sender(one))),
    SPF_HELLO.name: ("pass", lambda _: Spf("pass")),
    SENDER_DOMAIN.name: (
        "takes mail",
        lambda one: SenderDomain(exists=True, exchangers=(_NAME,), addresses=(_client(one),)),
    ),
    DMARC.name: ("pass", lambda one: Dmarc("pass", _sender(one), aligned="spf")),
    GREYLIST.name: ("came again before", lambda _: Greylist("", None, PASSED)),
    RECIPIENT.name: ("exists", lambda _: RecipientEntry(exists=True)),
}
"""What a sender, or the owner of a list, would have to mend: the fact as it is with honest mail that is in order."""
