"""Verdicts put into effect: refusals never reach the backend, delays hold no place, drops end the session."""

import pytest

from smtproxy.session import events
from smtproxy.session.settings import OpenMode, RelaySettings
from smtproxy.session.verdicts import Accepted, Refused, Stage
from tests.fakes.laboratory import Laboratory
from tests.session.parts import HOSTNAME, NEVER
from tests.session.sample import BODY, CHECK, begin, begin_body, codes, delay, greeted, refuse


def test_a_refused_hello_leaves_the_client_without_one() -> None:
    lab = greeted()
    refuse(lab, Stage.HELLO)
    assert codes(lab.send(b"EHLO bad.example\r\nMAIL FROM:<a@b.example>\r\n")) == [550, 503]
    assert lab.dialogue.hello is None


def test_a_refused_sender_is_never_heard_of() -> None:
    lab = greeted()
    refuse(lab, Stage.MAIL)
    assert codes(lab.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@example.org>\r\n")) == [550, 503]
    assert lab.record.opened == 0
    assert (lab.messages[0]["outcome"], lab.messages[0]["by"]) == ("rejected", CHECK)


def test_a_refused_recipient_is_never_heard_of() -> None:
    lab = greeted()
    begin(lab)
    refuse(lab, Stage.RECIPIENT)
    assert codes(lab.send(b"RCPT TO:<no@example.org>\r\n")) == [550]
    lab.on_judge = lab.verdict
    assert codes(lab.send(b"RCPT TO:<yes@example.org>\r\n")) == [250]
    assert b"RCPT TO:<no@example.org>" not in lab.record.commands


def test_a_refused_data_leaves_the_transaction() -> None:
    lab = greeted()
    begin(lab)
    refuse(lab, Stage.DATA)
    assert codes(lab.send(b"DATA\r\n")) == [550]
    assert b"DATA" not in lab.record.commands
    lab.on_judge = lab.verdict
    assert codes(lab.send(b"DATA\r\n")) == [354]


@pytest.mark.parametrize("stage", [Stage.HELLO, Stage.MAIL, Stage.RECIPIENT, Stage.DATA])
def test_a_drop_ends_the_session_behind_its_reply(stage: Stage) -> None:
    lab = greeted()
    if stage in (Stage.RECIPIENT, Stage.DATA):
        begin(lab)
    refuse(lab, stage, drop=True)
    command = {Stage.HELLO: b"EHLO x", Stage.MAIL: b"MAIL FROM:<a@b.example>", Stage.DATA: b"DATA"}
    assert codes(lab.send(command.get(stage, b"RCPT TO:<x@example.org>") + b"\r\n")) == [550]
    assert lab.finished
    assert (lab.log[-1][1]["ended"], lab.log[-1][1]["by"]) == ("dropped", CHECK)


def test_a_delayed_session_holds_no_connection() -> None:
    lab = greeted()
    begin(lab)
    delay(lab, Stage.RECIPIENT, 3.0)
    before = lab.now
    lab.on_wait = lambda: None if lab.relay.waits_for is not events.Wait.DELAY else _assert_nothing_is_held(lab.line)
    assert codes(lab.send(b"RCPT TO:<late@example.org>\r\n")) == [250]
    assert lab.now == before + 3.0
    assert lab.record.opened == 2


def _in_a_delay() -> Laboratory:
    lab = greeted()
    begin(lab)
    delay(lab, Stage.RECIPIENT, 3.0)
    lab.event(events.ClientBytes(b"RCPT TO:<late@example.org>\r\n"))
    assert lab.relay.waits_for is events.Wait.DELAY
    assert len(lab.tarpit) == 1
    return lab


@pytest.mark.parametrize(
    "end",
    [
        events.Timeout(),
        events.ClientClosed("lost"),
        events.Shutdown(now=True),
        events.Crashed(),
        events.Judged(Accepted(Stage.MESSAGE)),
    ],
    ids=lambda event: type(event).__name__,
)
def test_whatever_ends_a_delay_its_place_is_given_back_once(end: events.Event) -> None:
    lab = _in_a_delay()
    assert lab.tarpit.enter("192.0.2.10") == ""
    lab.pass_time(1.0)
    lab.event(end)
    assert len(lab.tarpit) == 1
    lab.event(events.Timeout())
    lab.event(events.Crashed())
    assert len(lab.tarpit) == 1


@pytest.mark.parametrize("passing", [events.Shutdown(), events.Recall()], ids=lambda event: type(event).__name__)
def test_what_does_not_end_a_delay_leaves_its_place(passing: events.Event) -> None:
    lab = _in_a_delay()
    lab.event(passing)
    assert lab.relay.waits_for is events.Wait.DELAY
    assert len(lab.tarpit) == 1


def test_too_many_sleepers_of_one_client_and_the_verdict_comes_at_once() -> None:
    lab = greeted()
    for _ in range(4):
        assert lab.tarpit.enter("192.0.2.10") == ""
    begin(lab)
    delay(lab, Stage.RECIPIENT, 3.0)
    before = lab.now
    assert codes(lab.send(b"RCPT TO:<r@example.org>\r\n" * 2)) == [250, 250]
    assert lab.now == before
    assert len(lab.tarpit) == 4
    lab.close()
    assert lab.log[-1][1]["delays_left_out"] == {"max_per_client": 2}


def test_a_refusal_that_is_not_delayed_is_a_refusal() -> None:
    lab = greeted()
    for _ in range(4):
        lab.tarpit.enter("192.0.2.10")
    lab.on_judge = lambda asked: Refused(asked, NEVER, CHECK, delay=9.0)
    assert codes(lab.send(b"MAIL FROM:<a@b.example>\r\n")) == [550]


def _assert_nothing_is_held(line: object) -> None:
    assert line is None


def test_a_verdict_of_another_stage_is_a_fault_of_ours() -> None:
    lab = greeted()
    lab.on_judge = lambda _: None
    lab.send(b"MAIL FROM:<a@b.example>\r\n")
    lab.event(events.Judged(Accepted(Stage.MESSAGE)))
    assert lab.finished
    assert lab.codes[-1] == 421
    assert lab.log[-1][1]["ended"] == "crash"


def test_an_unasked_verdict_is_a_fault_of_ours() -> None:
    lab = greeted()
    lab.event(events.Judged(Accepted(Stage.MESSAGE)))
    assert lab.log[-1][1]["ended"] == "crash"


def test_the_backends_own_word_about_mail_where_it_is_opened_early() -> None:
    for opening in (OpenMode.MAIL, OpenMode.CONNECT):
        lab = greeted(settings=RelaySettings(HOSTNAME, open=opening))
        assert lab.send(b"MAIL FROM:<a@b.example>\r\n") == b"250 2.1.0 Sender OK\r\n"
        assert b"MAIL FROM:<a@b.example>" in lab.record.commands
    lab = greeted()
    lab.send(b"MAIL FROM:<a@b.example>\r\n")
    assert lab.record.opened == 0


def test_findings_are_noted_where_they_belong() -> None:
    lab = greeted()
    note = {"check": CHECK, "stage": "mail"}
    lab.on_judge = lambda stage: Accepted(stage, (note,)) if stage in (Stage.HELLO, Stage.MAIL) else lab.verdict(stage)
    lab.send(b"EHLO client.example\r\n")
    begin_body(lab)
    lab.send(BODY + b".\r\nQUIT\r\n")
    assert lab.messages[0]["findings"] == [note]
    assert lab.log[-1][1]["findings"] == [note]
