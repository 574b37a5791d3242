"""The client's half: the acts that exist once."""

from smtproxy.session import events
from smtproxy.session.answers import Own
from smtproxy.session.carriage import Stand
from smtproxy.session.conversation import Conversation
from smtproxy.session.envelope import Envelope
from smtproxy.session.memory import Memory
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.rules import Phase
from smtproxy.session.transaction import Ending, Transaction
from smtproxy.session.verdicts import Stage, Verdict
from tests.session.parts import (
    LATER,
    NEVER,
    NOW,
    OK,
    PHRASES,
    SETTINGS,
    conversation,
    dialogue,
    envelope,
    kinds,
    recipient,
    upstream,
)


def _in_transaction(made: Envelope | None = None) -> Conversation:
    c = conversation()
    c.phase = Phase.MAIL
    c.dialogue.envelope = made or envelope()
    c.transaction = Transaction("testsession.1", c.dialogue.envelope, NOW)
    return c


def _lines(c: Conversation, event: LogEvent) -> list[events.Record]:
    return [one for one in c.out if isinstance(one, events.Record) and one.event is event]


def test_a_verdict_that_is_there_costs_no_event() -> None:
    c = conversation()
    c.ask(Stage.MAIL)
    assert c.out == []
    assert c.waits_for is events.Wait.CLIENT


def test_a_verdict_that_is_not_is_asked_for_and_awaited() -> None:
    def nobody_knows(_: Stage) -> Verdict | None:
        return None

    c = Conversation(dialogue(), SETTINGS, PHRASES, None, Memory(0), nobody_knows, lambda _c, _v: None, 0.0)
    c.ask(Stage.MAIL)
    assert c.out == [events.Judge(Stage.MAIL)]
    assert (c.judging, c.waits_for) == (Stage.MAIL, events.Wait.VERDICT)


def test_answers_leave_together_in_order_and_are_accounted_for() -> None:
    c = conversation()
    first, second, third = (c.answers.open(verb) for verb in ("MAIL", "RCPT", "RCPT"))
    c.settle(second, NEVER, "backend")
    c.flush()
    assert c.out == []
    c.settle(first, OK, "protocol")
    c.flush()
    assert c.out == [events.Answer(OK.encode() + NEVER.encode())]
    assert c.account.origins == {"protocol": 1, "backend": 1}
    assert c.account.last_reply == NEVER
    assert (c.dialogue.refused, c.dialogue.octets_out) == (1, len(OK.encode() + NEVER.encode()))
    assert c.answers.pending() == [third]


def test_nothing_is_said_to_a_client_that_is_gone() -> None:
    c = conversation()
    c.gone = "lost"
    c.settle(c.answers.open("NOOP"), OK, "protocol")
    c.flush()
    assert c.out == []


def test_an_error_is_counted_and_judged() -> None:
    c = conversation()
    c.reply(c.answers.open("EXPN"), Own.NOT_IMPLEMENTED, error=True)
    assert c.dialogue.errors == 1
    assert c.error_reply == PHRASES.say(Own.NOT_IMPLEMENTED)


def test_a_transaction_has_one_line_and_leaves_nothing() -> None:
    c = _in_transaction()
    c.dialogue.declared_size = 10
    for _ in range(2):
        c.end_transaction(Ending("rejected", "backend", NEVER))
    (line,) = _lines(c, LogEvent.MESSAGE)
    assert (line.fields["outcome"], line.fields["by"], line.fields["reply"]) == (
        "rejected",
        "backend",
        "550 5.1.1 never",
    )
    left: list[object] = [
        c.transaction,
        c.dialogue.envelope,
        c.dialogue.recipient,
        c.dialogue.declared_size,
        c.reception,
    ]
    assert left == [None] * 5


def test_rset_gives_a_transaction_up() -> None:
    c = _in_transaction(envelope(recipient(reply=LATER)))
    c.forget_transaction()
    (line,) = _lines(c, LogEvent.MESSAGE)
    assert line.fields["outcome"] == "deferred"
    assert c.phase is Phase.READY


def test_a_session_ends_once() -> None:
    c = _in_transaction()
    for _ in range(2):
        c.finish("closed", "client")
    assert kinds(c.out) == ["Record", "Record", "Finish"]
    assert [len(_lines(c, event)) for event in (LogEvent.MESSAGE, LogEvent.SESSION)] == [1, 1]
    assert c.waits_for is events.Wait.END
    assert not c.lingers


def test_the_oldest_open_command_hears_the_goodbye_and_nothing_is_said_behind_it() -> None:
    c = conversation()
    c.answers.open("RCPT")
    newer = c.answers.open("RCPT")
    c.settle(newer, OK, "backend")
    c.say_goodbye(Own.SHUTDOWN, "shutdown")
    said = PHRASES.say(Own.SHUTDOWN).encode()
    assert c.out[-2:] == [events.Answer(said), events.Finish()]
    assert _lines(c, LogEvent.SESSION)[0].fields["reply"] == said.decode().rstrip()
    assert c.lingers


def test_a_goodbye_needs_no_command() -> None:
    c = conversation()
    c.say_goodbye(Own.COMMAND_TIMEOUT, "timeout")
    assert c.out[-2:] == [events.Answer(PHRASES.say(Own.COMMAND_TIMEOUT).encode()), events.Finish()]


def test_what_we_cut_off_was_deferred_by_us() -> None:
    c = _in_transaction(envelope(recipient(reply=OK)))
    c.say_goodbye(Own.SHUTDOWN, "shutdown")
    (line,) = _lines(c, LogEvent.MESSAGE)
    assert (line.fields["outcome"], line.fields["by"]) == ("deferred", "protocol")
    assert str(line.fields["reply"]).startswith("421")


def test_a_crash_before_the_commit_is_a_goodbye() -> None:
    c = _in_transaction()
    c.crashed()
    (line,) = _lines(c, LogEvent.MESSAGE)
    assert line.fields["outcome"] == "deferred"
    (ended,) = _lines(c, LogEvent.SESSION)
    assert (ended.fields["ended"], ended.fields["by"]) == ("crash", "proxy")


def test_a_crash_behind_the_commit_leaves_the_outcome_unknown() -> None:
    c = _in_transaction(envelope(recipient(reply=OK)))
    c.backend.upstream, c.backend.stand = upstream(), Stand.COMMITTED
    c.answers.open(".")
    c.crashed()
    (line,) = _lines(c, LogEvent.MESSAGE)
    assert line.fields["outcome"] == "unknown"
    heard = [one.octets for one in c.out if isinstance(one, events.Answer)]
    assert heard == [PHRASES.say(Own.UNKNOWN_OUTCOME).encode()]
    assert line.fields["reply"] == heard[0].decode().strip()
