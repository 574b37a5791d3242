"""Each server says what its documentation and transcripts say, and none of them promises what it does not do."""

import pytest

from smtproxy.sample.profiles import DOMINO, EXCHANGE_2003, HELO_ONLY, HMAILSERVER, POSTFIX, PROFILES, embedded
from tests.sample.play import ENVELOPE, MESSAGE, Play


def test_exchange_on_the_wire() -> None:
    play = Play()
    assert play.greeting == (
        b"220 mx1.example.org Microsoft ESMTP MAIL Service ready at Fri, 5 Aug 2016 16:24:41 -0700\r\n"
    )
    assert play.say(b"EHLO mx.example.net\r\n").splitlines() == [
        b"250-mx1.example.org Hello [192.0.2.1]",
        b"250-SIZE 37748736",
        b"250-PIPELINING",
        b"250-DSN",
        b"250-ENHANCEDSTATUSCODES",
        b"250-STARTTLS",
        b"250-X-ANONYMOUSTLS",
        b"250-AUTH NTLM",
        b"250-X-EXPS GSSAPI NTLM",
        b"250-8BITMIME",
        b"250-BINARYMIME",
        b"250-CHUNKING",
        b"250-SMTPUTF8",
        b"250 XRDST",
    ]
    assert play.say(ENVELOPE) == b"250 2.1.0 Sender OK\r\n250 2.1.5 Recipient OK\r\n"
    assert play.say(b"DATA\r\n") == b"354 Start mail input; end with <CRLF>.<CRLF>\r\n"
    assert play.say(MESSAGE + b".\r\n") == (
        b"250 2.6.0 <id-1@client.example> [InternalId=5111011082269, Hostname=mx1.example.org]"
        b" Queued mail for delivery\r\n"
    )
    assert play.say(b"QUIT\r\n") == b"221 2.0.0 Service closing transmission channel\r\n"


def test_the_last_line_of_exchange_2003_is_no_keyword() -> None:
    assert Play(EXCHANGE_2003).say(b"EHLO mx\r\n").endswith(b"\r\n250 OK\r\n")


@pytest.mark.parametrize("profile", [DOMINO, HMAILSERVER])
def test_servers_without_enhanced_codes(profile: object) -> None:
    play = Play(PROFILES["domino"] if profile is DOMINO else HMAILSERVER)
    replies = play.send()
    for line in (bytes(play.connection.sent) + replies).splitlines():
        assert line[4:6] not in {b"2.", b"4.", b"5."}
    assert play.record.envelopes == [("a@client.example", ("user@example.org",))]


def test_helo_only() -> None:
    play = Play(HELO_ONLY)
    assert play.codes(b"EHLO mx\r\n") == [500]
    assert play.say(b"HELO mx\r\n") == b"250 mx1.example.org Hello [192.0.2.1]\r\n"


def test_postfix_names_its_queue_file() -> None:
    assert Play(POSTFIX).send().startswith(b"250 2.0.0 Ok: queued as ")


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_takes_a_mail_and_fills_all_its_texts(name: str) -> None:
    play = Play(PROFILES[name])
    assert play.greeting.startswith(b"220 ")
    hello = b"HELO mx\r\n" if PROFILES[name].ehlo is None else b"EHLO mx\r\n"
    assert play.codes(hello) == [250]
    for line in (*ENVELOPE.splitlines(keepends=True), b"VRFY a\r\n"):
        assert play.codes(line)[0] in {250, 252, 502}
    assert play.codes(b"DATA\r\n") == [354]
    assert play.codes(MESSAGE + b".\r\n") == [250]
    for line in (b"STARTTLS\r\n", b"AUTH NTLM\r\n", b"HELP\r\n", b"RSET\r\n", b"NOOP\r\n"):
        assert len(play.codes(line)) == 1
    assert play.codes(b"QUIT\r\n") == [221]
    assert b"{" not in play.connection.sent
    assert [delivery.body for delivery in play.record.accepted] == [MESSAGE]


@pytest.mark.parametrize("name", PROFILES)
def test_the_embedded_banner_says_that_mail_goes_nowhere(name: str) -> None:
    assert b"goes nowhere" in Play(embedded(name)).greeting


def test_unknown_name() -> None:
    with pytest.raises(KeyError):
        embedded("sendmail")
