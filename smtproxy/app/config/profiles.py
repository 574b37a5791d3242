"""The profiles: what each judgement does unless the file says otherwise. One table, laid under the file.

`observe` refuses nothing by judgement: for the first weeks, to see what would happen. `cautious`, the shipped default,
refuses only what no honest sender does, what could never be answered, and what the administrator's own lists say; where
honest mail was seen to fail it observes, or adds up: three such signs together let an unknown client come again once.
`strict` is for those who have looked at their log. Duties are the same in all three: they are no matter of opinion.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from smtproxy.app.config.checks import Checks


class Profile(Enum):
    """What is refused where the file says nothing."""

    OBSERVE = "observe"
    CAUTIOUS = "cautious"
    STRICT = "strict"


@dataclass(frozen=True, slots=True)
class Stance:
    """What a check does in each profile, and why."""

    observe: str
    cautious: str
    strict: str
    why: str

    def action(self, profile: Profile) -> str:
        """Return its action in a profile."""
        return {Profile.OBSERVE: self.observe, Profile.CAUTIOUS: self.cautious, Profile.STRICT: self.strict}[profile]


def _observed(cautious: str, strict: str, why: str) -> Stance:
    return Stance("observe", cautious, strict, why)


PROFILES: Final[Mapping[str, Stance]] = {
    "not_smtp": Stance(
        "drop",
        "drop",
        "drop",
        "What speaks HTTP or TLS here brings no mail, and anything milder lets the lines behind be read as commands.",
    ),
    "blocked": Stance(
        "reject",
        "reject",
        "reject",
        "A person has said so, by name, with an end; there is nothing to be found out first.",
    ),
    "reputation": _observed(
        "defer",
        "reject",
        "Refused again and again, and never had a mail delivered: no honest server is like that for long. It is "
        "learned by a machine, though, so at first a client is told to come again, and the penalty ends by itself.",
    ),
    "early_talker": _observed(
        "score",
        "reject",
        "A mail server waits for replies, most spam engines do not; but scripts and old devices talk early, too, and "
        "their mail is somebody's alarm. Alone it is a sign among others; look at who they are, exempt them, then "
        "refuse.",
    ),
    "hello": _observed(
        "score",
        "score",
        "Honest servers are often misnamed, and RFC 5321 4.1.4 forbids to refuse mail because a name does not lead to "
        "the client. It is a sign among others, so it is added up.",
    ),
    "reverse_name": _observed(
        "score",
        "score",
        "Most spam comes from addresses without a confirmed name, but so does mail of small sites whose provider gives "
        "them none. A sign among others.",
    ),
    "dnsbl": _observed(
        "reject",
        "reject",
        "No list is asked unless you name it, so you have chosen whom to believe. A list that is dead, or lists the "
        "world, is switched off before it refuses anything, and the refused sender is told which list it was.",
    ),
    "sender_domain": _observed(
        "reject",
        "reject",
        "A domain that does not exist, or says that it takes no mail, can get neither an answer nor a bounce: a typing "
        "error in a device's settings is all that honest mail has to lose, and its owner is told. A name server that "
        "does not answer is no finding.",
    ),
    "spf": _observed(
        "score",
        "reject",
        "Forwarded mail fails SPF and is honest (RFC 7208 10.3), and a signature may still prove its sender, which is "
        "only known when the message is there. So cautious takes it as a sign among others.",
    ),
    "dkim": _observed(
        "observe",
        "observe",
        "A signature that fails is to be treated as if there were none (RFC 6376 6.3): mailing lists break them every "
        "day. It counts through DMARC.",
    ),
    "dmarc": _observed(
        "observe",
        "reject",
        "A domain that asks for it (p=reject) is forged most of the time where it fails, but members of mailing lists "
        "fail as well, are lost to the list after some bounces, and no setting of yours can mend theirs: RFC 7960, and "
        "RFC 9989 asks not to refuse for the policy alone. Name the sealers you trust (ARC), look at who fails, then "
        "refuse.",
    ),
    "own_sender": _observed(
        "observe",
        "reject",
        "Nobody else should send as your domain; yet newsletters, web shops and forwarders do, in your name and often "
        "on your behalf. The log shows them: have them put into your SPF record or given a key, then refuse.",
    ),
    "header": _observed(
        "observe",
        "score",
        "What is odd in a header is mostly an odd program of an honest sender. A sign among others.",
    ),
    "null_sender": _observed(
        "defer",
        "reject",
        "A bounce has one recipient. Further ones hear 4xx, so that a system which does otherwise sends to each of "
        "them by itself and loses nothing; a 5xx would be lost, as nobody is told of a bounce that bounces.",
    ),
}
"""Check -> what it does. A check that is not here is a duty."""


SCORES: Final[Mapping[Profile, Mapping[str, float]]] = {Profile.STRICT: {"reject": 3.0}}
"""Thresholds of [score] that come with a profile: three signs of weight 1 together. A [score] of the file's own is
taken as it stands."""
GREYLISTING: Final[Mapping[Profile, tuple[str, float]]] = {
    Profile.OBSERVE: ("observe", 3.0),
    Profile.CAUTIOUS: ("defer", 3.0),
    Profile.STRICT: ("defer", 2.0),
}
"""The action of [greylist], and `greylist` in [score], in so many signs of weight 1: a small honest server that is
misnamed and has no reverse name shows two of them. Where the file defers or refuses from a lower sum on, that counts.
"""


LIMITS: Final[tuple[tuple[Mapping[str, object], Stance], ...]] = (
    (
        {"name": "unknown_recipients", "per": "client", "of": "unknown_recipients", "rate": "60/1h", "burst": 20},
        _observed(
            "tarpit",
            "defer",
            "Whoever asks for twenty mailboxes that do not exist is looking for those that do, or has a list that is "
            "years old. Both can wait; an honest sender with many customers never notices.",
        ),
    ),
    (
        {"name": "harvest", "per": "client", "of": "unknown_recipients", "rate": "200/1h", "burst": 100},
        _observed(
            "drop",
            "drop",
            "A hundred of them are a dictionary. Each further session ends at its next recipient by 421, and an honest "
            "sender with an old list loses nothing but time.",
        ),
    ),
    (
        {"name": "errors", "per": "client", "of": "errors", "rate": "60/1h", "burst": 60},
        _observed(
            "tarpit",
            "defer",
            "One session's errors end it (`protocol_errors`); who comes again and again with more of them is no mail "
            "server.",
        ),
    ),
    (
        {"name": "messages", "per": "client", "of": "messages", "rate": "6000/1h", "burst": 2000},
        _observed(
            "observe",
            "defer",
            "The addresses of large providers send thousands in an hour when a newsletter leaves, and nobody knows "
            "what is much for you but your log. Deferred mail comes again by itself.",
        ),
    ),
)
"""Limits that come with a profile, each with what it does there. [[limits]] of the file's own are taken as they stand,
instead of these; `limits = []` is none."""


def chosen(document: Mapping[str, Any]) -> Profile:
    """Return the profile that a document names; the default one where it names none, or one that is none."""
    return next((one for one in Profile if one.value == document.get("profile")), Profile.CAUTIOUS)


def with_profile(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with its profile laid under it: what the file says of a check wins.

    A table that is wrong is left as it is, for validation to complain of.
    """
    profile, written = chosen(document), document.get("checks", {})
    limits = [{**limit, "action": stance.action(profile)} for limit, stance in LIMITS]
    laid = {"limits": limits, "score": SCORES.get(profile, {}), **document}
    action, least = GREYLISTING[profile]
    greylist, score = document.get("greylist", {}), laid["score"]
    if isinstance(greylist, Mapping):
        laid["greylist"] = {"action": action, **greylist}
    if isinstance(score, Mapping):
        said = [score.get(name) for name in ("defer", "reject")]
        harder = [one for one in said if isinstance(one, int | float) and one is not True and one > 0]
        laid["score"] = {"greylist": min([least, *harder]), **score}
    if isinstance(written, Mapping):
        laid["checks"] = dict(written)
        for name, stance in PROFILES.items():
            table = written.get(name, {})
            if name in Checks.model_fields and isinstance(table, Mapping):
                laid["checks"][name] = {"action": stance.action(profile), **table}
    return laid
