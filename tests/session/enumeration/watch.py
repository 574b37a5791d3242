"""Tells at which step a session is, from outside: by what the relay waits for, what it writes, what was said so far.

Only the first letter has steps, and the session before it; of a step that comes twice the first time counts. It must
look at nothing but what a driver, a policy or a peer can see.
"""

from smtproxy.session import events
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.slots import Purpose
from smtproxy.session.verdicts import Stage
from tests.fakes.heard import read_replies
from tests.fakes.laboratory import Laboratory
from tests.session.enumeration.steps import Step

_JUDGING = {
    Stage.CONNECT: Step.JUDGING_CONNECT,
    Stage.HELLO: Step.JUDGING_HELLO,
    Stage.MAIL: Step.JUDGING_MAIL,
    Stage.DATA: Step.JUDGING_DATA,
    Stage.MESSAGE: Step.JUDGING_MESSAGE,
}
_REPLY = {
    Purpose.GREETING: Step.GREETING,
    Purpose.EHLO: Step.EHLO,
    Purpose.STARTTLS: Step.STARTTLS,
    Purpose.MAIL: Step.MAIL,
    Purpose.DATA: Step.DATA,
    Purpose.CHUNK: Step.CHUNK,
    Purpose.END_OF_DATA: Step.DOT,
}


_WRITING = {
    b"EHLO": Step.WRITE_HELLO,
    b"STAR": Step.WRITE_STARTTLS,
    b"DATA": Step.WRITE_DATA,
    b"BDAT": Step.WRITE_BODY,
}


class Watch:
    """Where one session is."""

    def __init__(self, lab: Laboratory) -> None:
        """Watch this session."""
        self._lab = lab
        self.before: Step | None = None
        """What the client is about to do; None: it has done it, and waits."""
        self._data_judged = False
        self._looks = 0

    @property
    def _first(self) -> bool:
        """The session is in its first transaction, or before it."""
        lab = self._lab
        envelope = lab.dialogue.envelope
        if envelope is not None:
            return envelope.sender.local == "sender-1"
        return all(event is not LogEvent.MESSAGE for event, _ in lab.log)

    def at_wait(self) -> Step | None:
        """The step at which the relay waits now for its client or the backend."""
        lab = self._lab
        wait, line = lab.relay.waits_for, lab.line
        if wait is events.Wait.CLIENT and not lab.unread:
            return self.before
        if wait is events.Wait.TLS:
            return Step.CLIENT_HANDSHAKE
        if wait is not events.Wait.BACKEND or line is None or not self._first:
            return None
        if line.upstream.handshake:
            return Step.HANDSHAKE
        purpose = line.upstream.waiting_for
        if purpose is Purpose.EHLO and line.upstream.tls is not None:
            return Step.EHLO_AGAIN
        if purpose is Purpose.RCPT:
            return _by_recipient(line.dialogue.connection.commands[-1], Step.RCPT_1, Step.RCPT_2)
        return None if purpose is None else _REPLY.get(purpose)

    def at_judge(self, stage: Stage) -> Step | None:
        """The step at which this verdict is asked for."""
        dialogue = self._lab.dialogue
        if not self._first:
            return None
        self._data_judged = self._data_judged or stage is Stage.DATA
        if stage is Stage.RECIPIENT and dialogue.recipient is not None:
            address = str(dialogue.recipient.path).encode()
            return _by_recipient(address, Step.JUDGING_RCPT_1, Step.JUDGING_RCPT_2)
        return _JUDGING.get(stage)

    def at_look(self, effect: events.Look) -> Step | None:
        """The step at which this look is taken."""
        if not self._first:
            return None
        if effect.client:
            return Step.LOOK_COMMIT
        if self._backend_reads_body:
            return Step.LOOK_BODY
        if self._data_judged:
            return Step.LOOK_DATA
        self._looks += 1
        return Step.LOOK_GROUP if self._looks == 1 else Step.LOOK_GROUP_AGAIN

    def at_write(self, effect: events.Effect) -> Step | None:
        """The step at which these octets are written, or this connection is asked for."""
        match effect:
            case events.Answer():
                return self._at_answer(effect)
            case _ if not self._first:
                return None
            case events.OpenBackend():
                return Step.OPENING
            case events.ForwardKept():
                return Step.WRITE_KEPT
            case events.Commit():
                return Step.WRITE_TERMINATOR
            case events.Forward() if self._backend_reads_body:
                return Step.WRITE_BODY
            case events.Forward():
                return _WRITING.get(effect.octets[:4], Step.WRITE_GROUP)
            case _:
                return None

    def _at_answer(self, effect: events.Answer) -> Step | None:
        code = read_replies(effect.octets)[0][-1].code
        if code == 220:
            return Step.WRITE_READY if self._lab.heard else Step.WRITE_BANNER
        if not self._first:
            return Step.WRITE_FINAL
        if code == 354:
            return Step.WRITE_GO_AHEAD
        envelope = self._lab.dialogue.envelope
        return Step.WRITE_ANSWER if envelope is not None and envelope.recipients else None

    @property
    def _backend_reads_body(self) -> bool:
        line = self._lab.line
        if line is None:
            return False
        connection = line.dialogue.connection
        return not connection.terminators and connection.verbs[-1:] in (["DATA"], ["BDAT"])


def _by_recipient(text: bytes, first: Step, second: Step) -> Step | None:
    return first if b"one-1@" in text else second if b"two-1@" in text else None
