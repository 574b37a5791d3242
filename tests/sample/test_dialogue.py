"""The double under a script: each fault does what its name says, and no octets of a client ever break it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.sample.actions import Close, Reset, Send, StartTls, StopReading
from smtproxy.sample.profiles import EXCHANGE, PROFILES
from smtproxy.sample.record import BackendRecord
from smtproxy.sample.script import (
    Drip,
    Endless,
    Idle,
    Normal,
    Pause,
    Point,
    Rule,
    Say,
    Silence,
    Step,
    Store,
    Tarpit,
    reply,
)
from tests.sample.play import ENVELOPE, MESSAGE, Play, codes

SENDER, RECIPIENT = ENVELOPE.splitlines(keepends=True)


def play_rules(*rules: Rule) -> Play:
    return Play(rules=rules)


class TestReplacedReplies:
    @pytest.mark.parametrize(
        ("point", "nth", "octets"),
        [
            (Point.EHLO, None, b"EHLO a\r\n"),
            (Point.HELO, None, b"HELO a\r\n"),
            (Point.MAIL, None, SENDER),
            (Point.RCPT, None, RECIPIENT),
            (Point.RCPT, 1, RECIPIENT),
            (Point.DATA, None, b"DATA\r\n"),
            (Point.RSET, None, b"RSET\r\n"),
            (Point.NOOP, None, b"NOOP\r\n"),
            (Point.QUIT, None, b"QUIT\r\n"),
            (Point.OTHER, None, b"VRFY a\r\n"),
        ],
    )
    def test_a_command_is_answered_with_what_the_script_says(
        self, point: Point, nth: int | None, octets: bytes
    ) -> None:
        play = play_rules(Rule(point, (Say(b"451-4.3.0 a\r\n451 4.3.0 b\r\n"),), nth=nth))
        assert play.say(octets) == b"451-4.3.0 a\r\n451 4.3.0 b\r\n"
        assert not play.dialogue.ended

    def test_greeting(self) -> None:
        play = play_rules(Rule(Point.GREETING, (reply("554 5.3.2 no"), Close())))
        assert (play.greeting, play.last, play.connection.ended) == (b"554 5.3.2 no\r\n", Close(), "close")

    def test_close_before_the_greeting(self) -> None:
        assert play_rules(Rule(Point.CONNECT, (Close(),))).actions == [Close()]

    def test_a_refused_command_has_no_effect(self) -> None:
        play = play_rules(Rule(Point.MAIL, (reply("451 4.3.0 later"),), nth=1))
        play.begin()
        assert play.codes(SENDER + RECIPIENT) == [451, 503]
        assert play.codes(SENDER + RECIPIENT) == [250, 250]

    def test_a_refused_recipient_does_not_stand(self) -> None:
        play = play_rules(Rule(Point.RCPT, (reply("550 5.1.1 no"),), nth=2))
        play.begin()
        assert play.codes(ENVELOPE + b"RCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n") == [250, 250, 550, 250]
        play.say(b"DATA\r\n.\r\n")
        assert play.record.envelopes == [("a@client.example", ("user@example.org", "c@example.org"))]

    def test_another_good_reply_has_the_normal_effect(self) -> None:
        play = play_rules(Rule(Point.RCPT, (reply("251 2.1.5 will forward"),)))
        play.begin()
        assert play.codes(ENVELOPE + b"DATA\r\n") == [250, 251, 354]

    def test_no_answer_to_one_command(self) -> None:
        play = play_rules(Rule(Point.NOOP, (), nth=1))
        assert play.codes(b"NOOP\r\n") == []
        assert play.codes(b"NOOP\r\n") == [250]

    def test_garbage_has_no_effect(self) -> None:
        play = play_rules(Rule(Point.MAIL, (Say(b"\x00\xff garbage"),)))
        play.begin()
        assert play.say(SENDER) == b"\x00\xff garbage"
        assert play.codes(b"RCPT TO:<a@b.example>\r\n") == [503]

    def test_421_and_close(self) -> None:
        play = play_rules(Rule(Point.RCPT, (reply("421 4.3.2 down"), Close())))
        play.begin()
        assert play.codes(ENVELOPE + b"NOOP\r\n") == [250, 421]
        assert play.last == Close()
        assert play.connection.unread == b"NOOP\r\n"

    def test_354_where_no_recipient_stands(self) -> None:
        play = play_rules(Rule(Point.DATA, (reply("354 go"),)))
        play.begin()
        assert play.codes(b"DATA\r\n") == [354]
        assert play.codes(b"x\r\n.\r\n") == [503]
        assert (len(play.record.refused), play.connection.terminators) == (1, 1)

    def test_250_in_place_of_354_begins_no_body(self) -> None:
        play = play_rules(Rule(Point.DATA, (reply("250 2.0.0 what"),)))
        play.begin()
        assert play.codes(ENVELOPE + b"DATA\r\n") == [250, 250, 250]
        assert play.codes(b"NOOP\r\n") == [250]

    def test_chunk(self) -> None:
        play = play_rules(Rule(Point.CHUNK, (reply("451 4.3.0 later"),), nth=2))
        play.begin()
        assert play.codes(ENVELOPE + b"BDAT 1\r\naBDAT 1\r\nbBDAT 1\r\ncBDAT 0 LAST\r\n") == [
            250,
            250,
            250,
            451,
            503,
            503,
        ]
        assert play.record.accepted == []
        assert [message.body for message in play.record.refused] == [b"a" + b"b"]


class TestTheEndOfTheMessage:
    @pytest.mark.parametrize(
        ("do", "fate", "said", "replied"),
        [
            ((Normal(),), "accepted", [250], True),
            ((reply("250 2.0.0 mine"),), "accepted", [250], True),
            ((reply("451 4.3.0 later"),), "refused", [451], True),
            ((reply("354 what"),), "refused", [354], True),
            ((Say(b"garbage\r\n"),), "refused", [], True),
            ((Store(), Say(b"garbage\r\n")), "accepted", [], True),
            ((Store(), reply("451 4.3.0 a lie")), "accepted", [451], True),
            ((), "refused", [], False),
            ((Close(),), "refused", [], False),
            ((Store(), Close()), "accepted", [], False),
            ((Reset(),), "refused", [], False),
            ((Store(), Reset()), "accepted", [], False),
            ((Silence(),), "refused", [], False),
            ((Store(), Silence()), "accepted", [], False),
            ((Silence(), Normal()), "accepted", [], False),
        ],
    )
    def test_fates(self, do: tuple[Step, ...], fate: str, said: list[int], replied: bool) -> None:
        play = play_rules(Rule(Point.FINAL, do))
        assert codes(play.send()) == said
        (message,) = getattr(play.record, fate)
        assert len(play.record.accepted) + len(play.record.refused) + len(play.record.aborted) == 1
        assert (message.body, message.replied, message.accepted) == (MESSAGE, replied, fate == "accepted")
        assert play.connection.terminators == 1

    def test_delayed_acknowledgement(self) -> None:
        play = play_rules(Rule(Point.FINAL, (Store(), Pause(30), Normal())))
        assert play.send() == b""
        assert (play.waits, len(play.record.accepted), play.record.accepted[0].replied) == ([30], 1, False)
        assert codes(play.wait()) == [250]
        assert play.record.accepted[0].replied is True

    def test_the_client_leaves_before_the_late_acknowledgement(self) -> None:
        play = play_rules(Rule(Point.FINAL, (Pause(30), Normal())))
        assert play.send() == b""
        assert play.close(reset=True) == b""
        assert play.record.accepted == []
        play.wait()
        assert len(play.record.accepted) == 1
        assert (play.last, play.connection.ended) == (Close(), "client reset")


class TestTime:
    def test_pause_sends_what_was_due(self) -> None:
        play = play_rules(Rule(Point.RCPT, (Pause(5), Normal()), nth=1))
        play.begin()
        assert play.codes(ENVELOPE + b"NOOP\r\n") == [250]
        assert play.waits == [5]
        assert codes(play.wait()) == [250, 250]

    def test_tarpit_holds_the_group(self) -> None:
        play = play_rules(Rule(Point.RCPT, (Tarpit(5), reply("550 5.1.1 no")), nth=1))
        play.begin()
        assert play.say(ENVELOPE) == b""
        assert play.waits == [5]
        assert play.wait() == b"250 2.1.0 Sender OK\r\n550 5.1.1 no\r\n"

    def test_the_tarpit_of_a_profile_is_for_refusals(self) -> None:
        play = Play(replace(EXCHANGE, tarpit=5.0))
        play.begin()
        assert play.say(SENDER + b"RCPT TO:<>\r\n" + RECIPIENT) == b""
        assert codes(play.wait()) == [250, 501, 250]
        assert play.waits == [5.0]

    def test_input_waits_with_the_dialogue(self) -> None:
        play = play_rules(Rule(Point.NOOP, (Pause(1), Normal()), nth=1))
        assert play.say(b"NOOP\r\n") == play.say(b"RSET\r\n") == b""
        assert play.dialogue.backlog == 6
        assert codes(play.wait()) == [250, 250]
        assert play.record.violations == ["1: talk before the reply to noop"]

    def test_talk_before_the_greeting(self) -> None:
        play = play_rules(Rule(Point.GREETING, (Pause(1), Normal())))
        assert play.greeting == play.say(b"EHLO a\r\n") == b""
        assert codes(play.wait()) == [220, 250]
        assert play.record.violations == ["1: talk before the reply to greeting"]

    def test_a_pause_behind_the_reply_is_no_reason_to_be_silent(self) -> None:
        play = play_rules(Rule(Point.NOOP, (Normal(), Pause(1)), nth=1))
        assert play.codes(b"NOOP\r\n") == [250]
        play.say(b"NOOP\r\n")
        assert play.record.violations == []

    def test_idle_goes_on_when_the_client_is_silent(self) -> None:
        play = play_rules(Rule(Point.NOOP, (Normal(), Idle(30), reply("421 4.4.1 idle"), Close())))
        assert play.codes(b"NOOP\r\n") == [250]
        assert play.wait() == b"421 4.4.1 idle\r\n"
        assert play.last == Close()

    def test_idle_is_forgotten_when_the_client_speaks(self) -> None:
        play = play_rules(Rule(Point.NOOP, (Normal(), Idle(30), reply("421 4.4.1 idle"), Close()), nth=1))
        play.say(b"NOOP\r\n")
        assert play.codes(b"NOOP\r\n") == [250]
        assert not play.dialogue.waiting
        assert play.dialogue.timer() == []

    def test_idle_time_of_the_profile(self) -> None:
        play = Play()
        play.actions += play.dialogue.timed_out()
        assert play.actions[1:] == [Send(b"421 4.4.1 Connection timed out\r\n"), Close()]
        assert play.dialogue.timed_out() == []


class TestStaleReplies:
    def test_appended(self) -> None:
        play = play_rules(Rule(Point.MAIL, (Normal(), reply("250 2.1.0 stale"))))
        play.begin()
        assert play.say(SENDER) == b"250 2.1.0 Sender OK\r\n250 2.1.0 stale\r\n"

    def test_spontaneous_after_n_replies(self) -> None:
        play = play_rules(Rule(Point.REPLIES, (Idle(2), reply("250 stale")), nth=2))
        assert play.codes(b"EHLO a\r\n") == [250]
        assert play.wait() == b"250 stale\r\n"
        assert play.codes(b"NOOP\r\n") == [250]

    def test_after_every_reply(self) -> None:
        play = play_rules(Rule(Point.REPLIES, (reply("250 stale"),)))
        assert codes(play.greeting) == [220, 250]
        assert play.codes(b"NOOP\r\nRSET\r\n") == [250, 250, 250, 250]


class TestPlaces:
    def test_within_the_body(self) -> None:
        play = play_rules(Rule(Point.BODY, (reply("421 4.3.2 bye"), Close()), octets=3))
        play.begin()
        play.say(ENVELOPE + b"DATA\r\n")
        assert play.say(b"abc") == b"421 4.3.2 bye\r\n"
        (message,) = play.record.aborted
        assert (message.body, play.connection.ended) == (b"abc", "close")

    @pytest.mark.parametrize("step", [1, 2, 100])
    def test_an_early_refusal_and_none_at_the_dot(self, step: int) -> None:
        rules = Rule(Point.BODY, (reply("552 5.3.4 too big"),), octets=4), Rule(Point.FINAL, ())
        play = play_rules(*rules)
        play.begin()
        play.say(ENVELOPE + b"DATA\r\n")
        body = b"abcdef\r\n.\r\n"
        said = b"".join(play.say(body[at : at + step]) for at in range(0, len(body), step))
        assert said == b"552 5.3.4 too big\r\n"
        assert [message.body for message in play.record.refused] == [b"abcdef\r\n"]

    def test_at_the_start_of_the_body(self) -> None:
        play = play_rules(Rule(Point.BODY, (reply("421 4.3.2 bye"), Close())))
        play.begin()
        assert play.codes(ENVELOPE + b"DATA\r\n") == [250, 250, 354, 421]

    def test_within_a_later_chunk_and_in_one_transaction_only(self) -> None:
        play = play_rules(Rule(Point.BODY, (Reset(),), octets=4, transactions=(2,)))
        assert codes(play.send()) == [250]
        play.say(ENVELOPE + b"BDAT 3\r\nabcBDAT 3 LAST\r\nd")
        assert (play.last, play.connection.ended) == (Reset(), "reset")
        assert [message.body for message in play.record.aborted] == [b"abcd"]

    @pytest.mark.parametrize("step", [1, 3, 100])
    @pytest.mark.parametrize("end", [Close(), Reset()])
    def test_after_an_octet_received(self, end: Step, step: int) -> None:
        play = play_rules(Rule(Point.RECEIVED, (end,), octets=9))
        octets = b"NOOP\r\nNOOP\r\n"
        said = b"".join(play.say(octets[at : at + step]) for at in range(0, len(octets), step))
        assert codes(said) == [250]
        assert play.ends == [end]
        assert play.connection.received == octets[:9]
        assert play.connection.unread.endswith(octets[9:])

    @pytest.mark.parametrize("end", [Close(), Reset()])
    def test_after_an_octet_sent(self, end: Step) -> None:
        play = play_rules(Rule(Point.SENT, (end,), octets=100))
        play.say(b"EHLO a\r\n")
        assert (play.last, len(play.connection.sent)) == (end, 100)

    def test_a_pause_within_a_reply(self) -> None:
        play = play_rules(Rule(Point.SENT, (Pause(1),), octets=1), Rule(Point.SENT, (Say(b"!"),), octets=3))
        assert play.greeting == b"2"
        assert play.wait().startswith(b"20! mx1")
        assert play.connection.sent.startswith(b"220! mx1.example.org")

    def test_a_reply_cut_in_two_counts_when_it_is_whole(self) -> None:
        greeting = len(Play().greeting)
        hello = len(Play().say(b"EHLO mx.example.net\r\n"))
        before = greeting + hello + len(b"250 2.1.0 Sender OK\r\n250 2.1.5 Recipient OK\r\n")
        before += len(b"354 Start mail input; end with <CRLF>.<CRLF>\r\n")
        play = play_rules(Rule(Point.SENT, (Pause(1),), octets=before + 3))
        assert play.send() == b"250"
        (message,) = play.record.accepted
        assert message.replied is False
        play.wait()
        assert [message.replied, message.reply[-10:]] == [True, b"delivery\r\n"]


class TestManner:
    def test_octet_by_octet(self) -> None:
        play = play_rules(Rule(Point.NOOP, (Drip(), Normal())))
        start = len(play.actions)
        assert play.say(b"NOOP\r\n") == b"250 2.0.0 OK\r\n"
        assert play.actions[start:] == [Send(bytes([octet])) for octet in b"250 2.0.0 OK\r\n"]

    def test_octet_by_octet_with_time(self) -> None:
        play = play_rules(Rule(Point.NOOP, (Drip(0.5), reply("250"))))
        assert [play.say(b"NOOP\r\n"), *(play.wait() for _ in range(4))] == [b"2", b"5", b"0", b"\r", b"\n"]
        assert play.waits == [0.5] * 4
        assert not play.dialogue.waiting

    def test_silence_still_takes_the_mail(self) -> None:
        play = play_rules(Rule(Point.BODY, (Silence(),), octets=1))
        assert play.send() == b""
        assert play.codes(b"NOOP\r\n") == []
        (message,) = play.record.accepted
        assert (message.replied, message.reply, play.connection.terminators) == (False, b"", 1)

    def test_silence_from_the_greeting(self) -> None:
        play = play_rules(Rule(Point.GREETING, (Silence(),)))
        assert (play.greeting, play.say(b"EHLO a\r\n")) == (b"", b"")
        assert play.connection.commands == [b"EHLO a"]

    def test_stop_reading(self) -> None:
        play = play_rules(Rule(Point.BODY, (StopReading(),), octets=2))
        play.begin()
        play.say(ENVELOPE + b"DATA\r\n")
        play.say(b"abcd")
        play.say(b"ef\r\n.\r\n")
        assert play.ends == [StopReading()]
        assert play.connection.unread == b"cdef\r\n.\r\n"
        play.close()
        assert [message.body for message in play.record.aborted] == [b"ab"]

    def test_endless_octets_end_with_the_client(self) -> None:
        play = play_rules(Rule(Point.NOOP, (Endless(b"250-x\r\n"),)))
        first = play.say(b"NOOP\r\n")
        assert first == play.wait() == b"250-x\r\n" * (16_384 // 7)
        assert play.waits == [0.0, 0.0]
        play.close()
        assert play.wait() == b""
        assert play.last == Close()

    def test_endless_nothing_is_nothing(self) -> None:
        assert play_rules(Rule(Point.NOOP, (Endless(b""), Normal()))).codes(b"NOOP\r\n") == [250]


class TestWhichConnection:
    def test_only_the_first(self) -> None:
        record = BackendRecord()
        rules = (Rule(Point.MAIL, (reply("451 4.3.0 later"),), connections=(1,)),)
        said = []
        for _ in range(2):
            play = Play(rules=rules, record=record)
            play.begin()
            said += play.codes(SENDER)
        assert said == [451, 250]
        assert [connection.number for connection in record.connections] == [1, 2]


class TestTheEndOfTheConnection:
    def test_the_client_closes(self) -> None:
        play = Play()
        play.close()
        assert (play.last, play.connection.ended) == (Close(), "client")
        assert play.close() == play.say(b"NOOP\r\n") == b""
        assert play.connection.unread == b"NOOP\r\n"

    def test_dot_quit_and_fin_in_one_packet(self) -> None:
        play = play_rules(Rule(Point.FINAL, (Pause(1), Normal())))
        play.begin()
        play.say(ENVELOPE + b"DATA\r\n")
        assert play.say(MESSAGE + b".\r\nQUIT\r\n") == play.close() == b""
        assert codes(play.wait()) == [250, 221]
        assert play.connection.ended == "close"

    def test_a_reset_loses_what_was_not_read(self) -> None:
        play = play_rules(Rule(Point.NOOP, (Pause(1), Normal())))
        play.say(b"NOOP\r\n")
        play.say(b"RSET\r\n")
        play.close(reset=True)
        play.wait()
        assert play.connection.commands == [b"NOOP"]

    def test_an_endless_line(self) -> None:
        play = Play()
        for _ in range(70):
            play.say(b"x" * 1000)
        assert play.connection.sent.endswith(b"500 5.5.2 Line too long\r\n")
        assert play.last == Close()


class TestSaving:
    def test_a_message_is_saved_before_it_is_acknowledged(self) -> None:
        play = Play(saving=True)
        assert play.send() == b""
        assert (play.saves, play.record.accepted) == (1, [])
        assert codes(play.saved(ok=True)) == [250]
        assert len(play.record.accepted) == 1
        assert play.dialogue.saved(True) == []

    def test_a_full_disk(self) -> None:
        play = Play(saving=True)
        play.send()
        assert play.saved(ok=False) == b"452 4.3.1 Insufficient system resources\r\n"
        assert (play.record.accepted, len(play.record.refused)) == ([], 1)
        assert play.codes(b"NOOP\r\n") == [250]

    @pytest.mark.parametrize("ok", [True, False])
    @pytest.mark.parametrize("do", [(Store(), Close()), (reply("250 mine"), Close())])
    def test_scripted_replies_are_saved_too(self, do: tuple[Step, ...], ok: bool) -> None:
        play = Play(rules=(Rule(Point.FINAL, do),), saving=True)
        play.send()
        play.saved(ok=ok)
        assert [len(play.record.accepted), len(play.record.refused)] == [int(ok), int(not ok)]

    def test_a_refused_message_is_not_saved(self) -> None:
        play = Play(replace(EXCHANGE, max_size=1), saving=True)
        assert codes(play.send()) == [552]
        assert play.saves == 0


def test_nothing_is_kept_when_not_asked_for() -> None:
    play = Play(record=BackendRecord(keep=False))
    assert codes(play.send()) == [250]
    play.say(b"QUIT\r\n")
    play.say(b"late")
    connection = play.connection
    assert connection.received + connection.sent + connection.unread == b""
    assert connection.commands == []
    assert play.record.messages == 1


TALK = [
    b"EHLO a\r\n",
    b"HELO a\r\n",
    SENDER,
    RECIPIENT,
    b"DATA\r\n",
    b"BDAT 4\r\nab\r\n",
    b"BDAT 0 LAST\r\n",
    b"RSET\r\n",
    b"QUIT\r\n",
    b"x\r\n.\r\n",
    b"\n",
    b"\r",
    b".",
    b"\x00\xff",
    b"BDAT 99999\r\n",
]
STEPS: list[Step] = [
    Normal(),
    Say(b"250 x\r\n"),
    Say(b"45"),
    reply("354 go"),
    Store(),
    Pause(1),
    Tarpit(1),
    Idle(1),
    Silence(),
    Drip(),
    Drip(1),
    Endless(b"x"),
    Close(),
    Reset(),
    StopReading(),
]
RULES = st.builds(
    Rule,
    st.sampled_from(Point),
    st.lists(st.sampled_from(STEPS), max_size=4).map(tuple),
    nth=st.none() | st.integers(1, 3),
    octets=st.integers(0, 300),
    transactions=st.sampled_from([(), (1,), (2,)]),
)


@given(
    st.lists(st.sampled_from(TALK) | st.binary(max_size=20), max_size=20),
    st.lists(RULES, max_size=4),
    st.sampled_from(sorted(PROFILES)),
    st.booleans(),
    st.booleans(),
)
def test_no_octets_and_no_script_break_it(
    talk: list[bytes], rules: list[Rule], profile: str, saving: bool, reset: bool
) -> None:
    play = Play(PROFILES[profile], tuple(rules), saving=saving)
    for octets in talk:
        play.say(octets)
        if play.dialogue.waiting:
            play.wait()
        if play.dialogue.saving:
            play.saved(ok=reset)
    play.close(reset=reset)
    for _ in range(3000):
        if play.dialogue.saving:
            play.saved(ok=True)
        elif play.dialogue.waiting:
            play.wait()
        else:
            break
    assert play.dialogue.ended
    assert sum(isinstance(action, Close | Reset) for action in play.actions) == 1
    assert play.connection.sent == b"".join(action.octets for action in play.actions if isinstance(action, Send))


@given(st.lists(st.sampled_from(TALK), max_size=25), st.integers(1, 7), st.sampled_from(sorted(PROFILES)))
def test_cuts_do_not_change_what_is_said_and_taken(talk: list[bytes], step: int, profile: str) -> None:
    octets = b"EHLO a\r\n" + b"".join(talk)
    whole, cut = Play(PROFILES[profile]), Play(PROFILES[profile])
    whole.say(octets)
    for at in range(0, len(octets), step):
        cut.say(octets[at : at + step])
    assert whole.connection.sent == cut.connection.sent
    assert whole.connection.commands == cut.connection.commands
    assert whole.record.accepted == cut.record.accepted
    assert whole.record.refused == cut.record.refused


SECURE = replace(EXCHANGE, texts=replace(EXCHANGE.texts, starttls="220 2.0.0 SMTP server ready"))


def test_a_handshake_begins_behind_the_220_and_forgets_what_was_said() -> None:
    """RFC 3207 4.2: the hello, an open transaction, and what stands behind STARTTLS in clear text."""
    play = Play(SECURE)
    assert b"250-STARTTLS\r\n" in play.say(b"EHLO a\r\n")
    play.say(b"MAIL FROM:<a@b.example>\r\n")
    assert play.say(b"STARTTLS\r\nEHLO injected\r\n") == b"220 2.0.0 SMTP server ready\r\n"
    assert play.actions[-1] == StartTls()
    assert play.connection.violations == ["talk before the reply to starttls"]
    assert play.say(b"RCPT TO:<user@example.org>\r\n").startswith(b"503 5.5.2 Send hello first")
    assert b"STARTTLS" not in play.say(b"EHLO a\r\n")
    assert play.say(b"STARTTLS\r\n").startswith(b"503 5.5.1")


def test_no_handshake_where_the_answer_was_no_220() -> None:
    for play in (Play(EXCHANGE), Play(SECURE, (Rule(Point.STARTTLS, (Say(b"454 no\r\n"),)),))):
        play.say(b"EHLO a\r\n")
        assert play.say(b"STARTTLS\r\n").startswith(b"454")
        assert StartTls() not in play.actions
        assert play.say(b"MAIL FROM:<a@b.example>\r\n").startswith(b"250")
    assert Play(SECURE).say(b"STARTTLS now\r\n").startswith(b"501")
