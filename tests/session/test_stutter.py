"""Refusals said octet by octet: an octet a second, nothing that is not decided, and a reply that has begun is whole."""

import pytest

from smtproxy.session import events
from smtproxy.session.settings import RelaySettings
from smtproxy.session.slots import Slot
from smtproxy.session.stutter import Stutter, decided
from smtproxy.session.tarpit import TarpitSettings
from smtproxy.session.verdicts import Accepted, Refused, Stage
from smtproxy.wire.replies import Reply
from tests.fakes.laboratory import Laboratory
from tests.session.parts import HOSTNAME, NEVER
from tests.session.sample import CHECK, begin, codes

RCPT = b"RCPT TO:<late@example.org>\r\n"
REFUSAL = NEVER.encode()


def _greeted() -> Laboratory:
    lab = Laboratory(RelaySettings(HOSTNAME), tarpit=TarpitSettings(stutter=True))
    lab.start()
    lab.send(b"EHLO client.example\r\n")
    return lab


def _refusing(stage: Stage, seconds: float = 5.0, *, drop: bool = False) -> Laboratory:
    lab = _greeted()
    if stage is not Stage.MAIL:
        begin(lab)
    lab.on_judge = lambda asked: (
        Refused(asked, NEVER, CHECK, delay=seconds, drop=drop) if asked is stage else lab.verdict(asked)
    )
    return lab


def _octets(lab: Laboratory) -> list[tuple[float, bytes]]:
    """What the client was sent, and when, from the first delay on."""
    return [(when, what.octets) for when, what in lab.timeline if isinstance(what, events.Answer)]


def test_a_delayed_refusal_comes_an_octet_a_second_and_its_rest_at_the_end() -> None:
    lab = _refusing(Stage.RECIPIENT)
    began, before = lab.now, lab.dialogue.octets_out
    assert lab.send(RCPT) == REFUSAL
    wanted = [(began + second, REFUSAL[second - 1 : second]) for second in range(1, 5)]
    assert _octets(lab)[-5:] == [*wanted, (began + 5, REFUSAL[4:])]
    assert lab.dialogue.octets_out - before == len(REFUSAL)
    assert len(lab.tarpit) == 0
    lab.on_judge = lab.verdict
    assert codes(lab.send(RCPT)) == [250]


def test_the_end_of_a_reply_is_held_until_its_delay_is_over() -> None:
    stutter = Stutter(Slot("RCPT"), Reply(550, (b"no",)), 60.0)
    said = [stutter.next() for _ in range(9)]
    assert b"".join(said) == b"550 n"
    assert said[5:] == [b""] * 4


def test_a_longer_delay_than_the_reply_ends_with_the_delay() -> None:
    lab = _refusing(Stage.RECIPIENT, 60.0)
    began = lab.now
    assert lab.send(RCPT) == REFUSAL
    assert _octets(lab)[-1] == (began + 60, REFUSAL[-3:])


def test_a_refused_mail_has_its_line_before_its_reply_is_whole() -> None:
    lab = _refusing(Stage.MAIL)
    assert lab.send(b"MAIL FROM:<a@b.example>\r\n") == REFUSAL
    what = [one for _, one in lab.timeline]
    line = next(place for place, one in enumerate(what) if isinstance(one, events.Record))
    rest = next(place for place, one in enumerate(what) if one == events.Answer(REFUSAL[4:]))
    assert line < rest


def test_whoever_is_accepted_hears_no_stutter() -> None:
    lab = _greeted()
    begin(lab)
    lab.on_judge = lambda asked: Accepted(asked, delay=5.0)
    began = lab.now
    assert codes(lab.send(RCPT)) == [250]
    assert [when for when, _ in _octets(lab)][-1] == began + 5
    assert len(_octets(lab)[-1][1]) > 1


def test_without_the_setting_nobody_does() -> None:
    lab = Laboratory(RelaySettings(HOSTNAME))
    lab.start()
    lab.on_judge = lambda asked: Refused(asked, NEVER, CHECK, delay=5.0)
    assert lab.send(b"EHLO client.example\r\n") == REFUSAL
    assert _octets(lab)[-1][1] == REFUSAL


@pytest.mark.parametrize("end", [events.Shutdown(now=True), events.Crashed()], ids=lambda event: type(event).__name__)
def test_what_has_begun_is_said_to_its_end_whatever_happens(end: events.Event) -> None:
    """The 421 of a drain behind a "5" would be a reply of nobody's."""
    lab = _refusing(Stage.RECIPIENT)
    mark = len(lab.heard)
    lab.event(events.ClientBytes(RCPT))
    lab.event(events.Timeout())
    assert lab.heard[mark:] == b"5"
    lab.event(end)
    assert lab.heard[mark:] == REFUSAL
    assert lab.finished
    assert len(lab.tarpit) == 0


def test_before_the_first_octet_a_goodbye_is_one() -> None:
    lab = _refusing(Stage.RECIPIENT)
    lab.event(events.ClientBytes(RCPT))
    lab.event(events.Shutdown(now=True))
    assert lab.codes[-1] == 421


def test_a_client_that_leaves_is_told_no_more() -> None:
    lab = _refusing(Stage.RECIPIENT)
    mark = len(lab.heard)
    lab.event(events.ClientBytes(RCPT))
    lab.event(events.Timeout())
    lab.event(events.ClientClosed("lost"))
    assert lab.heard[mark:] == b"5"
    assert lab.finished
    assert len(lab.tarpit) == 0


def test_what_was_asked_before_is_answered_before() -> None:
    """The recipients of a group wait for the backend: the refusal behind them is not said in front of their answers."""
    lab = _greeted()
    lab.send(b"MAIL FROM:<a@b.example>\r\n")
    lab.on_judge = lambda asked: (
        Refused(asked, NEVER, CHECK, delay=5.0)
        if lab.dialogue.recipients == 2 and asked is Stage.RECIPIENT
        else lab.verdict(asked)
    )
    assert codes(lab.send(b"RCPT TO:<r@example.org>\r\n" + RCPT)) == [250, NEVER.code]


def test_a_dropped_client_hears_the_whole_refusal() -> None:
    lab = _refusing(Stage.RECIPIENT, drop=True)
    assert lab.send(RCPT) == REFUSAL
    assert lab.log[-1][1]["ended"] == "dropped"


@pytest.mark.parametrize(
    ("verdict", "reply"),
    [
        (Refused(Stage.CONNECT, NEVER, CHECK), NEVER),
        (Refused(Stage.PROTOCOL, NEVER, CHECK), NEVER),
        (Accepted(Stage.PROTOCOL), Reply(500, (b"5.5.1 what?",))),
        (Accepted(Stage.RECIPIENT), None),
        (Refused(Stage.DATA, NEVER, CHECK), None),
        (Refused(Stage.MESSAGE, NEVER, CHECK), None),
    ],
)
def test_only_what_is_decided_is_said(verdict: Accepted | Refused, reply: Reply | None) -> None:
    assert decided(verdict, Reply(500, (b"5.5.1 what?",))) == reply
