"""The octets of a body on their way: behind a 354, or in chunks that are whole, paired, and never the last one."""

import pytest

from smtproxy.session import content, events
from smtproxy.session.answers import Own
from smtproxy.session.carriage import Carriage, Heard, Job, Stand
from smtproxy.session.courier import Courier
from smtproxy.session.forwarding import answered
from smtproxy.session.slots import Purpose
from smtproxy.session.upstream import Upstream
from tests.session.parts import NOW, OK, PHRASES, carriage, envelope, job, kinds, recipient, upstream


def _sending(body: bytes, *, kept: int = 0, chunked: bool = True) -> tuple[Carriage, Upstream]:
    k = carriage(envelope(recipient(reply=OK)))
    assert k.dialogue.envelope is not None
    k.dialogue.envelope.chunked = chunked
    k.upstream = made = upstream("PIPELINING", "CHUNKING")
    k.body, k.kept, k.in_sync = body, kept, True
    content.send(k)
    return k, made


def test_behind_a_354_octets_leave_as_they_are() -> None:
    k, made = _sending(b"text", kept=7, chunked=False)
    assert k.out == [events.ForwardKept(), events.Forward(b"text")]
    assert (k.stand, k.job, made.owes) == (Stand.STREAMING, None, 0)


def test_a_chunk_leaves_in_one_write_and_is_owed_a_reply() -> None:
    k, made = _sending(b"text")
    assert k.out == [events.Forward(b"BDAT 4\r\ntext")]
    assert (k.stand, k.job, made.waiting_for) == (Stand.WAITING, Job.BODY, Purpose.CHUNK)
    assert k.deadline == NOW + k.settings.limits.transfer_time
    answered(k, made, b"250 ok\r\n")
    assert (k.stand, job(k), k.failure) == (Stand.STREAMING, None, None)


def test_what_lies_on_disk_is_the_first_part_of_the_chunk() -> None:
    k, _ = _sending(b"text", kept=100)
    assert k.out == [events.Forward(b"BDAT 104\r\n"), events.ForwardKept(), events.Forward(b"text")]


def test_nothing_to_send_is_no_chunk() -> None:
    k, made = _sending(b"")
    assert (k.out, k.stand, k.job, made.owes) == ([], Stand.STREAMING, None, 0)


@pytest.mark.parametrize("octets", [b"552 5.3.4 too much\r\n", b"451 4.3.0 later\r\n"])
def test_a_refused_chunk_costs_no_connection_but_the_transaction(octets: bytes) -> None:
    k, made = _sending(b"text")
    answered(k, made, octets)
    assert (k.stand, job(k), k.in_sync, k.dirty, made.worn) == (Stand.READY, None, False, True, True)
    assert k.failure is not None
    assert k.failure.by == "backend"
    assert octets.startswith(b"%d" % k.failure.reply.code)


@pytest.mark.parametrize("code", [500, 502, 503, 555])
def test_who_does_not_know_what_a_chunk_is_is_spoken_to_no_more(code: int) -> None:
    """A server that offered CHUNKING and said 502 had read the text as commands."""
    k, made = _sending(b"text")
    answered(k, made, b"%d what?\r\n" % code)
    assert k.failure == Heard(PHRASES.say(Own.BACKEND_MISCONFIGURED), "protocol")
    assert kinds(k.out)[-2:] == ["Record", "CloseBackend"]
    close = k.out[-1]
    assert isinstance(close, events.CloseBackend)
    assert (close.reason, close.farewell) == ("misconfigured", b"")


@pytest.mark.parametrize(
    ("octets", "own"),
    [
        (b"354 go on\r\n", Own.BACKEND_NONSENSE),
        (b"hello\r\n", Own.BACKEND_NONSENSE),
        (b"421 bye\r\n", Own.BACKEND_LOST),
    ],
)
def test_nonsense_and_a_goodbye_end_the_connection(octets: bytes, own: Own) -> None:
    k, made = _sending(b"text")
    answered(k, made, octets)
    assert k.failure == Heard(PHRASES.say(own), "protocol")
    assert (kinds(k.out)[-1], k.upstream) == ("CloseBackend", None)


def test_a_reply_too_many_behind_a_chunk_is_seen_before_the_next_one() -> None:
    k, made = _sending(b"text")
    answered(k, made, b"250 ok\r\n250 2.6.0 queued\r\n")
    Courier(k).send_body(b"more")
    assert kinds(k.out) == ["Forward", "Look"]
    Courier(k).looked(events.Looked())
    assert k.failure == Heard(PHRASES.say(Own.BACKEND_NONSENSE), "protocol")
    assert k.upstream is None


@pytest.mark.parametrize(
    ("octets", "code", "by"),
    [
        (b"552 5.3.4 too much\r\n", 552, "backend"),
        (b"503 5.5.1 what?\r\n", 451, "protocol"),
        (b"250 ok\r\n", 451, "protocol"),
        (b"25", 451, "protocol"),
        (b"421 bye\r\n", 451, "protocol"),
    ],
)
def test_words_that_cut_a_chunk_off_are_heard_and_end_the_connection(octets: bytes, code: int, by: str) -> None:
    """A 250 read there is no answer to a chunk that the server never got whole."""
    k, _ = _sending(b"text")
    Courier(k).received(events.BackendBytes(octets, early=True))
    assert k.failure is not None
    assert (k.failure.reply.code, k.failure.by) == (code, by)
    assert (kinds(k.out)[-1], k.upstream, k.stand, job(k)) == ("CloseBackend", None, Stand.IDLE, None)
