"""Facts gathered for one session: lookups start as soon as their input is there, once each, and deliver to the judge.

A lookup is asked from memory first, on the spot: where everything is cached a session makes no task and waits for
nothing. What has to be fetched runs beside the session, in the worker's nursery, and is cancelled when nobody can use
it any more. A verdict waits for the facts that its stage needs, and no longer than `lookup_time` (of a message:
`scan_time`): then they are unknown, which is a value.

It decides nothing about mail: the policy does, and the docket keeps what it decided on.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import trio

from smtproxy.network.dns.answers import Resolver
from smtproxy.network.inquiry import LARGEST_LOOKED_AT, AnyLookup, MessageTooLarge, NotAtHand
from smtproxy.network.tally import Charge, Tally
from smtproxy.network.waiting import Waiting
from smtproxy.policy.acquaintances import Acquaintances
from smtproxy.policy.checks import blocked
from smtproxy.policy.evidence import NOT_CONFIGURED, Evidence, Fact, Known, Unknown
from smtproxy.policy.exemptions import allowed, proven
from smtproxy.policy.facts import FACTS, LIMITS, REPUTATION, Key, Scope
from smtproxy.policy.governor import Change, Governor
from smtproxy.policy.greylist import GreylistMemory
from smtproxy.policy.judge import Policy, Wanted
from smtproxy.policy.recording import Docket
from smtproxy.policy.remembering import Forgetful
from smtproxy.policy.replies import Phrasebook
from smtproxy.policy.reputation import Penalty, Reputations
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.events import Crashed, Judged
from smtproxy.session.memory import Memory
from smtproxy.session.records import Event, Journal
from smtproxy.session.settings import RelaySettings
from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from smtproxy.wire.paths import Path

T = TypeVar("T")

_BEGINS: Mapping[Stage, tuple[Scope, ...]] = {
    Stage.CONNECT: (Scope.SESSION,),
    Stage.HELLO: (Scope.HELLO,),
    Stage.MAIL: (Scope.TRANSACTION, Scope.RECIPIENT, Scope.MESSAGE),
    Stage.RECIPIENT: (Scope.RECIPIENT,),
    Stage.MESSAGE: (Scope.MESSAGE,),
}
"""What each stage makes stale."""
_STARTS: Mapping[Stage, Scope] = {
    Stage.CONNECT: Scope.SESSION,
    Stage.HELLO: Scope.HELLO,
    Stage.MAIL: Scope.TRANSACTION,
    Stage.RECIPIENT: Scope.RECIPIENT,
    Stage.MESSAGE: Scope.MESSAGE,
}
"""What can be looked up from a stage on."""
_CANCELLED = Unknown("cancelled")
_IN_TIME = 0.5
"""Seconds that a verdict about a message leaves to the deadline of its session."""
_NOTHING: Wanted = {}
_NONE: Final[frozenset[str]] = frozenset()
"""One for all sessions: an empty frozenset has 216 octets, and so has an empty set."""
_NO_SCOPE: Final[frozenset[Scope]] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """Where the sessions of a worker get their facts from."""

    lookups: Mapping[str, AnyLookup]
    """By the name of the fact."""
    nursery: trio.Nursery
    """In which lookups run that take time."""
    at_hand: Resolver
    """Answers from memory, or raises NotAtHand."""
    resolver: Callable[[], Resolver]
    """Makes the DNS of one lookup, within its budget."""
    journal: Journal
    time: Callable[[], float]
    """Seconds since 1970."""
    results: Callable[[Evidence], bytes] | None = None
    """Makes the Authentication-Results field; None: there is to be none."""
    heard: Callable[[Mapping[str, object]], None] | None = None
    """Is told the fields of each `message` line."""
    memory: Memory = field(default_factory=lambda: Memory(4 * LARGEST_LOOKED_AT))
    """For messages that are looked at and were not in memory: many large ones would be the end of the worker."""
    charge: Charge | None = None
    """Takes from limits what sessions have used; None: there is no limit of that kind."""
    governor: Governor | None = None
    acquaintances: Acquaintances = field(default_factory=lambda: Acquaintances(Forgetful()))
    greylist: GreylistMemory | None = None
    """Learns who was asked to come again; None: nobody is."""
    reputations: Reputations = field(default_factory=lambda: Reputations(Forgetful()))
    penalised: Callable[[], None] | None = None
    """Is told that a client has gone to the penalty box."""


class _Flight:
    """A lookup that is under way."""

    __slots__ = ("landed", "scope", "stale")

    def __init__(self) -> None:
        self.landed = trio.Event()
        self.scope = trio.CancelScope()
        self.stale = False


class Gathering:
    """The facts of one session, and the judge who asks for them."""

    __slots__ = (
        "_begun",
        "_closed",
        "_dialogue",
        "_docket",
        "_early",
        "_facts",
        "_flights",
        "_good",
        "_missing",
        "_octets",
        "_phrases",
        "_policy",
        "_settings",
        "_sources",
        "_taken",
        "_tally",
        "_turn",
        "_wanted",
        "message",
    )

    def __init__(
        self, policy: Policy, dialogue: Dialogue, phrases: Phrasebook, settings: RelaySettings, sources: Sources | None
    ) -> None:
        """Know nothing yet. Without sources every fact is unknown, and every verdict there on the spot."""
        self._policy = policy
        self._dialogue = dialogue
        self._phrases = phrases
        self._settings = settings
        self._sources = sources
        self._facts: dict[str, Fact[Any]] = {}
        self._good: tuple[frozenset[str], bool] | None = None
        """Whether its record is good, and with which proven domains that was asked."""
        self._begun = _NO_SCOPE
        """Of which scopes something was looked up."""
        self._flights: dict[str, _Flight] = {}
        self._wanted = _NOTHING
        self._missing = _NONE
        self._docket: Docket | None = None
        self._early: Docket | None = None
        """Refusals before the first transaction."""
        self._octets: bytes | None = None
        self._tally: Tally | None = None
        """None: nobody counts what this client does."""
        self._taken = 0
        """Octets of the memory for such messages that are ours."""
        self._turn: trio.Lock | None = None
        """Who reads the message; None: nobody had to yet."""
        self._closed = False
        self.message: Callable[[], Awaitable[bytes]] | None = None
        """Reads the message that is held; there only while its verdict is awaited. Set by the driver."""

    # The relay's questions

    def judge(self, stage: Stage) -> Verdict | None:
        """Return the verdict, or None: it comes as an event, see `wait`."""
        if self._sources is not None:
            self._enter(stage, self._sources)
        evidence = self._evidence(stage)
        if self._wanted:
            missing = self._policy.needs(evidence) - self._facts.keys()
            if missing:
                self._missing = missing
                return None
        return self._decide(evidence)

    def wait(self, stage: Stage, waiting: Waiting, due: float) -> Verdict | None:
        """Give the verdict of a stage to its session when its facts are there, or its time is up, before `due`.

        Or return it: what is to be known of a message in memory may be known on the spot.
        """
        sources = self._sources
        if sources is None:
            return None
        if stage is Stage.MESSAGE:
            self._turn = None  # who still reads the message before this one keeps its own
            self._begin(Scope.MESSAGE, sources)
            if not self._missing - self._facts.keys():
                return self._decide(self._evidence(stage))
        sources.nursery.start_soon(self._wait, stage, waiting, due)
        return None

    def has_message(self, octets: bytes) -> None:
        """The message that is to be judged is in memory, whole."""
        self._octets = octets

    def make_room(self, octets: int) -> None:
        """Have so much memory for the message until its verdict. Raises MessageTooLarge: there is no more."""
        sources = self._sources
        if sources is not None and not self._taken:
            if not sources.memory.take(octets):
                raise MessageTooLarge("no memory")
            self._taken = octets

    def _forget_message(self) -> None:
        self.message = self._octets = None
        if self._taken and self._sources is not None:
            self._sources.memory.give(self._taken)
            self._taken = 0

    def close(self) -> None:
        """The session is over: nobody needs what is still being looked up."""
        self._closed = True
        self._forget_message()
        for flight in self._flights.values():
            flight.stale = True
            flight.scope.cancel()
        self._flights.clear()

    def recorded(self, event: Event, fields: Mapping[str, object]) -> Mapping[str, object]:
        """Return the fields of a line with the evidence added; learn from how a message ended.

        Never raises: how a message ended stands in its line alone, and a bug in what is learned must not cost that.
        """
        try:
            return self._learned(event, fields)
        except Exception as error:  # noqa: BLE001 - the line is written, whatever it is to be told with
            self._crashed("record", error)
            return fields

    def _learned(self, event: Event, fields: Mapping[str, object]) -> Mapping[str, object]:
        if event is Event.SESSION:
            docket, self._early = self._early, None
            if self._tally is not None:
                self._tally.errors()
            if self._sources is not None and self._wanted:
                self._learn_session(self._sources, docket)
        else:
            docket, self._docket = self._docket, None
            if self._tally is not None:
                self._tally.ended(None if docket is None else docket.envelope, fields)
            if self._sources is not None and self._sources.heard is not None:
                self._sources.heard(fields)
            if self._sources is not None and self._wanted:
                self._learn_message(self._sources, fields)
        return fields if docket is None else {**fields, "evidence": docket.record(self._dialogue)}

    def _learn_message(self, sources: Sources, fields: Mapping[str, object]) -> None:
        client, domains = self._dialogue.client, self._proven()
        if fields["outcome"] == "delivered":
            sources.acquaintances.delivered(client, domains)
        self._tell(sources.reputations.ended(client, domains, fields, sources.time()), sources)

    def _learn_session(self, sources: Sources, early: Docket | None) -> None:
        client = self._dialogue.client
        refusal = None if early is None else early.decisions[0].verdict
        if isinstance(refusal, Refused) and refusal.reply.kind == 5:
            self._tell(sources.reputations.refused(client, refusal.by), sources)
        if self._dialogue.early:
            self._tell(sources.reputations.talked_early(client), sources)

    def _tell(self, penalty: Penalty | None, sources: Sources) -> None:
        if penalty is not None:
            if self._dialogue.proxy:
                sources.reputations.came_through_balancer(penalty)
            if sources.penalised is not None:
                sources.penalised()
            sources.journal.record(
                Event.PENALTY,
                {
                    "client": penalty.client,
                    "reason": penalty.reason,
                    "seconds": penalty.seconds,
                    "session": self._dialogue.session,
                },
            )

    @property
    def acquainted(self) -> bool:
        """Whether the client was patient before, or has a good history: asked where banners are held back."""
        if self._sources is None or not self._settings.banner_delay:
            return False
        acquaintances, client = self._sources.acquaintances, self._dialogue.client
        return acquaintances.patient(client) or acquaintances.good(client, ())

    @property
    def good(self) -> bool:
        """Whether the client is exempt, or has a good history as far as is known here, or a domain it has proven; or a
        person has allowed it. Asked of the store once for the same client and domains.
        """
        sources = self._sources
        if self._policy.spares(self._dialogue.client):
            return True
        if sources is None:
            return False
        domains = self._proven()
        if self._good is None or self._good[0] != domains:
            self._good = domains, self._has_good_record(sources, domains)
        return self._good[1]

    def _has_good_record(self, sources: Sources, domains: frozenset[str]) -> bool:
        if sources.acquaintances.good(self._dialogue.client, domains):
            return True
        self._of_client(sources)
        return bool(allowed(Evidence(Stage.MESSAGE, self._dialogue, self._facts)))

    def turned_away(self) -> None:
        """It is not served now. What other machines know of it is to be at hand when it comes again."""
        if self._sources is not None:
            self._sources.acquaintances.meet(self._dialogue.client, waits=bool(self._settings.banner_delay))

    def blocked_at_accept(self) -> Mapping[str, object] | None:
        """Return the finding by which this client would be refused at CONNECT, as a person has blocked it."""
        fact = None if self._sources is None else self._of_client(self._sources)
        if not isinstance(fact, Known) or not fact.value.blocked:
            return None
        # Judged as it would be: exemptions count, and what [[policy]] says of this client.
        evidence = Evidence(Stage.CONNECT, self._dialogue, self._facts)
        verdict = self._policy.judge(evidence, self._phrases)
        if not isinstance(verdict, Refused) or verdict.by != blocked.CHECK.name:
            return None
        self._early = Docket()
        self._early.note(evidence, verdict)
        return next(note for note in verdict.notes if note["check"] == verdict.by)

    def _of_client(self, sources: Sources) -> Fact[Any] | None:
        """Return the reputation of the client, which is at hand before it is asked for; None: nobody looks it up."""
        known, lookup = self._facts.get(REPUTATION.name), sources.lookups.get(REPUTATION.name)
        if known is None and lookup is not None:
            known = self._at_hand(lookup, self._inquiry(quick=True))
            if known is not None:
                self._facts[REPUTATION.name] = known
        return known

    # Facts

    def _enter(self, stage: Stage, sources: Sources) -> None:
        """Forget what a stage makes stale, and begin to look up what it makes possible."""
        if stage is Stage.CONNECT:
            self._wanted = self._policy.wanted(self._dialogue.client)
            if self._settings.banner_delay and Stage.CONNECT not in self._dialogue.early:
                sources.acquaintances.waited(self._dialogue.client)
            if self._wanted:
                sources.acquaintances.meet(self._dialogue.client, waits=bool(self._settings.banner_delay))
        if stage is Stage.MAIL:
            self._docket = Docket()
            if self._wanted and self._dialogue.envelope is not None:
                sources.acquaintances.hear_of(self._dialogue.envelope.sender.domain_key)
        if not self._wanted or stage not in _STARTS:
            return
        if sources.charge is not None:
            self._settle(stage, sources.charge)
        stale = _BEGINS[stage]
        if not self._begun.isdisjoint(stale):
            self._begun = self._begun.difference(stale)
            for name in [name for name in self._facts if FACTS[name].scope in stale]:
                del self._facts[name]
            self._call_off(stale)
        if stage is not Stage.MESSAGE:  # nobody can read it yet
            self._begin(_STARTS[stage], sources)

    def _settle(self, stage: Stage, charge: Charge) -> None:
        """Have limits charged for what is known by now, before the next look at them."""
        match stage:
            case Stage.CONNECT if any(not LIMITS.isdisjoint(keys) for keys in self._wanted.values()):
                self._tally = Tally(charge, self._dialogue, self._settings.listener, self._facts)
            case Stage.MAIL if self._tally is not None:
                self._tally.errors()
            case Stage.RECIPIENT if self._tally is not None:
                self._tally.recipients(self._dialogue.envelope)
            case _:
                pass

    def _begin(self, scope: Scope, sources: Sources) -> None:
        """Look up what is wanted of a scope."""
        keys = self._wanted.get(scope)
        if keys is None:
            return
        self._begun |= {scope}
        quick = self._inquiry(quick=True)
        for key in keys:
            if key.name not in self._facts and key.name not in self._flights:
                self._start(key, sources, quick)

    def _call_off(self, stale: tuple[Scope, ...]) -> None:
        if not self._flights:
            return
        for name in [name for name in self._flights if FACTS[name].scope in stale]:
            flight = self._flights.pop(name)
            flight.stale = True
            flight.scope.cancel()

    def _start(self, key: Key[Any], sources: Sources, quick: "_Inquiry") -> None:
        """Look a fact up: from memory if it is there, else beside the session."""
        lookup = sources.lookups.get(key.name)
        if lookup is None:
            self._facts[key.name] = NOT_CONFIGURED
            return
        fact = self._at_hand(lookup, quick) if lookup.quick else None
        if fact is not None:
            self._facts[key.name] = fact
            return
        flight = self._flights[key.name] = _Flight()
        sources.nursery.start_soon(self._fly, lookup, flight, self._inquiry(quick=False))

    def _at_hand(self, lookup: AnyLookup, quick: "_Inquiry") -> Fact[Any] | None:
        asking = lookup.find(quick)
        try:
            asking.send(None)
        except StopIteration as found:
            made: Fact[Any] = found.value
            return made
        except NotAtHand:
            return None
        except Exception as error:  # noqa: BLE001 - whatever a lookup does, the session goes on
            self._crashed(f"lookup {lookup.key.name}", error)
            return Unknown("crashed")
        asking.close()  # it waits for something else than the DNS
        return None

    async def _fly(self, lookup: AnyLookup, flight: _Flight, inquiry: "_Inquiry") -> None:
        fact: Fact[Any] = _CANCELLED
        try:
            with flight.scope:
                fact = await lookup.find(inquiry)
        except MessageTooLarge as error:
            fact = Unknown(str(error) or "too large")
        except NotAtHand:
            fact = Unknown("timeout")  # the verdict about the message was given without it
        except Exception as error:  # noqa: BLE001 - whatever a lookup does, the worker and the session go on
            self._crashed(f"lookup {lookup.key.name}", error)
            fact = Unknown("crashed")
        finally:
            if not flight.stale:
                self._facts[lookup.key.name] = fact
                self._flights.pop(lookup.key.name, None)
            flight.landed.set()

    def _crashed(self, where: str, error: Exception) -> None:
        if self._sources is not None:
            self._sources.journal.record(
                Event.CRASH,
                {
                    "session": self._dialogue.session,
                    "where": where,
                    "error": error,
                    "traceback": error.__traceback__,
                },
            )

    async def fact(self, key: Key[T], asker: "_Inquiry") -> Fact[T]:
        """Return a fact that a lookup asks for."""
        known = self._facts.get(key.name)
        if known is not None:
            return known
        self._begun |= {key.scope}
        sources = self._sources
        if key.name not in self._flights and sources is not None:
            if asker.quick:
                lookup = sources.lookups.get(key.name)
                found = None if lookup is None or not lookup.quick else self._at_hand(lookup, asker)
                if lookup is not None and found is None:
                    raise NotAtHand
                self._facts[key.name] = NOT_CONFIGURED if found is None else found
            else:
                self._start(key, sources, self._inquiry(quick=True))
        flight = self._flights.get(key.name)
        if flight is not None:
            if asker.quick:
                raise NotAtHand
            await flight.landed.wait()
        return self._facts.get(key.name, _CANCELLED)

    async def octets(self, *, quick: bool) -> bytes:
        """Return the message that is being judged, read once for all who ask."""
        known = self._octets
        if known is not None:
            return known
        message = self.message
        if quick or message is None:
            raise NotAtHand
        if self._turn is None:
            self._turn = trio.Lock()
        async with self._turn:  # three lookups of 30 MiB each would hold it three times
            if self.message is not message:
                raise NotAtHand  # nobody would give back the memory that it is read into
            octets = await message() if self._octets is None else self._octets
            if self.message is not message:
                raise NotAtHand  # the verdict was there first: this must not be taken for the next message
            self._octets = octets
        return octets

    def _inquiry(self, *, quick: bool) -> "_Inquiry":
        dialogue, sources = self._dialogue, self._sources
        return _Inquiry(
            self,
            quick=quick,
            # A budget for each question: what a sender's own SPF record asks for must not leave the next one unasked.
            dns=None if sources is None else sources.at_hand if quick else sources.resolver(),
            client=dialogue.client,
            listener=self._settings.listener,
            hello="" if dialogue.hello is None else dialogue.hello.name,
            sender=None if dialogue.envelope is None else dialogue.envelope.sender,
            recipient=None if dialogue.recipient is None else dialogue.recipient.path,
        )

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return 0.0 if self._sources is None else self._sources.time()

    def _proven(self) -> frozenset[str]:
        return proven(Evidence(Stage.MESSAGE, self._dialogue, self._facts))

    # Verdicts

    def _evidence(self, stage: Stage) -> Evidence:
        sources = self._sources
        return Evidence(
            stage,
            self._dialogue,
            self._facts,
            self._standing(stage),
            frozenset() if sources is None or sources.governor is None else sources.governor.demoted,
        )

    def _standing(self, stage: Stage) -> Path | None:
        """Return the first recipient that was not refused; the one that is being judged is none of them yet."""
        envelope = self._dialogue.envelope
        if envelope is None or stage in (Stage.CONNECT, Stage.HELLO, Stage.MAIL, Stage.PROTOCOL):
            return None
        judged = self._dialogue.recipient if stage is Stage.RECIPIENT else None
        for one in envelope.recipients:
            if one is not judged and (one.reply is None or one.reply.kind == 2):
                return one.path
        return None

    async def _wait(self, stage: Stage, waiting: Waiting, due: float) -> None:
        limits = self._settings.limits
        patience = limits.scan_time if stage is Stage.MESSAGE else limits.lookup_time
        with trio.move_on_at(min(trio.current_time() + patience, due - _IN_TIME)):
            for name in self._missing:
                flight = self._flights.get(name)
                if flight is not None:
                    await flight.landed.wait()
        for name in self._missing:
            self._facts.setdefault(name, Unknown("timeout"))
        if self._closed:
            return
        try:
            event: Judged | Crashed = Judged(self._decide(self._evidence(stage)))
        except Exception as error:  # noqa: BLE001 - a bug of ours ends this session, not the worker with all others
            self._crashed(f"verdict {stage.value}", error)
            event = Crashed()
        waiting.wake(event)

    def _decide(self, evidence: Evidence) -> Verdict:
        verdict = self._policy.judge(evidence, self._phrases)
        stage, sources = evidence.stage, self._sources
        if stage is Stage.PROTOCOL or sources is None:
            return verdict
        self._forget_message()
        if stage is Stage.MESSAGE:
            self._call_off((Scope.MESSAGE,))
        if sources.governor is not None:
            self._govern(evidence, verdict, sources, sources.governor)
        if sources.greylist is not None and stage is Stage.RECIPIENT:
            sources.greylist.learn(evidence, verdict, self.now)
        if self._docket is not None and stage not in (Stage.CONNECT, Stage.HELLO):
            self._docket.note(evidence, verdict)
        elif isinstance(verdict, Refused):
            self._early = self._early or Docket()
            self._early.note(evidence, verdict)
        if isinstance(verdict, Accepted) and stage in (Stage.DATA, Stage.MESSAGE) and self._wanted:
            return self._dressed(evidence, verdict, sources.results if self._settings.authserv_id else None)
        return verdict

    def _dressed(self, evidence: Evidence, verdict: Accepted, results: Callable[[Evidence], bytes] | None) -> Accepted:
        """Say at DATA whether the message must be held; put Authentication-Results in front as late as is possible."""
        whole = Scope.MESSAGE in self._wanted
        if evidence.stage is Stage.DATA:
            header = b"" if whole or results is None else results(evidence)
            return replace(verdict, whole=whole, header=header)
        header = results(evidence) if whole and results is not None else b""
        return replace(verdict, header=header)

    def _govern(self, evidence: Evidence, verdict: Verdict, sources: Sources, governor: Governor) -> None:
        asked = self._policy.governed(evidence)
        if not asked:
            return
        now = trio.current_time()
        good = bool(verdict.notes) and self.good
        for change in governor.saw(asked, verdict.notes, self._dialogue.client, now, good=good):
            sources.journal.record(Event.CHECK_DEMOTED if change.demoted else Event.CHECK_RESTORED, _told(change))


def _told(change: Change) -> Mapping[str, object]:
    return {
        "check": change.check,
        "refused": change.refused,
        "judged": change.judged,
        "good": change.good,
        "usual": None if change.usual is None else round(change.usual, 4),
    }


@dataclass(slots=True, eq=False)
class _Inquiry:
    """What a lookup may ask: a view of the session at the moment it started."""

    gathering: Gathering
    quick: bool
    dns: Any
    client: str
    listener: str
    hello: str
    sender: Path | None
    recipient: Path | None

    @property
    def now(self) -> float:
        """See `Inquiry`."""
        return self.gathering.now

    def fact(self, key: Key[T]) -> Coroutine[Any, Any, Fact[T]]:
        """See `Inquiry`."""
        return self.gathering.fact(key, self)

    def message(self) -> Coroutine[Any, Any, bytes]:
        """See `Inquiry`."""
        return self.gathering.octets(quick=self.quick)
