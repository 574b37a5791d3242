"""Commands of the client: what is read, what is answered by us, and what counts as an error."""

from dataclasses import replace

import pytest

from smtproxy.policy.checks import early_talker, not_smtp
from smtproxy.policy.findings import Action
from smtproxy.policy.judge import Check, Policy
from smtproxy.sample.script import Point, Rule, Say
from smtproxy.session import events
from smtproxy.session.dialogue import Tls
from smtproxy.session.settings import ClientTls, OpenMode, RelaySettings
from tests.fakes.laboratory import Laboratory
from tests.session.parts import HOSTNAME
from tests.session.sample import BODY, begin, begin_body, codes, greeted


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (b"NOOP", 250),
        (b"noop \t", 250),
        (b"HELP", 214),
        (b"VRFY someone", 252),
        (b"EXPN list", 502),
        (b"STARTTLS", 502),
        (b"XYZZY", 500),
        (b"", 500),
        (b"\xff\xfb\x01", 500),
        (b"MAIL FROM:<a\x01@b>", 501),
        (b"MAIL FROM:<\xe9@b>", 501),
        (b"MAIL", 501),
        (b"MAIL FROM:<a@b", 501),
        (b"MAIL FROM:<a@b> AUTH=<>", 555),
        (b"MAIL FROM:<a@b> SIZE=x", 501),
        (b"MAIL FROM:<\xc3\xa9@b>", 553),
        (b"RCPT TO:<a@example.org>", 503),
        (b"DATA", 503),
    ],
)
def test_what_a_command_is_answered_outside_a_transaction(command: bytes, code: int) -> None:
    lab = greeted()
    assert codes(lab.send(command + b"\r\n")) == [code]
    assert lab.dialogue.errors == (1 if code >= 500 else 0)
    assert lab.record.opened == 0


@pytest.mark.parametrize(
    ("command", "code"),
    [(b"MAIL FROM:<c@d.example>", 503), (b"RCPT TO:<>", 501), (b"RCPT TO:<a@elsewhere.example>", 550), (b"RSET", 250)],
)
def test_what_a_command_is_answered_inside_one(command: bytes, code: int) -> None:
    lab = greeted()
    begin(lab)
    assert codes(lab.send(command + b"\r\n")) == [code]


def test_a_hello_comes_first() -> None:
    lab = greeted()
    fresh = type(lab)().start()
    assert codes(fresh.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<a@example.org>\r\nNOOP\r\n")) == [503, 503, 250]


@pytest.mark.parametrize(("command", "code"), [(b"NOOP", 250), (b"HELP", 214), (b"VRFY x", 252), (b"RSET", 250)])
def test_what_needs_no_hello(command: bytes, code: int) -> None:
    """RFC 5321 4.1.4"""
    fresh = Laboratory().start()
    assert codes(fresh.send(command + b"\r\n")) == [code]
    assert fresh.dialogue.errors == 0


def test_a_bare_newline_may_end_a_command() -> None:
    assert codes(greeted().send(b"NOOP\nNOOP\r\n")) == [250, 250]


def test_data_needs_a_recipient() -> None:
    lab = greeted()
    assert codes(lab.send(b"MAIL FROM:<a@b.example>\r\n")) == [250]
    assert codes(lab.send(b"DATA\r\n")) == [554]
    assert codes(lab.send(b"RCPT TO:<a@elsewhere.example>\r\nDATA\r\n")) == [550, 554]


@pytest.mark.parametrize("opening", [b"", b"MAIL FROM:<a@b.example>\r\n"])
def test_text_behind_a_refused_data_is_never_read_as_commands(opening: bytes) -> None:
    lab = greeted()
    heard = lab.send(opening + b"DATA\r\nRSET\r\nNOOP\r\n")
    assert codes(heard)[-1] == 554
    assert lab.finished
    assert lab.log[-1][1]["ended"] == "early_body"


_FOREIGN = [(b"GET / HTTP/1.1\r\n", "HTTP"), (b"CONNECT mx:25 HTTP/1.0\r\n", "HTTP"), (b"\x16\x03\x01\x02\x00", "TLS")]


@pytest.mark.parametrize(("octets", "protocol"), _FOREIGN)
def test_another_protocol_is_dropped_and_nothing_of_it_is_a_command(octets: bytes, protocol: str) -> None:
    lab = greeted()
    heard = lab.send(octets + b"MAIL FROM:<a@b.example>\r\n")
    assert heard == b"421 4.7.0 This is SMTP, not %s [testsession]\r\n" % protocol.encode()
    line = lab.log[-1][1]
    assert (line["ended"], line["by"], line["transactions"], line["errors"]) == ("dropped", "not_smtp", 0, 1)
    note = {"check": "not_smtp", "stage": "protocol", "reason": "not_smtp", "action": "drop", "protocol": protocol}
    assert line["findings"] == [note]


@pytest.mark.parametrize(("octets", "protocol"), _FOREIGN)
@pytest.mark.parametrize(("action", "text"), [(Action.OBSERVE, b"Command not"), (Action.REJECT, b"This is SMTP, not")])
def test_another_protocol_is_an_error_where_it_is_not_dropped(
    octets: bytes, protocol: str, action: Action, text: bytes
) -> None:
    lab = greeted()
    lab.policy = Policy((Check(not_smtp.CHECK, not_smtp.NotSmtpOptions(), action),))
    assert lab.send(octets).startswith(b"500 5.5.1 " + text)
    assert codes(lab.send(b"XYZZY\r\nNOOP\r\nQUIT\r\n")) == [500, 250, 221]
    findings = lab.log[-1][1]["findings"]
    assert isinstance(findings, list)
    assert [(note["protocol"], note["action"]) for note in findings] == [(protocol, action.value)]


def findings(lab: Laboratory) -> list[tuple[str, str]]:
    """The early talk that the `session` line tells of: stage and action."""
    noted = lab.log[-1][1]["findings"]
    assert isinstance(noted, list)
    return [(note["stage"], note["action"]) for note in noted if note["check"] == "early_talker"]


def test_who_talks_before_the_reply_to_its_hello_is_noticed() -> None:
    lab = Laboratory().start()
    lab.send(b"EHLO client.example\r\nNOOP\r\n")
    lab.send(b"HELO client.example\r\n")
    lab.send(b"EHLO client.example\r\nQUIT\r\n")
    assert findings(lab) == [("hello", "observe")] * 2


def test_who_pipelines_where_it_may_is_not_early() -> None:
    lab = greeted()
    lab.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@example.org>\r\nRSET\r\nNOOP\r\nVRFY x\r\n")
    lab.send(b"MAIL FROM:<a@b.example>\r\n")
    lab.send(b"RCPT TO:<c@example.org>\r\nDATA\r\n")
    lab.send(b"text\r\n.\r\nMAIL FROM:<a@b.example>\r\nQUIT\r\n")
    assert findings(lab) == []
    assert all(message["findings"] == [] for message in lab.messages)


def test_who_talks_before_the_reply_to_data_is_noticed() -> None:
    lab = greeted()
    lab.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@example.org>\r\nDATA\r\ntext\r\n.\r\nQUIT\r\n")
    noted = lab.messages[0]["findings"]
    assert isinstance(noted, list)
    assert [(note["check"], note["stage"]) for note in noted] == [("early_talker", "data")]


def early(action: Action) -> Policy:
    """A policy that looks at nothing but early talk."""
    return Policy((Check(early_talker.CHECK, early_talker.EarlyTalkerOptions(), action, early=True),))


@pytest.mark.parametrize(("action", "code"), [(Action.REJECT, 554), (Action.DEFER, 421), (Action.DROP, 521)])
def test_early_talk_before_the_banner_refused(action: Action, code: int) -> None:
    lab = Laboratory(policy=early(action))
    lab.event(events.Started(early=True))
    assert lab.codes == [code]
    assert (lab.log[-1][1]["ended"], lab.log[-1][1]["by"]) == ("refused", "early_talker")


@pytest.mark.parametrize(
    ("action", "code", "over"),
    [(Action.REJECT, 554, False), (Action.DEFER, 451, False), (Action.DROP, 421, True)],
)
def test_early_talk_before_the_reply_to_a_hello_refused(action: Action, code: int, over: bool) -> None:
    lab = Laboratory(policy=early(action)).start()
    assert codes(lab.send(b"EHLO client.example\r\nNOOP\r\n")) == [code, *([] if over else [250])]
    assert lab.finished is over


@pytest.mark.parametrize("action", [Action.REJECT, Action.DEFER, Action.DROP])
def test_early_talk_before_the_reply_to_data_refused(action: Action) -> None:
    lab = greeted()
    lab.policy = early(action)
    heard = lab.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@example.org>\r\nDATA\r\nRSET\r\n.\r\n")
    assert codes(heard)[:2] == [250, 250]
    assert b"you talk before our reply" in heard
    assert lab.finished
    assert lab.messages[0]["by"] == "early_talker"
    assert str(lab.messages[0]["reply"]) in heard.decode()


def test_a_line_without_end_is_an_end() -> None:
    lab = greeted(command_line=100, endless_line=500)
    assert codes(lab.send(b"x" * 300 + b"\r\n")) == [500]
    assert codes(lab.send(b"x" * 600)) == [421]
    assert lab.log[-1][1]["ended"] == "endless_line"


def test_too_many_commands_are_an_end() -> None:
    lab = greeted(commands=3)
    assert codes(lab.send(b"NOOP\r\n" * 3)) == [250, 250, 421]
    assert lab.finished


def test_junk_becomes_an_error_when_there_is_too_much_of_it() -> None:
    lab = greeted(junk_commands=2)
    lab.send(b"NOOP\r\n" * 5)
    assert lab.dialogue.errors == 3


def test_another_greeting_is_junk() -> None:
    """Each is answered with far more than it says, so a flood of them must not be answered for ever."""
    lab = greeted(junk_commands=1)
    assert codes(lab.send(b"HELO again.example\r\nEHLO again.example\r\n" * 2)) == [250, 503, 503, 503]
    assert lab.dialogue.errors == 3
    assert lab.dialogue.hello is not None
    assert lab.dialogue.hello.name == "again.example"


def test_recipients_above_the_limit_may_come_again() -> None:
    lab = greeted(settings=RelaySettings(HOSTNAME, max_recipients=2), recipient_overshoot=1)
    begin(lab, recipients=2)
    assert codes(lab.send(b"RCPT TO:<x@example.org>\r\n" * 3)) == [452, 452, 452]
    assert lab.dialogue.errors == 2
    assert lab.record.commands.count(b"RCPT TO:<x@example.org>") == 0


def test_a_source_route_is_dropped_and_told() -> None:
    lab = greeted()
    lab.send(b"MAIL FROM:<@relay.example:a@b.example>\r\nRCPT TO:<@relay.example:c@example.org>\r\nRSET\r\n")
    assert lab.record.commands[1:3] == [b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@example.org>"]
    assert lab.messages[0]["changes"] == ["source_route_dropped"]


def test_a_group_is_as_large_as_the_limit() -> None:
    lab = greeted(group=2)
    begin(lab, recipients=5)
    assert lab.record.connections[0].verbs == ["EHLO", "MAIL", "RCPT", "RCPT", "RCPT", "RCPT", "RCPT"]
    assert not lab.record.violations


def test_after_a_failure_the_next_group_is_tried_anew() -> None:
    lost = Rule(Point.RCPT, (Say(b"421 bye\r\n"),), connections=(1,))
    lab = greeted(lost)
    assert codes(lab.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<one@example.org>\r\n")) == [250, 451]
    assert codes(lab.send(b"RCPT TO:<two@example.org>\r\nRCPT TO:<three@example.org>\r\n")) == [250, 250]


def test_a_second_hello_gives_the_transaction_up() -> None:
    lab = greeted()
    begin(lab)
    lab.send(b"HELO again.example\r\n")
    assert lab.messages[0]["outcome"] == "aborted"
    assert lab.dialogue.hello is not None
    assert (lab.dialogue.hello.verb, lab.dialogue.hello.name) == ("HELO", "again.example")


def test_quit_is_an_end() -> None:
    lab = greeted()
    assert codes(lab.send(b"QUIT\r\nNOOP\r\n")) == [221]
    assert (lab.log[-1][1]["ended"], lab.log[-1][1]["by"]) == ("quit", "client")


# STARTTLS


STARTTLS = RelaySettings(HOSTNAME, client_tls=ClientTls.STARTTLS)
TLS = Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384")


def _secured(lab: Laboratory) -> Laboratory:
    """Let the client ask for TLS, and the handshake go well."""
    assert codes(lab.send(b"STARTTLS\r\n")) == [220]
    lab.event(events.Secured(TLS))
    lab.run()
    return lab


def test_tls_is_begun_behind_its_answer_and_what_was_said_before_is_forgotten() -> None:
    lab = greeted(settings=STARTTLS)
    assert b"STARTTLS" in lab.heard
    lab.send(b"STARTTLS\r\n")
    assert [kind for _, kind in lab.timeline[-2:]] == [
        events.Answer(b"220 2.0.0 Ready to start TLS\r\n"),
        events.StartTls(),
    ]
    assert lab.relay.waits_for is events.Wait.TLS
    lab.event(events.Secured(TLS))
    assert lab.dialogue.tls == TLS
    assert lab.dialogue.hello is None
    assert codes(lab.send(b"MAIL FROM:<a@b.example>\r\n")) == [503]


def test_tls_is_not_offered_twice() -> None:
    lab = _secured(greeted(settings=STARTTLS))
    assert b"STARTTLS" not in lab.send(b"EHLO client.example\r\n")
    assert codes(lab.send(b"STARTTLS\r\n")) == [503]
    assert lab.dialogue.errors == 1


@pytest.mark.parametrize("behind", [b"EHLO evil.example\r\n", b"\x16\x03\x01", b"N"])
def test_what_stands_behind_starttls_in_clear_text_is_never_obeyed(behind: bytes) -> None:
    """CVE-2011-0411: it was read later, as if TLS had protected it."""
    lab = greeted(settings=STARTTLS)
    assert codes(lab.send(b"STARTTLS\r\n" + behind)) == [554]
    assert lab.finished
    assert lab.effects(events.StartTls) == []
    assert lab.log[-1][1]["ended"] == "tls_injected"


@pytest.mark.parametrize(
    ("before", "command", "code"),
    [
        (b"", b"STARTTLS now", 501),
        (b"MAIL FROM:<a@b.example>\r\n", b"STARTTLS", 503),
    ],
)
def test_starttls_out_of_place(before: bytes, command: bytes, code: int) -> None:
    lab = greeted(settings=STARTTLS)
    lab.send(before)
    assert codes(lab.send(command + b"\r\n")) == [code]
    assert lab.dialogue.errors == 1
    assert lab.relay.waits_for is events.Wait.CLIENT


def test_nobody_has_to_speak_tls() -> None:
    """RFC 3207 4: a server for everybody does not demand it."""
    lab = greeted(settings=STARTTLS)
    begin_body(lab)
    assert codes(lab.send(BODY + b".\r\n")) == [250]


def test_a_handshake_holds_no_backend_connection() -> None:
    lab = greeted(settings=replace(STARTTLS, open=OpenMode.CONNECT))
    assert lab.record.opened == 1
    lab.send(b"STARTTLS\r\n")
    assert lab.line is None


def test_mail_under_tls_says_so_in_its_trace() -> None:
    lab = _secured(greeted(settings=STARTTLS))
    lab.send(b"EHLO client.example\r\n")
    begin_body(lab)
    assert codes(lab.send(BODY + b".\r\n")) == [250]
    header = lab.record.accepted[0].body
    assert b"\r\n (using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\r\n" in header
    assert b" with ESMTPS id " in header
    lab.send(b"QUIT\r\n")
    assert (lab.log[-1][1]["tls"], lab.log[-1][1]["cipher"]) == (TLS.version, TLS.cipher)


def test_names_that_a_client_calls_itself_are_counted() -> None:
    lab = Laboratory().start()
    for said, names in (("a.example", 1), ("A.Example.", 1), ("b.example", 2), ("a.example", 3)):
        lab.send(f"EHLO {said}\r\n".encode())
        assert lab.dialogue.hello_names == names


def test_a_name_said_before_tls_is_forgotten() -> None:
    """RFC 3207 4.2"""
    lab = _secured(greeted(settings=STARTTLS))
    lab.send(b"EHLO another.example\r\n")
    assert lab.dialogue.hello_names == 1
