"""The relay: the client's half of a session and the backend's half (`courier.py`) bound together.

Theory of operation. Events go in, effects come out, and `waits_for` says the one thing that can move the session on.
`handle` notes what the event changed (`_TAKE`), then goes as far as it can (`_STEPS`): it reads commands, asks for
verdicts, collects a pipelined group, hands it to the courier, takes in a body, and stops where something is awaited.

* Each command opens a slot; slots are answered in order (`slots.py`). The final dot opens one too.
* A command is forwarded only after the verdict accepted it, so nothing a policy refused has to be undone.
* A group ends at a barrier (`rules.py`) or where the client's octets end. Until it is settled nothing more is read.
* A body never ends by accident: its end is found by `intake.py`, and whatever fails, the octets up to that end are
  consumed and never read as commands.
* A message is committed by `courier.finish` only, which gets the accepting verdict of stage MESSAGE.
* Each transaction ends in `Conversation.end_transaction`, each session in `Conversation.finish`: there the log lines
  are made, once.

Every event may come at any time; one that means nothing now changes nothing. Sans-IO: no clock (events carry `now`), no
logger (`Record` leaves as an effect), no randomness (ids are given).
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from smtproxy.session import arrival, body, chunks, commands, delivery, judgement
from smtproxy.session.answers import Own, Phrases
from smtproxy.session.carriage import Heard, Job, Stand
from smtproxy.session.conversation import Conversation
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.events import (
    BackendBytes,
    BackendClosed,
    BackendFailed,
    BackendNotSecured,
    BackendOpened,
    BackendSecured,
    ClientBytes,
    ClientClosed,
    Crashed,
    Effect,
    Event,
    Judged,
    Looked,
    NotSecured,
    Recall,
    Secured,
    Shutdown,
    Started,
    Stored,
    Timeout,
    TurnedAway,
    Wait,
    Withdrawn,
)
from smtproxy.session.memory import Memory
from smtproxy.session.reception import Reception
from smtproxy.session.rules import Phase
from smtproxy.session.settings import RelaySettings
from smtproxy.session.stress import Stress
from smtproxy.session.tarpit import Tarpit
from smtproxy.session.verdicts import Stage, Verdict
from smtproxy.wire.ehlo import Capabilities

_DOT_READ = frozenset({Phase.VERDICT, Phase.SENDING})


def _later(_stage: Stage) -> Verdict | None:
    """Every verdict comes as an event."""
    return None


class Relay:
    """One session with a client."""

    __slots__ = ("_backend_took", "_c", "dialogue", "waits_for")

    def __init__(
        self,
        dialogue: Dialogue,
        settings: RelaySettings,
        phrases: Phrases,
        offered: Capabilities | None,
        memory: Memory,
        *,
        judge: Callable[[Stage], Verdict | None] = _later,
        epoch: float = 0.0,
        tarpit: Tarpit | None = None,
    ) -> None:
        """Prepare a session.

        `dialogue.now` is the time on the clock of the events, `epoch` the time of day (seconds since 1970) at its zero.
        `offered` are the EHLO keywords that may be promised (None: no backend server was ever reached). `memory` bounds
        the bodies of all sessions. `judge` gives verdicts whose facts are there; where it returns None, `Judge` leaves
        as an effect. `tarpit` bounds the delays of all sessions; None: nothing does.
        """
        self.dialogue = dialogue
        self._c = Conversation(dialogue, settings, phrases, offered, memory, judge, judgement.judged, epoch)
        self._c.tarpit = tarpit
        self._backend_took = 0.0
        """Seconds since the last event that a write waited for the backend to read."""
        self.waits_for = Wait.CLIENT
        """The one thing this session waits for."""

    def heed(self, stress: Stress) -> None:
        """Let it say whether we have too much to do. Without it we never have."""
        self._c.stress = stress

    # What the driver sees

    @property
    def deadline(self) -> float:
        """When `Timeout` is due, on the clock of the events."""
        c = self._c
        wait = self.waits_for
        if c.backend.committed:
            return c.backend.deadline
        if wait is Wait.DELAY:
            return c.delay_until
        if wait is Wait.PACE:
            return min(c.delay_until, c.session_due)
        if wait is Wait.TLS:
            return min(c.client_due, c.session_due)
        if wait is Wait.BACKEND:
            return min(c.backend.deadline, c.commit_due if c.phase is Phase.SENDING else c.session_due)
        if wait is not Wait.CLIENT:
            return c.commit_due if c.phase in _DOT_READ else c.session_due
        due = min(self._client_deadline, c.session_due)
        return min(due, c.backend.idle_since + c.settings.lease) if c.backend.idle else due

    @property
    def commit_due(self) -> float:
        """Until when the first octet of a terminator must have left."""
        return self._c.commit_due

    @property
    def committed(self) -> bool:
        """Whether a terminator left whose fate is open: nothing but the end-of-data timer may end this session."""
        return self._c.backend.committed

    @property
    def over(self) -> bool:
        """Whether the session has ended."""
        return self._c.over

    @property
    def in_body(self) -> bool:
        """Whether the client's octets are a body."""
        return self._c.phase in (Phase.BODY, Phase.DROPPING)

    @property
    def portion(self) -> int | None:
        """Octets that may be read of the client at once; None: as many as there are."""
        c = self._c
        pacing = c.reception.pacing if c.reception is not None and c.phase is Phase.BODY else None
        return None if pacing is None else pacing.portion

    @property
    def held(self) -> Reception | None:
        """The body whose verdict is awaited; None: none is."""
        return self._c.reception if self._c.phase is Phase.VERDICT else None

    @property
    def lingers(self) -> bool:
        """Whether we ended the session in the middle of the client's talk: it must get time to read why."""
        return self._c.lingers

    @property
    def dot_read(self) -> bool:
        """Whether the final dot of a body was read: from here a half-close of the client is no sign of its absence."""
        return self._c.phase in _DOT_READ

    @property
    def unread(self) -> bool:
        """Whether octets of the client wait to be looked at: a last chunk may stand among them, and QUIT behind it."""
        return bool(len(self._c.lines))

    @property
    def recallable_since(self) -> float | None:
        """Since when a backend connection is held without use; None: none is."""
        backend = self._c.backend
        return backend.idle_since if backend.idle else None

    @property
    def awaits_replies(self) -> bool:
        """Whether what is being written to the backend are commands, each of which is owed a reply."""
        return self._c.backend.stand is Stand.WAITING and self._c.backend.job is not Job.BODY

    @property
    def streaming(self) -> bool:
        """Whether a client's body is being passed on as it comes."""
        return self._c.phase in (Phase.BODY, Phase.CHUNKS) and self._c.backend.streaming

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take an event at a time (seconds on a clock that only goes forward); return what is to be done, in order."""
        c = self._c
        if c.over:
            return []
        passed = now - c.dialogue.now
        if passed > 0:
            self._spend(passed)
            c.dialogue.now = now
        self._TAKE[type(event)](self, event)
        while (wait := c.waits_for) is Wait.CLIENT and _STEPS[c.phase](c):
            pass
        if c.answers.slots and c.backend.job is None:
            # Those of a group leave together, when the last of them is there.
            c.flush()
        self.waits_for = wait if c.held_up is None else c.held_up
        effects = c.out.copy()
        c.out.clear()
        return effects

    def release(self) -> list[Effect]:
        """Give an idle backend connection back while the driver is in the middle of a write: nothing else happens."""
        c = self._c
        c.courier.release()
        effects = c.out.copy()
        c.out.clear()
        return effects

    def backend_took(self, seconds: float) -> None:
        """Note that a write of a body or a group waited so long for the backend: no time of the client's."""
        self._backend_took += seconds
        backend = self._c.backend
        if not backend.committed:
            backend.deadline += seconds  # its time for a reply begins when what it answers has been sent

    # Inside

    def _spend(self, passed: float) -> None:
        """Account for the time since the last event."""
        c, wait = self._c, self.waits_for
        if self._backend_took and wait is Wait.CLIENT:
            blocked = min(self._backend_took, passed)
            c.account.waited[Wait.BACKEND] = c.account.waited.get(Wait.BACKEND, 0.0) + blocked
            if c.reception is not None:
                c.reception.others_took(blocked)
            passed -= blocked
        self._backend_took = 0.0
        c.account.waited[wait] = c.account.waited.get(wait, 0.0) + passed
        if c.reception is not None and wait is not Wait.CLIENT:
            # The client's rate is not to suffer from a slow backend or disk.
            c.reception.others_took(passed)

    def _octets(self, event: ClientBytes) -> None:
        c = self._c
        c.dialogue.octets_in += len(event.octets)
        c.lines.feed(event.octets)
        c.octets_since = c.dialogue.now if event.since is None else event.since

    def _backend_spoke(self, event: BackendBytes) -> None:
        c = self._c
        if event.client_gone and c.backend.committed:
            c.gone = c.gone or "lost"
        c.courier.received(event)

    def _looked(self, event: Looked) -> None:
        c = self._c
        if c.phase is Phase.SENDING and c.backend.looking and c.dialogue.now >= c.commit_due:
            c.courier.too_late(Own.TOO_LATE)  # the write before this look took too long
        elif not c.courier.looked(event):
            # Contract item 7: a client that is gone gets no commit.
            self._client_closed("lost")

    # Interruptions

    def _client_closed(self, how: str) -> None:
        """The client is gone. Before the commit nothing is committed any more; after it only the telling is."""
        c = self._c
        if c.gone:
            return
        c.gone = how
        if not c.backend.committed:
            c.finish(how, "client")

    def _backend_lost(self, event: BackendClosed) -> None:
        """The backend's connection ended, or took no octets for so long that `commit_by` passed."""
        c = self._c
        if c.phase is Phase.SENDING and c.dialogue.now >= c.commit_due and not c.backend.committed:
            c.courier.too_late(Own.TOO_LATE)
        else:
            c.courier.lost(event)

    def _withdrawn(self) -> None:
        """Contract item 9: only behind the first octet of the terminator does nothing but the backend's timer count."""
        c = self._c
        c.courier.withdrawn(Own.TOO_LATE if c.dialogue.now >= c.commit_due else Own.BACKEND_LOST)

    def _recalled(self) -> None:
        """Others wait for a place that this session does not use, or uses too slowly."""
        c = self._c
        if c.backend.idle:
            c.courier.release()
            return
        reception, limits = c.reception, c.settings.limits
        if reception is None or not self.streaming or c.waits_for is not Wait.CLIENT:
            return
        if reception.is_slow(c.dialogue.now, c.settings.lease, limits.crowded_rate):
            body.give_up(c, reception, Heard(c.phrases.say(Own.BODY_CROWDED), "protocol"))
            c.courier.release()

    def _shut_down(self, event: Shutdown) -> None:
        c = self._c
        c.draining = True
        if event.now and not c.backend.committed:
            c.say_goodbye(Own.SHUTDOWN, "shutdown")

    def _timed_out(self) -> None:
        c = self._c
        now = c.dialogue.now
        match c.waits_for:
            case Wait.DELAY:
                judgement.delay_over(c)
            case Wait.PACE if now < c.session_due:
                c.end_pause()
            case Wait.PACE:
                c.say_goodbye(Own.SESSION_TIMEOUT, "timeout")
            case Wait.BACKEND:
                self._backend_is_late(now)
            case Wait.TLS:
                arrival.not_secured(c, "timeout")
            case Wait.CLIENT if c.phase is Phase.SILENCE:
                pass  # nothing was said too early
            case Wait.CLIENT:
                self._client_is_late(now)
            case _:
                c.crashed()

    def _backend_is_late(self, now: float) -> None:
        c = self._c
        if c.backend.committed:
            c.courier.too_late()
        elif c.phase is Phase.SENDING:
            c.courier.too_late(Own.TOO_LATE if now >= c.commit_due else None)
        elif now >= c.session_due:
            c.say_goodbye(Own.SESSION_TIMEOUT, "timeout")
        else:
            c.courier.too_late()

    def _client_is_late(self, now: float) -> None:
        c = self._c
        if now >= c.session_due:
            c.say_goodbye(Own.SESSION_TIMEOUT, "timeout")
        elif now >= self._client_deadline:
            c.say_goodbye(Own.BODY_TIMEOUT if self.in_body else Own.COMMAND_TIMEOUT, "timeout")
        elif now >= c.backend.idle_since + c.settings.lease:
            c.courier.release()

    @property
    def _client_deadline(self) -> float:
        """Until when the client must have finished its command, or have kept up the minimum rate of its body."""
        c = self._c
        if c.reception is None or c.phase is not Phase.BODY:
            return c.command_due
        limits, reception = c.settings.limits, c.reception
        by_rate = reception.started + limits.body_time + reception.intake.size / limits.body_rate
        return min(by_rate, reception.touched + limits.body_time)

    _TAKE: ClassVar[Mapping[type[Event], Callable[["Relay", Any], None]]] = {
        Started: lambda self, event: arrival.start(self._c, event),
        TurnedAway: lambda self, event: arrival.turned_away(self._c, event),
        ClientBytes: _octets,
        ClientClosed: lambda self, event: self._client_closed(event.how),
        Secured: lambda self, event: arrival.secured(self._c, event),
        NotSecured: lambda self, event: arrival.not_secured(self._c, event.why),
        BackendOpened: lambda self, event: self._c.courier.opened(event),
        BackendSecured: lambda self, event: self._c.courier.secured(event),
        BackendNotSecured: lambda self, event: self._c.courier.not_secured(event),
        BackendFailed: lambda self, event: self._c.courier.could_not_open(event),
        BackendBytes: _backend_spoke,
        BackendClosed: _backend_lost,
        Withdrawn: lambda self, _: self._withdrawn(),
        Judged: lambda self, event: judgement.arrived(self._c, event.verdict),
        Looked: _looked,
        Stored: lambda self, event: body.stored(self._c, event),
        Recall: lambda self, _: self._recalled(),
        Timeout: lambda self, _: self._timed_out(),
        Shutdown: _shut_down,
        Crashed: lambda self, _: self._c.crashed(),
    }
    """What an event changes."""


def _astray(c: Conversation) -> bool:
    """Nothing can be awaited of the client in this phase: a fault of ours."""
    c.crashed()
    return False


_STEPS: Mapping[Phase, Callable[[Conversation], bool]] = {
    Phase.SILENCE: arrival.listen,
    Phase.CONNECT: arrival.greet,
    Phase.START: commands.step,
    Phase.READY: commands.step,
    Phase.MAIL: commands.step,
    Phase.BODY_START: body.started,
    Phase.BODY: body.step,
    Phase.CHUNKS: body.between_chunks,
    Phase.DROPPING: chunks.step,
    Phase.REFUSED: commands.step,
    Phase.VERDICT: _astray,
    Phase.SENDING: delivery.step,
}
"""What goes on when nothing but the client is awaited."""
