"""A body taken slowly: so many octets a second, without a backend connection, and never at the cost of the message."""

import math
from dataclasses import replace

import pytest

from smtproxy.session import events
from smtproxy.session.limits import LIMITS
from smtproxy.session.pacing import Pacing
from smtproxy.session.records import Event
from smtproxy.session.settings import BodyMode, Chunking, RelaySettings
from smtproxy.session.tarpit import PaceFor, TarpitSettings
from smtproxy.session.verdicts import Accepted, Stage
from tests.fakes.laboratory import Laboratory
from tests.session.parts import HOSTNAME
from tests.session.sample import begin, codes

TEXT = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 500
LETTER = TEXT + b".\r\n"
PACE = 1000
ALL = TarpitSettings(pace=PACE, pace_for=PaceFor.ALL)
SOME = TarpitSettings(pace=PACE)


def _greeted(settings: RelaySettings | None = None, tarpit: TarpitSettings = ALL, disk: int = 1 << 30) -> Laboratory:
    lab = Laboratory(settings or RelaySettings(HOSTNAME), tarpit=tarpit, disk=disk)
    lab.start()
    lab.send(b"EHLO client.example\r\n")
    return lab


def _suspected(lab: Laboratory, at: Stage = Stage.RECIPIENT) -> None:
    lab.on_judge = lambda stage: Accepted(stage, suspect=stage is at)


def _seconds(lab: Laboratory, octets: bytes, expected: list[int]) -> float:
    """Say it; return after how many seconds the replies were heard."""
    before = lab.now
    assert codes(lab.send(octets)) == expected
    return lab.now - before


# The decision alone


def test_a_portion_is_taken_at_once_and_the_next_one_waits_for_what_it_was_worth() -> None:
    pacing = Pacing(500, 100.0, patience=math.inf, until=math.inf)
    assert pacing.portion == 500
    assert pacing.pause(100.0, 100.0) is None
    pacing.took(250, 100.0)
    assert pacing.pause(100.0, 100.0) == 100.5
    assert pacing.pause(100.5, 100.0) is None


@pytest.mark.parametrize(
    ("patience", "until", "end"), [(0.25, 200.0, 100.25), (50.0, 100.75, 100.75), (50.0, 200.0, 101.0)]
)
def test_no_pause_lasts_longer_than_the_message_can_bear(patience: float, until: float, end: float) -> None:
    pacing = Pacing(500, 100.0, patience=patience, until=until)
    pacing.took(500, 100.0)
    assert pacing.pause(100.0, 100.0) == end
    assert pacing.pause(end, 100.0) is None


def test_a_pause_that_ended_a_hair_too_early_has_ended() -> None:
    pacing = Pacing(500, 100.0, patience=math.inf, until=math.inf)
    pacing.took(500, 100.0)
    early = math.nextafter(101.0, 0.0)
    assert pacing.pause(early, 100.0) == 101.0
    pacing.over(early)
    assert pacing.pause(early, 100.0) is None


# In a session


@pytest.mark.parametrize("body", [BodyMode.AUTO, BodyMode.HOLD])
def test_a_body_takes_as_long_as_the_pace_says_and_arrives_whole(body: BodyMode) -> None:
    lab = _greeted(RelaySettings(HOSTNAME, body=body))
    begin(lab)
    lab.send(b"DATA\r\n")
    assert _seconds(lab, LETTER, [250]) == len(LETTER) // PACE
    (delivery,) = lab.record.accepted
    assert delivery.wire.endswith(TEXT)
    assert len(lab.tarpit) == 0
    lab.send(b"QUIT\r\n")
    (line,) = lab.lines(Event.SESSION)
    assert line["waited"]["pace"] == len(LETTER) // PACE  # type: ignore[index] # a dictionary, as the log has it


@pytest.mark.parametrize("chunking", list(Chunking))
def test_chunks_are_paced_together_even_if_they_came_with_their_commands(chunking: Chunking) -> None:
    lab = _greeted(RelaySettings(HOSTNAME, chunking=chunking))
    begin(lab)
    half = len(TEXT) // 2
    chunks = b"BDAT %d\r\n%bBDAT %d LAST\r\n%bNOOP\r\n" % (half, TEXT[:half], len(TEXT) - half, TEXT[half:])
    taken = _seconds(lab, chunks, [250, 250, 250])
    assert abs(taken - len(TEXT) / PACE) < 1.0
    (delivery,) = lab.record.accepted
    assert TEXT.removesuffix(b"\r\n") in delivery.wire
    assert len(lab.tarpit) == 0


def test_what_stands_behind_the_final_dot_is_read_in_its_order() -> None:
    lab = _greeted()
    begin(lab)
    lab.send(b"DATA\r\n")
    behind = b"NOOP %b\r\n" % (b"x" * 40) * 50 + b"VRFY someone\r\n" + b"NOOP\r\n"
    assert codes(lab.send(LETTER + behind)) == [250] * 51 + [252, 250]


@pytest.mark.parametrize(
    ("at", "slow"), [(Stage.MAIL, True), (Stage.RECIPIENT, True), (Stage.DATA, True), (None, False)]
)
def test_only_a_transaction_with_findings_is_slowed(at: Stage | None, slow: bool) -> None:
    lab = _greeted(tarpit=SOME)
    if at is not None:
        _suspected(lab, at)
    begin(lab)
    lab.send(b"DATA\r\n")
    assert (_seconds(lab, LETTER, [250]) > 0) is slow
    lab.on_judge = lab.verdict
    begin(lab)
    lab.send(b"DATA\r\n")
    assert _seconds(lab, LETTER, [250]) == 0


def test_a_paced_body_holds_no_backend_connection() -> None:
    lab = _greeted()
    begin(lab)
    lab.send(b"DATA\r\n")
    assert lab.line is not None
    held = []

    def look() -> None:
        if lab.relay.waits_for is events.Wait.PACE:
            held.append(lab.line)

    lab.on_wait = look
    lab.send(LETTER)
    assert held
    assert set(held) == {None}


def test_a_body_that_streams_is_not_slowed() -> None:
    lab = _greeted(RelaySettings(HOSTNAME, body=BodyMode.STREAM))
    begin(lab)
    lab.send(b"DATA\r\n")
    assert _seconds(lab, LETTER, [250]) == 0


def test_a_body_that_memory_does_not_hold_is_slowed_until_it_must_stream() -> None:
    lab = _greeted(RelaySettings(HOSTNAME, limits=replace(LIMITS, body_memory=2500)))
    begin(lab)
    lab.send(b"DATA\r\n")
    assert _seconds(lab, LETTER, [250]) == 2
    assert len(lab.tarpit) == 0


def test_above_the_bounds_of_the_tarpit_nobody_is_slowed() -> None:
    lab = _greeted(tarpit=TarpitSettings(pace=PACE, pace_for=PaceFor.ALL, max_total=1))
    lab.tarpit.enter("198.51.100.1")
    begin(lab)
    lab.send(b"DATA\r\n")
    assert _seconds(lab, LETTER, [250]) == 0
    lab.send(b"QUIT\r\n")
    (line,) = lab.lines(Event.SESSION)
    assert line["delays_left_out"] == {"max_total": 1}


def test_our_own_limits_do_not_end_what_we_slow_down() -> None:
    """Nine seconds of pauses, where the client has two for a block, and must send faster than it is let."""
    lab = _greeted(RelaySettings(HOSTNAME, limits=replace(LIMITS, body_time=2, body_rate=10**6)))
    begin(lab)
    lab.send(b"DATA\r\n")
    assert _seconds(lab, LETTER, [250]) == len(LETTER) // PACE


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({"commit_by": 8.0}, 4.0),
        ({"session_time": 6.0}, 3.0),
    ],
)
def test_the_pace_ends_where_it_would_cost_the_message(settings: dict[str, float], seconds: float) -> None:
    """The dot came with the first octet: half of commit_by is over when the last one is taken."""
    limits = replace(LIMITS, session_time=settings.get("session_time", LIMITS.session_time))
    lab = _greeted(RelaySettings(HOSTNAME, commit_by=settings.get("commit_by", 300.0), limits=limits))
    begin(lab)
    lab.send(b"DATA\r\n")
    assert _seconds(lab, LETTER, [250]) == seconds


@pytest.mark.parametrize(
    ("end", "heard"),
    [
        (events.ClientClosed("lost"), []),
        (events.Shutdown(now=True), [421]),
        (events.Crashed(), [421]),
    ],
    ids=lambda one: type(one).__name__,
)
def test_whatever_ends_a_pause_commits_nothing_and_makes_room(end: events.Event, heard: list[int]) -> None:
    lab = _greeted()
    begin(lab)
    lab.send(b"DATA\r\n")
    lab.event(events.ClientBytes(LETTER))
    assert (lab.relay.waits_for, len(lab.tarpit)) == (events.Wait.PACE, 1)
    mark = len(lab.heard)
    lab.event(end)
    assert codes(lab.heard[mark:]) == heard
    assert lab.finished
    assert len(lab.tarpit) == 0
    assert not lab.record.accepted


@pytest.mark.parametrize("event", [events.Recall(), events.Shutdown()], ids=lambda one: type(one).__name__)
def test_a_wish_changes_nothing_of_a_pause(event: events.Event) -> None:
    lab = _greeted()
    begin(lab)
    lab.send(b"DATA\r\n")
    lab.event(events.ClientBytes(LETTER))
    lab.event(event)
    assert lab.relay.waits_for is events.Wait.PACE
    lab.run()
    assert len(lab.record.accepted) == 1


def test_a_session_whose_time_is_over_is_told_so_in_a_pause() -> None:
    lab = _greeted()
    begin(lab)
    lab.send(b"DATA\r\n")
    lab.event(events.ClientBytes(LETTER))
    lab.now += lab.settings.limits.session_time
    assert lab.relay.deadline <= lab.now
    lab.event(events.Timeout())
    assert lab.codes[-1] == 421
    assert lab.finished
