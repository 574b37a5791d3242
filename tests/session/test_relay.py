"""The relay as its driver sees it: what it waits for, until when, and that every event may come at any time."""

import pytest

from smtproxy.sample.script import Normal, Pause, Point, Rule, Silence
from smtproxy.session import events
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.settings import BodyMode, OpenMode, RelaySettings
from smtproxy.session.verdicts import Accepted, Stage
from tests.fakes.laboratory import Laboratory
from tests.session.parts import HOSTNAME
from tests.session.sample import BODY, begin, begin_body, codes, greeted


def test_verdicts_come_as_events_where_nobody_judges_on_the_spot() -> None:
    lab = Laboratory()
    lab.on_judge = lambda _: None
    lab.start()
    assert lab.timeline[-1][1] == events.Judge(Stage.CONNECT)
    assert lab.relay.waits_for is events.Wait.VERDICT


@pytest.mark.parametrize("opening", list(OpenMode))
def test_when_the_backend_is_opened(opening: OpenMode) -> None:
    lab = Laboratory(RelaySettings(HOSTNAME, open=opening)).start()
    opened = [lab.record.opened]
    for command in (b"EHLO c.example\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@example.org>\r\n"):
        lab.send(command)
        opened.append(lab.record.opened)
    assert (
        opened
        == {
            OpenMode.CONNECT: [1, 1, 1, 1],
            OpenMode.MAIL: [0, 0, 1, 1],
            OpenMode.RECIPIENT: [0, 0, 0, 1],
        }[opening]
    )


def test_a_client_has_its_time_for_a_command_and_single_octets_do_not_renew_it() -> None:
    lab = greeted(command_time=300)
    due = lab.relay.deadline
    assert due == lab.now + 300
    lab.pass_time(100)
    lab.send(b"NO")
    assert lab.relay.deadline == due
    lab.send(b"OP\r\n")
    assert lab.relay.deadline == lab.now + 300
    lab.pass_time(301)
    assert lab.codes[-1] == 421
    assert lab.log[-1][1]["ended"] == "timeout"


def test_a_body_must_keep_its_rate() -> None:
    lab = greeted(settings=RelaySettings(HOSTNAME, lease=500), body_time=100, body_rate=10)
    begin_body(lab)
    start = lab.now
    for _ in range(3):
        lab.pass_time(30)
        lab.send(b"x" * 100)
    assert lab.relay.deadline == start + 100 + 30
    assert lab.relay.in_body
    lab.pass_time(41)
    assert lab.codes[-1] == 421


def test_a_session_does_not_last_for_ever() -> None:
    lab = greeted(session_time=1000)
    for _ in range(10):
        lab.pass_time(99)
        lab.send(b"NOOP\r\n")
    assert lab.relay.deadline == 2000.0
    lab.pass_time(11)
    assert lab.finished


@pytest.mark.parametrize("between", [b"", b"NOOP\r\n"])
def test_a_session_does_not_go_on_for_ever_while_its_commands_wait_for_the_backend(between: bytes) -> None:
    """The client is never awaited here: all of its commands were there at the start. It held a place for hours."""
    lab = greeted(Rule(Point.RCPT, (Pause(100.0), Normal())), session_time=250)
    start = lab.now
    heard = codes(lab.send(b"MAIL FROM:<me@client.example>\r\n" + between.join([b"RCPT TO:<a@example.org>\r\n"] * 40)))
    assert heard[-1] == 421
    assert lab.finished
    assert lab.log[-1][1]["ended"] == "timeout"
    assert lab.now == start + 250


def test_a_lease_runs_out_and_the_envelope_is_replayed() -> None:
    lab = greeted()
    begin(lab, recipients=2)
    held = [lab.relay.recallable_since]
    lab.pass_time(10.5)
    assert lab.record.connections[0].ended == "close"
    assert [*held, lab.relay.recallable_since] == [1000.0, None]
    assert codes(lab.send(b"DATA\r\n")) == [354]
    assert codes(lab.send(BODY + b".\r\n")) == [250]
    assert lab.record.opened == 2
    assert lab.record.envelopes == [("me@client.example", ("r0@example.org", "r1@example.org"))]
    assert lab.messages[0]["replays"] == 1


def test_a_recall_gives_an_idle_connection_back_at_once() -> None:
    lab = greeted()
    begin(lab)
    lab.event(events.Recall())
    assert lab.line is None
    assert not lab.finished


def test_only_the_end_of_data_timer_ends_the_wait_behind_the_commit() -> None:
    lab = greeted(Rule(Point.FINAL, (Silence(),)))
    begin_body(lab)
    lab.on_wait = lambda: _nobody_hurries(lab)
    start = lab.now
    assert codes(lab.send(BODY + b".\r\n")) == [451, 421]
    assert lab.now == start + 600
    assert lab.messages[0]["outcome"] == "unknown"


def _nobody_hurries(lab: Laboratory) -> None:
    """Behind the commit: a recall, a drain, and the order to end at once change nothing."""
    if lab.relay.committed:
        assert lab.relay.deadline == lab.now + 600
        for event in (events.Recall(), events.Shutdown(), events.Shutdown(now=True)):
            assert lab.relay.handle(event, lab.now) == []
        assert lab.relay.waits_for is events.Wait.BACKEND


def test_a_late_final_reply_is_the_final_reply() -> None:
    lab = greeted(Rule(Point.FINAL, (Pause(599.0), Normal())))
    begin_body(lab)
    assert codes(lab.send(BODY + b".\r\n")) == [250]


def test_a_drain_lets_the_transaction_end() -> None:
    lab = greeted()
    begin_body(lab)
    lab.event(events.Shutdown())
    assert codes(lab.send(BODY + b".\r\n")) == [250, 421]
    assert lab.log[-1][1]["ended"] == "shutdown"


def test_a_drain_lets_no_transaction_begin_that_was_sent_ahead() -> None:
    lab = greeted(Rule(Point.FINAL, (Pause(5.0), Normal())))
    begin_body(lab)
    lab.on_judge = lambda _: None
    lab.send(BODY + b".\r\nMAIL FROM:<b@client.example>\r\nRCPT TO:<c@example.org>\r\n")
    lab.event(events.Shutdown())
    lab.event(events.Judged(Accepted(Stage.MESSAGE)))
    lab.run()
    assert lab.codes[-2:] == [250, 421]
    assert lab.finished
    assert len(lab.messages) == 1


def test_a_drain_ends_a_session_that_is_between_two() -> None:
    lab = greeted()
    lab.event(events.Shutdown())
    assert lab.codes[-1] == 421
    assert lab.finished
    assert lab.relay.lingers


@pytest.mark.parametrize("body", list(BodyMode))
def test_an_order_to_end_at_once_ends_everything_but_a_commit(body: BodyMode) -> None:
    lab = greeted(settings=RelaySettings(HOSTNAME, body=body))
    begin_body(lab)
    lab.send(BODY)
    lab.event(events.Shutdown(now=True))
    assert lab.codes[-1] == 421
    assert lab.messages[0]["outcome"] == "deferred"
    assert lab.record.terminators == 0


@pytest.mark.parametrize("how", ["closed", "reset", "lost"])
def test_a_client_that_leaves_is_told_nothing_and_the_log_tells_how(how: str) -> None:
    lab = greeted()
    begin(lab)
    lab.close(how)
    assert lab.finished
    assert not lab.relay.lingers
    assert (lab.log[-1][1]["ended"], lab.log[-1][1]["by"]) == (how, "client")
    assert lab.messages[0]["outcome"] == "aborted"


def test_the_relay_says_what_a_half_close_means() -> None:
    lab = greeted()
    begin_body(lab)
    assert not lab.relay.dot_read
    lab.on_judge = lambda _: None
    lab.send(BODY + b".\r\n")
    assert lab.relay.dot_read


def test_a_streamed_body_says_so() -> None:
    lab = greeted(settings=RelaySettings(HOSTNAME, body=BodyMode.STREAM))
    begin_body(lab)
    assert lab.relay.streaming
    lab = greeted()
    begin_body(lab)
    assert not lab.relay.streaming


def test_after_the_end_nothing_happens() -> None:
    lab = greeted()
    lab.send(b"QUIT\r\n")
    for event in (events.ClientBytes(b"NOOP\r\n"), events.Timeout(), events.Crashed(), events.ClientClosed()):
        assert lab.relay.handle(event, lab.now) == []
    assert lab.relay.waits_for is events.Wait.END
    assert len(lab.lines(LogEvent.SESSION)) == 1


def test_the_session_line_knows_how_long_was_waited_for_whom() -> None:
    lab = greeted(Rule(Point.RCPT, (Pause(5.0), Normal())))
    lab.pass_time(3.0)
    begin(lab)
    lab.send(b"QUIT\r\n")
    assert lab.log[-1][1]["waited"] == {"client": 3.0, "backend": 5.0}


def test_a_verdict_that_never_comes_is_a_fault_of_ours() -> None:
    lab = greeted()
    lab.on_judge = lambda _: None
    lab.send(b"MAIL FROM:<a@b.example>\r\n")
    lab.now = lab.relay.deadline
    lab.event(events.Timeout())
    assert lab.codes[-1] == 421
    assert lab.log[-1][1]["ended"] == "crash"


# What the log tells


def test_the_log_tells_what_was_heard_and_not_what_stood_behind_a_goodbye() -> None:
    """The second recipient was refused, but its client heard 421 and nothing of it."""
    lab = greeted(Rule(Point.RCPT, (Silence(),)))
    lab.on_wait = lambda: events.Shutdown(now=True) if lab.relay.waits_for is events.Wait.BACKEND else None
    group = b"MAIL FROM:<a@c.example>\r\nRCPT TO:<one@example.org>\r\nRCPT TO:<two@elsewhere.example>\r\n"
    assert codes(lab.send(group)) == [250, 421]
    (line,) = lab.messages
    assert (line["outcome"], line["by"]) == ("deferred", "protocol")
    assert str(line["reply"]).startswith("421 4.3.2")
    assert [one["reply"] for one in line["recipients"]][1] is None  # type: ignore[attr-defined] # a list of mappings


@pytest.mark.parametrize(("late", "said"), [(False, b"451 4.3.2"), (True, b"451 4.4.5")])
def test_a_terminator_that_was_withdrawn_commits_nothing(late: bool, said: bytes) -> None:
    lab = greeted(settings=RelaySettings(HOSTNAME, commit_by=20.0))
    begin_body(lab)

    def write(effect: events.Effect) -> events.Event | None:
        if not isinstance(effect, events.Commit):
            return None
        lab.now += 20.0 * late
        return events.Withdrawn()

    lab.on_write = write
    assert lab.send(BODY + b".\r\n").startswith(said)
    assert lab.messages[0]["outcome"] == "deferred"


def test_a_withdrawal_that_nobody_waits_for_means_nothing() -> None:
    lab = greeted()
    lab.event(events.Withdrawn())
    assert codes(lab.send(b"NOOP\r\n")) == [250]
