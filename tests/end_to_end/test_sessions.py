"""Whole sessions of real clients (swaks, Python's smtplib) through the proxy to real servers.

What arrives must be what was sent, replies of the server must arrive word for word, and the log must say what happened.
"""

import smtplib
from email.message import EmailMessage

import pytest

from tests.end_to_end.conftest import Route
from tests.end_to_end.programs import swaks
from tests.end_to_end.programs.postfix import Postfix
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Line

pytestmark = pytest.mark.end_to_end

SENDER = "sender@example.net"


def _client(route: Route[SmtpSink] | Route[Postfix]) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", route.proxy.port, local_hostname="client.example.net", timeout=30)


def _mail(message_id: str, body: str = "hello\r\n") -> bytes:
    return f"From: <{SENDER}>\r\nSubject: test\r\nMessage-ID: <{message_id}>\r\n\r\n{body}".encode()


def _delivered(route: Route[Postfix], message_id: str) -> list[str]:
    """The texts of all copies of a mail that Postfix delivered."""
    route.backend.wait_delivered()
    return [mail.text for mail in route.backend.mails() if f"<{message_id}>" in mail.text]


def _heard(line: Line) -> dict[str, tuple[str, str]]:
    """What the log says each recipient was answered, and by whom."""
    listed = line["recipients"]
    assert isinstance(listed, list)
    return {entry["to"]: (entry["reply"], entry["by"]) for entry in listed}


def test_swaks_delivers_to_smtp_sink(sink_route: Route[SmtpSink]) -> None:
    seen = swaks.run(
        sink_route.proxy.port,
        [
            "--from",
            SENDER,
            "--to",
            "swaks@example.org",
            "--header",
            "Message-Id: <swaks-1@example.net>",
            "--body",
            "a\\nb",
        ],
    )
    assert seen.status == 0, seen.text
    assert seen.replies()[0].startswith("220 mx.example.org ")
    (mail,) = [mail for mail in sink_route.backend.mails() if "swaks-1@example.net" in mail.content]
    assert mail.recipient_arguments == ["<swaks@example.org>"]
    # The sink's own Received field was skipped: ours stands in front of what the client sent.
    assert mail.content.startswith("Received: from swaks.example.net ([127.0.0.1])\n")
    assert mail.content.rstrip().endswith("\na\nb")
    message = sink_route.line("message", "swaks-1@example.net")
    assert (message["outcome"], message["by"]) == ("delivered", "backend")
    assert message["changes"] == ["trace_header"]
    commit = sink_route.line("commit", "swaks-1@example.net")
    assert commit["transaction"] == message["transaction"]
    # Counted is what came from the client: not our trace header; of the terminator the CRLF in front of the dot.
    received = mail.content.partition("\nDate:")[0] + "\n"
    own = mail.content.removeprefix(received).replace("\n", "\r\n")
    assert commit["size"] == message["size"] == len(own)
    session = sink_route.session(message)
    assert (session["delivered"], session["ended"], session["by"]) == (1, "quit", "client")


def test_a_foreign_domain_is_refused_and_the_backend_is_not_asked(sink_route: Route[SmtpSink]) -> None:
    seen = swaks.run(sink_route.proxy.port, ["--from", SENDER, "--to", "someone@foreign.example.com"])
    assert seen.status == 24, seen.text
    (refusal,) = [reply for reply in seen.replies() if reply.startswith("5")]
    assert refusal.startswith("550 5.7.1 ")
    assert "someone@foreign.example.com" not in sink_route.backend.stored()
    found = [
        line for line in sink_route.proxy.lines("message") if "someone@foreign.example.com" in str(line["recipients"])
    ]
    assert [(line["outcome"], line["by"]) for line in found] == [("rejected", "recipient_domain")]
    assert sink_route.session(found[0])["backend_connections"] == 0


def test_swaks_hears_postfix_refuse_a_recipient_word_for_word(postfix_route: Route[Postfix]) -> None:
    options = ["--from", SENDER, "--to", "nobody@example.org"]
    straight = swaks.run(postfix_route.backend.port, options)
    through = swaks.run(postfix_route.proxy.port, options)
    refusal = "550 5.1.1 <nobody@example.org>: Recipient address rejected: no such user"
    assert refusal in straight.replies()
    assert refusal in through.replies()
    assert (straight.status, through.status) == (24, 24)


def test_several_recipients_some_refused_by_postfix(postfix_route: Route[Postfix]) -> None:
    recipients = [
        "one@example.org",
        "nobody@example.org",
        "two@example.org",
        "busy@example.org",
        "x@foreign.example.com",
    ]
    with _client(postfix_route) as client:
        refused = client.sendmail(SENDER, recipients, _mail("several@example.net"))
    assert {name: code for name, (code, _) in refused.items()} == {
        "nobody@example.org": 550,
        "busy@example.org": 450,
        "x@foreign.example.com": 550,
    }
    assert refused["busy@example.org"][1] == b"4.2.0 <busy@example.org>: Recipient address rejected: mailbox busy"
    assert len(_delivered(postfix_route, "several@example.net")) == 2
    message = postfix_route.line("message", "several@example.net")
    heard = _heard(message)
    assert {name: by for name, (_, by) in heard.items()} == {
        "one@example.org": "backend",
        "nobody@example.org": "backend",
        "two@example.org": "backend",
        "busy@example.org": "backend",
        "x@foreign.example.com": "recipient_domain",
    }
    assert (message["recipients_total"], message["recipients_accepted"]) == (5, 2)
    commit = postfix_route.line("commit", "several@example.net")
    assert (commit["recipients"], commit["server"]) == (2, f"127.0.0.1:{postfix_route.backend.port}")


def test_8bitmime_body_arrives_unchanged(sink_route: Route[SmtpSink]) -> None:
    body = "Grüße aus Köln, čeština, 日本語\r\n" * 20
    with _client(sink_route) as client:
        client.ehlo()
        assert client.has_extn("8bitmime")
        client.sendmail(SENDER, ["eight@example.org"], _mail("eight@example.net", body), mail_options=["BODY=8BITMIME"])
    (mail,) = [mail for mail in sink_route.backend.mails() if "eight@example.net" in mail.content]
    assert "BODY=8BITMIME" in mail.mail_arguments.split()
    assert mail.content.endswith("\n\n" + body.replace("\r\n", "\n"))


def test_smtputf8_addresses_reach_postfix(postfix_route: Route[Postfix]) -> None:
    with _client(postfix_route) as client:
        client.ehlo()
        assert client.has_extn("smtputf8")
        message = EmailMessage()
        message["From"] = "jörg@example.net"
        message["To"] = "jürgen@example.org"
        message["Message-ID"] = "<utf8@example.net>"
        message.set_content("hello")
        assert client.send_message(message) == {}
    (text,) = _delivered(postfix_route, "utf8@example.net")
    assert "\nDelivered-To: jürgen@example.org\n" in text
    assert text.startswith("Return-Path: <jörg@example.net>\n")


def test_smtputf8_is_withheld_where_the_server_lacks_it(sink_route: Route[SmtpSink]) -> None:
    with _client(sink_route) as client:
        client.ehlo()
        assert not client.has_extn("smtputf8")
        assert client.docmd(f"MAIL FROM:<{SENDER}> SMTPUTF8")[0] == 555


def test_dsn_parameters_reach_the_server(sink_route: Route[SmtpSink]) -> None:
    with _client(sink_route) as client:
        client.ehlo()
        assert client.has_extn("dsn")
        client.sendmail(
            SENDER,
            ["dsn@example.org"],
            _mail("dsn@example.net"),
            mail_options=["RET=HDRS", "ENVID=QQ314159"],
            rcpt_options=["NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;first@example.org"],
        )
    (mail,) = [mail for mail in sink_route.backend.mails() if "dsn@example.net" in mail.content]
    assert {"RET=HDRS", "ENVID=QQ314159"} <= set(mail.mail_arguments.split())
    (recipient,) = mail.recipient_arguments
    assert recipient.split() == ["<dsn@example.org>", "NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;first@example.org"]
    assert "ENVID" in str(sink_route.line("message", "dsn@example.net")["parameters"])


def test_parameters_of_withheld_keywords_are_refused_and_not_stripped(postfix_route: Route[Postfix]) -> None:
    with _client(postfix_route) as client:
        client.ehlo()
        for keyword in ("starttls", "auth", "binarymime", "etrn", "xclient"):
            assert not client.has_extn(keyword)
        code, text = client.docmd(f"MAIL FROM:<{SENDER}> AUTH=<>")
        assert (code, text[:5]) == (555, b"5.5.4")


def test_a_big_body_with_dots_arrives_octet_for_octet(postfix_route: Route[Postfix]) -> None:
    lines = [f"{'.' * (number % 4)}line {number} " + "x" * 60 for number in range(70_000)]
    body = "\r\n".join([*lines, ".", "..", ""])
    assert len(body) > 5_000_000
    with _client(postfix_route) as client:
        client.sendmail(SENDER, ["big@example.org"], _mail("big@example.net", body))
    (text,) = _delivered(postfix_route, "big@example.net")
    arrived = text.partition("\n\n")[2]
    # A comparison of 5 MB that fails is not to be printed in full.
    assert (len(arrived), hash(arrived)) == (len(body.replace("\r\n", "\n")), hash(body.replace("\r\n", "\n")))
    message = postfix_route.line("message", "big@example.net")
    head = len(_mail("big@example.net", ""))
    # The size is that of the wire: each line that begins with a dot has one dot more.
    stuffed = sum(line.startswith(".") for line in [*lines, ".", ".."])
    assert message["size"] == head + len(body) + stuffed


def test_a_too_big_message_is_refused_at_mail(postfix_route: Route[Postfix]) -> None:
    with _client(postfix_route) as client:
        client.ehlo()
        assert client.esmtp_features["size"] == str(50 * 1024 * 1024)
        code, text = client.docmd(f"MAIL FROM:<{SENDER}> SIZE=99000000")
        assert (code, text[:5]) == (552, b"5.3.4")


def test_vrfy_help_noop_rset_are_answered_by_the_proxy(postfix_route: Route[Postfix]) -> None:
    with _client(postfix_route) as client:
        assert client.helo()[0] == 250
        assert client.docmd("NOOP")[0] == 250
        assert client.docmd("HELP")[0] == 214
        assert client.verify("someone@example.org")[0] == 252
        assert client.docmd("EXPN", "list")[0] == 502
        assert client.docmd("XYZZY")[0] == 500
        assert client.docmd("DATA")[0] == 503
        assert client.mail(SENDER)[0] == 250
        assert client.docmd("DATA")[0] == 554
        assert client.rcpt("reset@example.org")[0] == 250
        assert client.rset()[0] == 250
        assert client.docmd("DATA")[0] == 503
        assert client.sendmail(SENDER, ["after@example.org"], _mail("after@example.net")) == {}
    (text,) = _delivered(postfix_route, "after@example.net")
    assert "\nDelivered-To: after@example.org\n" in text
    assert postfix_route.backend.stored()["reset@example.org"] == 0
    session = postfix_route.session(postfix_route.line("message", "after@example.net"))
    assert (session["transactions"], session["delivered"]) == (2, 1)
    messages = [line for line in postfix_route.proxy.lines("message") if line["session"] == session["session"]]
    assert [(line["outcome"], line["by"]) for line in messages] == [("aborted", "client"), ("delivered", "backend")]


def test_several_mails_in_one_session(sink_route: Route[SmtpSink]) -> None:
    with _client(sink_route) as client:
        for number in range(3):
            client.sendmail(SENDER, [f"series{number}@example.org"], _mail(f"series{number}@example.net"))
    stored = sink_route.backend.stored()
    assert [stored[f"series{number}@example.org"] for number in range(3)] == [1, 1, 1]
    lines = [sink_route.line("message", f"series{number}@example.net") for number in range(3)]
    (name,) = {str(line["session"]) for line in lines}
    assert [line["transaction"] for line in lines] == [f"{name}.{number}" for number in (1, 2, 3)]
    session = sink_route.session(lines[0])
    assert (session["transactions"], session["delivered"], session["recipients"]) == (3, 3, 3)
