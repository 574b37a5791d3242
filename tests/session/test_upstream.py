"""One connection to a backend server: greeting, hello, and replies paired in the order of the commands."""

import pytest

from smtproxy.session.dialogue import Tls
from smtproxy.session.settings import BackendTls
from smtproxy.session.slots import Purpose, Slot
from smtproxy.session.upstream import Paired, Stray, Upstream
from tests.session.parts import HOSTNAME, upstream

TLS = Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384")


def _talk(made: Upstream, octets: bytes) -> list[bytes]:
    """Give it octets of the opening; return what it would say to each reply."""
    said = []
    for got in made.receive(octets):
        assert isinstance(got, Paired)
        said.append(made.opening(got))
    return said


def test_greeting_and_ehlo_make_it_ready() -> None:
    made = Upstream("backend:25", HOSTNAME)
    assert (made.ready, made.waiting_for, made.owes) == (False, Purpose.GREETING, 1)
    assert _talk(made, b"220 mx1 ESMTP\r\n") == [b"EHLO mx.example.org\r\n"]
    assert made.waiting_for is Purpose.EHLO
    assert _talk(made, b"250-mx1\r\n250-PIPELINING\r\n250 SIZE 10\r\n") == [b""]
    assert made.ready
    assert made.owes == 0
    assert made.banner == "mx1 ESMTP"
    assert made.capabilities.has("PIPELINING")


@pytest.mark.parametrize("code", [500, 501, 502, 504, 550])
def test_who_knows_no_ehlo_hears_helo_and_offers_nothing(code: int) -> None:
    made = Upstream("backend:25", HOSTNAME)
    _talk(made, b"220 hi\r\n")
    assert _talk(made, b"%d what\r\n" % code) == [b"HELO mx.example.org\r\n"]
    _talk(made, b"250 hi\r\n")
    assert made.ready
    assert not made.capabilities.keywords


def test_who_hangs_up_on_ehlo_hears_helo_at_once() -> None:
    made = Upstream("backend:25", HOSTNAME, extended=False)
    assert _talk(made, b"220 hi\r\n") == [b"HELO mx.example.org\r\n"]


@pytest.mark.parametrize(
    ("talk", "broken"),
    [
        ([b"554 no\r\n"], "greeting refused"),
        ([b"421 busy\r\n"], "greeting refused"),
        ([b"354 what\r\n"], "greeting refused"),
        ([b"220 hi\r\n", b"421 bye\r\n"], "EHLO refused"),
        ([b"220 hi\r\n", b"500 what\r\n", b"502 what\r\n"], "HELO refused"),
    ],
)
def test_a_refusal_of_the_opening_breaks_it(talk: list[bytes], broken: str) -> None:
    made = Upstream("backend:25", HOSTNAME)
    for octets in talk:
        _talk(made, octets)
    assert (made.ready, made.broken) == (False, broken)
    assert made.refusal is not None


def test_replies_are_paired_in_the_order_of_the_commands() -> None:
    made, mine = upstream(), Slot("RCPT")
    made.expect(Purpose.MAIL)
    made.expect(Purpose.RCPT, mine)
    got = list(made.receive(b"250 one\r\n550 two\r\n"))
    assert [one.awaited.purpose for one in got if isinstance(one, Paired)] == [Purpose.MAIL, Purpose.RCPT]
    assert [one.reply.code for one in got if isinstance(one, Paired)] == [250, 550]
    assert isinstance(got[1], Paired)
    assert got[1].awaited.slot is mine


def test_a_reply_too_many_breaks_the_connection() -> None:
    made = upstream()
    made.expect(Purpose.MAIL)
    first, second = made.receive(b"250 one\r\n250 two\r\n250 three\r\n")
    assert isinstance(first, Paired)
    assert isinstance(second, Stray)
    assert second.reply is not None
    assert made.broken == "a reply nobody waited for"


def test_what_is_no_reply_breaks_the_connection() -> None:
    made = upstream()
    made.expect(Purpose.MAIL)
    assert list(made.receive(b"hello there\r\n")) == [Stray(None)]
    assert made.broken


def test_the_start_of_a_reply_is_unread_until_the_rest_comes() -> None:
    made = upstream()
    made.expect(Purpose.MAIL)
    assert list(made.receive(b"250-a\r\n25")) == []
    assert made.unread
    (got,) = made.receive(b"0 b\r\n")
    assert isinstance(got, Paired)
    assert got.reply.lines == (b"a", b"b")
    assert not made.unread


def test_a_new_connection_delivered_nothing_and_is_not_worn() -> None:
    made = upstream()
    assert (made.messages, made.worn) == (0, False)


def _greeted(security: BackendTls, *keywords: str) -> tuple[Upstream, list[bytes]]:
    """Greeting and hello are over; -> what is said behind that."""
    made = Upstream("backend:25", HOSTNAME, security=security)
    _talk(made, b"220 hi\r\n")
    lines = "".join(f"250-{keyword}\r\n" for keyword in keywords)
    return made, _talk(made, f"250-backend\r\n{lines}250 HELP\r\n".encode())


@pytest.mark.parametrize("security", [BackendTls.OPPORTUNISTIC, BackendTls.REQUIRE, BackendTls.VERIFY])
def test_behind_starttls_everything_begins_anew(security: BackendTls) -> None:
    made, said = _greeted(security, "STARTTLS", "CHUNKING")
    assert said == [b"STARTTLS\r\n"]
    assert _talk(made, b"220 go\r\n") == [b""]
    assert (made.handshake, made.securing, made.ready) == (True, True, False)
    assert made.secured(TLS) == b"EHLO mx.example.org\r\n"
    assert not made.capabilities.keywords
    assert _talk(made, b"250-mx1\r\n250 SIZE 10\r\n") == [b""]
    assert (made.ready, made.tls, made.capabilities.has("CHUNKING")) == (True, TLS, False)
    assert not made.securing


@pytest.mark.parametrize(
    ("security", "broken"),
    [
        (BackendTls.OFF, ""),
        (BackendTls.OPPORTUNISTIC, ""),
        (BackendTls.REQUIRE, "STARTTLS not offered"),
        (BackendTls.VERIFY, "STARTTLS not offered"),
    ],
)
def test_a_server_that_does_not_offer_tls(security: BackendTls, broken: str) -> None:
    made, said = _greeted(security)
    assert said == [b""]
    assert (made.ready, made.broken) == (not broken, broken)
    assert made.may_be_clear is not bool(broken)


def test_clear_text_is_clear_text_whatever_is_offered() -> None:
    made, said = _greeted(BackendTls.OFF, "STARTTLS")
    assert (made.ready, made.securing, said) == (True, False, [b""])


@pytest.mark.parametrize("security", [BackendTls.OPPORTUNISTIC, BackendTls.REQUIRE])
@pytest.mark.parametrize(("code", "goes_on"), [(454, True), (502, True), (421, False), (250, False), (354, False)])
def test_a_server_that_refuses_starttls(security: BackendTls, code: int, goes_on: bool) -> None:
    """A 4xx or 5xx leaves the dialogue as it was (RFC 3207 4.1); any other reply is not to be trusted."""
    made, _ = _greeted(security, "STARTTLS")
    assert _talk(made, b"%d what\r\n" % code) == [b""]
    clear = goes_on and security is BackendTls.OPPORTUNISTIC
    assert (made.ready, made.broken, made.tls) == (clear, "" if clear else "STARTTLS refused", None)
    assert (made.refusal is None) is clear


def test_what_was_half_read_in_clear_text_is_forgotten() -> None:
    made, _ = _greeted(BackendTls.REQUIRE, "STARTTLS")
    _talk(made, b"220 go\r\n250-inj")
    assert made.unread
    made.secured(TLS)
    assert not made.unread
