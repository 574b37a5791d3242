"""Commands on their way to the backend: as many in one write as it allows."""

import pytest

from smtproxy.session import events, forwarding
from smtproxy.session.answers import Own
from smtproxy.session.carriage import Carriage, Heard, Job, Stand
from smtproxy.session.envelope import Envelope
from smtproxy.session.limits import Limits
from smtproxy.session.settings import RelaySettings
from smtproxy.session.slots import Slot
from smtproxy.session.upstream import Upstream
from tests.session.parts import HOSTNAME, OK, PHRASES, carriage, envelope, job, kinds, recipient, slot, upstream

_MAIL = b"MAIL FROM:<me@client.example>\r\n"
_ONE, _TWO = b"RCPT TO:<one@example.org>\r\n", b"RCPT TO:<two@example.org>\r\n"


def _group(
    *keywords: str, mail: Envelope | None = None, group: int = 100, octets: int = 16384
) -> tuple[Carriage, Upstream, list[Slot]]:
    """Return a carriage with two recipients to be forwarded."""
    slots = [slot(to=recipient("one@example.org")), slot(to=recipient("two@example.org"))]
    k = carriage(mail or envelope(), RelaySettings(HOSTNAME, limits=Limits(group=group, group_octets=octets)))
    k.upstream = made = upstream(*keywords)
    k.job, k.slots = Job.GROUP, slots
    k.requeue()
    return k, made, slots


def test_a_group_leaves_in_one_write() -> None:
    k, made, _ = _group("PIPELINING")
    forwarding.send_next(k, made)
    assert k.out == [events.Forward(_MAIL + _ONE + _TWO)]
    assert (made.owes, k.stand) == (3, Stand.WAITING)


def test_without_pipelining_each_command_waits_for_the_reply_to_the_one_before() -> None:
    k, made, _ = _group()
    for command in (_MAIL, _ONE, _TWO):
        forwarding.send_next(k, made)
        assert k.out[-1] == events.Forward(command)
        forwarding.answered(k, made, b"250 ok\r\n")
    assert kinds(k.out) == ["Forward", "Look", "Forward", "Look", "Forward"]
    assert (k.job, k.stand) == (None, Stand.READY)


def test_a_large_group_is_cut() -> None:
    k, made, _ = _group("PIPELINING", group=2)
    forwarding.send_next(k, made)
    assert k.out == [events.Forward(_MAIL + _ONE)]


def test_a_group_of_long_commands_is_cut_by_its_octets() -> None:
    """56 KB at once to a server that answers before it reads on: both sides waited for the other to read."""
    k, made, _ = _group("PIPELINING", octets=len(_MAIL + _ONE))
    forwarding.send_next(k, made)
    assert k.out == [events.Forward(_MAIL + _ONE)]
    assert [command for _, _, command in k.queue] == [_TWO]


def test_a_command_that_is_longer_than_a_group_may_be_leaves_alone() -> None:
    k, made, _ = _group("PIPELINING", octets=1)
    forwarding.send_next(k, made)
    assert k.out == [events.Forward(_MAIL)]


@pytest.mark.parametrize("words", [b"452 too many messages\r\n", b"550 no\r\n", b"421 bye\r\n"])
def test_a_warm_connection_that_takes_no_mail_any_more_is_replaced_once(words: bytes) -> None:
    """Too many messages on this connection: that is meant for those who had it before."""
    k, made, (first, second) = _group("PIPELINING")
    k.unproven = True
    forwarding.send_next(k, made)
    forwarding.answered(k, made, words)
    assert kinds(k.out) == ["Forward", "CloseBackend", "OpenBackend"]
    assert (first.answer, second.answer, k.retried) == (None, None, True)


def test_the_second_connections_word_about_a_mail_counts() -> None:
    k, made, slots = _group("PIPELINING")
    k.unproven = k.retried = True
    forwarding.send_next(k, made)
    forwarding.answered(k, made, b"550 no\r\n503 no mail\r\n503 no mail\r\n")
    assert [one.answer.code for one in slots if one.answer is not None] == [550, 550]


def test_a_backend_that_knows_the_envelope_hears_only_what_is_new() -> None:
    k, made, _ = _group("PIPELINING")
    k.in_sync = True
    forwarding.send_next(k, made)
    assert k.out == [events.Forward(_ONE + _TWO)]


def test_what_is_none_of_ours_is_reset_first() -> None:
    k, made, _ = _group("PIPELINING")
    k.dirty = True
    forwarding.send_next(k, made)
    assert k.out == [events.Forward(b"RSET\r\n" + _MAIL + _ONE + _TWO)]
    assert not k.dirty


def test_a_new_connection_hears_of_those_that_were_promised() -> None:
    k, made, _ = _group("PIPELINING", mail=envelope(recipient("promised@example.org", OK)))
    forwarding.send_next(k, made)
    assert k.out == [events.Forward(_MAIL + b"RCPT TO:<promised@example.org>\r\n" + _ONE + _TWO)]
    assert k.replays == 1


def test_data_stands_alone_behind_all_replies() -> None:
    k, made, _ = _group("PIPELINING", mail=envelope(recipient("promised@example.org", OK)))
    k.job, k.slots, k.queue = Job.DATA, [], []
    forwarding.send_next(k, made)
    assert k.out == [events.Forward(_MAIL + b"RCPT TO:<promised@example.org>\r\n")]
    forwarding.answered(k, made, b"250 ok\r\n250 ok\r\n")
    assert k.looking
    forwarding.send_next(k, made)
    assert k.out[-1] == events.Forward(b"DATA\r\n")


def test_each_recipient_hears_the_reply_to_itself() -> None:
    k, made, (first, second) = _group("PIPELINING")
    forwarding.send_next(k, made)
    forwarding.answered(k, made, b"250 ok\r\n250 one\r\n")
    assert job(k) is Job.GROUP
    forwarding.answered(k, made, b"550 two\r\n")
    assert job(k) is None
    assert [one.answer.code for one in (first, second) if one.answer is not None] == [250, 550]


@pytest.mark.parametrize("surplus", [b"250 three\r\n", b"2"])
def test_a_reply_too_many_is_not_this_connection(surplus: bytes) -> None:
    k, made, (first, second) = _group("PIPELINING")
    forwarding.send_next(k, made)
    forwarding.answered(k, made, b"250 ok\r\n250 one\r\n250 two\r\n" + surplus)
    assert kinds(k.out) == ["Forward", "CloseBackend", "OpenBackend"]
    assert (first.answer, second.answer) == (None, None)
    assert k.dialogue.envelope is not None
    assert k.dialogue.envelope.accepted == 0


def test_what_is_no_reply_ends_it() -> None:
    k, made, _ = _group("PIPELINING")
    forwarding.send_next(k, made)
    forwarding.answered(k, made, b"250 ok\r\nhello\r\n")
    assert k.failure == Heard(PHRASES.say(Own.BACKEND_NONSENSE), "protocol")


def test_whoever_says_too_much_again_is_given_up() -> None:
    k, made, _ = _group("PIPELINING")
    k.retried = True
    forwarding.send_next(k, made)
    forwarding.answered(k, made, b"250 ok\r\n250 one\r\n250 two\r\n250 three\r\n")
    assert k.failure == Heard(PHRASES.say(Own.BACKEND_NONSENSE), "protocol")
    assert k.upstream is None
