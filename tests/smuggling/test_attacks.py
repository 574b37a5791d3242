"""Smuggling, case by case, as it is told in reports: newlines, dots, cut terminators, and text that runs ahead.

The enumeration has most of these octets too; here each stands under its name, with what the log says of it.
"""

import pytest

from smtproxy.policy.replies import Reason
from smtproxy.sample.script import Point, Rule, Script, reply
from smtproxy.session import events
from smtproxy.session.records import Event
from smtproxy.session.settings import BodyMode, OpenMode, RelaySettings
from smtproxy.session.verdicts import Refused, Stage, Verdict
from smtproxy.wire.newlines import NewlineMode
from tests.fakes.laboratory import Laboratory

ENVELOPE = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<user@example.org>\r\nDATA\r\n"
HIDDEN = (
    b"RSET\r\nMAIL FROM:<forged@attacker.example>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nforged\r\n.\r\nNOOP\r\n"
)
TERMINATOR = b"\r\n.\r\n"


def laboratory(mode: BodyMode = BodyMode.AUTO, setting: NewlineMode = NewlineMode.NORMALISE) -> Laboratory:
    lab = Laboratory(RelaySettings("mx.example.org", body=mode, newlines=setting, trace_header=False))
    lab.start()
    lab.send(b"EHLO client.example\r\n")
    return lab


def mail(body: bytes, mode: BodyMode = BodyMode.AUTO, setting: NewlineMode = NewlineMode.NORMALISE) -> Laboratory:
    lab = laboratory(mode, setting)
    lab.send(ENVELOPE)
    lab.send(body)
    return lab


def stored(lab: Laboratory) -> list[bytes]:
    return [delivery.wire for delivery in lab.record.accepted]


@pytest.mark.parametrize(
    ("body", "wire"),
    [
        (b"a\r\r\nb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\r\r\r\nb\r\n.\r\n", b"a\r\n\r\n\r\nb\r\n"),
        (b"a\n.\r\nb\r\n.\r\n", b"a\r\n..\r\nb\r\n"),
        (b"a\r\n.\nb\r\n.\r\n", b"a\r\n..\r\nb\r\n"),
        (b"a\n.\n.\n.\nb\r\n.\r\n", b"a\r\n..\r\n..\r\n..\r\nb\r\n"),
        (b"a\r\n..\r\nb\r\n.\r\n", b"a\r\n..\r\nb\r\n"),
        (b"a\r\n...\r\n....\r\nb\r\n.\r\n", b"a\r\n...\r\n....\r\nb\r\n"),
        (b"a\n..\n...\nb\r\n.\r\n", b"a\r\n..\r\n...\r\nb\r\n"),
        (b"a\r\n.\r.\n.\r\r\nb\r\n.\r\n", b"a\r\n..\r\n..\r\n..\r\n\r\nb\r\n"),
    ],
)
@pytest.mark.parametrize("mode", BodyMode)
def test_what_normalising_makes_of_newlines_and_dots(body: bytes, wire: bytes, mode: BodyMode) -> None:
    lab = mail(body, mode)
    assert stored(lab) == [wire]
    changed = wire != body.removesuffix(b".\r\n")
    assert ("newlines_normalised" in lab.messages[0]["changes"]) is changed  # type: ignore[operator]


@pytest.mark.parametrize(
    "body", [b"a\n.\r\nb\r\n.\r\n", b"a\r\n.\nb\r\n.\r\n", b"a\r.\rb\r\n.\r\n", b"a\n...\nb\r\n.\r\n"]
)
@pytest.mark.parametrize("setting", [NewlineMode.REJECT, NewlineMode.PASS])
@pytest.mark.parametrize("mode", BodyMode)
def test_newlines_beside_dots_are_refused_by_the_others(body: bytes, setting: NewlineMode, mode: BodyMode) -> None:
    lab = mail(body, mode, setting)
    assert lab.codes[-1] == 554
    assert b"554 5.6.0 " in lab.heard
    (message,) = lab.messages
    assert (message["outcome"], message["by"]) == ("rejected", "bare_newlines")
    reason = Reason.BARE_NEWLINES if setting is NewlineMode.REJECT else Reason.NEWLINES_AT_DOTS
    assert [finding["reason"] for finding in message["findings"]] == [reason.value]  # type: ignore[attr-defined]
    assert lab.record.terminators == 0


@pytest.mark.parametrize("mode", BodyMode)
def test_other_bare_newlines_pass_unchanged_where_they_may(mode: BodyMode) -> None:
    body = b"a\nb\rc\n\n.d\r\r\n"
    assert stored(mail(body + b".\r\n", mode, NewlineMode.PASS)) == [body]


@pytest.mark.parametrize("mode", BodyMode)
@pytest.mark.parametrize("at", range(1, 5))
def test_a_terminator_cut_anywhere_ends_the_message_once_and_leaves_whole(mode: BodyMode, at: int) -> None:
    lab = laboratory(mode)
    lab.send(ENVELOPE)
    lab.send(b"a" + TERMINATOR[:at])
    assert lab.codes[-1] == 354
    assert lab.record.terminators == 0
    lab.send(TERMINATOR[at:])
    assert lab.codes[-1] == 250
    assert [effect.octets for effect in lab.effects(events.Commit)] == [TERMINATOR]  # type: ignore[union-attr]
    forwarded = b"".join(effect.octets for effect in lab.effects(events.Forward))  # type: ignore[union-attr]
    assert forwarded.endswith(b"DATA\r\na")
    assert stored(lab) == [b"a\r\n"]


@pytest.mark.parametrize("mode", BodyMode)
@pytest.mark.parametrize("at", range(1, 5))
def test_half_a_terminator_and_then_text_is_text(mode: BodyMode, at: int) -> None:
    lab = mail(b"a" + TERMINATOR[:at], mode)
    lab.send(b"b" + TERMINATOR)
    assert len(stored(lab)) == 1
    assert lab.codes[-1] == 250


@pytest.mark.parametrize("mode", BodyMode)
def test_a_pipelined_second_transaction_is_a_second_message_for_both(mode: BodyMode) -> None:
    second = ENVELOPE.replace(b"user@", b"other@") + b"two\r\n.\r\nQUIT\r\n"
    lab = mail(b"one\r\n.\r\n" + second, mode)
    assert lab.codes == [220, 250, 250, 250, 354, 250, 250, 250, 354, 250, 221]
    assert stored(lab) == [b"one\r\n", b"two\r\n"]
    assert [delivery.addresses for delivery in lab.record.accepted] == [("user@example.org",), ("other@example.org",)]
    assert [message["outcome"] for message in lab.messages] == ["delivered", "delivered"]


@pytest.mark.parametrize("mode", [BodyMode.AUTO, BodyMode.HOLD])
def test_two_large_messages_of_a_session_do_not_mix(mode: BodyMode) -> None:
    """A held body lies in the session's file; the next one must not find it there."""
    one, two = b"1" * 3_000_000 + b"\r\n", b"2" * 3_000_000 + b"\r\n"
    lab = mail(one + b".\r\n", mode)
    lab.send(ENVELOPE)
    lab.send(two + b".\r\n")
    assert [wire == sent for wire, sent in zip(stored(lab), (one, two), strict=True)] == [True, True]


BEFORE = {
    "before the hello": (b"", 503),
    "without MAIL": (b"EHLO client.example\r\n", 503),
    "behind a MAIL that was not understood": (b"EHLO client.example\r\nMAIL FRO:<a@client.example>\r\n", 503),
    "behind a MAIL that was refused": (b"EHLO client.example\r\nMAIL FROM:<a@client.example> SIZE=99999999\r\n", 503),
    "without RCPT": (b"EHLO client.example\r\nMAIL FROM:<a@client.example>\r\n", 554),
    "without a RCPT that was accepted": (
        b"EHLO client.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<user@other.example>\r\n",
        554,
    ),
}


@pytest.mark.parametrize("case", BEFORE)
@pytest.mark.parametrize("mode", [BodyMode.AUTO, BodyMode.STREAM])
@pytest.mark.parametrize("open_mode", [OpenMode.RECIPIENT, OpenMode.MAIL])
def test_text_behind_a_refused_data_is_never_read_as_commands(case: str, mode: BodyMode, open_mode: OpenMode) -> None:
    talk, _ = BEFORE[case]
    lab = Laboratory(RelaySettings("mx.example.org", body=mode, open=open_mode, max_message_size=1 << 20))
    lab.start()
    lab.send(talk + b"DATA\r\n" + HIDDEN)
    assert lab.heard.rpartition(b"\r\n5")[2].startswith(b"54 5.5.0 ")
    no_hidden_command_was_read(lab)


@pytest.mark.parametrize("case", BEFORE)
def test_without_text_a_refused_data_is_an_answer_like_others(case: str) -> None:
    talk, code = BEFORE[case]
    lab = Laboratory(RelaySettings("mx.example.org", max_message_size=1 << 20))
    lab.start()
    lab.send(talk + b"DATA\r\n")
    assert lab.codes[-1] == code
    assert lab.send(b"NOOP\r\n").startswith(b"250 ")


def test_text_behind_a_data_that_the_policy_refused_is_never_read_as_commands() -> None:
    lab = laboratory()

    def judge(stage: Stage) -> Verdict:
        if stage is Stage.DATA:
            return Refused(Stage.DATA, lab.phrases.say(Reason.FOREIGN_RECIPIENT), "a check")
        return lab.verdict(stage)

    lab.on_judge = judge
    lab.send(ENVELOPE + HIDDEN)
    no_hidden_command_was_read(lab, 550)


@pytest.mark.parametrize(
    "refusal", ["451 4.3.0 later", "550 5.7.1 no", "554 5.5.1 no valid recipients", "503 5.5.2 what?"]
)
def test_text_behind_a_data_that_the_backend_refused_is_never_read_as_commands(refusal: str) -> None:
    lab = Laboratory(
        RelaySettings("mx.example.org", body=BodyMode.STREAM), script=Script((Rule(Point.DATA, (reply(refusal),)),))
    )
    lab.start()
    lab.send(b"EHLO client.example\r\n" + ENVELOPE + HIDDEN)
    assert b"\r\n554 5.5.0 " in lab.heard
    no_hidden_command_was_read(lab)
    (message,) = lab.messages
    assert message["outcome"] in ("rejected", "deferred")


def no_hidden_command_was_read(lab: Laboratory, refusal: int = 554) -> None:
    assert lab.finished
    (session,) = lab.lines(Event.SESSION)
    assert (session["ended"], session["by"]) == ("early_body", "proxy")
    assert 250 not in lab.codes[lab.codes.index(refusal) :]
    assert not [command for command in lab.record.commands if b"forged" in command or b"victim" in command]
    assert lab.record.accepted == []
    assert lab.record.terminators == 0
