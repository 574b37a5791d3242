"""Lets one fault strike in one session, at one step, by what a driver, a policy, a peer or the backend can do."""

from collections.abc import Mapping
from dataclasses import replace

from smtproxy.sample.script import Close, Drip, Normal, Pause, Point, Reset, Rule, Say, Script, Silence, Store
from smtproxy.sample.script import Step as Does
from smtproxy.session import events
from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from smtproxy.wire.replies import Reply
from tests.fakes.laboratory import Laboratory
from tests.session.enumeration.faults import UNASKED, VANISHED, Fault
from tests.session.enumeration.schedules import Schedule
from tests.session.enumeration.steps import Step
from tests.session.enumeration.watch import Watch

LATE = 100.0
"""Seconds: less than any limit of RFC 5321 for a reply or a verdict."""
LATE_FINAL = 590.0
"""Seconds: later than commit_by, earlier than the end-of-data timer."""
CHECK = "some_check"

_POINTS: Mapping[Step, tuple[Point, int | None]] = {
    Step.GREETING: (Point.GREETING, None),
    Step.EHLO: (Point.EHLO, 1),
    Step.STARTTLS: (Point.STARTTLS, None),
    Step.EHLO_AGAIN: (Point.EHLO, 2),
    Step.MAIL: (Point.MAIL, 1),
    Step.RCPT_1: (Point.RCPT, 1),
    Step.RCPT_2: (Point.RCPT, 2),
    Step.DATA: (Point.DATA, 1),
    Step.CHUNK: (Point.CHUNK, 1),
    Step.DOT: (Point.FINAL, 1),
}
_DOES: Mapping[Fault, tuple[Does, ...]] = {
    Fault.GONE: (Close(),),
    Fault.DEAD: (Close(),),
    Fault.GONE_EVERY_TIME: (Close(),),
    Fault.RESET: (Reset(),),
    Fault.SAYS_421: (Say(UNASKED[Fault.SAYS_421]), Close()),
    Fault.STALE_BEFORE: (Say(UNASKED[Fault.SAYS_2XX]), Normal()),
    Fault.STALE_BEHIND: (Normal(), Say(UNASKED[Fault.SAYS_2XX])),
    Fault.STALE_BAD_BEHIND: (Normal(), Say(UNASKED[Fault.SAYS_5XX])),
    Fault.PIECES: (Drip(), Normal()),
    Fault.LATE_REPLY: (Pause(LATE), Normal()),
    Fault.STORED_AND_GONE: (Store(), Close()),
    Fault.STORED_AND_SILENT: (Store(), Silence()),
    Fault.SILENCE: (Silence(),),
}
_OWN_EVENTS: Mapping[Fault, events.Event] = {
    Fault.RECALL: events.Recall(),
    Fault.DRAIN: events.Shutdown(),
    Fault.SHUTDOWN: events.Shutdown(now=True),
    Fault.CRASH: events.Crashed(),
}
_REFUSALS: Mapping[Fault, Reply] = {
    Fault.REFUSED: Reply(550, (b"5.7.1 not wanted",)),
    Fault.DEFERRED: Reply(450, (b"4.7.1 not now",)),
    Fault.DROPPED: Reply(421, (b"4.7.0 go away",)),
}


def script(schedule: Schedule) -> Script:
    """What the backend does by itself."""
    if not schedule.scripted or schedule.step is None:
        return Script()
    fault = schedule.fault
    point, nth = _POINTS[schedule.step]
    does = _DOES.get(fault) or (Say(UNASKED[fault]),)
    if schedule.step is Step.DOT and fault is Fault.LATE_REPLY:
        does = (Pause(LATE_FINAL), Normal())
    connections = () if fault is Fault.GONE_EVERY_TIME else (1,)
    return Script((Rule(point, does, nth=nth, connections=connections, transactions=_transactions(point)),))


def _transactions(point: Point) -> tuple[int, ...]:
    return () if point in (Point.GREETING, Point.EHLO, Point.STARTTLS) else (1,)


class Meddler:
    """Sits between a laboratory's relay and the world."""

    def __init__(self, lab: Laboratory, schedule: Schedule) -> None:
        """Take the laboratory's hooks."""
        self._lab = lab
        self._step, self._fault = schedule.step, schedule.fault
        self._scripted = schedule.scripted
        self._belated: Verdict | None = None
        self.watch = Watch(lab)
        self.struck = schedule.scripted or schedule.step is None
        self.client_left = False
        self.memory_taken = 0
        """By others, for good."""
        lab.on_wait, lab.on_judge, lab.on_look, lab.on_write = self._wait, self._judge, self._look, self._write

    # The places where something can happen

    def _wait(self) -> events.Event | None:
        lab = self._lab
        if self._scripted:
            lab.servers.refusing = self._fault is Fault.DEAD and lab.servers.record.opened > 0
            return None
        if self.client_left and lab.client_gone and lab.relay.waits_for is events.Wait.CLIENT:
            return events.ClientClosed("reset")  # it is read at last
        if lab.relay.waits_for is events.Wait.VERDICT:
            return self._late()
        if self._fault is Fault.TIME_OUT and self.struck and lab.relay.waits_for is events.Wait.CLIENT:
            return self._time_out() if self.client_left else None
        return None if self.struck or not self._strikes(self.watch.at_wait()) else self._between()

    def _late(self) -> events.Event | None:
        """The verdict is late: the fault comes first, then the verdict, unless it never does."""
        lab, verdict = self._lab, self._belated
        if verdict is None:
            return None
        if self._fault is Fault.TIME_OUT:
            self.struck = True
            return self._time_out()
        if not self.struck:
            self.struck = True
            return self._between() or self._late()
        self._belated = None
        lab.now += LATE
        return events.Judged(verdict)

    def _judge(self, stage: Stage) -> Verdict | None:
        lab, fault = self._lab, self._fault
        if self.struck or not self._is_here(self.watch.at_judge(stage)):
            return lab.verdict(stage)
        if fault in _REFUSALS:
            self.struck = True
            return Refused(stage, _REFUSALS[fault], CHECK, drop=fault is Fault.DROPPED)
        if fault is Fault.TARPIT:
            self.struck = True
            return Accepted(stage, delay=5.0)
        self._belated = lab.verdict(stage)
        return None

    def _look(self, effect: events.Look, seen: events.Looked) -> events.Looked:
        if self.struck or not self._strikes(self.watch.at_look(effect)):
            return seen
        lab, fault = self._lab, self._fault
        if fault is Fault.CLIENT_UNSEEN:
            self._leave()
            return replace(seen, client_gone=effect.client)
        if fault in VANISHED:
            self._vanish()
            return replace(seen, closed=True)
        if lab.line is not None:
            lab.line.dialogue.connection.sent += UNASKED[fault]
        return replace(seen, octets=seen.octets + UNASKED[fault])

    def _write(self, effect: events.Effect) -> events.Event | None:
        if self.struck or not self._strikes(self.watch.at_write(effect)):
            return None
        lab, fault = self._lab, self._fault
        match fault:
            case Fault.SLOW_WRITE:
                lab.now += lab.settings.commit_by + 0.5 if lab.relay.dot_read else LATE
                return None
            case Fault.STALLED:
                return self._stall(effect)
            case Fault.NO_SERVER:
                lab.servers.refusing = True
                return None
            case Fault.FULL:
                lab.now = lab.relay.deadline
                return events.BackendFailed("full")
            case Fault.LATE_REPLY:
                lab.now += lab.settings.limits.place_time - 1
                return None
            case _:
                return self._between()

    def _stall(self, effect: events.Effect) -> events.Event:
        """The peer takes no more; the sweeper ends it when the driver's patience does."""
        lab, limits = self._lab, self._lab.settings.limits
        if isinstance(effect, events.Answer):
            lab.now += limits.send_time
            self._leave()
            return events.ClientClosed("timeout")
        due = lab.relay.deadline
        if not isinstance(effect, events.Commit):
            due = min(due, lab.now + limits.transfer_time) if lab.relay.dot_read else lab.now + limits.transfer_time
        lab.now = max(lab.now, due)
        self._vanish()
        return events.BackendClosed("stalled")

    # What happens

    def _is_here(self, step: Step | None) -> bool:
        return step is not None and step is self._step

    def _strikes(self, step: Step | None) -> bool:
        self.struck = self._is_here(step)
        return self.struck

    def _between(self) -> events.Event | None:
        """Return the event that the fault is, or do what it changes without one."""
        lab, fault = self._lab, self._fault
        if fault in _OWN_EVENTS:
            return _OWN_EVENTS[fault]
        if self._step in (Step.HANDSHAKE, Step.CLIENT_HANDSHAKE):
            return self._no_handshake()
        match fault:
            case Fault.CLIENT_EOF | Fault.CLIENT_RESET | Fault.CLIENT_LOST:
                self._leave()
                how = {Fault.CLIENT_EOF: "closed", Fault.CLIENT_RESET: "reset"}.get(fault, "lost")
                return events.ClientClosed(how)
            case Fault.CLIENT_UNSEEN:
                self._leave()
                return None
            case Fault.LATE_VERDICT:
                return None
            case Fault.LEASE:
                lab.now = lab.relay.deadline
                return events.Timeout()
            case Fault.TIME_OUT:
                self.client_left = True
                return self._time_out()
            case Fault.DISK_FULL:
                lab.disk = len(lab.kept)
                return None
            case Fault.MEMORY_FULL:
                self.memory_taken = lab.memory.left
                lab.memory.take(self.memory_taken)
                return None
            case _:
                return self._backend_acts()

    def _no_handshake(self) -> events.Event | None:
        """What the driver makes of a handshake that does not go on."""
        fault = self._fault
        if fault in (Fault.CLIENT_LOST, Fault.CLIENT_UNSEEN):
            self._leave()
            return events.ClientClosed("lost") if fault is Fault.CLIENT_LOST else None
        if fault is Fault.CLIENT_RESET:
            self._leave()
            return events.NotSecured("the connection ended")
        if fault in (Fault.TIME_OUT, Fault.SILENCE):
            self.client_left = fault is Fault.TIME_OUT
            return self._time_out()
        self._vanish()
        return events.BackendNotSecured("the connection ended")

    def _backend_acts(self) -> events.Event | None:
        """The backend speaks or goes unasked, and the sweeper sees it."""
        lab = self._lab
        if self._fault in VANISHED:
            self._vanish()
            return events.BackendClosed("closed")
        octets = UNASKED[self._fault]
        if lab.line is not None:
            lab.line.dialogue.connection.sent += octets
        return events.BackendBytes(octets)

    def _vanish(self) -> None:
        lab = self._lab
        lab.servers.refusing = self._fault is Fault.DEAD
        if lab.line is not None:
            lab.line.vanish()
            lab.line.inbox.clear()

    def _leave(self) -> None:
        self.client_left = self._lab.client_gone = True

    def _time_out(self) -> events.Event:
        lab = self._lab
        lab.now = max(lab.now, lab.relay.deadline)
        return events.Timeout()
