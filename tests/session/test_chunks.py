"""BDAT of the client: each announced octet is consumed, none is a command, whatever becomes of the message."""

from dataclasses import replace

import pytest

from smtproxy.sample.script import Normal, Pause, Point, Rule
from smtproxy.session import events
from smtproxy.session.chunks import looks_like
from smtproxy.session.settings import BodyMode, Chunking, RelaySettings
from smtproxy.session.verdicts import Stage
from tests.fakes.laboratory import Laboratory
from tests.session.parts import HOSTNAME
from tests.session.sample import begin, codes, delay, greeted, refuse

_SMALL = RelaySettings(HOSTNAME, max_message_size=1000)


def _session(settings: RelaySettings | None = None, **limits: float) -> Laboratory:
    lab = greeted(settings=settings, disk=1 << 30, **limits)
    begin(lab)
    return lab


@pytest.mark.parametrize("body", list(BodyMode))
@pytest.mark.parametrize("chunking", list(Chunking))
def test_a_message_in_chunks_arrives(body: BodyMode, chunking: Chunking) -> None:
    lab = _session(RelaySettings(HOSTNAME, body=body, chunking=chunking), chunk=8, chunk_end=4, body_memory=200)
    assert codes(lab.send(b"BDAT 16\r\nSubject: x\r\n\r\n.\rBDAT 4\r\n\nabcBDAT 3 LAST\r\n.\r\n")) == [250, 250, 250]
    (delivery,) = lab.record.accepted
    dots = b"." if chunking is Chunking.NEVER else b""
    assert delivery.wire.endswith(b" +0000\r\nSubject: x\r\n\r\n" + dots + b".\r\nabc.\r\n")
    assert delivery.via == ("DATA" if chunking is Chunking.NEVER else "BDAT")
    assert lab.memory.left == 1 << 28


def test_our_250_to_a_chunk_promises_nothing() -> None:
    lab = _session()
    assert codes(lab.send(b"BDAT 6\r\ntext\r\n")) == [250]
    assert not lab.record.accepted
    lab.close()
    assert (lab.messages[0]["outcome"], lab.effects(events.Commit)) == ("aborted", [])


def test_a_check_refuses_the_first_chunk_and_thereby_all() -> None:
    lab = _session()
    refuse(lab, Stage.DATA)
    assert codes(lab.send(b"BDAT 6\r\nQUIT\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")) == [
        550,
        550,
        550,
        250,
    ]
    assert (lab.messages[0]["outcome"], lab.messages[0]["by"]) == ("rejected", "some_check")
    begin(lab)


def test_a_check_drops_the_client_at_its_first_chunk() -> None:
    lab = _session()
    refuse(lab, Stage.DATA, drop=True)
    assert codes(lab.send(b"BDAT 6\r\nQUIT\r\n")) == [550]
    assert lab.finished
    assert lab.messages[0]["outcome"] == "dropped"


def test_a_verdict_that_is_late_finds_the_chunk_where_it_was() -> None:
    lab = _session()
    delay(lab, Stage.DATA, 5.0)
    lab.send(b"BDAT 6 LAST\r\ntext\r\n")
    lab.pass_time(6.0)
    assert lab.codes[-1] == 250
    assert len(lab.record.accepted) == 1


@pytest.mark.parametrize("verb", [b"DATA", b"MAIL FROM:<a@b.example>", b"RCPT TO:<two@example.org>"])
def test_nothing_but_chunks_goes_on_with_the_message(verb: bytes) -> None:
    lab = _session()
    lab.send(b"BDAT 6\r\ntext\r\n")
    assert codes(lab.send(verb + b"\r\n")) == [503]
    assert codes(lab.send(b"BDAT 0 LAST\r\n")) == [250]


def test_chunks_are_no_early_talk() -> None:
    lab = greeted()
    lab.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<one@example.org>\r\nBDAT 2 LAST\r\n\r\nNOOP\r\n")
    assert lab.codes[-4:] == [250] * 4
    assert lab.messages[0]["findings"] == []


def test_chunks_worth_their_command_do_not_use_up_the_commands() -> None:
    """50 MB in chunks of 4 KB were more commands than a session may send: the mail never came through."""
    lab = _session(commands=5)
    for _ in range(20):
        assert codes(lab.send(b"BDAT 600\r\n" + bytes(600))) == [250]
    assert codes(lab.send(b"BDAT 1\r\nxBDAT 1\r\nxBDAT 1\r\nx")) == [250, 250, 421]


def test_what_is_refused_is_bounded_over_all_its_chunks() -> None:
    lab = greeted(settings=_SMALL)
    refuse(lab, Stage.DATA)
    begin(lab)
    lab.send(b"BDAT 900\r\n" + bytes(900))
    assert not lab.finished
    lab.send(b"BDAT 900\r\n" + bytes(200))
    assert (lab.codes[-1], lab.finished) == (421, True)


def test_a_misplaced_chunk_is_an_error_of_the_client() -> None:
    lab = greeted()
    lab.send(b"BDAT 6\r\nQUIT\r\n")
    assert lab.dialogue.errors == 1


def test_a_client_that_leaves_in_a_dropped_chunk() -> None:
    lab = greeted()
    lab.send(b"BDAT 6\r\nQU")
    lab.close()
    assert lab.lines(lab.log[-1][0])[-1]["ended"] == "closed"


def test_its_time_is_bounded_however_little_comes() -> None:
    lab = greeted(body_time=10, body_rate=10)
    lab.send(b"BDAT 100 LAST\r\n")
    seconds = 0
    while not lab.finished:
        lab.pass_time(1.0)
        lab.send(b"x")
        seconds += 1
    assert seconds == 10 + 100 / 10


@pytest.mark.parametrize(("text", "like"), [(b"BDAT", True), (b" bdat\x01", True), (b"BDA", False), (b"XBDAT", False)])
def test_what_looks_like_a_chunk(text: bytes, like: bool) -> None:
    assert looks_like(text) is like


def test_a_chunk_is_not_counted_before_it_is_complete() -> None:
    lab = _session(replace(_SMALL, body=BodyMode.STREAM))
    assert lab.send(b"BDAT 10\r\n123456789") == b""
    assert codes(lab.send(b"0")) == [250]


def test_a_recalled_chunk_gives_its_place_back_at_once() -> None:
    """A refused body by BDAT leaves the connection open for RSET: but others wait for it."""
    settings = RelaySettings(HOSTNAME, body=BodyMode.STREAM)
    lab = _session(settings, chunk=4, chunk_end=1)
    lab.send(b"BDAT 100\r\n0123456789")
    lab.now += settings.lease + 1
    lab.event(events.Recall())
    assert lab.line is None
    assert codes(lab.send(bytes(90))) == [451]


def test_the_time_for_the_reply_to_a_chunk_begins_behind_its_last_octet() -> None:
    """A held message of 50 MB goes as one chunk: on a slow line its writing alone took longer than a reply may."""
    settings = RelaySettings(HOSTNAME, body=BodyMode.HOLD, commit_by=1000.0)
    lab = greeted(Rule(Point.CHUNK, (Pause(170.0), Normal())), settings=settings, chunk_end=1)
    begin(lab)

    def write(effect: events.Effect) -> None:
        if isinstance(effect, events.Forward) and effect.octets.startswith(b"BDAT"):
            lab.now += 170.0
            lab.relay.backend_took(170.0)

    lab.on_write = write
    assert codes(lab.send(b"BDAT 6 LAST\r\ntext\r\n")) == [250]


def test_a_garbled_chunk_behind_a_group_is_heard_by_the_group() -> None:
    """The group had not left: nothing was said to the client, and the log told of a 501 that it never heard."""
    lab = greeted()
    group = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<user@example.org>\r\n"
    assert codes(lab.send(group + b"BDAT:5\r\nQUIT\r\n")) == [250, 501, 501]
    (line,) = lab.messages
    assert (line["recipients_accepted"], line["client_heard"]) == (0, True)
    assert lab.finished
