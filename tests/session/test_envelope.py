"""The envelope, which can replay itself: only what a backend accepted, nothing stripped."""

import pytest

from smtproxy.session.envelope import Envelope
from smtproxy.wire.commands import parse_mail, parse_rcpt
from smtproxy.wire.replies import Reply
from tests.session.parts import LATER, NEVER, OK, envelope, recipient


@pytest.mark.parametrize(
    ("reply", "by", "accepted"),
    [
        (OK, "backend", True),
        (OK, "protocol", False),
        (OK, "some_check", False),
        (LATER, "backend", False),
        (NEVER, "backend", False),
        (Reply(354, (b"go",)), "backend", False),
        (None, "", False),
    ],
)
def test_only_the_backends_own_2xx_accepts_a_recipient(reply: Reply | None, by: str, accepted: bool) -> None:
    one = recipient(reply=reply, by=by)
    assert one.accepted is accepted
    assert envelope(one).accepted == int(accepted)


def test_an_answer_that_is_not_trusted_is_forgotten() -> None:
    one, two = recipient("one@example.org", OK), recipient("two@example.org", NEVER)
    made = envelope(one, two)
    for each in (one, two):
        made.forget(each)
        assert each.reply is None
    assert made.accepted == 0


def test_a_replay_names_those_a_backend_accepted_and_nobody_else() -> None:
    made = envelope(
        recipient("one@example.org", OK),
        recipient("two@example.org", NEVER),
        recipient("three@example.org"),
        recipient("four@example.org", OK),
    )
    assert made.replay() == [b"RCPT TO:<one@example.org>\r\n", b"RCPT TO:<four@example.org>\r\n"]


def test_mail_is_said_in_its_canonical_spelling_with_all_its_parameters() -> None:
    parsed = parse_mail(b"from: <Me@Client.Example> size=100 body=8BITMIME")
    made = Envelope(parsed.path, parsed.parameters)
    assert made.mail() == b"MAIL FROM:<Me@Client.Example> SIZE=100 BODY=8BITMIME\r\n"


def test_a_server_must_have_what_sender_and_recipients_ask_for() -> None:
    mail = parse_mail(b"FROM:<a@b.example> SMTPUTF8 BODY=8BITMIME")
    rcpt = parse_rcpt(b"TO:<c@d.example> NOTIFY=NEVER")
    made = Envelope(mail.path, mail.parameters)
    assert made.requires == {"SMTPUTF8", "8BITMIME"}
    one = recipient()
    one.parameters = rcpt.parameters
    made.recipients.append(one)
    assert made.requires == {"SMTPUTF8", "8BITMIME", "DSN"}
    assert made.utf8


def test_a_plain_envelope_asks_for_nothing() -> None:
    made = envelope(recipient())
    assert made.requires == frozenset()
    assert not made.utf8


def test_a_body_in_chunks_asks_for_chunking_and_a_binary_one_for_both() -> None:
    made = envelope(recipient())
    made.chunked = True
    assert made.requires == {"CHUNKING"}
    mail = parse_mail(b"FROM:<a@b.example> BODY=binarymime")
    made = Envelope(mail.path, mail.parameters)
    assert made.binary
    assert made.requires == {"BINARYMIME", "CHUNKING"}
    assert not envelope().binary
