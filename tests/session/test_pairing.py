"""What a reply means for the command it was paired with."""

import pytest

from smtproxy.session import pairing
from smtproxy.session.answers import Own
from smtproxy.session.carriage import Carriage, Heard, Job, Stand
from smtproxy.session.envelope import Recipient
from smtproxy.session.events import Record
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.slots import Awaited, Purpose, Slot
from smtproxy.session.upstream import MISCONFIGURED, Paired
from smtproxy.wire.replies import Reply
from tests.session.parts import LATER, NEVER, OK, PHRASES, carriage, envelope, recipient, slot, upstream

_GO = Reply(354, (b"go",))
_LEAVING = Reply(421, (b"4.3.2 bye",))


def _waiting(*recipients: Recipient) -> Carriage:
    k = carriage(envelope(*recipients))
    k.upstream = upstream("PIPELINING")
    k.job, k.stand, k.in_sync = Job.GROUP, Stand.WAITING, True
    return k


def _pair(k: Carriage, purpose: Purpose, reply: Reply, mine: Slot | None = None) -> None:
    pairing.pair(k, Paired(Awaited(purpose, mine), reply))


def _failed(k: Carriage, own: Own) -> bool:
    return k.failure == Heard(PHRASES.say(own), "protocol") and k.upstream is None


@pytest.mark.parametrize("purpose", [Purpose.RSET, Purpose.MAIL, Purpose.RCPT, Purpose.DATA])
def test_a_421_is_never_passed_on(purpose: Purpose) -> None:
    k, mine = _waiting(), slot()
    _pair(k, purpose, _LEAVING, mine)
    assert _failed(k, Own.BACKEND_LOST)
    assert mine.answer is None


@pytest.mark.parametrize(
    ("purpose", "reply"),
    [
        (Purpose.RSET, _GO),
        (Purpose.RSET, NEVER),
        (Purpose.MAIL, _GO),
        (Purpose.RCPT, _GO),
        (Purpose.DATA, OK),
        (Purpose.DATA, Reply(334, (b"",))),
        (Purpose.END_OF_DATA, OK),
    ],
)
def test_what_fits_nothing_is_nonsense(purpose: Purpose, reply: Reply) -> None:
    k, mine = _waiting(), slot()
    _pair(k, purpose, reply, mine)
    assert _failed(k, Own.BACKEND_NONSENSE)
    assert mine.answer is None


@pytest.mark.parametrize("code", sorted(MISCONFIGURED))
@pytest.mark.parametrize("purpose", [Purpose.MAIL, Purpose.RCPT])
def test_a_reply_that_blames_us_bounces_nothing(purpose: Purpose, code: int) -> None:
    k, mine = _waiting(), slot()
    _pair(k, purpose, Reply(code, (b"what",)), mine)
    assert mine.answer == PHRASES.say(Own.BACKEND_MISCONFIGURED)
    assert mine.answer.code == 451
    assert isinstance(k.out[0], Record)
    assert k.out[0].event is LogEvent.BACKEND_MISCONFIGURED


@pytest.mark.parametrize("reply", [OK, LATER, NEVER])
def test_the_reply_to_rcpt_is_passed_on_as_it_is(reply: Reply) -> None:
    one = recipient()
    k, mine = _waiting(one), slot(to=one)
    _pair(k, Purpose.RCPT, reply, mine)
    assert (mine.answer, mine.by) == (reply, "backend")
    assert one.accepted is (reply is OK)


@pytest.mark.parametrize(("code", "accepted"), [(251, True), (259, True), (459, False), (559, False)])
def test_codes_that_nobody_knows_mean_what_their_first_digit_says(code: int, accepted: bool) -> None:
    """RFC 5321 4.3.2"""
    one = recipient()
    mine, reply = slot(to=one), Reply(code, (b"whatever",))
    _pair(_waiting(one), Purpose.RCPT, reply, mine)
    assert (mine.answer, one.accepted) == (reply, accepted)


@pytest.mark.parametrize("reply", [OK, LATER, NEVER])
def test_the_reply_to_a_clients_own_mail_is_passed_on_as_it_is(reply: Reply) -> None:
    k, mine = _waiting(), slot("MAIL")
    _pair(k, Purpose.MAIL, reply, mine)
    assert (mine.answer, mine.by) == (reply, "backend")


def test_a_late_mail_that_is_refused_answers_the_recipients() -> None:
    k, first, queued = _waiting(), slot(), slot(to=recipient("two@example.org"))
    k.queue = [(Purpose.RCPT, queued, b"RCPT TO:<two@example.org>\r\n")]
    _pair(k, Purpose.MAIL, NEVER)
    _pair(k, Purpose.RCPT, Reply(503, (b"no MAIL",)), first)
    assert first.answer == queued.answer == NEVER
    assert k.queue == []
    assert k.failure is None


def test_a_replayed_mail_that_is_refused_breaks_a_promise() -> None:
    k = _waiting(recipient(reply=OK))
    _pair(k, Purpose.MAIL, NEVER)
    assert _failed(k, Own.BACKEND_CHANGED)


@pytest.mark.parametrize("reply", [LATER, NEVER])
def test_a_replayed_recipient_that_is_refused_breaks_a_promise(reply: Reply) -> None:
    k = _waiting(recipient(reply=OK))
    _pair(k, Purpose.RCPT, reply)
    assert _failed(k, Own.BACKEND_CHANGED)


def test_the_go_ahead_lets_the_body_flow() -> None:
    k = _waiting()
    _pair(k, Purpose.DATA, _GO)
    assert k.streaming
    assert k.backend_reply == _GO


@pytest.mark.parametrize("reply", [LATER, NEVER])
def test_a_refusal_of_data_is_the_backends_word(reply: Reply) -> None:
    k = _waiting()
    _pair(k, Purpose.DATA, reply)
    assert k.failure == Heard(reply, "backend")


def test_a_refusal_wears_the_connection() -> None:
    for reply, worn in ((OK, False), (LATER, True), (NEVER, True)):
        k = _waiting()
        made = k.upstream
        assert made is not None
        _pair(k, Purpose.RCPT, reply, slot())
        assert made.worn is worn
