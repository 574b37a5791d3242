"""The state of the backend's half: closing, failing, reopening, and what may be kept warm."""

import pytest

from smtproxy.session import events
from smtproxy.session.answers import Own
from smtproxy.session.carriage import Carriage, Heard, Job, Stand
from smtproxy.session.slots import Purpose
from smtproxy.wire.replies import Reply
from tests.session.parts import NEVER, NOW, OK, PHRASES, carriage, envelope, job, kinds, recipient, slot, upstream


def _connected(*, messages: int = 0) -> Carriage:
    k = carriage(envelope(recipient(reply=OK)))
    k.upstream = upstream()
    k.upstream.messages = messages
    k.stand = Stand.READY
    return k


def test_a_session_begins_without_a_connection() -> None:
    k = carriage()
    assert (k.stand, k.upstream, k.job) == (Stand.IDLE, None, None)
    assert not any((k.idle, k.looking, k.streaming, k.committed))


def test_a_connection_is_asked_for_with_those_that_were_tried() -> None:
    k = carriage()
    k.tried = frozenset({"a:25"})
    k.open()
    assert k.out == [events.OpenBackend(frozenset({"a:25"}))]
    assert k.stand is Stand.OPENING
    assert k.deadline == NOW + k.settings.limits.place_time


def test_the_client_is_looked_at_before_a_commit_only() -> None:
    for asked in Job:
        k = _connected()
        k.job = asked
        k.look()
        assert k.out == [events.Look(client=asked is Job.COMMIT)]
        assert k.looking


def test_farewell_is_said_only_where_it_is_asked_for() -> None:
    for farewell in (True, False):
        k = _connected()
        k.close(farewell=farewell)
        assert k.out == [events.CloseBackend(b"QUIT\r\n" if farewell else b"")]
        assert (k.upstream, k.stand) == (None, Stand.IDLE)


def test_closing_nothing_does_nothing() -> None:
    k = carriage()
    k.close(farewell=True)
    assert k.out == []


def test_a_connection_that_went_well_may_serve_another_session() -> None:
    k = _connected(messages=1)
    kept = k.upstream
    k.close(farewell=True)
    (effect,) = k.out
    assert isinstance(effect, events.CloseBackend)
    assert effect.warm is kept


def test_any_other_connection_may_not() -> None:
    def worn(k: Carriage) -> None:
        assert k.upstream is not None
        k.upstream.worn = True

    def owes(k: Carriage) -> None:
        assert k.upstream is not None
        k.upstream.expect(Purpose.MAIL)

    def unread(k: Carriage) -> None:
        assert k.upstream is not None
        assert list(k.upstream.receive(b"25")) == []

    def in_sync(k: Carriage) -> None:
        k.in_sync = True

    def dirty(k: Carriage) -> None:
        k.dirty = True

    for spoil in (worn, owes, unread, in_sync, dirty):
        k = _connected(messages=1)
        spoil(k)
        k.close(farewell=True)
        (effect,) = k.out
        assert isinstance(effect, events.CloseBackend)
        assert effect.warm is None, spoil


def test_a_failure_closes_and_tells_why() -> None:
    k = _connected()
    k.job = Job.GROUP
    k.queue = [(Purpose.RCPT, slot(), b"RCPT TO:<one@example.org>\r\n")]
    k.fail(Own.BACKEND_LOST)
    assert k.failure == Heard(PHRASES.say(Own.BACKEND_LOST), "protocol")
    assert job(k) is None
    assert (len(k.queue), k.stand) == (0, Stand.IDLE)
    assert kinds(k.out) == ["CloseBackend"]


def test_the_backends_own_words_stay_its_own() -> None:
    k = _connected()
    k.fail_with(Heard(NEVER, "backend"))
    assert k.failure == Heard(NEVER, "backend")


def test_only_commands_without_an_answer_are_queued_again() -> None:
    k = _connected()
    done, open_ = slot(to=recipient("done@example.org")), slot(to=recipient("open@example.org"))
    done.answer = OK
    k.slots = [slot("MAIL"), done, open_]
    k.requeue()
    assert k.queue == [(Purpose.RCPT, open_, b"RCPT TO:<open@example.org>\r\n")]


def test_a_connection_is_reopened_by_a_fresh_one() -> None:
    k = _connected()
    k.job = Job.GROUP
    k.reopen()
    assert k.retried
    assert kinds(k.out) == ["CloseBackend", "OpenBackend"]
    assert k.out[1] == events.OpenBackend(frozenset(), fresh=True)


def test_a_settled_recipient_counts_if_the_backend_accepted_it() -> None:
    one = recipient()
    k = carriage(envelope(one))
    k.settle(slot(to=one), OK, "backend")
    assert k.dialogue.envelope is not None
    assert k.dialogue.envelope.accepted == 1
    assert (one.reply, one.by) == (OK, "backend")


def test_each_reply_has_its_time() -> None:
    k = _connected()
    for purpose in Purpose:
        k.patience(purpose)
        assert k.deadline >= NOW + 120, purpose
    k.deadline = 1.0
    k.patience(None)
    assert k.deadline == 1.0


def test_a_reply_that_blames_us_is_logged() -> None:
    k = _connected()
    k.used, k.transaction = k.upstream, "testsession.1"
    k.misconfigured(Purpose.RCPT, NEVER)
    (record,) = k.out
    assert isinstance(record, events.Record)
    assert record.fields["command"] == "RCPT"
    assert record.fields["reply"] == "550 5.1.1 never"


@pytest.mark.parametrize(("code", "blamed"), [(500, False), (501, False), (504, False), (555, False), (530, True)])
def test_an_odd_address_of_a_client_marks_no_server(code: int, blamed: bool) -> None:
    """Postfix says 504 to a name that is not fully qualified: one stranger threw the warm connections of all away."""
    k = _connected()
    k.misconfigured(Purpose.MAIL, Reply(code, (b"no",)))
    assert bool(k.complaint) is blamed
