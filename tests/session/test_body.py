"""The body on its way: collected, kept, streamed; and consumed to its end whatever fails."""

from dataclasses import replace

import pytest

from smtproxy.sample.script import Close, Normal, Pause, Point, Rule, Say
from smtproxy.session import events
from smtproxy.session.dialogue import Tls
from smtproxy.session.settings import BodyMode, ClientTls, RelaySettings
from smtproxy.wire.newlines import NewlineMode
from tests.fakes.laboratory import Laboratory
from tests.session.parts import HOSTNAME
from tests.session.sample import BODY, begin, begin_body, codes, greeted

_CHUNK = b"x" * 98 + b"\r\n"


def _session(body: BodyMode, *rules: Rule, disk: int = 1 << 30, **limits: float) -> Laboratory:
    return greeted(*rules, settings=RelaySettings(HOSTNAME, body=body), disk=disk, body_memory=250, **limits)


def _asked_for_data(lab: Laboratory) -> bool:
    return b"DATA" in lab.record.commands


@pytest.mark.parametrize(
    ("body", "chunks", "asked"),
    [
        (BodyMode.STREAM, 0, True),
        (BodyMode.AUTO, 0, False),
        (BodyMode.AUTO, 2, False),
        (BodyMode.AUTO, 3, True),
        (BodyMode.HOLD, 2, False),
        (BodyMode.HOLD, 9, False),
    ],
)
def test_when_the_backend_hears_of_a_body(body: BodyMode, chunks: int, asked: bool) -> None:
    lab = _session(body)
    begin_body(lab)
    for _ in range(chunks):
        lab.send(_CHUNK)
    assert _asked_for_data(lab) is asked


@pytest.mark.parametrize("body", list(BodyMode))
@pytest.mark.parametrize("chunks", [0, 1, 3, 9])
def test_it_arrives_as_it_was_sent_behind_the_trace_header(body: BodyMode, chunks: int) -> None:
    lab = _session(body)
    begin_body(lab)
    for _ in range(chunks):
        lab.send(_CHUNK)
    assert codes(lab.send(BODY + b".\r\n")) == [250]
    (delivery,) = lab.record.accepted
    assert delivery.wire.startswith(b"Received: from client.example ([192.0.2.10])\r\n by mx.example.org with ESMTP id")
    assert delivery.wire.endswith(b" +0000\r\n" + _CHUNK * chunks + BODY)
    assert lab.messages[0]["changes"] == ["trace_header"]
    assert lab.messages[0]["body"] == body.value
    assert lab.memory.left == 1 << 28
    assert not lab.kept


def test_no_trace_header_where_none_is_wanted() -> None:
    lab = greeted(settings=RelaySettings(HOSTNAME, trace_header=False))
    begin_body(lab)
    lab.send(BODY + b".\r\n")
    assert lab.record.accepted[0].wire == BODY
    assert lab.messages[0]["changes"] == []


def test_the_trace_header_tells_how_it_came() -> None:
    for hello, mail, protocol in (
        (b"HELO c.example", b"<a@b.example>", b"with SMTP id"),
        (b"EHLO c.example", b"<a@b.example> SMTPUTF8", b"with UTF8SMTP id"),
    ):
        lab = greeted()
        lab.send(hello + b"\r\nMAIL FROM:" + mail + b"\r\nRCPT TO:<c@example.org>\r\nDATA\r\n")
        lab.send(BODY + b".\r\n")
        assert protocol in lab.record.accepted[0].wire


def test_a_held_body_lies_on_disk_and_leaves_from_there() -> None:
    lab = _session(BodyMode.HOLD)
    begin_body(lab)
    for _ in range(5):
        lab.send(_CHUNK)
    assert lab.kept.count(_CHUNK[:98]) == 3
    lab.send(b".\r\n")
    assert lab.record.accepted[0].wire.endswith(_CHUNK * 5)
    assert not lab.kept


def test_two_held_bodies_do_not_mix() -> None:
    lab = _session(BodyMode.HOLD)
    for word in (b"first\r\n", b"second\r\n"):
        begin_body(lab)
        lab.send(_CHUNK * 4)
        assert codes(lab.send(word + b".\r\n")) == [250]
    assert [delivery.wire.count(_CHUNK) for delivery in lab.record.accepted] == [4, 4]
    assert b"first" not in lab.record.accepted[1].wire


def test_a_full_disk_defers_and_the_session_goes_on() -> None:
    lab = _session(BodyMode.HOLD, disk=100)
    begin_body(lab)
    lab.send(_CHUNK * 4)
    assert codes(lab.send(b"more\r\n.\r\nNOOP\r\n")) == [452, 250]
    assert not _asked_for_data(lab)
    assert not lab.kept


@pytest.mark.parametrize("body", [BodyMode.AUTO, BodyMode.STREAM])
def test_memory_that_others_use_is_no_reason_to_refuse(body: BodyMode) -> None:
    lab = _session(body)
    lab.memory.take(lab.memory.left)
    begin_body(lab)
    assert codes(lab.send(BODY + b".\r\n")) == [250]
    assert lab.memory.left == 0


def test_the_backends_refusal_of_data_is_heard_where_it_can_be() -> None:
    no = Rule(Point.DATA, (Say(b"452 4.3.1 full\r\n"),))
    lab = _session(BodyMode.STREAM, no)
    begin(lab)
    assert codes(lab.send(b"DATA\r\nNOOP\r\n"))[-1] == 554  # text behind it: never read
    lab = _session(BodyMode.STREAM, no)
    begin(lab)
    assert lab.send(b"DATA\r\n") == b"452 4.3.1 full\r\n"
    assert lab.messages[0]["outcome"] == "deferred"
    lab = _session(BodyMode.AUTO, no)
    begin_body(lab)
    assert lab.send(BODY + b".\r\n") == b"452 4.3.1 full\r\n"


@pytest.mark.parametrize(
    ("words", "heard"),
    [
        ((Say(b"552 5.3.4 enough\r\n"),), b"552 5.3.4 enough"),
        ((Say(b"451 4.3.0 later\r\n"),), b"451 4.3.0 later"),
        ((Say(b"421 4.3.2 bye\r\n"), Close()), b"451 4.3.2"),
        ((Close(),), b"451 4.3.2"),
        ((Say(b"250 2.0.0 stray\r\n"),), b"451 4.3.0"),
    ],
)
def test_the_backend_speaks_before_the_dot(words: tuple[Say | Close, ...], heard: bytes) -> None:
    lab = _session(BodyMode.STREAM, Rule(Point.BODY, words, octets=300))
    begin_body(lab)
    for _ in range(6):
        assert lab.send(_CHUNK) == b""
    assert lab.send(b".\r\n").startswith(heard)
    assert lab.record.terminators == 0
    assert codes(lab.send(b"NOOP\r\n")) == [250]


def test_a_message_that_is_too_large_is_refused_at_its_dot() -> None:
    lab = greeted(settings=replace(RelaySettings(HOSTNAME), max_message_size=300))
    begin_body(lab)
    for _ in range(4):
        lab.send(_CHUNK)
    assert codes(lab.send(b".\r\nNOOP\r\n")) == [552, 250]
    assert not _asked_for_data(lab)


def test_a_refused_message_must_end_some_day() -> None:
    lab = greeted(settings=replace(RelaySettings(HOSTNAME), max_message_size=300))
    begin_body(lab)
    heard = b"".join(lab.send(_CHUNK) for _ in range(9))
    assert codes(heard) == [421]
    assert lab.log[-1][1]["ended"] == "too_much_body"


def test_forbidden_newlines_are_refused_at_the_dot() -> None:
    for mode, text, code in (
        (NewlineMode.REJECT, b"a\nb\r\n", 554),
        (NewlineMode.PASS, b"a\n.\nb\r\n", 554),
        (NewlineMode.PASS, b"a\nb\r\n", 250),
        (NewlineMode.NORMALISE, b"a\n.\nb\r\n", 250),
    ):
        for body in BodyMode:
            lab = greeted(settings=RelaySettings(HOSTNAME, body=body, newlines=mode))
            begin_body(lab)
            assert codes(lab.send(text + b".\r\n")) == [code], (mode, body)
            assert lab.record.terminators == (1 if code == 250 else 0)


def test_normalised_newlines_are_told() -> None:
    lab = greeted()
    begin_body(lab)
    lab.send(b"a\nb\r\n.\r\n")
    assert lab.messages[0]["changes"] == ["trace_header", "newlines_normalised"]


def test_what_stands_behind_the_dot_is_the_next_command() -> None:
    lab = greeted()
    begin_body(lab)
    assert codes(lab.send(BODY + b".\r\nNOOP\r\nMAIL FROM:<x@y.example>\r\n")) == [250, 250, 250]


def test_a_slow_streamed_body_makes_room_when_others_wait() -> None:
    lab = _session(BodyMode.STREAM, crowded_rate=4096)
    begin_body(lab)
    lab.send(_CHUNK)
    lab.event(events.Recall())
    assert lab.relay.streaming  # it has just begun
    lab.pass_time(11.0)
    lab.event(events.Recall())
    assert lab.record.connections[0].ended == "client"
    assert codes(lab.send(b".\r\n")) == [451]


def test_time_that_the_backend_takes_is_not_the_clients() -> None:
    for pause in (0.0, 30.0):
        lab = _session(BodyMode.AUTO, Rule(Point.DATA, (Pause(pause), Normal())), body_time=50, body_rate=100)
        begin_body(lab)
        start = lab.now
        lab.send(b"x" * 300)
        assert _asked_for_data(lab)
        assert lab.relay.deadline == start + 50 + pause


def test_a_burst_at_the_start_buys_no_hour_of_silence() -> None:
    """100,000 octets at 100 a second were worth a thousand seconds in which a place is held for nothing."""
    lab = _session(BodyMode.STREAM, body_time=50, body_rate=100)
    begin_body(lab)
    lab.pass_time(10.0)
    lab.send(b"x" * 98 + b"\r\n")
    last = lab.now
    lab.send((b"x" * 98 + b"\r\n") * 1000)
    assert lab.relay.deadline == last + 50
    lab.pass_time(51.0)
    assert lab.codes[-1] == 421
    assert lab.messages[0]["outcome"] == "deferred"


def test_a_burst_at_the_start_does_not_keep_the_place_while_others_wait() -> None:
    lab = _session(BodyMode.STREAM, crowded_rate=4096)
    begin_body(lab)
    lab.send(_CHUNK * 1000)
    lab.pass_time(lab.settings.lease + 1)
    lab.event(events.Recall())
    held = [lab.relay.streaming]  # it was quick, taken as a whole
    lab.send(b"x\r\n")
    lab.pass_time(lab.settings.lease + 1)
    lab.event(events.Recall())
    assert [*held, lab.relay.streaming] == [True, False]
    assert codes(lab.send(b".\r\n")) == [451]


@pytest.mark.parametrize(("hello", "protocol"), [(b"EHLO", b"ESMTPS"), (b"HELO", b"SMTP")])
def test_the_trace_names_tls_where_there_is_a_name_for_it(hello: bytes, protocol: bytes) -> None:
    """RFC 3848 has none for HELO under TLS."""
    lab = Laboratory(RelaySettings(HOSTNAME, client_tls=ClientTls.IMPLICIT)).start()
    lab.event(events.Secured(Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384")))
    lab.send(hello + b" client.example\r\n")
    begin_body(lab)
    lab.send(BODY + b".\r\n")
    assert b" with " + protocol + b" id " in lab.record.accepted[0].body
