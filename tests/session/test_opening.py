"""Reaching a backend server: each is tried once, and a refusal blames the link, never the mail."""

from smtproxy.session import events, opening
from smtproxy.session.carriage import Carriage, Job, Stand
from smtproxy.session.courier import Courier
from smtproxy.session.upstream import Upstream
from smtproxy.wire.commands import parse_mail
from tests.session.parts import HOSTNAME, carriage, envelope, kinds, upstream


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
        assert k.full is (reason == "full")


def test_a_5xx_at_the_opening_is_logged_and_blames_the_link() -> None:
    k, made = _opening()
    opening.greeted(k, made, b"554 no\r\n")
    assert kinds(k.out) == ["Record", "CloseBackend", "OpenBackend"]
    assert k.blamed


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
    assert k.cannot
    assert k.out == [events.CloseBackend(), events.OpenBackend(frozenset({"first:25"}))]


def test_a_later_transaction_that_needs_more_goes_to_another_server() -> None:
    """What the connection was opened for said nothing of SMTPUTF8; it must not be stripped, nor bounce there."""
    k, _ = _opening(Job.GROUP)
    k.upstream = upstream("PIPELINING", server="first:25")
    k.stand = Stand.LOOKING
    assert k.dialogue.envelope is not None
    k.dialogue.envelope.parameters = parse_mail(b"FROM:<a@b.example> SMTPUTF8").parameters
    Courier(k).looked(events.Looked())
    assert k.cannot
    assert k.out == [events.CloseBackend(), events.OpenBackend(frozenset({"first:25"}))]


def test_a_warm_connection_is_looked_at_before_it_is_used() -> None:
    k, _ = _opening(Job.GROUP)
    k.upstream = made = upstream("PIPELINING")
    k.unproven = True
    opening.reached(k, made)
    assert kinds(k.out) == ["Look"]
