"""A day of mixed traffic on a virtual clock: `python -m bench.simulate`, or `./do bench simulate`.

Who suffers from greylisting, and how long, is said by the policy itself: the real checks of the shipped configuration,
the real lookup of greylisting, and the store in memory at its default size, driven by hand. So that greylisting has to
prove itself, EVERY client is suspicious here, the honest ones, too: all give a wrong address for a name. No network, no
process, no sleep; the same seed gives the same table.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path as File
from random import Random
from statistics import median, quantiles
from typing import Any

from smtproxy.app.assembly import policy
from smtproxy.app.config import Config, load
from smtproxy.lookups.greylist import Greylisted
from smtproxy.policy.acquaintances import Acquaintances
from smtproxy.policy.evidence import NOT_CONFIGURED, Evidence, Fact, Known
from smtproxy.policy.facts import GREYLIST, RECIPIENT, ReverseName, SenderDomain, Spf
from smtproxy.policy.greylist import GreylistMemory
from smtproxy.policy.judge import Policy
from smtproxy.policy.replies import Phrasebook
from smtproxy.session.dialogue import Dialogue, Hello
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.verdicts import Accepted, Stage
from smtproxy.stores.at_hand import AtHand
from smtproxy.stores.memory import MemoryStore
from smtproxy.stores.table import SEED, Table, octets
from smtproxy.wire.paths import Path, parse_path

DAY = 86400.0
START = 1_790_000_000.0
SETTLE = 200
"""Sessions after which is written what the store holds back; in a running proxy it is a second."""
CONFIGURATION = """
server.hostname = "mx.example.org"
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
[backends.b]
servers = ["127.0.0.1:25"]
[checks.hello]
weight = 3
"""
WRONG = "[192.0.2.1]"
"""What all clients call themselves: an address that is none of theirs."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A session with one mail."""

    client: str
    sender: str
    spf: Spf
    name: str = ""
    """The confirmed reverse name of the client."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of senders."""

    name: str
    share: float
    """Of the mails."""
    mail: Callable[[Random], Callable[[], Attempt]]
    """Draws a mail; what it returns draws an attempt to send it."""
    retries: tuple[tuple[float, float], ...]
    """Seconds between two attempts, from and to; after the last one it is given up."""


@dataclass(slots=True)
class Experience:
    """What a kind of senders has met with."""

    mails: int = 0
    sessions: int = 0
    deferred: int = 0
    """Answers of 4xx."""
    refused: int = 0
    """Answers of 5xx."""
    delays: list[float] = field(default_factory=list)
    """Seconds from the first attempt to the delivery, of each mail that was delivered."""
    waited: int = 0
    """Mails that were delivered later than at once."""
    most_retries: int = 0
    """Of a mail that was delivered."""
    after_a_pass: int = 0
    """Attempts that were deferred although the organisation had come again before."""


_RETRIES = ((300.0, 1800.0), (900.0, 3600.0), (3600.0, 7200.0), (7200.0, 14400.0))
"""Of mail servers: Postfix 5 min, Exim 15, others up to 30 at first."""
_POOLS, _POOL = 20, 64
_SMALL = 2000


def _bot(draw: Random) -> Callable[[], Attempt]:
    client = f"{draw.randint(60, 99)}.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(1, 255)}"
    sender = f"{draw.getrandbits(40):x}@brand{draw.randrange(50)}.example"
    name = f"dsl-{client.replace('.', '-')}.provider{draw.randrange(9)}.example"
    return lambda: Attempt(client, sender, Spf("fail", sender.partition("@")[2]), name)


def _pool(draw: Random) -> Callable[[], Attempt]:
    number, user = draw.randrange(_POOLS), draw.randrange(500)
    domain = f"pool{number}.example"
    proves = number % 2 == 0  # the others are known by the names of their servers alone

    def attempt() -> Attempt:
        server = draw.randrange(_POOL)
        spf = Spf("pass" if proves else "none", domain)
        return Attempt(f"{100 + number}.{server}.7.9", f"user{user}@{domain}", spf, f"out{server}.{domain}")

    return attempt


def _small(draw: Random) -> Callable[[], Attempt]:
    number = draw.randrange(_SMALL)
    domain = f"small{number}.example"
    made = Attempt(f"140.{number // 250}.{number % 250}.25", f"user{draw.randrange(9)}@{domain}", Spf("none", domain))
    return lambda: made


def _list(draw: Random) -> Callable[[], Attempt]:
    domain, number = "lists.example", draw.randrange(10**6)
    sender = f"talk-return-{number}-reader{draw.randrange(900)}=example.org@{domain}"
    return lambda: Attempt("150.1.1.1", sender, Spf("none", domain), f"mx.{domain}")


KINDS = (
    Kind("bots, once", 0.5, _bot, ()),
    Kind("bots, again at once", 0.1, _bot, ((1.0, 20.0), (1.0, 20.0), (1.0, 20.0))),
    Kind("pools of 64 addresses", 0.2, _pool, _RETRIES),
    Kind("small servers", 0.15, _small, _RETRIES),
    Kind("a mailing list", 0.05, _list, _RETRIES),
)


@dataclass(slots=True)
class _Inquiry:
    """What a lookup may ask about an attempt. It never waits."""

    client: str
    sender: Path
    recipient: Path
    now: float
    facts: dict[str, Fact[Any]]
    hello: str = WRONG
    quick: bool = True
    dns: Any = None

    async def fact(self, key: Any) -> Fact[Any]:  # noqa: ANN401
        return self.facts.get(key.name, NOT_CONFIGURED)

    async def message(self) -> bytes:
        raise AssertionError


class Receiver:
    """The policy of a proxy, with what it remembers."""

    def __init__(self, config: Config) -> None:
        self.now = START
        memory = memoryview(bytearray(octets(config.store.entries)))
        here = MemoryStore(Table(memory, config.store.entries, bytes(SEED)), lambda: self.now)
        self.kept = AtHand(here, here, None, lambda _: None)
        self._known = Acquaintances(self.kept)
        self._memory = GreylistMemory(self.kept, config.greylist.windows)
        self._greylisted = Greylisted(self._memory, self.kept, self._known.good)
        self._policy: Policy = policy(config, config.listeners[0])
        self._phrases = Phrasebook(config.server.hostname, "simulated")

    def hears(self, attempt: Attempt, now: float) -> tuple[int, str]:
        """Judge an attempt at RCPT; return the code and who the sender is taken for. What it accepts is delivered."""
        self.now = now
        sender = parse_path(f"<{attempt.sender}>".encode())[0]
        recipient = Recipient(_RECIPIENT)
        facts: dict[str, Fact[Any]] = {
            "spf": Known(attempt.spf),
            "reverse_name": Known(ReverseName((attempt.name,) if attempt.name else (), attempt.name)),
            "sender_domain": _EXISTS,
            RECIPIENT.name: NOT_CONFIGURED,
        }
        found = _at_once(self._greylisted.find(_Inquiry(attempt.client, sender, _RECIPIENT, now, facts)))
        facts[GREYLIST.name] = found
        envelope = Envelope(sender, recipients=[recipient])
        dialogue = Dialogue(
            "simulated", attempt.client, hello=Hello("EHLO", WRONG), envelope=envelope, recipient=recipient
        )
        evidence = Evidence(Stage.RECIPIENT, dialogue, facts)
        verdict = self._policy.judge(evidence, self._phrases)
        self._memory.learn(evidence, verdict, now)
        key = found.value.key if isinstance(found, Known) else ""
        if not isinstance(verdict, Accepted):
            return verdict.reply.code, key
        self._known.delivered(attempt.client, [attempt.spf.domain] if attempt.spf.result == "pass" else [])
        return 250, key


_RECIPIENT = Path("user", "example.org")
_EXISTS = Known(SenderDomain(exists=True, addresses=("8.8.4.4",)))


def _at_once(asking: Coroutine[Any, Any, Fact[Any]]) -> Fact[Any]:
    try:
        asking.send(None)
    except StopIteration as found:
        made: Fact[Any] = found.value
        return made
    raise AssertionError("a lookup waits, and nobody is there to wake it")


@dataclass(slots=True)
class _Mail:
    kind: Kind
    attempt: Callable[[], Attempt]
    began: float
    tried: int = 0


def simulate(mails: int, seed: int = 1, directory: File | None = None) -> dict[str, Experience]:
    """Send so many mails within a day; return what each kind of senders met with."""
    draw, met = Random(seed), {kind.name: Experience() for kind in KINDS}
    receiver = Receiver(_configured(directory))
    passed: set[str] = set()
    again: list[tuple[float, int, _Mail]] = []
    for number, (now, mail) in enumerate(_attempts(draw, mails, again)):
        one = met[mail.kind.name]
        code, key = receiver.hears(mail.attempt(), now)
        if number % SETTLE == 0:
            receiver.kept.settle()
        one.sessions += 1
        one.mails += mail.tried == 0
        mail.tried += 1
        if code == 250:
            one.delays.append(now - mail.began)
            one.waited += mail.tried > 1
            one.most_retries = max(one.most_retries, mail.tried - 1)
            passed.add(key)
        elif code >= 500:
            one.refused += 1
        else:
            one.deferred += 1
            one.after_a_pass += key in passed
            if mail.tried <= len(mail.kind.retries):
                heappush(again, (now + draw.uniform(*mail.kind.retries[mail.tried - 1]), number, mail))
    return met


def _attempts(draw: Random, mails: int, again: list[tuple[float, int, _Mail]]) -> Iterator[tuple[float, _Mail]]:
    """Yield attempts in the order of time: new mails over the day, and what lies in `again` when it is due."""
    shares, now = [kind.share for kind in KINDS], START
    for _ in range(mails):
        now += draw.expovariate(mails / DAY)
        while again and again[0][0] <= now:
            due, _, mail = heappop(again)
            yield due, mail
        (kind,) = draw.choices(KINDS, shares)
        yield now, _Mail(kind, kind.mail(draw), now)
    while again:
        due, _, mail = heappop(again)
        yield due, mail


def _configured(directory: File | None) -> Config:
    with tempfile.TemporaryDirectory(dir=directory) as name:
        file = File(name) / "config.toml"
        file.write_text(CONFIGURATION)
        return load(file)


def table(met: dict[str, Experience]) -> Iterator[str]:
    """Write it in lines."""
    heads = ("mails", "sessions", "delivered", "refused", "deferred", "late", "delay", "p99", "retries")
    yield f"{'':<22}{''.join(f'{head:>10}' for head in heads)}"
    for name, one in met.items():
        late = [delay for delay in one.delays if delay]
        half = f"{median(late) / 60:.0f} min" if late else "-"
        worst = f"{quantiles(late, n=100)[98] / 60:.0f} min" if len(late) > 1 else "-"
        cells = (one.mails, one.sessions, len(one.delays), one.refused, one.deferred, one.waited)
        yield f"{name:<22}{''.join(f'{cell:>10}' for cell in (*cells, half, worst, one.most_retries))}"
    yield "late: delivered, but not at once; delay, p99: of these; retries: the most that one of the delivered needed"


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="bench.simulate", description=__doc__)
    parser.add_argument("--mails", type=int, default=1_000_000, help="within the day (1000000)")
    parser.add_argument("--seed", type=int, default=1, help="another one is another day (1)")
    asked = parser.parse_args(arguments)
    began = time.process_time()
    met = simulate(asked.mails, asked.seed)
    for line in table(met):
        print(line)
    sessions = sum(one.sessions for one in met.values())
    print(f"{sessions} sessions in {time.process_time() - began:.0f} s of processor time")


if __name__ == "__main__":
    main()
