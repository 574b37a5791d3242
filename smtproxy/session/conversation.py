"""The client's half of a session: its state, and the few acts that everything else is made of.

`commands.py`, `judgement.py`, `body.py` and `delivery.py` work on a `Conversation`, each on one part of the dialogue;
`relay.py` tells them what happened. Here stand the acts that must exist once: an answer is given by `settle`, leaves
in `flush`, a transaction ends in `end_transaction`, a session in `finish`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from smtproxy.session.account import Account
from smtproxy.session.answers import Own, Phrases
from smtproxy.session.carriage import Carriage, Fate, Heard
from smtproxy.session.courier import Courier
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.events import Answer, DropKept, Effect, Finish, Judge, Record, StartTls, Wait
from smtproxy.session.memory import Memory
from smtproxy.session.pacing import Pacing
from smtproxy.session.reception import Reception
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.rules import BETWEEN_COMMANDS, IN_TRANSACTION, Phase
from smtproxy.session.settings import RelaySettings
from smtproxy.session.slots import Answers, Slot
from smtproxy.session.stress import Stress
from smtproxy.session.stutter import STEP, Stutter, decided
from smtproxy.session.tarpit import Tarpit
from smtproxy.session.transaction import Ending, Passage, Transaction, outcome_of
from smtproxy.session.verdicts import Accepted, Stage, Verdict
from smtproxy.wire.chunks import Chunk
from smtproxy.wire.commands import Command
from smtproxy.wire.ehlo import Capabilities
from smtproxy.wire.lines import LineBuffer
from smtproxy.wire.replies import Reply


@dataclass(slots=True)
class Refusal:
    """Why no chunk of a message is wanted."""

    heard: Heard
    dropped: int = 0
    """Octets of such chunks."""


@dataclass(slots=True)
class Discard:
    """A chunk whose octets are dropped before it is refused."""

    slot: Slot
    refusal: Refusal
    left: int
    """Octets still to come."""
    due: float
    """Until when they must have come."""
    then: Phase
    error: bool
    """It counts against the client."""


class Conversation:
    """State of the client's half. Attributes are public to this floor only."""

    __slots__ = (
        "accepted",
        "account",
        "answered_at",
        "answers",
        "backend",
        "chunk",
        "client_due",
        "commit_due",
        "courier",
        "delay_until",
        "delayed",
        "dialogue",
        "discard",
        "draining",
        "epoch",
        "error_reply",
        "gone",
        "group",
        "held",
        "held_up",
        "judge",
        "judging",
        "lines",
        "lingers",
        "memory",
        "octets_since",
        "offered",
        "on_verdict",
        "out",
        "over",
        "phase",
        "phrases",
        "reception",
        "refusal",
        "session_due",
        "settings",
        "slot",
        "stress",
        "stutter",
        "tarpit",
        "transaction",
    )

    def __init__(
        self,
        dialogue: Dialogue,
        settings: RelaySettings,
        phrases: Phrases,
        offered: Capabilities | None,
        memory: Memory,
        judge: Callable[[Stage], Verdict | None],
        on_verdict: "Callable[[Conversation, Verdict], None]",
        epoch: float,
    ) -> None:
        """See `Relay`."""
        self.dialogue, self.settings, self.phrases = dialogue, settings, phrases
        self.offered = offered
        self.memory = memory
        self.tarpit: Tarpit | None = None
        """Bounds the delays of all sessions; None: nothing does. Set by the relay."""
        self.stress: Stress | None = None
        """Whether we have too much to do; None: nobody looks."""
        self.judge = judge
        self.on_verdict = on_verdict
        """Puts a verdict into effect. The last act of whoever asks."""
        self.epoch = epoch
        self.out: list[Effect] = []
        """Effects of the event at hand, shared with the courier."""
        self.backend = Carriage(self.out, dialogue, settings, phrases)
        """The backend's half: read here, changed by the courier only."""
        self.courier = Courier(self.backend)
        self.account = Account()
        self.answers = Answers()
        self.lines = LineBuffer(settings.limits.command_line, settings.limits.endless_line)
        self.phase = Phase.CONNECT
        self.group: list[Slot] = []
        """Commands accepted by policy that leave together."""
        self.held: Command | None = None
        """A barrier that was read and waits for the group before it."""
        self.judging: Stage | None = None
        """The stage whose verdict is awaited."""
        self.held_up: Wait | None = None
        """VERDICT, STORAGE, DELAY, PACE, TLS or END: what this half waits for; None: for the client or the backend."""
        self.slot: Slot | None = None
        """The command that is being judged, or that DATA or the final dot opened."""
        self.error_reply: Reply | None = None
        self.delayed: Verdict | None = None
        self.stutter: Stutter | None = None
        """A refusal that is delayed and being said meanwhile; `delay_until` is then when its next octet is due."""
        self.transaction: Transaction | None = None
        self.reception: Reception | None = None
        self.chunk: Chunk | None = None  # the first one of a message, while it is being judged
        self.discard: Discard | None = None
        self.refusal: Refusal | None = None  # what each further chunk hears in Phase.REFUSED
        self.accepted: Accepted | None = None
        """The verdict of stage MESSAGE that allows the commit."""
        self.gone = ""
        """How the client went away; empty: it is there."""
        self.over = self.draining = self.lingers = False
        self.delay_until = self.client_due = self.session_due = self.commit_due = 0.0
        self.answered_at = 0.0
        """When it was last told something."""
        self.octets_since = 0.0
        """When the client's last octets came, at the earliest."""

    @property
    def waits_for(self) -> Wait:
        """The one thing this session waits for."""
        if self.held_up is not None:
            return self.held_up
        backend = self.backend
        if backend.job is None:
            return Wait.CLIENT
        return Wait.LOOK if backend.looking else Wait.BACKEND

    def wait_for_client(self) -> None:
        """A command was finished: the client has its time for the next one. Single octets do not renew it."""
        self.client_due = self.dialogue.now + self.settings.limits.command_time

    @property
    def hurried(self) -> bool:
        """Whether less is put up with: we have too much to do, and the client has no good record."""
        return self.stress is not None and self.stress.on and not self.dialogue.good

    @property
    def command_due(self) -> float:
        """Until when the client must have finished its command.

        In a hurry its time counts from our answer: what backend and look-ups took before is none of its own.
        """
        if self.stress is None or not self.hurried or self.phase not in BETWEEN_COMMANDS:
            return self.client_due
        since = max(self.client_due - self.settings.limits.command_time, self.answered_at)
        return min(self.client_due, since + self.stress.command_time)

    def ask(self, stage: Stage) -> None:
        """Ask for a verdict about the dialogue as it stands: on the spot if its facts are there, else by an effect."""
        verdict = self.judge(stage)
        if verdict is None:
            self.judging = stage
            self.held_up = Wait.VERDICT
            self.out.append(Judge(stage))
        else:
            self.on_verdict(self, verdict)

    # Delays

    def begin_delay(self, verdict: Verdict) -> bool:
        """Put a verdict off; False: too many sessions are delayed already, and it is to be put into effect now."""
        if self.tarpit is not None and not self._enter(self.tarpit):
            return False
        self.delayed = verdict
        self.held_up = Wait.DELAY
        self.delay_until = self.dialogue.now + verdict.delay
        # A delayed session holds no backend connection: bots must not use up places.
        self.courier.release()
        reply = decided(verdict, self.error_reply) if self.tarpit is not None and self.tarpit.stutters else None
        if reply is not None and self.slot is not None:
            self.stutter = Stutter(self.slot, reply, self.delay_until)
            self.delay_until = min(self.delay_until, self.dialogue.now + STEP)
        return True

    def go_on_stuttering(self) -> bool:
        """Say the next octet of a refusal that is delayed; False: none is, or its delay is over."""
        stutter, now = self.stutter, self.dialogue.now
        if stutter is None or now >= stutter.ends:
            return False
        # What was asked before it is answered first; the whole group then leaves at the end.
        octet = stutter.next() if self.answers.first is stutter.slot else b""
        self.delay_until = min(stutter.ends, now + STEP) if octet else stutter.ends
        if octet:
            self.dialogue.octets_out += 1
            self.out.append(Answer(octet))
        return True

    def end_delay(self) -> Verdict | None:
        """End a delay, whatever ended it, and return the verdict that was put off; None: there is none."""
        verdict, self.delayed = self.delayed, None
        if verdict is not None:
            self.held_up = None
            if self.tarpit is not None:
                self.tarpit.leave(self.dialogue.client)
        return verdict

    def _enter(self, tarpit: Tarpit) -> bool:
        full = tarpit.enter(self.dialogue.client)
        if full:
            self.account.delays_left_out[full] = self.account.delays_left_out.get(full, 0) + 1
        return not full

    # The pace of a body

    def begin_pace(self, reception: Reception) -> None:
        """Take the body that begins slowly, if its client is one of those, and too many sessions are not delayed."""
        tarpit, transaction, settings = self.tarpit, self.transaction, self.settings
        if tarpit is None or transaction is None:
            return
        rate = tarpit.pace(suspect=transaction.suspect)
        if rate and self._enter(tarpit):
            # Half of either time is left for what comes behind it: a pace that costs the message would be a refusal.
            until = self.session_due - settings.limits.session_time / 2
            reception.pacing = Pacing(rate, self.dialogue.now, patience=settings.commit_by / 2, until=until)

    def keep_pace(self, pacing: Pacing) -> bool:
        """Wait until the octets that are here may be taken; False: they may be now."""
        end = pacing.pause(self.dialogue.now, self.octets_since)
        if end is None:
            return False
        self.held_up = Wait.PACE
        self.delay_until = end
        # As in a delay. The envelope is replayed when the body is whole.
        self.courier.release()
        return True

    def end_pause(self) -> None:
        """The octets that waited may be taken."""
        self.held_up = None
        if self.reception is not None and self.reception.pacing is not None:
            self.reception.pacing.over(self.dialogue.now)

    def end_pace(self) -> None:
        """Take what is left of the body as it comes."""
        reception = self.reception
        if reception is not None and reception.pacing is not None:
            reception.pacing = None
            if self.tarpit is not None:
                self.tarpit.leave(self.dialogue.client)

    # TLS

    def start_tls(self) -> None:
        """Begin the handshake with the client. It holds no backend connection meanwhile."""
        self.courier.release()
        self.held_up = Wait.TLS
        self.client_due = self.dialogue.now + self.settings.limits.tls_time
        self.out.append(StartTls())

    # Answers

    def settle(self, slot: Slot, reply: Reply, by: str) -> None:
        """Give a slot its answer: whatever happened meanwhile, a refusal that has begun is said to its end."""
        stutter = self.stutter
        if stutter is not None and stutter.said and stutter.slot is slot:
            reply = stutter.reply
        slot.answer, slot.by = reply, by
        if slot.recipient is not None:
            slot.recipient.reply, slot.recipient.by = reply, by

    def reply(self, slot: Slot, own: Own, *, error: bool = False) -> None:
        """Answer by ourselves; `error`: it counts against the client."""
        reply = self.phrases.say(own)
        if error:
            self.error(slot, reply)
        else:
            self.settle(slot, reply, "protocol")

    def error(self, slot: Slot, reply: Reply, *, foreign: str = "") -> None:
        """A protocol error: count it, and let the policy say whether patience has an end. `foreign`: see `Dialogue`."""
        self.dialogue.errors += 1
        self.dialogue.hurried = self.hurried
        self.dialogue.foreign = foreign
        self.slot, self.error_reply = slot, reply
        self.ask(Stage.PROTOCOL)

    def flush(self) -> None:
        """Let answers leave, in one write. A client that is gone is told nothing, and no answer is counted as told."""
        if self.gone:
            return
        replies = []
        account = self.account
        for slot in self.answers.ready():
            reply = slot.answer
            if reply is not None:
                stutter = self.stutter
                if stutter is not None and stutter.slot is slot:
                    replies.append(reply.encode()[stutter.said :])
                    self.stutter = None
                else:
                    replies.append(reply.encode())
                account.origins[slot.by] = account.origins.get(slot.by, 0) + 1
                account.last_reply = reply
                if reply.code >= 400:
                    self.dialogue.refused += 1
        octets = b"".join(replies)  # not by `+=`: 64 KB of EHLO took 1.7 s of every session's time
        if octets:
            self.dialogue.octets_out += len(octets)
            self.answered_at = self.dialogue.now
            self.out.append(Answer(octets))

    # Endings

    def drop_body(self) -> None:
        """Forget what was kept of the body."""
        if self.reception is not None and self.reception.drop():
            self.out.append(DropKept())

    def forget_transaction(self) -> None:
        """RSET, or a new hello: the transaction ends unfinished. RFC 5321 4.1.1.5, 4.1.4"""
        if self.transaction is not None:
            self.courier.abandon()
            self.end_transaction(Ending(*self.transaction.unfinished()))
        if self.phase in IN_TRANSACTION:
            self.phase = Phase.READY

    def end_transaction(self, ending: Ending) -> None:
        """Write the one `message` line of a transaction, before its reply leaves: so no reply is without a line."""
        transaction, backend = self.transaction, self.backend
        self.transaction = None
        if transaction is None:
            return
        passage = Passage(
            backend.backend_reply, backend.server, backend.replays, backend.server_tls, backend.committed_at
        )
        fields = transaction.fields(self.dialogue, self.settings, ending, passage)
        self.out.append(Record(LogEvent.MESSAGE, fields))
        self.end_pace()
        self.drop_body()
        self.dialogue.envelope = self.dialogue.recipient = self.dialogue.message = None
        self.dialogue.declared_size = None
        self.reception = self.accepted = None

    def say_goodbye(self, own: Own, ended: str) -> None:
        """Tell the client that it ends here (421 or the like), and end it. The oldest open command hears it."""
        if self.held_up is Wait.TLS:
            self.finish(ended, "proxy")  # In the middle of a handshake nothing can be said.
            return
        slot, unheard = self.answers.last()
        for one in unheard:
            if one.recipient is not None and self.dialogue.envelope is not None:
                self.dialogue.envelope.forget(one.recipient)  # the log tells what was heard
        self.settle(slot, self.phrases.say(own), "protocol")
        self.finish(ended, "proxy")

    def finish(self, ended: str, by: str) -> None:
        """End the session: the one place that does."""
        if self.over:
            return
        self.end_delay()
        if self.transaction is not None:
            self.end_transaction(self._last_ending(self.transaction, ended, by))
        self.courier.close()
        self.over = True
        self.held_up = Wait.END
        self.lingers = by != "client"
        before = len(self.out)
        self.flush()
        fields = self.account.fields(self.dialogue, self.settings.listener, self.backend.connections, ended, by)
        # The line knows the last words and goes before them: whoever does not take them must not keep it back.
        self.out.insert(before, Record(LogEvent.SESSION, fields))
        self.out.append(Finish())

    def _last_ending(self, transaction: Transaction, ended: str, by: str) -> Ending:
        """Return how the transaction ends that is open while the session ends."""
        outcome, author, reply = transaction.unfinished()
        answered = [slot.answer for slot in self.answers.answered() if slot.answer is not None]
        if ended == "dropped" and answered:
            return Ending("dropped", by, answered[-1], heard=not self.gone)
        if by != "client" and outcome == "aborted" and answered:
            reply = answered[-1]
            outcome, author = outcome_of(reply), "protocol" if by == "proxy" else by
        return Ending(outcome, author, reply, heard=not self.gone)

    def crashed(self) -> None:
        """Something is wrong with us, not with the peers: end honestly."""
        self.end_delay()
        self.judging = self.held_up = None
        if self.backend.committed:
            reply = self.phrases.say(Own.UNKNOWN_OUTCOME)
            self.end_transaction(Ending(Fate.UNKNOWN.value, "protocol", reply, heard=not self.gone))
            for slot in self.answers.pending():
                self.settle(slot, reply, "protocol")
            self.finish("crash", "proxy")
        else:
            self.say_goodbye(Own.INTERNAL, "crash")
