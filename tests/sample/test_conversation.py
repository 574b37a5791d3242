"""The double's protocol: order of commands, parameters, limits, BDAT, and what it notes about an incorrect client."""

from dataclasses import replace

import pytest

from smtproxy.sample.actions import Close
from smtproxy.sample.profile import UnknownRecipients
from smtproxy.sample.profiles import EXCHANGE, EXCHANGE_SERIAL, POSTFIX
from smtproxy.sample.record import Recipient
from tests.sample.play import ENVELOPE, MESSAGE, Play


@pytest.mark.parametrize(
    ("before", "command", "expected"),
    [
        (b"", b"MAIL FROM:<a@b.example>", b"503 5.5.2 Send hello first"),
        (b"", b"RCPT TO:<a@b.example>", b"503 5.5.2 Send hello first"),
        (b"", b"DATA", b"503 5.5.2 Send hello first"),
        (b"EHLO a\r\n", b"RCPT TO:<a@b.example>", b"503 5.5.2 Need mail command"),
        (b"EHLO a\r\n", b"DATA", b"503 5.5.2 Need mail command"),
        (b"EHLO a\r\nMAIL FROM:<>\r\n", b"DATA", b"503 5.5.2 Need rcpt command"),
        (b"EHLO a\r\nMAIL FROM:<>\r\n", b"MAIL FROM:<>", b"503 5.5.2 Sender already specified"),
        (b"EHLO a\r\nMAIL FROM:<>\r\nRSET\r\n", b"MAIL FROM:<>", b"250 2.1.0 Sender OK"),
        (b"EHLO a\r\nMAIL FROM:<>\r\nEHLO a\r\n", b"MAIL FROM:<>", b"250 2.1.0 Sender OK"),
        (b"EHLO a\r\n", b"MAIL FROM:a", b"550 5.1.7 Invalid address"),
        (b"EHLO a\r\n", b"MAIL FROM:<a@b.example> X=1", b"501 5.5.4 Unrecognized parameter"),
        (b"EHLO a\r\n", b"MAIL FROM:<a@b.example> SIZE=x", b"501 5.5.4 Invalid arguments"),
        (b"EHLO a\r\n", b"MAIL FROM:<a@b.example> SIZE=37748736", b"250 2.1.0 Sender OK"),
        (b"EHLO a\r\n", b"MAIL FROM:<a@b.example> SIZE=37748737", b"552 5.3.4"),
        (b"EHLO a\r\nMAIL FROM:<>\r\n", b"RCPT TO:a", b"501 5.1.3 Invalid address"),
        (b"EHLO a\r\nMAIL FROM:<>\r\n", b"RCPT TO:<>", b"501 5.1.3 Invalid address"),
        (b"EHLO a\r\nMAIL FROM:<>\r\n", b"RCPT TO:<postmaster>", b"250 2.1.5 Recipient OK"),
        (b"EHLO a\r\nMAIL FROM:<>\r\n", b"RCPT TO:<a@b.example> NOTIFY=NEVER", b"250 2.1.5 Recipient OK"),
        (b"EHLO a\r\nMAIL FROM:<>\r\n", b"RCPT TO:<a@b.example> SIZE=1", b"501 5.5.4 Unrecognized parameter"),
        (b"EHLO a\r\n" + ENVELOPE, b"DATA now", b"501 5.5.4 Invalid arguments"),
        (b"EHLO a\r\n", b"RSET now", b"501 5.5.4 Invalid arguments"),
        (b"EHLO a\r\n", b"QUIT now", b"501 5.5.4 Invalid arguments"),
        (b"", b"NOOP anything", b"250 2.0.0 OK"),
        (b"", b"VRFY a", b"252 2.1.5 Cannot VRFY user"),
        (b"", b"AUTH NTLM", b"504 5.7.4 Unrecognized authentication type"),
        (b"", b"STARTTLS", b"454 4.7.0 TLS not available"),
        (b"", b"XEXCH50 1 2", b"500 5.3.3 Unrecognized command"),
        (b"", b"", b"500 5.3.3 Unrecognized command"),
        (b"HELO a\r\n", b"MAIL FROM:<a@b.example> SIZE=1", b"501 5.5.4 Unrecognized parameter"),
        (b"HELO a\r\n", b"BDAT 3 LAST", b"500 5.3.3 Unrecognized command"),
        (b"EHLO a\r\n", b"BDAT x", b"501 5.5.4 Invalid arguments"),
    ],
)
def test_answers(before: bytes, command: bytes, expected: bytes) -> None:
    play = Play()
    for line in before.splitlines(keepends=True):
        assert play.codes(line) == [250]
    assert play.say(command + b"\r\n").startswith(expected)


def test_the_envelope_is_recorded_with_its_parameters() -> None:
    play = Play()
    play.begin()
    play.say(b"MAIL FROM:<a@b.example> SIZE=5 BODY=8BITMIME RET=HDRS ENVID=x\r\n")
    play.say(b"RCPT TO:<c@example.org> NOTIFY=FAILURE ORCPT=rfc822;c@example.org\r\nRCPT TO:<d@example.org>\r\n")
    play.say(b"DATA\r\n")
    assert play.codes(b"..x\r\n.\r\n") == [250]
    (message,) = play.record.accepted
    assert (message.sender, message.parameters) == ("a@b.example", ("SIZE=5", "BODY=8BITMIME", "RET=HDRS", "ENVID=x"))
    assert message.recipients == (
        Recipient("c@example.org", ("NOTIFY=FAILURE", "ORCPT=rfc822;c@example.org")),
        Recipient("d@example.org"),
    )
    assert (message.wire, message.body, message.hello, message.via) == (
        b"..x\r\n",
        b".x\r\n",
        "EHLO mx.example.net",
        "DATA",
    )
    assert play.record.violations == []


def test_several_transactions() -> None:
    play = Play()
    assert play.send(b"one\r\n").startswith(b"250 ")
    assert play.codes(ENVELOPE) == [250, 250]
    assert play.codes(b"DATA\r\n") == [354]
    assert play.codes(b"two\r\n.\r\nQUIT\r\n") == [250, 221]
    assert [message.body for message in play.record.accepted] == [b"one\r\n", b"two\r\n"]
    first, second = play.record.accepted
    assert second.internal_id == first.internal_id + 1
    assert play.connection.terminators == 2
    assert play.last == Close()


def test_too_many_recipients_leaves_the_others_standing() -> None:
    play = Play(replace(EXCHANGE, max_recipients=2))
    play.begin()
    assert play.codes(ENVELOPE + b"RCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n") == [250, 250, 250, 452]
    play.say(b"DATA\r\n.\r\n")
    assert play.record.accepted[0].addresses == ("user@example.org", "b@example.org")


@pytest.mark.parametrize(
    ("mode", "at_rcpt", "at_end"),
    [
        (UnknownRecipients.ACCEPT_ALL, [250, 250], [250]),
        (UnknownRecipients.RECIPIENT_FILTER, [250, 250], [550]),
        (UnknownRecipients.EDGE, [250, 550], [250]),
    ],
)
def test_unknown_recipients(mode: UnknownRecipients, at_rcpt: list[int], at_end: list[int]) -> None:
    profile = replace(EXCHANGE, known_recipients=frozenset({"user@example.org"}), unknown_recipients=mode)
    play = Play(profile)
    play.begin()
    play.say(b"MAIL FROM:<>\r\n")
    assert play.codes(b"RCPT TO:<User@Example.org>\r\nRCPT TO:<nobody@example.org>\r\n") == at_rcpt
    assert play.codes(b"DATA\r\n") == [354]
    assert play.codes(b".\r\n") == at_end
    assert len(play.record.accepted) == (at_end == [250])
    assert len(play.record.refused) == (at_end == [550])


def test_a_message_over_the_limit_is_read_to_its_end() -> None:
    play = Play(replace(EXCHANGE, max_size=10))
    assert play.send(b"x" * 100_000 + b"\r\n").startswith(b"552 5.3.4 ")
    assert [message.octets for message in play.record.refused] == [100_002]
    assert play.codes(b"NOOP\r\n") == [250]


def test_too_many_errors_end_the_connection() -> None:
    play = Play()
    assert [play.codes(b"NONSENSE\r\n") for _ in range(5)] == [[500]] * 5
    assert play.say(b"NONSENSE\r\n").startswith(b"421 4.7.0 Too many errors")
    assert (play.last, play.dialogue.ended) == (Close(), True)


def test_no_limit_of_errors() -> None:
    play = Play(replace(EXCHANGE, max_errors=None))
    assert [play.codes(b"NONSENSE\r\n") for _ in range(50)] == [[500]] * 50


class TestChunks:
    def test_chunks_are_exact_and_unstuffed(self) -> None:
        play = Play()
        play.begin()
        assert play.codes(ENVELOPE + b"BDAT 6\r\n..a\r\n.BDAT 3 LAST\r\n\r\n.") == [250, 250, 250, 250]
        (message,) = play.record.accepted
        assert (message.body, message.wire, message.via, message.octets) == (b"..a\r\n.\r\n.",) * 2 + ("BDAT", 9)
        assert play.connection.terminators == 1
        assert play.record.violations == []

    def test_an_empty_last_chunk_commits(self) -> None:
        play = Play()
        play.begin()
        play.say(ENVELOPE + b"BDAT 3\r\nabc")
        assert play.record.accepted == []
        assert play.codes(b"BDAT 0 LAST\r\n") == [250]
        assert [message.body for message in play.record.accepted] == [b"abc"]

    def test_octets_of_a_refused_chunk_are_no_commands(self) -> None:
        play = Play()
        play.begin()
        assert play.codes(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n") == [503, 250]
        assert play.record.accepted == play.record.refused == []

    def test_no_recipient(self) -> None:
        play = Play()
        play.begin()
        assert play.codes(b"MAIL FROM:<>\r\nBDAT 1\r\naBDAT 1 LAST\r\nb") == [250, 503, 503]
        assert play.record.accepted == []

    def test_data_and_chunks_do_not_mix(self) -> None:
        play = Play()
        play.begin()
        assert play.codes(ENVELOPE + b"BDAT 1\r\naDATA\r\n") == [250, 250, 250, 503]
        assert play.codes(b"RCPT TO:<b@example.org>\r\n") == [503]
        assert play.codes(b"RSET\r\n" + ENVELOPE + b"DATA\r\n") == [250, 250, 250, 354]
        assert [message.body for message in play.record.aborted] == [b"a"]

    def test_binary_needs_chunks(self) -> None:
        play = Play()
        play.begin()
        play.say(b"MAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<a@example.org>\r\n")
        assert play.codes(b"DATA\r\n") == [503]
        assert play.codes(b"BDAT 3 LAST\r\n\x00\r\n") == [250]
        assert play.record.accepted[0].body == b"\x00\r\n"

    def test_over_the_limit(self) -> None:
        play = Play(replace(EXCHANGE, max_size=5))
        play.begin()
        assert play.codes(ENVELOPE + b"BDAT 4\r\nabcdBDAT 4 LAST\r\nefgh") == [250, 250, 250, 552]
        assert [message.octets for message in play.record.refused] == [8]

    def test_a_connection_lost_within_a_chunk(self) -> None:
        play = Play()
        play.begin()
        play.say(ENVELOPE + b"BDAT 4\r\nabcdBDAT 9 LAST\r\nef")
        play.close()
        (message,) = play.record.aborted
        assert (message.body, message.octets, message.complete) == (b"abcdef", 6, False)
        assert play.connection.terminators == 0


class TestViolations:
    @pytest.mark.parametrize(
        ("octets", "violation"),
        [
            (b"NOOP\n", "1: bare LF ends a command"),
            (b"NOOP \r.\r\n", "1: control character in a command"),
            (b".\r\n", "1: a line that is no command"),
            (b"MAIL FROM: <a@b.example>\r\n", "1: blank behind the colon"),
            (b"MAIL FROM:<a@b.example> X=1\r\n", "1: parameter X was not offered"),
            ("MAIL FROM:<ä@b.example>\r\n".encode(), "1: UTF-8 address without SMTPUTF8"),
            (b"DATA\r\nX", "1: talk before the reply to data"),
            (b"EHLO a\r\nNOOP\r\n", "1: talk before the reply to ehlo"),
            (b"QUIT\r\nNOOP\r\n", "1: talk before the reply to quit"),
        ],
    )
    def test_each_is_noted(self, octets: bytes, violation: str) -> None:
        play = Play()
        play.begin()
        play.say(octets)
        assert play.record.violations == [violation]

    def test_smtputf8_allows_utf8(self) -> None:
        play = Play()
        play.begin()
        play.say("MAIL FROM:<ä@b.example> SMTPUTF8\r\nRCPT TO:<ö@example.org>\r\n".encode())
        assert play.record.violations == []

    def test_pipelining_without_the_keyword(self) -> None:
        play = Play(EXCHANGE_SERIAL)
        play.begin()
        assert play.codes(ENVELOPE) == [250, 250]
        assert play.record.violations == ["1: pipelined behind mail without PIPELINING"]

    def test_pipelining_after_helo(self) -> None:
        play = Play()
        play.say(b"HELO a\r\n")
        play.say(ENVELOPE)
        assert play.record.violations == ["1: pipelined behind mail without PIPELINING"]

    def test_a_parameter_whose_keyword_is_missing(self) -> None:
        play = Play(replace(POSTFIX, ehlo=("PIPELINING",)))
        play.begin()
        assert play.codes(b"MAIL FROM:<> RET=FULL\r\n") == [555]
        assert play.codes(b"BDAT 1 LAST\r\n") == [500]
        assert play.record.violations == ["1: parameter RET was not offered", "1: BDAT without CHUNKING"]

    def test_a_flood_of_them_ends_somewhere(self) -> None:
        play = Play(replace(EXCHANGE, max_errors=None))
        play.say(b"\n" * 10_000)
        assert len(play.record.violations) == 1000


def test_a_body_cut_off_is_recorded_as_aborted() -> None:
    play = Play()
    play.begin()
    play.say(ENVELOPE + b"DATA\r\n")
    play.say(MESSAGE)
    play.close()
    (message,) = play.record.aborted
    assert (message.body, message.complete, message.accepted) == (MESSAGE, False, False)
    assert (play.record.accepted, play.connection.terminators) == ([], 0)
