"""Reaching a backend server: each is tried once, and a refusal blames the link, never the mail."""

import pytest

from smtproxy.session import events, opening
from smtproxy.session.answers import Own
from smtproxy.session.carriage import Carriage, Job, Stand
from smtproxy.session.courier import Courier
from smtproxy.session.settings import BackendTls
from smtproxy.session.upstream import Upstream
from smtproxy.wire.commands import parse_mail
from tests.fakes.servers import AGREED
from tests.session.parts import HOSTNAME, NOW, carriage, envelope, kinds, upstream


def _opening(job: Job = Job.OPEN) -> tuple[Carriage, Upstream]:
    k = carriage(envelope())
    k.upstream = made = Upstream("first:25", HOSTNAME)
    k.job, k.stand = job, Stand.OPENING
    return k, made


def test_hello_is_said_behind_the_greeting() -> None:
    k, made = _opening()
    opening.greeted(k, made, b"220 hi\r\n")
    assert k.out == [events.Forward(b"EHLO mx.example.org\r\n")]


def test_a_connection_ahead_of_time_rests_when_it_is_ready() -> None:
    k, made = _opening()
    for octets in (b"220 hi\r\n", b"250 hi\r\n"):
        opening.greeted(k, made, octets)
    assert (k.stand, k.job) == (Stand.READY, None)


def test_a_group_leaves_when_it_is_ready() -> None:
    k, made = _opening(Job.GROUP)
    for octets in (b"220 hi\r\n", b"250 hi\r\n"):
        opening.greeted(k, made, octets)
    assert k.out[-1] == events.Forward(b"MAIL FROM:<me@client.example>\r\n")


def test_a_refusal_leads_to_the_next_server() -> None:
    for octets, reason in (
        (b"554 no\r\n", "greeting refused"),
        (b"421 busy\r\n", "full"),
        (b"HTTP/1.1\r\n", "no SMTP"),
    ):
        k, made = _opening()
        opening.greeted(k, made, octets)
        close = next(one for one in k.out if isinstance(one, events.CloseBackend))
        assert close.reason == reason
        assert k.out[-1] == events.OpenBackend(frozenset({"first:25"}))
        assert (Own.NO_PLACE in k.obstacles) is (reason == "full")


def test_a_5xx_at_the_opening_is_logged_and_blames_the_link() -> None:
    k, made = _opening()
    opening.greeted(k, made, b"554 no\r\n")
    assert kinds(k.out) == ["Record", "CloseBackend", "OpenBackend"]
    assert k.obstacles == {Own.BACKEND_MISCONFIGURED}


def test_a_server_that_talks_unasked_is_left() -> None:
    k, made = _opening()
    opening.greeted(k, made, b"220 hi\r\n")
    opening.greeted(k, made, b"250 hi\r\n250 stray\r\n")
    assert k.out[-1] == events.OpenBackend(frozenset({"first:25"}))


def test_a_greeting_with_more_behind_it_is_left() -> None:
    """Its answer to EHLO could not be told from what it said unasked."""
    k, made = _opening()
    opening.greeted(k, made, b"220 hi\r\n250 stray\r\n")
    assert kinds(k.out) == ["CloseBackend", "OpenBackend"]


def test_a_server_without_what_the_envelope_needs_is_left_and_not_blamed() -> None:
    k, _ = _opening(Job.GROUP)
    parsed = parse_mail(b"FROM:<a@b.example> SMTPUTF8")
    assert k.dialogue.envelope is not None
    k.dialogue.envelope.parameters = parsed.parameters
    k.upstream = made = upstream("PIPELINING", server="first:25")
    opening.reached(k, made)
    assert k.obstacles == {Own.BACKEND_CANNOT}
    assert k.out == [events.CloseBackend(), events.OpenBackend(frozenset({"first:25"}))]


def test_a_later_transaction_that_needs_more_goes_to_another_server() -> None:
    """What the connection was opened for said nothing of SMTPUTF8; it must not be stripped, nor bounce there."""
    k, _ = _opening(Job.GROUP)
    k.upstream = upstream("PIPELINING", server="first:25")
    k.stand = Stand.LOOKING
    assert k.dialogue.envelope is not None
    k.dialogue.envelope.parameters = parse_mail(b"FROM:<a@b.example> SMTPUTF8").parameters
    Courier(k).looked(events.Looked())
    assert k.obstacles == {Own.BACKEND_CANNOT}
    assert k.out == [events.CloseBackend(), events.OpenBackend(frozenset({"first:25"}))]


def test_a_warm_connection_is_looked_at_before_it_is_used() -> None:
    k, _ = _opening(Job.GROUP)
    k.upstream = made = upstream("PIPELINING")
    k.unproven = True
    opening.reached(k, made)
    assert kinds(k.out) == ["Look"]


# TLS


def _at_starttls(security: BackendTls, job: Job = Job.OPEN) -> tuple[Carriage, Upstream]:
    """STARTTLS was said; its reply comes next."""
    k, _ = _opening(job)
    k.upstream = made = Upstream("first:25", HOSTNAME, security=security)
    for octets in (b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n"):
        opening.greeted(k, made, octets)
    assert k.out[-1] == events.Forward(b"STARTTLS\r\n")
    k.out.clear()
    return k, made


def test_a_handshake_and_then_hello_again() -> None:
    k, made = _at_starttls(BackendTls.REQUIRE)
    opening.greeted(k, made, b"220 go\r\n")
    assert k.out == [events.SecureBackend()]
    assert k.deadline == NOW + k.settings.limits.tls_time
    k.used = made
    opening.secured(k, made, AGREED)
    assert k.out[-1] == events.Forward(b"EHLO mx.example.org\r\n")
    opening.greeted(k, made, b"250 hi\r\n")
    assert k.idle
    assert k.server_tls == "TLSv1.3"


@pytest.mark.parametrize("behind", [b"250 stray\r\n", b"250-", b"x"])
@pytest.mark.parametrize("security", [BackendTls.OPPORTUNISTIC, BackendTls.REQUIRE])
def test_clear_text_behind_starttls_is_never_taken_for_a_reply(security: BackendTls, behind: bytes) -> None:
    k, made = _at_starttls(security)
    opening.greeted(k, made, b"220 go\r\n" + behind)
    assert kinds(k.out) == ["CloseBackend", "OpenBackend"]
    assert k.out[-1] == events.OpenBackend(frozenset({"first:25"}))


def test_a_handshake_that_has_to_succeed_leads_to_the_next_server() -> None:
    k, made = _at_starttls(BackendTls.VERIFY)
    opening.greeted(k, made, b"220 go\r\n")
    opening.not_secured(k, made, "certificate has expired")
    assert k.out[1:] == [
        events.CloseBackend(reason="TLS: certificate has expired"),
        events.OpenBackend(frozenset({"first:25"})),
    ]


def test_a_handshake_that_has_not_leads_to_clear_text_once() -> None:
    k, made = _at_starttls(BackendTls.OPPORTUNISTIC)
    opening.greeted(k, made, b"220 go\r\n")
    opening.not_secured(k, made, "no protocols available")
    assert k.out[1:] == [events.CloseBackend(no_tls="no protocols available"), events.OpenBackend(frozenset())]
    k.out.clear()
    k.upstream = made
    opening.not_secured(k, made, "no protocols available")
    assert k.out[-1] == events.OpenBackend(frozenset({"first:25"}))


def test_a_server_without_tls_where_it_is_required_is_left() -> None:
    k, _ = _opening()
    k.upstream = made = Upstream("first:25", HOSTNAME, security=BackendTls.REQUIRE)
    for octets in (b"220 hi\r\n", b"250 hi\r\n"):
        opening.greeted(k, made, octets)
    assert k.out[1:] == [
        events.CloseBackend(reason="STARTTLS not offered"),
        events.OpenBackend(frozenset({"first:25"})),
    ]


def test_a_5xx_to_starttls_is_logged_and_blames_the_link() -> None:
    k, made = _at_starttls(BackendTls.REQUIRE)
    opening.greeted(k, made, b"502 no\r\n")
    assert kinds(k.out) == ["Record", "CloseBackend", "OpenBackend"]
    assert k.obstacles == {Own.BACKEND_MISCONFIGURED}


# Chunks


def test_whether_the_server_takes_chunks_is_known_from_when_it_is_given_the_envelope() -> None:
    for keywords in ((), ("CHUNKING",)):
        k = carriage(envelope())
        assert opening.suits(k, upstream(*keywords))
        assert k.dialogue.envelope is not None
        assert k.dialogue.envelope.may_chunk is bool(keywords)


def test_a_body_in_chunks_goes_to_no_server_without_chunking() -> None:
    k = carriage(envelope())
    assert k.dialogue.envelope is not None
    k.dialogue.envelope.chunked = True
    k.upstream = made = upstream("PIPELINING")
    assert not opening.suits(k, made)
    assert (k.obstacles, kinds(k.out)) == (frozenset({Own.BACKEND_CANNOT}), ["CloseBackend", "OpenBackend"])


@pytest.mark.parametrize(
    ("security", "kinds_of_effects", "tried"),
    [
        (BackendTls.OPPORTUNISTIC, ["CloseBackend", "OpenBackend"], frozenset()),
        (BackendTls.REQUIRE, ["CloseBackend", "OpenBackend"], frozenset({"first:25"})),
    ],
)
def test_a_421_to_starttls_is_about_tls_where_clear_text_will_do(
    security: BackendTls, kinds_of_effects: list[str], tried: frozenset[str]
) -> None:
    k, made = _at_starttls(security)
    opening.greeted(k, made, b"421 4.7.0 no TLS today\r\n")
    assert kinds(k.out) == kinds_of_effects
    assert k.out[-1] == events.OpenBackend(tried)
    assert k.out[0] == (
        events.CloseBackend(reason="full", reply="421 4.7.0 no TLS today")
        if tried
        else events.CloseBackend(no_tls="421 4.7.0 no TLS today")
    )
