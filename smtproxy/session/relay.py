"""The relay: the client's half of a session, and what binds it to the backend's half (`courier.py`).

Theory of operation. Events go in, effects come out, and `waits_for` says the one thing that can move the session on.
`handle` notes what the event changed, then `_advance` goes as far as it can: it reads commands, asks for verdicts,
collects a pipelined group, hands it to the courier, takes in a body, and stops where something is awaited.

* Each command opens a slot; slots are answered in order (`slots.py`). The final dot opens one too.
* A command is forwarded only after the verdict accepted it, so nothing a policy refused has to be undone.
* A group ends at a barrier (`rules.py`) or where the client's octets end. Until it is settled nothing more is read.
* A body never ends by accident: its end is found by `intake.py`, and whatever fails, the octets up to that end are
  consumed and never read as commands.
* A message is committed by `courier.finish` only, which gets the accepting verdict of stage MESSAGE.
* Each transaction ends in `_end_transaction`, each session in `_finish`: there the log lines are made, once.

Sans-IO: no clock (events carry `now`), no logger (`Record` leaves as an effect), no randomness (ids are given).
"""

from smtproxy.session.answers import Own, Phrases
from smtproxy.session.courier import Courier, Fate, Heard
from smtproxy.session.dialogue import Dialogue, Hello
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.events import (
    Answer,
    BackendBytes,
    BackendClosed,
    BackendFailed,
    BackendOpened,
    ClientBytes,
    ClientClosed,
    Crashed,
    DropKept,
    Effect,
    Event,
    Finish,
    Judge,
    Judged,
    Keep,
    Look,
    Looked,
    Recall,
    Record,
    Shutdown,
    Started,
    Stored,
    Timeout,
    Wait,
)
from smtproxy.session.intake import Intake
from smtproxy.session.memory import Memory
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.rules import RULES, Act, Phase, Rule
from smtproxy.session.settings import BodyMode, OpenMode, RelaySettings
from smtproxy.session.slots import Answers, Slot
from smtproxy.session.transaction import Transaction, said
from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from smtproxy.wire.commands import Command, parse_command, parse_mail, parse_rcpt
from smtproxy.wire.ehlo import Capabilities, ehlo_lines, unsupported
from smtproxy.wire.errors import Fault, PeerError
from smtproxy.wire.lines import LineBuffer
from smtproxy.wire.replies import Reply
from smtproxy.wire.trace import received_field

_COMMANDS = frozenset({Phase.START, Phase.READY, Phase.MAIL})


class Relay:
    """One session with a client."""

    def __init__(
        self,
        dialogue: Dialogue,
        settings: RelaySettings,
        phrases: Phrases,
        offered: Capabilities | None,
        memory: Memory,
        *,
        epoch: float = 0.0,
    ) -> None:
        """Prepare a session.

        `offered` are the EHLO keywords that may be promised (None: no backend server was ever reached), `epoch` is the
        time of day (seconds since 1970) at zero on the clock of the events.
        """
        self.dialogue = dialogue
        self._settings = settings
        self._phrases = phrases
        self._offered = offered
        self._memory = memory
        self._epoch = epoch
        self._out: list[Effect] = []
        self._courier = Courier(self._out, dialogue, settings, phrases)
        self._answers = Answers()
        self._lines = LineBuffer(settings.limits.command_line, settings.limits.endless_line)
        self._phase = Phase.CONNECT
        self._group: list[Slot] = []
        self._held: Command | None = None
        self._judging: Stage | None = None
        self._slot: Slot | None = None
        self._error_reply: Reply | None = None
        self._delayed: Verdict | None = None
        self._delay_until = 0.0
        self._looking = False
        self._storing = False
        self._transaction: Transaction | None = None
        self._intake: Intake | None = None
        self._parts: list[bytes] = []
        self._in_memory = 0
        self._on_disk = False
        self._body_sent = False
        self._refusal: Heard | None = None
        self._accepted: Accepted | None = None
        self._ending: tuple[str, Heard] | None = None
        self._gone = ""
        self._draining = False
        self._lingers = False
        self._client_due = 0.0
        self._session_due = 0.0
        self._commit_due = 0.0
        self._body_started = 0.0
        self._started = 0.0
        self._since = 0.0
        self._waited: dict[Wait, float] = {}
        self._notes: list[object] = []
        self._origins: dict[str, int] = {}
        self._last_reply: Reply | None = None

    # What the driver sees

    @property
    def waits_for(self) -> Wait:
        """The one thing this session waits for."""
        if self._phase is Phase.OVER:
            return Wait.END
        if self._delayed is not None:
            return Wait.DELAY
        if self._judging is not None:
            return Wait.VERDICT
        if self._storing:
            return Wait.STORAGE
        courier = self._courier
        if self._looking or courier.looking:
            return Wait.LOOK
        if courier.busy:
            return Wait.BACKEND
        return Wait.CLIENT

    @property
    def deadline(self) -> float:
        """When `Timeout` is due, on the clock of the events."""
        match self.waits_for:
            case Wait.DELAY:
                return self._delay_until
            case Wait.BACKEND | Wait.LOOK | Wait.STORAGE | Wait.VERDICT if self._courier.committed:
                return self._courier.deadline
            case Wait.BACKEND if self._phase is Phase.SENDING:
                return min(self._courier.deadline, self._commit_due)
            case Wait.BACKEND:
                return self._courier.deadline
            case Wait.VERDICT | Wait.STORAGE | Wait.LOOK:
                return self._commit_due if self._phase in (Phase.VERDICT, Phase.SENDING) else self._session_due
            case _:
                due = min(self._client_deadline, self._session_due)
                if self._courier.idle:
                    due = min(due, self._courier.idle_since + self._settings.lease)
                return due

    @property
    def committed(self) -> bool:
        """Whether a terminator left whose fate is open: nothing but the end-of-data timer may end this session."""
        return self._courier.committed

    @property
    def over(self) -> bool:
        """Whether the session has ended."""
        return self._phase is Phase.OVER

    @property
    def in_body(self) -> bool:
        """Whether the client's octets are a body."""
        return self._phase is Phase.BODY

    @property
    def lingers(self) -> bool:
        """Whether we ended the session in the middle of the client's talk: it must get time to read why."""
        return self._lingers

    @property
    def dot_read(self) -> bool:
        """Whether the final dot of a body was read: from here a half-close of the client is no sign of its absence."""
        return self._phase in (Phase.VERDICT, Phase.SENDING, Phase.REPLY)

    @property
    def recallable_since(self) -> float | None:
        """Since when a backend connection is held without use; None: none is."""
        return self._courier.idle_since if self._courier.idle else None

    @property
    def streaming(self) -> bool:
        """Whether a client's body is being passed on as it comes."""
        return self._phase is Phase.BODY and self._courier.streaming

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take an event at a time (seconds on any clock that only goes forward); return what is to be done, in order."""
        if self._phase is Phase.OVER:
            return []
        if isinstance(event, Started):
            self.dialogue.now = self._since = now
        self._spend(now)
        self._take(event)
        self._advance()
        if len(self._answers) and not self.over:
            self._flush(everything=False)
        effects = self._out.copy()
        self._out.clear()
        return effects

    def _spend(self, now: float) -> None:
        """Account for the time since the last event."""
        passed = now - self._since
        self.dialogue.now = self._since = now
        if passed > 0:
            wait = self.waits_for
            self._waited[wait] = self._waited.get(wait, 0.0) + passed
            if self._phase is Phase.BODY and wait is not Wait.CLIENT:
                # The client's rate is not to suffer from a slow backend or disk.
                self._body_started += passed

    def _take(self, event: Event) -> None:
        courier = self._courier
        match event:
            case ClientBytes():
                self.dialogue.count("octets_in", len(event.octets))
                self._lines.feed(event.octets)
            case BackendBytes():
                courier.received(event)
            case Looked():
                self._looked(event)
            case Judged():
                self._judged(event.verdict)
            case BackendOpened():
                courier.opened(event)
            case BackendFailed():
                courier.could_not_open(event)
            case BackendClosed():
                self._backend_lost(event)
            case ClientClosed():
                self._client_closed(event.how)
            case Stored():
                self._storing = False
                if event.failed:
                    self._drop_body()
                    self._refusal = Heard(self._phrases.say(Own.DISK_FULL), "protocol")
            case Timeout():
                self._timed_out()
            case Recall():
                self._recalled()
            case Shutdown():
                self._draining = True
                if event.now and not self._courier.committed and self._phase is not Phase.REPLY:
                    self._say_goodbye(Own.SHUTDOWN, "shutdown")
            case Crashed():
                self._crashed()
            case Started():
                self._start()

    def _advance(self) -> None:
        """Go on until something is awaited."""
        going = True
        while going and self.waits_for is Wait.CLIENT:
            match self._phase:
                case Phase.CONNECT:
                    going = self._greet()
                case Phase.START | Phase.READY | Phase.MAIL:
                    going = self._step()
                case Phase.BODY_START:
                    going = self._body_started_or_not()
                case Phase.BODY:
                    going = self._body_step()
                case Phase.SENDING:
                    going = self._sending_step()
                case Phase.VERDICT | Phase.REPLY | Phase.OVER:
                    going = False

    # Beginning and end of a session

    def _start(self) -> None:
        now = self.dialogue.now
        self._started = now
        self._session_due = now + self._settings.limits.session_time
        self._client_due = now + self._settings.limits.command_time
        self._slot = self._answers.open("connect")
        if self._offered is None:
            self._settle(self._slot, self._phrases.say(Own.NO_BACKEND_YET), "protocol")
            self._finish("no_backend", "proxy")
        else:
            self._ask(Stage.CONNECT)

    def _greet(self) -> bool:
        """The client may talk to us: open the backend if it is to be open already, then say our banner."""
        slot = self._slot
        failure = self._courier.failure
        if slot is None:
            return False
        if failure is not None:
            self._settle(slot, self._phrases.say(Own.NO_BACKEND_YET), "protocol")
            self._finish("no_backend", "proxy")
            return False
        if self._settings.open is OpenMode.CONNECT and not self._courier.connections:
            self._courier.open()
            return True
        self._settle(slot, self._phrases.say(Own.BANNER), "protocol")
        self._phase = Phase.START
        self._wait_for_client()
        return True

    def _finish(self, ended: str, by: str) -> None:
        """End the session: the one place that does."""
        if self._phase is Phase.OVER:
            return
        if self._transaction is not None:
            outcome, author = self._transaction.unfinished()
            reply = self._last_refusal()
            if by != "client" and outcome == "aborted":
                outcome, author = "deferred", by
                reply = self._pending_goodbye() or reply
            self._end_transaction(outcome, author, reply, heard=not self._gone)
        self._courier.close()
        self._drop_body()
        self._phase = Phase.OVER
        self._lingers = by != "client"
        self._flush(everything=True)
        dialogue, counts = self.dialogue, self.dialogue.counts
        fields: dict[str, object] = {
            "session": dialogue.session,
            "listener": self._settings.listener,
            "client": dialogue.client,
            "port": dialogue.port,
            "hello": None if dialogue.hello is None else dialogue.hello.name,
            "hello_verb": None if dialogue.hello is None else dialogue.hello.verb,
            "commands": counts.get("commands", 0),
            "errors": dialogue.errors,
            "transactions": counts.get("transactions", 0),
            "delivered": counts.get("delivered", 0),
            "recipients": counts.get("recipients", 0),
            "refused": counts.get("refused", 0),
            "octets_in": counts.get("octets_in", 0),
            "octets_out": counts.get("octets_out", 0),
            "backend_connections": self._courier.connections,
            "findings": self._notes,
            "duration": round(dialogue.now - self._started, 4),
            "waited": {wait.value: round(time, 4) for wait, time in self._waited.items() if wait in _LOGGED_WAITS},
            "ended": ended,
            "by": by,
            "reply": said(self._last_reply),
            "origins": self._origins,
        }
        self._out.append(Record(LogEvent.SESSION, fields))
        self._out.append(Finish())

    def _pending_goodbye(self) -> Reply | None:
        """Return the answer that is about to leave as the last one."""
        last = self._answers.last
        return None if last is None else last.answer

    def _say_goodbye(self, own: Own, ended: str, by: str = "proxy") -> None:
        """Tell the client that it ends here (421 or the like), and end it."""
        reply = self._phrases.say(own)
        pending = self._answers.pending()
        slot = pending[0] if pending else self._answers.open("")
        self._settle(slot, reply, "protocol")
        self._finish(ended, by)

    # Commands

    def _step(self) -> bool:
        """Read and begin one command, or send the group that is complete; return whether there may be more to do."""
        failure = self._courier.failure
        if failure is not None and len(self._answers):
            for slot in self._answers.pending():
                self._settle(slot, failure.reply, failure.by)
        if self._phase is Phase.MAIL and self._slot is not None:
            self._mail_answered(self._slot)
        command = self._held
        self._held = None
        if command is None:
            if len(self._group) >= self._settings.limits.group:
                return self._send_group()
            try:
                command = self._read()
            except PeerError as error:
                self._malformed(error)
                return True
            if command is None:
                return self._send_group() if self._group else self._nothing_to_read()
        rule = RULES.get(command.verb)
        if self._group and (rule is None or rule.barrier):
            self._held = command
            return self._send_group()
        self._begin(command, rule)
        return True

    def _nothing_to_read(self) -> bool:
        if self._draining and self._transaction is None:
            self._say_goodbye(Own.SHUTDOWN, "shutdown")
        return False

    def _read(self) -> Command | None:
        line = self._lines.next()
        return None if line is None else parse_command(line)

    def _send_group(self) -> bool:
        group, self._group = self._group, []
        self._courier.group(group)
        return True

    def _begin(self, command: Command, rule: Rule | None) -> None:
        """Open a slot for a command and act on it by the rules table."""
        dialogue, limits = self.dialogue, self._settings.limits
        dialogue.count("commands")
        self._wait_for_client()
        if dialogue.counts["commands"] > limits.commands:
            self._say_goodbye(Own.TOO_MANY_COMMANDS, "commands")
            return
        slot = self._answers.open(command.verb)
        if rule is None:
            self._error(slot, self._phrases.say(Own.UNKNOWN_COMMAND, command.verb))
            return
        if self._phase not in rule.phases:
            self._error(slot, self._phrases.say(rule.misplaced[self._phase]))
            return
        junk = False
        if rule.junk:
            dialogue.junk += 1
            junk = dialogue.junk > limits.junk_commands
        match rule.act:
            case Act.HELLO:
                self._hello(slot, command)
            case Act.MAIL:
                self._mail(slot, command)
            case Act.RECIPIENT:
                self._recipient(slot, command)
            case Act.DATA:
                self._data(slot)
            case Act.RESET:
                self._forget_transaction()
                self._reply(slot, Own.RESET, error=junk)
            case Act.QUIT:
                self._reply(slot, Own.GOODBYE)
                self._finish("quit", "client")
            case Act.SAY if rule.says is not None:
                self._reply(slot, rule.says, error=junk or rule.error)
            case _:
                self._error(slot, self._phrases.say(Own.UNKNOWN_COMMAND, command.verb))

    def _malformed(self, error: PeerError) -> None:
        self.dialogue.count("commands")
        self._wait_for_client()
        if self._group:
            # The answers of the group come first whatever they are, so its commands may go on later, too.
            pass
        if error.fault is Fault.LINE_ENDLESS:
            self._say_goodbye(Own.TOO_MANY_COMMANDS, "endless_line")
            return
        self._error(self._answers.open(""), self._phrases.say(error.fault, error.detail))

    def _reply(self, slot: Slot, own: Own, *, error: bool = False) -> None:
        reply = self._phrases.say(own)
        if error:
            self._error(slot, reply)
        else:
            self._settle(slot, reply, "protocol")

    def _error(self, slot: Slot, reply: Reply) -> None:
        """A protocol error: count it, and let the policy say whether patience has an end."""
        self.dialogue.errors += 1
        self._slot, self._error_reply = slot, reply
        self._ask(Stage.PROTOCOL)

    def _hello(self, slot: Slot, command: Command) -> None:
        self._forget_transaction()
        self.dialogue.hello = Hello(command.verb, command.argument.decode("latin-1"))
        self._slot = slot
        self._ask(Stage.HELLO)

    def _mail(self, slot: Slot, command: Command) -> None:
        try:
            parsed = parse_mail(command.argument)
            bad = self._bad_parameter("MAIL", parsed.parameters)
        except PeerError as error:
            self._error(slot, self._phrases.say(error.fault, error.detail))
            return
        if bad is not None:
            self._error(slot, self._phrases.say(Own.PARAMETER, bad))
            return
        dialogue = self.dialogue
        parameters = dict(parsed.parameters)
        if parsed.path.utf8 and "SMTPUTF8" not in parameters:
            self._error(slot, self._phrases.say(Fault.NEEDS_SMTPUTF8))
            return
        dialogue.count("transactions")
        dialogue.envelope = Envelope(parsed.path, parsed.parameters)
        size = parameters.get("SIZE")
        dialogue.declared_size = None if size is None else int(size)
        dialogue.message = None
        name = f"{dialogue.session}.{dialogue.counts['transactions']}"
        self._transaction = Transaction(name, dialogue.envelope, dialogue.now)
        self._courier.begin(name)
        self._slot = slot
        self._ask(Stage.MAIL)

    def _bad_parameter(self, verb: str, parameters: tuple[tuple[str, str | None], ...]) -> str | None:
        if not parameters or self._offered is None:
            return None
        return unsupported(verb, parameters, self._offered)

    def _recipient(self, slot: Slot, command: Command) -> None:
        envelope, dialogue = self.dialogue.envelope, self.dialogue
        if envelope is None:
            self._error(slot, self._phrases.say(Own.MAIL_FIRST))
            return
        dialogue.count("recipients")
        try:
            parsed = parse_rcpt(command.argument)
            bad = self._bad_parameter("RCPT", parsed.parameters)
        except PeerError as error:
            self._error(slot, self._phrases.say(error.fault, error.detail))
            return
        if bad is not None:
            self._error(slot, self._phrases.say(Own.PARAMETER, bad))
            return
        if parsed.path.utf8 and not any(keyword == "SMTPUTF8" for keyword, _ in envelope.parameters):
            self._error(slot, self._phrases.say(Fault.NEEDS_SMTPUTF8))
            return
        if len(envelope.recipients) >= self._settings.max_recipients:
            # RFC 5321 4.5.3.1.10: 452, so that the sender comes back with the others.
            dialogue.count("recipients_over")
            over = dialogue.counts["recipients_over"] > self._settings.limits.recipient_overshoot
            self._reply(slot, Own.TOO_MANY_RECIPIENTS, error=over)
            return
        slot.recipient = dialogue.recipient = Recipient(parsed.path, parsed.parameters)
        envelope.recipients.append(slot.recipient)
        self._slot = slot
        self._ask(Stage.RECIPIENT)

    def _data(self, slot: Slot) -> None:
        envelope = self.dialogue.envelope
        if envelope is None or not envelope.accepted:
            self._refuse_data(slot, self._phrases.say(Own.NO_RECIPIENTS), "protocol")
            return
        self._slot = slot
        self._ask(Stage.DATA)

    def _refuse_data(self, slot: Slot, reply: Reply, by: str) -> None:
        """Refuse DATA. Octets already behind it are a body, sent ahead without our 354: they are never read as commands.

        RFC 2920 3.1: a client waits for the reply to DATA. One that does not (or an HTTP client posting to port 25)
        would have its text executed line by line.
        """
        if len(self._lines):
            self._settle(slot, self._phrases.say(Own.EARLY_BODY), "protocol")
            self._finish("early_body", "proxy")
            return
        self._settle(slot, reply, by)

    # Verdicts

    def _ask(self, stage: Stage) -> None:
        self._judging = stage
        self._out.append(Judge(stage))

    def _judged(self, verdict: Verdict) -> None:
        stage, self._judging = self._judging, None
        if stage is None or verdict.stage is not stage:
            self._crashed()
            return
        if verdict.notes:
            limit = self._settings.limits.logged_findings
            if self._transaction is not None and stage is not Stage.PROTOCOL:
                self._transaction.note(verdict.notes, limit)
            else:
                self._notes.extend(verdict.notes[: max(0, limit - len(self._notes))])
        if verdict.delay > 0:
            # A delayed session holds no backend connection: bots must not use up places.
            self._delayed = verdict
            self._delay_until = self.dialogue.now + verdict.delay
            self._courier.release()
        else:
            self._apply(verdict)

    def _apply(self, verdict: Verdict) -> None:
        slot = self._slot
        if slot is None:
            self._crashed()
            return
        match verdict.stage:
            case Stage.MESSAGE:
                self._message_judged(verdict)
                return
            case Stage.PROTOCOL:
                self._slot = None
                if self._error_reply is not None:
                    self._settle(slot, self._error_reply, "protocol")
                if isinstance(verdict, Refused):
                    self._settle(slot, verdict.reply, verdict.by)
                    self._finish("errors", verdict.by)
                return
            case _:
                pass
        if isinstance(verdict, Refused):
            self._slot = None
            self._refused(slot, verdict)
            return
        match verdict.stage:
            case Stage.CONNECT:
                return
            case Stage.HELLO:
                self._slot = None
                self._hello_accepted(slot)
            case Stage.MAIL:
                self._phase = Phase.MAIL
                if self._settings.open is OpenMode.RECIPIENT:
                    self._slot = None
                    self._settle(slot, self._phrases.say(Own.MAIL_OK), "protocol")
                else:
                    self._courier.group([slot])
            case Stage.RECIPIENT:
                self._slot = None
                envelope = self.dialogue.envelope
                if envelope is not None and envelope.sender_reply is not None:
                    self._settle(slot, envelope.sender_reply, envelope.sender_by)
                else:
                    self._group.append(slot)
            case Stage.DATA:
                self._data_accepted(slot)
            case _:
                self._crashed()

    def _refused(self, slot: Slot, verdict: Refused) -> None:
        match verdict.stage:
            case Stage.CONNECT:
                self._settle(slot, verdict.reply, verdict.by)
                self._finish("refused", verdict.by)
                return
            case Stage.HELLO:
                self._settle(slot, verdict.reply, verdict.by)
                self.dialogue.hello = None
                self._phase = Phase.START
            case Stage.DATA:
                self._refuse_data(slot, verdict.reply, verdict.by)
            case _:
                self._settle(slot, verdict.reply, verdict.by)
        if verdict.stage is Stage.MAIL:
            self._end_transaction(
                "dropped" if verdict.drop else _outcome(verdict.reply), verdict.by, verdict.reply, heard=True
            )
        if verdict.drop:
            self._finish("dropped", verdict.by)

    def _hello_accepted(self, slot: Slot) -> None:
        dialogue, offered = self.dialogue, self._offered
        hello = dialogue.hello
        if hello is None or offered is None:
            self._crashed()
            return
        lines = ehlo_lines(self._settings.hostname, dialogue.client, offered)
        self._settle(slot, Reply(250, lines if hello.verb == "EHLO" else lines[:1]), "protocol")
        self._phase = Phase.READY

    def _mail_answered(self, slot: Slot) -> None:
        """The backend itself answered MAIL (`open` is not "recipient")."""
        self._slot = None
        if slot.answer is not None and slot.answer.kind != 2:
            self._settle(slot, slot.answer, slot.by)
            self._courier.abandon()
            self._end_transaction(_outcome(slot.answer), slot.by, slot.answer, heard=True)
            self._phase = Phase.READY

    # The body

    def _data_accepted(self, slot: Slot) -> None:
        settings, transaction = self._settings, self._transaction
        if transaction is None:
            self._crashed()
            return
        self._intake = Intake(settings.newlines, settings.max_message_size, settings.limits.header)
        self._parts = []
        self._in_memory = 0
        self._on_disk = self._body_sent = False
        self._refusal = None
        self._body_started = self.dialogue.now
        transaction.body = settings.body.value
        if settings.trace_header:
            self._parts.append(self._trace(transaction))
            transaction.changes.append("trace_header")
        if settings.body is BodyMode.STREAM:
            self._phase = Phase.BODY_START
            self._courier.start_data()
        else:
            self._slot = None
            self._settle(slot, self._phrases.say(Own.START_BODY), "protocol")
            self._phase = Phase.BODY

    def _trace(self, transaction: Transaction) -> bytes:
        hello = self.dialogue.hello
        protocol = "SMTP" if hello is None or hello.verb == "HELO" else "ESMTP"
        if any(keyword == "SMTPUTF8" for keyword, _ in transaction.envelope.parameters):
            protocol = "UTF8SMTP"  # RFC 6531 4.3
        return received_field(
            hello=None if hello is None else hello.name,
            client=self.dialogue.client,
            hostname=self._settings.hostname,
            protocol=protocol,
            transaction=transaction.name,
            timestamp=self._epoch + self.dialogue.now,
        )

    def _body_started_or_not(self) -> bool:
        """The backend answered DATA, asked by the client's DATA (`stream`) or because memory is full (`auto`)."""
        failure, slot = self._courier.failure, self._slot
        self._slot = None
        self._phase = Phase.BODY
        if failure is not None and slot is not None:
            self._intake = None
            self._drop_body()
            self._phase = Phase.MAIL
            self._refuse_data(slot, failure.reply, failure.by)
            if self._phase is not Phase.OVER:
                self._end_transaction(_outcome(failure.reply), failure.by, failure.reply, heard=True)
                self._phase = Phase.READY
            return True
        if failure is not None:
            self._give_up_body(failure)
            return True
        if slot is not None:
            reply = self._courier.backend_reply
            self._settle(slot, reply if reply is not None else self._phrases.say(Own.START_BODY), "backend")
        self._send_parts()
        return True

    def _send_parts(self) -> None:
        """Send what was collected to the backend, which takes it."""
        octets = b"".join(self._parts)
        on_disk, self._on_disk = self._on_disk, False
        self._parts = []
        self._memory.give(self._in_memory)
        self._in_memory = 0
        self._courier.send_body(octets, kept=on_disk)

    def _body_step(self) -> bool:
        """Take in what the client sent of the body; at its end, ask for the verdict."""
        intake = self._intake
        if intake is None:
            self._crashed()
            return False
        if self._courier.failure is not None and self._refusal is None:
            self._give_up_body(self._courier.failure)
        if intake.ended:
            self._body_ended(intake)
            return True
        if not len(self._lines):
            return False
        body, rest = intake.feed(self._lines.take())
        if rest:
            self._lines.feed(rest)
        if intake.spoilt and self._refusal is None:
            # Too large or forbidden newlines: the policy will say so at the final dot. The backend gets no more of it.
            self._courier.abandon()
            self._drop_body()
        elif self._refusal is not None:
            intake.dropped += len(body)
        elif body:
            if self._courier.streaming:
                self._courier.send_body(body)
            else:
                self._collect(body)
        if intake.dropped > self._settings.max_message_size and not intake.ended:
            self._say_goodbye(Own.TOO_MUCH_BODY, "too_much_body")
            return False
        return True

    def _collect(self, body: bytes) -> None:
        """Keep octets of the body in memory while there is room; then stream (auto) or keep them on disk (hold)."""
        room = self._memory.take(len(body))
        self._parts.append(body)
        if room:
            self._in_memory += len(body)
        if room and self._in_memory <= self._settings.limits.body_memory:
            return
        if self._settings.body is BodyMode.AUTO:
            self._phase = Phase.BODY_START
            self._courier.start_data()
        else:
            self._out.append(Keep(b"".join(self._parts)))
            self._storing = self._on_disk = True
            self._parts = []
            self._memory.give(self._in_memory)
            self._in_memory = 0

    def _give_up_body(self, failure: Heard) -> None:
        """The message cannot be delivered any more: the client hears it at its final dot, and what it sends is consumed."""
        self._refusal = failure
        self._courier.abandon()
        self._drop_body()

    def _drop_body(self) -> None:
        self._parts = []
        self._memory.give(self._in_memory)
        self._in_memory = 0
        if self._on_disk:
            self._on_disk = False
            self._out.append(DropKept())

    def _body_ended(self, intake: Intake) -> None:
        """The final dot was read."""
        dialogue, transaction = self.dialogue, self._transaction
        if transaction is None:
            self._crashed()
            return
        dialogue.message = intake.facts()
        if intake.normalised:
            transaction.changes.append("newlines_normalised")
        transaction.dot_at = dialogue.now
        self._commit_due = dialogue.now + self._settings.commit_by
        self._slot = self._answers.open(".")
        self._phase = Phase.VERDICT
        if self._refusal is None:
            self._ask(Stage.MESSAGE)
        else:
            self._conclude(_outcome(self._refusal.reply), self._refusal)

    def _message_judged(self, verdict: Verdict) -> None:
        intake = self._intake
        if isinstance(verdict, Refused):
            self._courier.abandon()
            outcome = "dropped" if verdict.drop else _outcome(verdict.reply)
            self._conclude(outcome, Heard(verdict.reply, verdict.by))
        elif intake is None or intake.spoilt:
            self._courier.abandon()
            heard = Heard(self._phrases.say(Own.BODY_SPOILT), "protocol")
            self._conclude(_outcome(heard.reply), heard)
        else:
            self._accepted = verdict
            self._phase = Phase.SENDING
            self._body_sent = self._courier.streaming
            if not self._courier.streaming:
                self._courier.start_data()

    def _sending_step(self) -> bool:
        """The message was accepted by the policy: send what is still here, commit, and learn its fate."""
        courier, intake, transaction, accepted = self._courier, self._intake, self._transaction, self._accepted
        if courier.fate is not None and courier.final is not None:
            if courier.fate is Fate.DELIVERED:
                self.dialogue.count("delivered")
                self.dialogue.junk = 0
            self._conclude(courier.fate.value, courier.final)
        elif courier.failure is not None:
            self._conclude(_outcome(courier.failure.reply), courier.failure)
        elif not courier.streaming or intake is None or transaction is None or accepted is None:
            self._crashed()
        elif not self._body_sent:
            self._body_sent = True
            self._send_parts()
        elif self.dialogue.now >= self._commit_due:
            courier.too_late(Own.TOO_LATE)
        else:
            courier.finish(accepted, intake.terminator, self._commit_fields(transaction))
        return True

    def _commit_fields(self, transaction: Transaction) -> dict[str, object]:
        message = self.dialogue.message
        return {
            "session": self.dialogue.session,
            "transaction": transaction.name,
            "server": self._courier.server,
            "sender": str(transaction.envelope.sender),
            "recipients": transaction.envelope.accepted,
            "size": 0 if message is None else message.size,
            "message_id": None if message is None else message.message_id,
        }

    # The end of a message

    def _conclude(self, outcome: str, heard: Heard) -> None:
        """The fate is known. Look once more whether the client is there to hear it, then tell it."""
        self._ending = (outcome, heard)
        self._phase = Phase.REPLY
        self._drop_body()
        if self._gone or outcome != "delivered":
            self._tell(gone=bool(self._gone))
        else:
            self._looking = True
            self._out.append(Look(client=True))

    def _looked(self, event: Looked) -> None:
        if self._looking:
            self._looking = False
            if event.octets or event.closed:
                # The backend said more than the reply to the dot, or closed: that is no matter of this message any more.
                self._courier.received(BackendBytes(event.octets)) if event.octets else self._courier.lost(
                    BackendClosed()
                )
            self._tell(gone=event.client_gone or bool(self._gone))
        elif not self._courier.looked(event):
            # Contract item 7: a client that is gone gets no commit.
            self._client_closed("lost")

    def _tell(self, *, gone: bool) -> None:
        ending, slot = self._ending, self._slot
        self._ending = self._slot = None
        if ending is None or slot is None:
            self._crashed()
            return
        outcome, heard = ending
        self._end_transaction(outcome, heard.by, heard.reply, heard=not gone)
        self._phase = Phase.READY
        if gone:
            self._finish(self._gone or "lost", "client")
            return
        self._settle(slot, heard.reply, heard.by)
        if outcome == "dropped":
            self._finish("dropped", heard.by)
        self._wait_for_client()

    def _forget_transaction(self) -> None:
        """RSET, or a new hello: the transaction ends unfinished. RFC 5321 4.1.1.5, 4.1.4"""
        transaction = self._transaction
        if transaction is not None:
            self._courier.abandon()
            outcome, by = transaction.unfinished()
            self._end_transaction(outcome, by, self._last_refusal(), heard=True)
        if self._phase is Phase.MAIL:
            self._phase = Phase.READY

    def _last_refusal(self) -> Reply | None:
        transaction = self._transaction
        return None if transaction is None or transaction.last is None else transaction.last[0]

    def _end_transaction(self, outcome: str, by: str, reply: Reply | None, *, heard: bool) -> None:
        """Write the one `message` line of a transaction. Before its reply leaves, so that no reply is without a line."""
        transaction, courier = self._transaction, self._courier
        self._transaction = None
        if transaction is None:
            return
        fields = transaction.fields(
            self.dialogue,
            self._settings,
            outcome=outcome,
            by=by,
            reply=reply,
            backend_reply=courier.backend_reply,
            server=courier.server,
            replays=courier.replays,
            client_heard=heard,
        )
        self._out.append(Record(LogEvent.MESSAGE, fields))
        self.dialogue.envelope = self.dialogue.recipient = None
        self.dialogue.declared_size = None
        self._intake = None
        self._accepted = None
        self._refusal = None

    # Answers

    def _settle(self, slot: Slot, reply: Reply, by: str) -> None:
        """Give a slot its answer."""
        slot.answer, slot.by = reply, by
        recipient = slot.recipient
        if recipient is not None:
            recipient.reply, recipient.by = reply, by
        if reply.kind > 3 and self._transaction is not None:
            self._transaction.last = (reply, by)

    def _flush(self, *, everything: bool) -> None:
        """Let answers leave, in one write: those of a group together, when the last of them is there."""
        if not everything and self._answers.pending() and self.waits_for not in (Wait.CLIENT, Wait.DELAY):
            return
        octets = []
        origins = self._origins
        for slot in self._answers.ready():
            reply = slot.answer
            if reply is None:
                break
            octets.append(reply.encode())
            origins[slot.by] = origins.get(slot.by, 0) + 1
            if reply.kind > 3:
                self.dialogue.count("refused")
                if slot.by == "backend" and self._transaction is not None:
                    self._transaction.last = (reply, slot.by)
            self._last_reply = reply
        if octets and not self._gone:
            data = b"".join(octets)
            self.dialogue.count("octets_out", len(data))
            self._out.append(Answer(data))

    # Interruptions

    def _client_closed(self, how: str) -> None:
        """The client is gone. Before the commit nothing is committed any more; after it only the telling is."""
        if self._gone:
            return
        self._gone = how
        if self._courier.committed or self._phase is Phase.REPLY:
            return
        self._finish(how, "client")

    def _backend_lost(self, event: BackendClosed) -> None:
        """The backend's connection ended, or took no octets for so long that `commit_by` passed."""
        courier = self._courier
        if self._phase is Phase.SENDING and self.dialogue.now >= self._commit_due and not courier.committed:
            courier.too_late(Own.TOO_LATE)
        else:
            courier.lost(event)

    def _recalled(self) -> None:
        """Others wait for a place that this session does not use, or uses too slowly."""
        if self._courier.idle:
            self._courier.release()
        elif self.streaming and self._intake is not None and self.waits_for is Wait.CLIENT:
            limits, taken = self._settings.limits, self.dialogue.now - self._body_started
            if taken > self._settings.lease and self._intake.size < taken * limits.crowded_rate:
                self._give_up_body(Heard(self._phrases.say(Own.BODY_CROWDED), "protocol"))

    def _timed_out(self) -> None:
        now = self.dialogue.now
        match self.waits_for:
            case Wait.DELAY:
                verdict, self._delayed = self._delayed, None
                if verdict is not None:
                    self._apply(verdict)
            case Wait.BACKEND:
                late = self._phase is Phase.SENDING and now >= self._commit_due and not self._courier.committed
                self._courier.too_late(Own.TOO_LATE if late else None)
            case Wait.CLIENT:
                if now >= self._session_due:
                    self._say_goodbye(Own.SESSION_TIMEOUT, "timeout")
                elif now >= self._client_deadline:
                    body = self._phase is Phase.BODY
                    self._say_goodbye(Own.BODY_TIMEOUT if body else Own.COMMAND_TIMEOUT, "timeout")
                elif now >= self._courier.idle_since + self._settings.lease:
                    self._courier.release()
            case Wait.VERDICT | Wait.STORAGE | Wait.LOOK:
                self._crashed()
            case Wait.END:
                pass

    @property
    def _client_deadline(self) -> float:
        if self._phase is Phase.BODY and self._intake is not None:
            limits = self._settings.limits
            return self._body_started + limits.body_time + self._intake.size / limits.body_rate
        return self._client_due

    def _wait_for_client(self) -> None:
        """A command was finished: the client has its time for the next one. Single octets do not renew it."""
        self._client_due = self.dialogue.now + self._settings.limits.command_time

    def _crashed(self) -> None:
        """Something is wrong with us, not with the peers: end honestly."""
        if self._courier.committed:
            heard = Heard(self._phrases.say(Own.UNKNOWN_OUTCOME), "protocol")
            self._end_transaction(Fate.UNKNOWN.value, heard.by, heard.reply, heard=not self._gone)
        self._judging = None
        self._delayed = None
        self._looking = self._storing = False
        self._say_goodbye(Own.INTERNAL, "crash")


_LOGGED_WAITS = frozenset({Wait.CLIENT, Wait.BACKEND, Wait.VERDICT, Wait.DELAY})


def _outcome(reply: Reply) -> str:
    return "rejected" if reply.kind == 5 else "deferred"
