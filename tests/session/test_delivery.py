"""From the verdict about a message to the reply to its dot."""

import pytest

from smtproxy.sample.script import Normal, Pause, Point, Rule, Say, Script, Silence
from smtproxy.session import events
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.settings import BodyMode, Chunking, RelaySettings
from smtproxy.session.verdicts import Accepted, Stage, Verdict
from tests.fakes.laboratory import Laboratory
from tests.session.parts import HOSTNAME
from tests.session.sample import BODY, CHECK, begin_body, codes, delay, greeted, refuse


@pytest.mark.parametrize("body", list(BodyMode))
def test_a_refused_message_never_ends_at_the_backend(body: BodyMode) -> None:
    lab = greeted(settings=RelaySettings(HOSTNAME, body=body))
    begin_body(lab)
    refuse(lab, Stage.MESSAGE)
    assert codes(lab.send(BODY + b".\r\n")) == [550]
    assert lab.record.terminators == 0
    assert not lab.lines(LogEvent.COMMIT)
    (line,) = lab.messages
    assert (line["outcome"], line["by"], line["client_heard"]) == ("rejected", CHECK, True)
    lab.on_judge = lab.verdict
    begin_body(lab)
    assert codes(lab.send(BODY + b".\r\n")) == [250]


def test_a_dropped_message_ends_the_session() -> None:
    lab = greeted()
    begin_body(lab)
    refuse(lab, Stage.MESSAGE, drop=True)
    assert codes(lab.send(BODY + b".\r\nNOOP\r\n")) == [550]
    assert lab.messages[0]["outcome"] == "dropped"
    assert lab.finished


def test_what_a_delivery_leaves_behind() -> None:
    lab = greeted()
    begin_body(lab)
    heard = lab.send(b"Message-ID: <1@x>\r\n\r\nhello\r\n.\r\n")
    (commit,) = lab.lines(LogEvent.COMMIT)
    (line,) = lab.messages
    assert commit == {
        "session": "testsession",
        "transaction": "testsession.1",
        "server": "backend:25",
        "sender": "me@client.example",
        "recipients": 1,
        "size": len(b"Message-ID: <1@x>\r\n\r\nhello\r\n"),
        "message_id": "<1@x>",
    }
    assert (line["outcome"], line["by"], line["server"]) == ("delivered", "backend", "backend:25")
    assert line["reply"] == line["backend_reply"] == heard.decode().strip()
    assert lab.record.accepted[0].reply == heard


@pytest.mark.parametrize(
    ("words", "outcome", "code"),
    [
        (b"450 4.2.0 later\r\n", "deferred", 450),
        (b"554 5.6.0 no\r\n", "rejected", 554),
        (b"354 go\r\n", "unknown", 451),
    ],
)
def test_the_backends_last_word(words: bytes, outcome: str, code: int) -> None:
    lab = greeted(Rule(Point.FINAL, (Say(words),)))
    begin_body(lab)
    assert codes(lab.send(BODY + b".\r\n")) == [code]
    assert lab.messages[0]["outcome"] == outcome


def test_a_delayed_verdict_is_put_into_effect_when_its_time_has_come() -> None:
    lab = greeted()
    begin_body(lab)
    delay(lab, Stage.MESSAGE, 4.0)
    before = lab.now
    assert codes(lab.send(BODY + b".\r\n")) == [250]
    assert lab.now == before + 4.0


@pytest.mark.parametrize("body", [BodyMode.AUTO, BodyMode.STREAM])
def test_a_backend_that_goes_while_the_verdict_is_awaited_gets_no_empty_message(body: BodyMode) -> None:
    lab = greeted(settings=RelaySettings(HOSTNAME, body=body), body_memory=5)
    begin_body(lab)
    lab.send(BODY)
    lab.on_judge = lambda _: None
    lab.send(b".\r\n")
    assert lab.relay.waits_for is events.Wait.VERDICT
    assert lab.line is not None
    lab.line.vanish()
    lab.event(events.BackendClosed())
    lab.event(events.Judged(Accepted(Stage.MESSAGE)))
    lab.run()
    assert lab.codes[-1] == 451
    assert lab.record.opened == 1
    assert not lab.record.accepted


def test_a_commit_never_comes_later_than_commit_by() -> None:
    slow = Rule(Point.DATA, (Pause(110.0), Normal()))
    lab = greeted(slow, settings=RelaySettings(HOSTNAME, commit_by=100.0))
    begin_body(lab)
    assert lab.send(BODY + b".\r\n").startswith(b"451 4.4.5")
    assert not lab.record.accepted
    assert not lab.lines(LogEvent.COMMIT)


def test_the_client_does_not_wait_beyond_commit_by() -> None:
    lab = greeted(Rule(Point.DATA, (Silence(),)), settings=RelaySettings(HOSTNAME, commit_by=100.0))
    begin_body(lab)
    dot = lab.now
    assert lab.send(BODY + b".\r\n").startswith(b"451 4.4.5")
    assert lab.now == dot + 100.0


def test_a_late_verdict_counts_towards_commit_by() -> None:
    lab = greeted(settings=RelaySettings(HOSTNAME, commit_by=100.0))
    begin_body(lab)
    lab.on_judge = lambda _: None
    lab.send(BODY + b".\r\n")
    assert lab.relay.deadline == lab.now + 100.0
    lab.now += 101.0
    lab.event(events.Judged(Accepted(Stage.MESSAGE)))
    lab.run()
    assert lab.heard.splitlines()[-1].startswith(b"451 4.4.5")
    assert not lab.lines(LogEvent.COMMIT)


@pytest.mark.parametrize("body", list(BodyMode))
@pytest.mark.parametrize(("lain", "codes_heard"), [(99.0, [250]), (100.0, [451]), (5000.0, [451])])
def test_the_time_a_dot_lay_unread_counts_towards_commit_by(
    body: BodyMode, lain: float, codes_heard: list[int]
) -> None:
    """A slow backend kept us from reading it, and its sender's timer was running."""
    lab = greeted(settings=RelaySettings(HOSTNAME, commit_by=100.0, body=body), session_time=86400)
    begin_body(lab)
    lab.now += lain
    lab.event(events.ClientBytes(BODY + b".\r\n", since=lab.now - lain))
    lab.run()
    assert lab.codes[-len(codes_heard) :] == codes_heard
    assert len(lab.record.accepted) == codes_heard.count(250)
    assert len(lab.lines(LogEvent.COMMIT)) == codes_heard.count(250)


@pytest.mark.parametrize("gone", [True, False])
def test_a_client_that_is_gone_is_delivered_for_and_not_told(gone: bool) -> None:
    lab = greeted()
    begin_body(lab)

    def leave(effect: events.Effect) -> None:
        lab.client_gone = lab.client_gone or (gone and isinstance(effect, events.Commit))

    lab.on_write = leave
    heard = lab.send(BODY + b".\r\n")
    (line,) = lab.messages
    assert (line["outcome"], line["client_heard"]) == ("delivered", not gone)
    assert lab.finished is gone
    assert bool(heard) is not gone


def test_a_client_that_left_before_the_commit_gets_none() -> None:
    lab = greeted()
    begin_body(lab)

    def verdict(stage: Stage) -> Verdict:
        lab.client_gone = stage is Stage.MESSAGE
        return lab.verdict(stage)

    lab.on_judge = verdict
    lab.send(BODY + b".\r\n")
    assert lab.record.terminators == 0
    (line,) = lab.messages
    assert (line["outcome"], line["by"], line["client_heard"]) == ("aborted", "client", False)


def test_junk_between_mails_is_forgiven_by_a_delivery() -> None:
    lab = greeted()
    lab.send(b"NOOP\r\n" * 5)
    assert lab.dialogue.junk == 5
    begin_body(lab)
    lab.send(BODY + b".\r\n")
    assert (lab.dialogue.junk, lab.dialogue.delivered) == (0, 1)
    assert lab.servers.script == Script()


def test_the_fate_of_a_message_does_not_wait_for_what_was_pipelined_behind_it() -> None:
    """The next RCPT took minutes, and the 250 lay here: its sender gave up, and sent the message again."""
    lab = greeted(Rule(Point.RCPT, (Silence(),), transactions=(2,)))
    begin_body(lab)
    lab.send(BODY + b".\r\nMAIL FROM:<two@client.example>\r\nRCPT TO:<r1@example.org>\r\n")
    fate = lab.timeline.index(next(one for one in lab.timeline if isinstance(one[1], events.Commit)))
    answers = [(at, what) for at, what in lab.timeline[fate:] if isinstance(what, events.Answer)]
    assert answers[0][1].octets.startswith(b"250 2.6.0 ")
    assert answers[0][0] < answers[1][0]


def test_answers_before_a_last_chunk_do_not_wait_for_its_fate() -> None:
    lab = greeted(Rule(Point.FINAL, (Silence(),)))
    text = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<r1@example.org>\r\nBDAT 2\r\n\r\nBDAT 2 LAST\r\n\r\n"
    lab.send(text)
    answers = [(at, what) for at, what in lab.timeline if isinstance(what, events.Answer)][-3:]
    assert [codes(what.octets) for _, what in answers] == [[250, 250], [250], [451]]
    assert answers[1][0] < answers[2][0]


_FIELD = b"Authentication-Results: mx.example.org; spf=pass\r\n"


def _in_front(lab: Laboratory, stage: Stage, *, whole: bool = True) -> None:
    """Let the policy put a field in front, as late as at this stage."""

    def judge(asked: Stage) -> Verdict:
        if asked is Stage.DATA:
            return Accepted(asked, whole=whole, header=_FIELD if stage is asked else b"")
        return Accepted(asked, header=_FIELD) if stage is asked else lab.verdict(asked)

    lab.on_judge = judge


@pytest.mark.parametrize("chunking", [Chunking.NEVER, Chunking.ALWAYS])
@pytest.mark.parametrize("size", [10, 5000, 200_000])
@pytest.mark.parametrize("stage", [Stage.DATA, Stage.MESSAGE])
@pytest.mark.parametrize("body", [BodyMode.AUTO, BodyMode.HOLD])
def test_a_field_of_ours_goes_in_front_of_all(body: BodyMode, stage: Stage, size: int, chunking: Chunking) -> None:
    """In memory and on disk, by DATA and by BDAT. A message that must be judged whole is held, however large."""
    settings = RelaySettings(HOSTNAME, body=body, chunking=chunking)
    lab = greeted(settings=settings, body_memory=16384)
    _in_front(lab, stage)
    begin_body(lab)
    text = b"Subject: x\r\n\r\n" + b"..dots\r\n" * (size // 8)
    sent = [text[at : at + 4096] for at in range(0, len(text), 4096)]
    for piece in sent[:-1]:
        lab.send(piece)
        assert lab.record.terminators == 0
        assert not lab.lines(LogEvent.COMMIT)
    assert codes(lab.send(sent[-1] + b".\r\n")) == [250]
    (delivered,) = lab.record.accepted
    assert delivered.body.startswith(_FIELD + b"Received: ")
    assert delivered.body.endswith(text.replace(b"\r\n..", b"\r\n."))
    (line,) = lab.messages
    assert line["body"] == "hold"
    assert "authentication_results" in str(line["changes"])


def test_what_streams_gets_its_field_at_data_or_not_at_all() -> None:
    lab = greeted(settings=RelaySettings(HOSTNAME, body=BodyMode.STREAM))
    _in_front(lab, Stage.MESSAGE)
    begin_body(lab)
    assert codes(lab.send(BODY + b".\r\n")) == [250]
    assert lab.record.accepted[0].body.startswith(b"Received: ")
    assert "authentication_results" not in str(lab.messages[0]["changes"])
    _in_front(lab, Stage.DATA)
    begin_body(lab)
    assert codes(lab.send(BODY + b".\r\n")) == [250]
    assert lab.record.accepted[1].body.startswith(_FIELD + b"Received: ")


@pytest.mark.parametrize("body", list(BodyMode))
def test_fields_that_claim_to_be_ours_are_taken_out(body: BodyMode) -> None:
    lab = greeted(settings=RelaySettings(HOSTNAME, body=body, authserv_id="mx.example.org", trace_header=False))
    begin_body(lab)
    forged = b"Authentication-Results: MX.example.org;\r\n\tspf=pass smtp.mailfrom=x\r\n"
    foreign = b"Authentication-Results: other.example; spf=fail\r\n"
    rest = b"Subject: x\r\n" + foreign + b"\r\nAuthentication-Results: mx.example.org; in=body\r\n"
    for octet in forged + rest + b".\r\n":
        lab.send(bytes([octet]))
    assert lab.record.accepted[0].body == rest
    assert lab.messages[0]["changes"] == ["authentication_results_removed 1"]


def test_a_held_message_is_read_back_as_it_was_sent() -> None:
    """For those who look at it whole: dots undone, without what is ours, from memory and from disk."""
    text = b"Subject: x\r\n\r\n..one dot\r\n" + b"y" * 30_000 + b"\r\n...\r\n"
    for chunking, memory in ((Chunking.NEVER, 1 << 20), (Chunking.NEVER, 8192), (Chunking.ALWAYS, 8192)):
        lab = greeted(settings=RelaySettings(HOSTNAME, body=BodyMode.HOLD, chunking=chunking), body_memory=memory)
        seen: list[bytes] = []

        def judge(asked: Stage, lab: Laboratory = lab, seen: list[bytes] = seen) -> Verdict:
            held = lab.relay.held
            if asked is Stage.MESSAGE and held is not None:
                seen.append(held.as_sent(bytes(lab.kept)))
            return lab.verdict(asked)

        lab.on_judge = judge
        begin_body(lab)
        lab.send(text + b".\r\n")
        assert seen == [text.replace(b"\r\n..", b"\r\n.")]
