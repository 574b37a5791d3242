"""The sample backend without I/O: octets in, actions out, under a script.

    connected() -> actions        the connection is open
    feed(octets) -> actions       the peer sent octets
    closed() -> actions           the peer closed (`reset=True`: with RST, then unread input is lost)
    timer() -> actions            the last `Wait` is over
    saved(ok) -> actions          the last `Save` is done (only with `saving`)

Model: a queue of steps. Each point that is due (greeting, command, chunk, end of message) becomes a turn, whose steps
are those of the script's rule, or `Normal()`. The loop performs steps; without steps it consumes input; without input
it sends what is due, so that the replies of a pipelined group leave as one segment. A pause stops the loop: whatever
comes later, input included, stays in the queue until `timer()`.

It must never raise for any octets, never read a clock, and never say what neither the profile nor the script says.
"""

from collections import deque
from enum import Enum

from smtproxy.sample.actions import Action, Close, Reset, Save, Send, StartTls, StopReading, Wait
from smtproxy.sample.conversation import Conversation
from smtproxy.sample.outlet import Outlet, Rest
from smtproxy.sample.profile import Profile, encode
from smtproxy.sample.record import BackendRecord, Connection
from smtproxy.sample.rulebook import Rulebook
from smtproxy.sample.script import (
    Drip,
    Endless,
    Idle,
    Normal,
    Pause,
    Point,
    Rule,
    Say,
    Script,
    Silence,
    Step,
    Store,
    Tarpit,
)
from smtproxy.sample.turn import Turn

_LINE_LIMIT = 65_536  # far above any legal line (RFC 5321 4.5.3.1.4): only so that memory ends somewhere
_ENDLESS_PIECE = 16_384


class _Held(Enum):
    """Why the loop stands still."""

    NO = "no"
    TIMER = "timer"
    IDLE = "idle"
    SAVE = "save"


class SampleDialogue:
    """One connection of the sample backend."""

    def __init__(
        self,
        profile: Profile,
        script: Script,
        client: str,
        record: BackendRecord,
        connection_number: int | None = None,
        *,
        date: str = "Fri, 5 Aug 2016 16:24:41 -0700",
        saving: bool = False,
    ) -> None:
        """`date` goes into the banner; with `saving` each message is asked to be saved before it is acknowledged."""
        self.connection: Connection = record.open(client, connection_number)
        self._profile = profile
        self._record = record
        self._saving = saving
        self._conversation = Conversation(profile, record, self.connection, date)
        self._rules = Rulebook(script, self.connection.number)
        self._outlet = Outlet(self.connection, keep=record.keep)
        self._received = 0
        self._body_octets = 0
        self._body_transaction = 0
        self._steps: deque[tuple[Step | Rest | None, Turn]] = deque()
        self._turn = Turn(Point.CONNECT)
        self._input = bytearray()
        self._searched = 0
        self._actions: list[Action] = []
        self._held = _Held.NO
        self._drip = 0.0
        self._silent = False
        self._stopped = False
        self._peer_closed = ""
        self._ended = False

    @property
    def ended(self) -> bool:
        """`Close` or `Reset` was given out; nothing more comes."""
        return self._ended

    @property
    def waiting(self) -> bool:
        """`timer()` would do something."""
        return self._held in {_Held.TIMER, _Held.IDLE} and not self._ended

    @property
    def saving(self) -> bool:
        """`saved()` is awaited."""
        return self._held is _Held.SAVE and not self._ended

    @property
    def backlog(self) -> int:
        """Octets that came while the loop stood still: a driver stops reading when there are too many."""
        return len(self._input)

    def connected(self) -> list[Action]:
        """The connection is open: greet. To be called once, before anything else."""
        self._begin(Turn(Point.CONNECT, ends_group=True))
        self._begin(self._conversation.greeting())
        return self._run()

    def feed(self, data: bytes) -> list[Action]:
        """The peer sent octets."""
        self._note_early()
        self._interrupt_idle()
        start = 0
        while (place := self._rules.received(self._received)) is not None and place <= len(data) - start:
            self._receive(data[start : start + place])
            start += place
            self._loop()  # the octets before the place are acted upon first
            self._script_steps(self._rules.take(Point.RECEIVED))
            self._loop()
        self._receive(data[start:] if start else data)
        return self._run()

    def closed(self, *, reset: bool = False) -> list[Action]:
        """The peer closed its side: what it sent is still acted upon, unless it was a reset."""
        self._peer_closed = "client reset" if reset else "client"
        if reset:
            self._forget_input()
        self._interrupt_idle()
        return self._run()

    def timer(self) -> list[Action]:
        """The time of the last `Wait` is over. Harmless when nothing waits."""
        if not self.waiting:
            return []
        self._held = _Held.NO
        return self._run()

    def saved(self, ok: bool) -> list[Action]:  # noqa: FBT001  the only thing there is to say
        """The message of the last `Save` is on disk, or could not be put there."""
        if not self.saving:
            return []
        self._held = _Held.NO
        self._turn.saved = ok
        if not ok:
            self._turn.text = self._conversation.fill(self._profile.texts.no_storage)
        return self._run()

    def timed_out(self) -> list[Action]:
        """The driver saw no octet for the profile's idle time: 421 and close."""
        if self._ended or self._held is not _Held.NO:
            return []
        self._begin(self._conversation.timed_out())
        return self._run()

    # The loop.

    def _run(self) -> list[Action]:
        self._loop()
        actions, self._actions = self._actions, []
        return actions

    def _loop(self) -> None:
        while not self._ended and self._held is _Held.NO:
            if self._steps:
                step, turn = self._steps.popleft()
                self._perform(step, turn)
            elif self._conversation.upgrades:
                self._upgrade()
            elif self._consume():
                continue
            elif self._outlet:
                self._flush()
            else:
                if self._peer_closed:
                    self._end(Close(), self._peer_closed)
                return

    def _upgrade(self) -> None:
        """Begin the handshake when the 220 has left; forget what was said in clear text before it. RFC 3207 4.2"""
        if self._outlet:
            self._flush()
            return
        self._conversation.upgrades = False
        self._forget_input()
        self._actions.append(StartTls())

    def _perform(self, step: Step | Rest | None, turn: Turn) -> None:
        if self._outlet and isinstance(step, Pause | Idle | Close | Reset | Drip | Endless):
            # First what is due; a script may act while it is sent.
            self._steps.appendleft((step, turn))
            self._flush()
            return
        match step:
            case None:
                self._finish(turn)
            case Normal():
                self._answer_normally(turn)
            case Say(octets):
                if not self._wants_saving(turn, step, good=octets[:3].isdigit() and octets[:1] == turn.good):
                    self._say(turn, octets)
            case Store():
                if not self._wants_saving(turn, step, good=True):
                    turn.settle(good=turn.saved is not False)
            case Pause(seconds) | Tarpit(seconds):
                self._wait(seconds, _Held.TIMER)
            case Idle(seconds):
                self._wait(seconds, _Held.IDLE)
            case Close() | Reset():
                self._end(step, "close" if isinstance(step, Close) else "reset")
            case _:
                self._change_manner(step, turn)

    def _change_manner(self, step: Silence | Drip | StopReading | Endless | Rest, turn: Turn) -> None:
        match step:
            case Silence():
                self._silent = True
            case Drip(seconds):
                self._outlet.octet_by_octet, self._drip = True, seconds
            case StopReading():
                self._stopped = True
                self._forget_input()
                self._actions.append(step)
            case Endless(octets):
                self._say_endlessly(step, turn, octets)
            case Rest():
                self._outlet.resume(step)

    def _wait(self, seconds: float, held: _Held) -> None:
        self._held = held
        self._actions.append(Wait(seconds))

    def _end(self, action: Close | Reset, ended: str) -> None:
        self._ended = True
        self._actions.append(action)
        for _step, turn in self._steps:
            turn.settle(good=False)
        self._steps.clear()
        self._conversation.abandon()
        self._forget_input()
        self._record.end(self.connection, ended)

    # Turns and rules.

    def _begin(self, turn: Turn) -> None:
        self._turn = turn
        rule = self._rules.at(turn.point, self._conversation.transactions)
        if rule is not None:
            self._steps.extend((step, turn) for step in rule.do)
        elif turn.text is not None:
            if self._profile.tarpit and turn.text[0] in "45":
                self._steps.append((Tarpit(self._profile.tarpit), turn))
            self._steps.append((Normal(), turn))
        self._steps.append((None, turn))

    def _finish(self, turn: Turn) -> None:
        turn.settle(good=False)
        if turn.answered and (rule := self._rules.at(Point.REPLIES, self._conversation.transactions)) is not None:
            self._script_steps(rule)

    def _script_steps(self, rule: Rule) -> None:
        """Steps of a rule that no turn called for, before all others."""
        turn = Turn(rule.at, settled=True)
        self._steps.extendleft(reversed([(step, turn) for step in rule.do]))

    # Saying.

    def _answer_normally(self, turn: Turn) -> None:
        if turn.text is None or self._wants_saving(turn, Normal(), good=turn.is_good):
            return
        self._say(turn, encode(turn.text, self._profile))
        if turn.closes:
            self._steps.appendleft((Close(), turn))

    def _wants_saving(self, turn: Turn, step: Step, *, good: bool) -> bool:
        """A message about to be taken goes to the disk first; the step comes again after that."""
        if not (self._saving and good and turn.delivery is not None and not turn.settled and turn.saved is None):
            return False
        self._turn = turn
        self._steps.appendleft((step, turn))
        self._actions.append(Save(turn.delivery))
        self._held = _Held.SAVE
        return True

    def _say(self, turn: Turn, octets: bytes) -> None:
        if octets[:3].isdigit():
            turn.settle(good=octets[:1] == turn.good and turn.saved is not False)
        if self._silent:
            return
        turn.answered = True
        self._outlet.say(octets, turn.delivery)

    def _say_endlessly(self, step: Step, turn: Turn, octets: bytes) -> None:
        if self._silent or self._peer_closed or not octets:
            return
        self._outlet.say(octets * max(1, _ENDLESS_PIECE // len(octets)))
        self._steps.appendleft((step, turn))
        self._flush()
        if self._held is _Held.NO and not self._ended:
            self._wait(0.0, _Held.TIMER)

    def _flush(self) -> None:
        """One segment; the caller comes again if more is due."""
        if octets := self._outlet.segment(self._rules.sent(self._outlet.sent)):
            self._actions.append(Send(octets))
        if self._rules.sent(self._outlet.sent) == 0:
            # At this very octet: what was due comes behind the rule's steps, or never.
            if self._outlet:
                self._steps.appendleft((self._outlet.park(), Turn(Point.SENT, settled=True)))
            self._script_steps(self._rules.take(Point.SENT))
        elif self._drip and self._outlet:
            self._wait(self._drip, _Held.TIMER)

    # Reading.

    def _receive(self, data: bytes) -> None:
        if self._ended or self._stopped:
            if self._record.keep:
                self.connection.unread += data
            return
        self._received += len(data)
        if self._record.keep:
            self.connection.received += data
        self._input += data

    def _forget_input(self) -> None:
        if self._record.keep:
            self.connection.unread += self._input
        self._input.clear()
        self._searched = 0

    def _note_early(self) -> None:
        """Octets that came while an answer is still due, other than a body."""
        busy = self._held in {_Held.TIMER, _Held.SAVE} and (self._outlet or not self._turn.answered)
        if busy and self._conversation.body is None:
            self._conversation.note_talk(self._turn)

    def _interrupt_idle(self) -> None:
        if self._held is not _Held.IDLE:
            return
        self._held = _Held.NO
        turn = self._steps[0][1] if self._steps else None
        while self._steps and self._steps[0][1] is turn and self._steps[0][0] is not None:
            self._steps.popleft()

    def _consume(self) -> bool:
        """Take one command or a piece of a body; -> whether anything was done."""
        if self._conversation.body is not None:
            return self._consume_body()
        end = self._input.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._input)
            if self._searched <= _LINE_LIMIT:
                return False
            self._forget_input()
            self._begin(self._conversation.line_too_long())
            return True
        line = bytes(self._input[:end])
        del self._input[: end + 1]
        self._searched = 0
        if line.endswith(b"\r"):
            line = line[:-1]
        else:
            self._conversation.note("bare LF ends a command")
        turn = self._conversation.command(line)
        if turn is not None:
            self._take_turn(turn)
        return True

    def _take_turn(self, turn: Turn) -> None:
        if self._input:
            self._conversation.note_talk(turn)
        self._begin(turn)

    def _consume_body(self) -> bool:
        body = self._conversation.body
        if body is None or not (self._input or body.ended or self._body_place() is not None):
            return False
        if (place := self._body_place()) == 0:
            self._script_steps(self._rules.take(Point.BODY))
            return True
        piece = bytes(self._input if place is None else self._input[:place])
        taken = len(piece) - body.feed(piece)
        del self._input[:taken]
        self._body_octets += taken
        if body.ended:
            self._take_turn(self._conversation.body_ended(body))
        elif not piece:
            return False
        return True

    def _body_place(self) -> int | None:
        """Octets of this transaction's content until the next BODY rule; None: no such rule."""
        transaction = self._conversation.transactions
        if self._body_transaction != transaction:
            self._body_transaction, self._body_octets = transaction, 0
        return self._rules.body(self._body_octets, transaction)
