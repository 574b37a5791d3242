"""A day of mixed traffic against the real policy, on a virtual clock: `python -m bench.simulate` prints who met what.

Nothing is sent and nobody waits: the policy of a configuration judges each session stage by stage on facts that its
kind of sender has, greylisting and the history of senders learn from the verdicts, in the store in memory, and who is
told to come again does so as its kind does. Facts of the DNS are given, as a name server would give them.

Two kinds are as suspicious as honest senders get, on purpose: with all three signs that add up in the shipped profile.
The same seed gives the same day.
"""

import argparse
import heapq
import itertools
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from smtproxy.app.assembly import policy
from smtproxy.app.config.load import load
from smtproxy.lookups.greylist import Greylisted
from smtproxy.network.dns.resolver import AtHand as Dns
from smtproxy.network.dns.resolver import CachingResolver
from smtproxy.policy.acquaintances import Acquaintances
from smtproxy.policy.evidence import Evidence, Fact, Known
from smtproxy.policy.exemptions import proven
from smtproxy.policy.facts import (
    DKIM,
    DMARC,
    GREYLIST,
    HEADER,
    HELLO_NAME,
    RECIPIENT,
    REVERSE_NAME,
    SENDER_DOMAIN,
    SPF,
    SPF_HELLO,
    Dmarc,
    HeaderBlock,
    HelloName,
    RecipientEntry,
    ReverseName,
    SenderDomain,
    Signatures,
    Spf,
)
from smtproxy.policy.greylist import GreylistMemory
from smtproxy.policy.judge import Policy
from smtproxy.policy.replies import Phrasebook
from smtproxy.session.dialogue import Dialogue, Hello, MessageFacts
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from smtproxy.stores.at_hand import AtHand
from smtproxy.stores.memory import MemoryStore
from smtproxy.stores.table import SEED, Table, octets
from smtproxy.wire.paths import Path as MailPath
from smtproxy.wire.replies import Reply
from tests.lookups.inquiries import FakeInquiry
from tests.stores.tables import at_once

DAY = 86400.0
START = 1_790_000_000.0
ENTRIES = 200_000
POOL = 64
CONFIGURATION = """
profile = "{profile}"
[server]
hostname = "mx.example.org"
[backends.exchange]
servers = ["192.0.2.1:25"]
[[listeners]]
bind = ["127.0.0.1:2525"]
backend = "exchange"
domains = ["example.org"]
[[recipients.sources]]
name = "list"
kind = "file"
path = "{recipients}"
"""
_NO_DNS = Dns(cast("CachingResolver", None))
"""Nothing is asked for: the facts are given."""
_STAGES = (Stage.CONNECT, Stage.HELLO, Stage.MAIL, Stage.RECIPIENT, Stage.DATA, Stage.MESSAGE)
_TAKEN = Reply(250, (b"2.1.5 OK",))


@dataclass(frozen=True, slots=True)
class Shape:
    """What a client looks like from outside."""

    hello: str
    reverse: ReverseName
    spf: str
    early: bool = False


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail that somebody wants to get rid of."""

    kind: str
    organisation: str
    """Who sends it: delays are counted for each."""
    sender: MailPath
    recipient: str
    clients: tuple[str, ...]
    """The addresses it is tried from, in turn."""
    shape: Shape
    retries: tuple[float, ...]
    """Seconds from one attempt to the next; none: it is given up."""


@dataclass(slots=True)
class Experience:
    """What a kind of sender met."""

    mails: int = 0
    sessions: int = 0
    delivered: int = 0
    refused: int = 0
    given_up: int = 0
    delayed: int = 0
    """Mails that had to come again."""
    most_retries: int = 0
    waits: list[float] = field(default_factory=list)
    """Seconds from the first attempt to delivery, of those that were delayed."""
    by_organisation: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Mails that were delayed, of each."""
    late: int = 0
    """Mails that were delayed although their organisation had come again before."""

    def wait(self, share: float) -> float:
        """Return what so large a share of the delayed ones waited at most; 0.0: there were none."""
        return sorted(self.waits)[min(len(self.waits) - 1, int(len(self.waits) * share))] if self.waits else 0.0


Kind = Callable[[random.Random, int], Mail]
_MISNAMED = "[192.168.1.5]"
"""What a server says that takes its inner address for its name."""
POSTFIX = (300.0, 600.0, 1200.0, 2400.0, 4000.0, 4000.0)
"""Postfix: minimal_backoff_time = 300s, doubled up to maximal_backoff_time = 4000s."""
EXIM = (900.0, 900.0, 900.0, 900.0, 3600.0, 3600.0)
"""Exim's retry rule F,2h,15m; G,16h,1h,1.5"""


def _address(dice: random.Random) -> str:
    return f"{dice.choice((23, 45, 62, 80, 91))}.{dice.randrange(256)}.{dice.randrange(256)}.{dice.randrange(1, 255)}"


def _user(dice: random.Random) -> str:
    return f"user{dice.randrange(2000)}"


def bot(dice: random.Random, _number: int) -> Mail:
    """A machine that does not know it sends: another address each time, a forged sender, and it does not come again."""
    shape = Shape(
        dice.choice((_MISNAMED, "localhost", "x")), ReverseName(), dice.choice(("fail", "softfail")), early=True
    )
    again = dice.random() < 0.05
    sender = MailPath(f"a{dice.randrange(10**9)}", dice.choice(("bank.example.com", "shop.example.com")))
    known = _user(dice) if dice.random() < 0.3 else f"nobody{dice.randrange(10**6)}"
    return Mail("bots", "", sender, known, (_address(dice),), shape, (10.0,) if again else ())


def _pool(kind: str, domain: str, prefix: str, shape: Shape, dice: random.Random) -> Mail:
    first = dice.randrange(POOL)
    clients = tuple(f"{prefix}.{4 * ((first + turn * 7) % POOL)}.10" for turn in range(len(POSTFIX) + 1))
    return Mail(kind, domain, MailPath(_user(dice), domain), _user(dice), clients, shape, POSTFIX)


def pool_by_spf(dice: random.Random, number: int) -> Mail:
    """64 addresses of one organisation in as many networks, badly kept in every way, but SPF names them."""
    one = number % 20
    return _pool("pools, SPF", f"big{one}.com", f"44.{one}", Shape(_MISNAMED, ReverseName(), "pass", early=True), dice)


def pool_by_name(dice: random.Random, number: int) -> Mail:
    """The same with an SPF record that forgot them; but the reverse names are the organisation's own."""
    one = number % 20
    domain = f"pool{one}.net"
    name = ReverseName((f"out.{domain}",), f"out.{domain}")
    return _pool("pools, reverse name", domain, f"45.{one}", Shape(_MISNAMED, name, "fail", early=True), dice)


def small_and_poor(_dice: random.Random, number: int) -> Mail:
    """One server at a provider that gives it no name, misnamed, with an SPF record that forgot it."""
    domain, client = f"craft{number}.org", f"81.{number // 250 % 250}.{number % 250}.7"
    shape, retries = Shape(_MISNAMED, ReverseName(), "fail"), (POSTFIX, EXIM)[number % 2]
    sender, recipient = MailPath("office", domain), f"user{number % 2000}"
    return Mail("small servers, poor", domain, sender, recipient, (client,), shape, retries)


def small_and_kept(_dice: random.Random, number: int) -> Mail:
    """One server as it should be: most are."""
    domain, client = f"school{number % 400}.org", f"82.{number % 400 // 250}.{number % 250}.7"
    name = ReverseName((f"mail.{domain}",), f"mail.{domain}")
    shape = Shape(f"mail.{domain}", name, "pass")
    sender = MailPath(f"user{number % 7}", domain)
    return Mail("small servers", domain, sender, f"user{number % 2000}", (client,), shape, POSTFIX)


def mailing_list(dice: random.Random, number: int) -> Mail:
    """A list whose every copy has a sender of its own (VERP), from a server that is named badly."""
    domain = f"lists{number % 5}.org"
    local = f"talk-bounces-{number}-user{number % 2000}=example.org"
    shape = Shape(_MISNAMED, ReverseName(), "pass", early=True)
    client = f"46.{number % 5}.{dice.randrange(8)}.3"
    return Mail("mailing lists", domain, MailPath(local, domain), f"user{number % 2000}", (client,), shape, POSTFIX)


TRAFFIC: Mapping[Kind, float] = {
    bot: 0.70,
    pool_by_spf: 0.06,
    pool_by_name: 0.06,
    small_and_poor: 0.02,
    small_and_kept: 0.12,
    mailing_list: 0.04,
}
"""Shares of the mails of a day."""


class Proxy:
    """What judges and remembers."""

    def __init__(self, judges: Policy, greylist_of: Callable[[AtHand, Acquaintances], Greylisted]) -> None:
        self.now = START
        memory = MemoryStore(Table(memoryview(bytearray(octets(ENTRIES))), ENTRIES, bytes(SEED)), lambda: self.now)
        kept = AtHand(memory, memory, None, _nobody)
        self._settle = kept.settle
        self._policy = judges
        self._known = Acquaintances(kept)
        self._greylist = greylist_of(kept, self._known)
        self._phrases = Phrasebook("mx.example.org", "simulated")

    def meet(self, mail: Mail, attempt: int) -> Verdict:
        """Judge one session; return the last verdict, or the first that refuses."""
        client = mail.clients[attempt % len(mail.clients)]
        dialogue = Dialogue("simulated", client, early=(Stage.CONNECT,) if mail.shape.early else ())
        facts = _facts(mail, client)
        verdict: Verdict = Accepted(Stage.CONNECT)
        for stage in _STAGES:
            _go_on(stage, dialogue, mail)
            if stage is Stage.RECIPIENT:
                to = MailPath(mail.recipient, "example.org")
                inquiry = FakeInquiry(_NO_DNS, client, mail.shape.hello, mail.sender, to, self.now, facts=facts)
                facts[GREYLIST.name] = at_once(self._greylist.lookup.find(inquiry))
            evidence = Evidence(stage, dialogue, facts, _standing(stage, dialogue))
            verdict = self._policy.judge(evidence, self._phrases)
            self._greylist.memory.learn(evidence, verdict, self.now)
            if isinstance(verdict, Refused):
                break
            if stage is Stage.RECIPIENT and dialogue.recipient is not None:
                dialogue.recipient.reply, dialogue.recipient.by = _TAKEN, "backend"
            if stage is Stage.MESSAGE:
                self._known.delivered(client, proven(evidence))
                self._settle()
        return verdict


def _nobody(_work: object) -> None:
    """Nothing runs beside these sessions."""


def _facts(mail: Mail, client: str) -> dict[str, Fact[Any]]:
    domain = mail.sender.domain_key
    shape = mail.shape
    return {
        REVERSE_NAME.name: Known(shape.reverse),
        HELLO_NAME.name: Known(HelloName((client,)) if "." in shape.hello else HelloName()),
        SPF.name: Known(Spf(shape.spf, domain)),
        SPF_HELLO.name: Known(Spf("none", shape.hello)),
        SENDER_DOMAIN.name: Known(SenderDomain(exists=True, exchangers=(f"mx.{domain}",), addresses=("62.1.2.3",))),
        RECIPIENT.name: Known(RecipientEntry(mail.recipient.startswith("user"), "directory")),
        HEADER.name: Known(HeaderBlock(from_domains=(domain,), date_off=0.0)),
        DKIM.name: Known(Signatures()),
        DMARC.name: Known(Dmarc("none", domain)),
    }


def _go_on(stage: Stage, dialogue: Dialogue, mail: Mail) -> None:
    """Put into the dialogue what a stage adds to it."""
    if stage is Stage.HELLO:
        dialogue.hello, dialogue.hello_names = Hello("EHLO", mail.shape.hello), 1
    elif stage is Stage.MAIL:
        dialogue.envelope = Envelope(mail.sender)
    elif stage is Stage.RECIPIENT and dialogue.envelope is not None:
        dialogue.recipient = Recipient(MailPath(mail.recipient, "example.org"))
        dialogue.envelope.recipients.append(dialogue.recipient)
    elif stage is Stage.MESSAGE:
        dialogue.message = MessageFacts(4096, bare_newlines=False, dot_line=False, received=1, message_id=None)


def _standing(stage: Stage, dialogue: Dialogue) -> MailPath | None:
    there = stage in (Stage.DATA, Stage.MESSAGE) and dialogue.recipient is not None
    return dialogue.recipient.path if there and dialogue.recipient is not None else None


def proxy(profile: str = "cautious") -> Proxy:
    """Return what a profile makes of the configuration."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "config.toml"
        recipients = Path(directory) / "recipients"
        recipients.write_text("user0@example.org\n")  # who exists is said by the facts; the check must be on
        file.write_text(CONFIGURATION.format(profile=profile, recipients=recipients))
        config = load(file)
    judges = policy(config, config.listeners[0])

    def greylist(kept: AtHand, known: Acquaintances) -> Greylisted:
        return Greylisted(GreylistMemory(kept, config.greylist.windows), kept, known.good)

    return Proxy(judges, greylist)


def mails(number: int, dice: random.Random) -> Iterator[tuple[float, Mail]]:
    """Yield so many mails of a day, each with the second of its first attempt."""
    for kind, share in TRAFFIC.items():
        for place in range(round(number * share)):
            yield dice.random() * DAY, kind(dice, place)


def simulate(sessions: int, seed: int = 1, profile: str = "cautious") -> dict[str, Experience]:
    """Let about so many sessions come in a day; return what each kind of sender met."""
    dice, judge = random.Random(seed), proxy(profile)
    met: dict[str, Experience] = defaultdict(Experience)
    came_again: dict[str, float] = {}
    order = itertools.count()
    line = [(at, next(order), mail, 0, at) for at, mail in mails(sessions, dice)]
    heapq.heapify(line)
    while line:
        at, _, mail, attempt, first = heapq.heappop(line)
        judge.now = START + at
        one = met[mail.kind]
        one.mails += not attempt
        one.sessions += 1
        verdict = judge.meet(mail, attempt)
        if not isinstance(verdict, Refused):
            one.delivered += 1
            if attempt:
                one.waits.append(at - first)
                came_again.setdefault(mail.organisation, at)
        elif verdict.reply.kind == 5:
            one.refused += 1
        else:
            if not attempt:
                one.delayed += 1
                if mail.organisation:
                    one.by_organisation[mail.organisation] += 1
                    one.late += came_again.get(mail.organisation, at) < first
            if attempt < len(mail.retries):
                one.most_retries = max(one.most_retries, attempt + 1)
                heapq.heappush(line, (at + mail.retries[attempt], next(order), mail, attempt + 1, first))
            else:
                one.given_up += 1
    return dict(met)


def table(met: Mapping[str, Experience]) -> str:
    """Write what each kind met, in Markdown."""
    head = "| who | mails | sessions | delivered | refused | given up | delayed | of these, after a pass |"
    more = " of one organisation at most | retries at most | wait p50 | p99 |"
    lines = [head + more, "|---" * 12 + "|"]
    for kind, one in met.items():
        numbers = (one.mails, one.sessions, one.delivered, one.refused, one.given_up, one.delayed, one.late)
        waits = f"{one.wait(0.5) / 60:.0f} min | {one.wait(0.99) / 60:.0f} min"
        most = max(one.by_organisation.values(), default=0)
        lines.append(f"| {kind} | {' | '.join(map(str, numbers))} | {most} | {one.most_retries} | {waits} |")
    return "\n".join(lines)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--profile", default="cautious", choices=("observe", "cautious", "strict"))
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print(table(simulate(asked.sessions, asked.seed, asked.profile)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
