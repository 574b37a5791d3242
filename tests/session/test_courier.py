"""The backend's half as the relay sees it: jobs asked for, and what happens to them on the way."""

import pytest

from smtproxy.session import events
from smtproxy.session.answers import Own
from smtproxy.session.carriage import Carriage, Fate, Heard, Job, Stand
from smtproxy.session.courier import Courier
from smtproxy.session.envelope import Recipient
from smtproxy.session.settings import BackendTls
from smtproxy.session.slots import Purpose
from smtproxy.session.upstream import Upstream
from smtproxy.session.verdicts import Accepted, Stage
from tests.fakes.servers import AGREED
from tests.session.parts import (
    HOSTNAME,
    NEVER,
    NOW,
    OK,
    PHRASES,
    carriage,
    envelope,
    job,
    kinds,
    recipient,
    slot,
    upstream,
)

_ACCEPTED = Accepted(Stage.MESSAGE)


def _idle(*recipients: Recipient) -> tuple[Courier, Carriage]:
    k = carriage(envelope(*recipients))
    return Courier(k), k


def _connected(stand: Stand = Stand.READY, *recipients: Recipient) -> tuple[Courier, Carriage]:
    courier, k = _idle(*recipients)
    k.upstream, k.stand = upstream("PIPELINING"), stand
    return courier, k


def _failed(k: Carriage, own: Own) -> bool:
    return k.failure == Heard(PHRASES.say(own), "protocol") and k.upstream is None and k.job is None


def test_a_new_transaction_knows_nothing_of_the_last_one() -> None:
    courier, k = _connected()
    k.failure = k.final = Heard(NEVER, "backend")
    k.fate, k.backend_reply, k.replays, k.used, k.in_sync = Fate.REJECTED, NEVER, 2, upstream(), True
    courier.begin("testsession.2")
    forgotten: list[object] = [k.failure, k.final, k.fate, k.backend_reply]
    assert forgotten == [None] * 4
    assert (k.replays, k.server, k.in_sync, k.transaction) == (0, "", False, "testsession.2")


def test_the_first_group_opens_a_connection_and_the_next_one_looks() -> None:
    courier, k = _idle()
    courier.group([slot()])
    assert kinds(k.out) == ["OpenBackend"]
    courier, k = _connected()
    courier.group([slot()])
    assert kinds(k.out) == ["Look"]


def test_a_body_never_opens_a_connection() -> None:
    courier, k = _idle()
    courier.send_body(b"text")
    assert _failed(k, Own.BACKEND_LOST)
    courier, k = _idle()
    courier.finish(_ACCEPTED, b".\r\n", {})
    assert _failed(k, Own.BACKEND_LOST)
    assert kinds(k.out) == []


def test_what_was_collected_leaves_right_behind_the_go_ahead_kept_octets_first() -> None:
    courier, k = _connected(Stand.STREAMING)
    courier.send_collected(b"text", kept=True)
    assert k.out == [events.ForwardKept(), events.Forward(b"text")]
    assert k.streaming
    assert k.deadline == NOW + k.settings.limits.transfer_time


def test_an_idle_connection_is_given_back_and_no_other() -> None:
    courier, k = _connected()
    courier.release()
    assert k.out == [events.CloseBackend(b"QUIT\r\n")]
    for stand in (Stand.WAITING, Stand.LOOKING, Stand.STREAMING, Stand.COMMITTED):
        courier, k = _connected(stand)
        courier.release()
        assert k.out == []


def test_an_abandoned_transaction_is_reset_before_the_next() -> None:
    courier, k = _connected()
    k.in_sync = True
    courier.abandon()
    assert (k.dirty, k.in_sync) == (True, False)
    assert k.upstream is not None
    assert k.upstream.worn


def test_an_abandoned_body_closes_the_connection_without_a_word() -> None:
    for stand in (Stand.STREAMING, Stand.LOOKING, Stand.WAITING):
        courier, k = _connected(stand)
        courier.abandon()
        assert k.out == [events.CloseBackend()]


def test_a_committed_message_cannot_be_abandoned() -> None:
    courier, k = _connected(Stand.COMMITTED)
    courier.abandon()
    assert k.out == []
    assert k.committed


def test_quit_is_said_between_commands_only() -> None:
    for stand in Stand:
        courier, k = _connected(stand)
        courier.close()
        farewell = [one.farewell for one in k.out if isinstance(one, events.CloseBackend)]
        assert farewell == ([] if stand is Stand.IDLE else [b"QUIT\r\n" if stand is Stand.READY else b""])


@pytest.mark.parametrize(
    "seen", [events.Looked(b"250 x\r\n"), events.Looked(closed=True), events.Looked(b"2")], ids=str
)
def test_what_a_look_finds_between_commands_is_not_this_connection(seen: events.Looked) -> None:
    courier, k = _connected(Stand.READY, recipient(reply=OK))
    courier.group([slot()])
    k.out.clear()
    assert courier.looked(seen)
    assert kinds(k.out) == ["CloseBackend", "OpenBackend"]
    assert job(k) is Job.GROUP


def test_a_second_surprise_in_one_job_is_a_failure() -> None:
    courier, k = _connected()
    courier.group([slot()])
    courier.looked(events.Looked(closed=True))
    k.upstream, k.stand = upstream(), Stand.LOOKING
    courier.looked(events.Looked(closed=True))
    assert _failed(k, Own.BACKEND_LOST)


@pytest.mark.parametrize(
    ("octets", "closed", "heard"),
    [
        (b"", True, PHRASES.say(Own.BACKEND_LOST)),
        (b"421 bye\r\n", True, PHRASES.say(Own.BACKEND_LOST)),
        (b"250 stray\r\n", False, PHRASES.say(Own.BACKEND_NONSENSE)),
        (b"354 again\r\n", False, PHRASES.say(Own.BACKEND_NONSENSE)),
        (b"hello\r\n", False, PHRASES.say(Own.BACKEND_NONSENSE)),
        (b"55", False, PHRASES.say(Own.BACKEND_NONSENSE)),
        (b"550 5.1.1 never\r\n", True, NEVER),
    ],
)
def test_what_a_look_finds_in_a_body_fails_the_message(octets: bytes, closed: bool, heard: object) -> None:
    for commits in (False, True):
        courier, k = _connected(Stand.STREAMING)
        if commits:
            courier.finish(_ACCEPTED, b".\r\n", {})
        else:
            courier.send_body(b"text")
        k.out.clear()
        courier.looked(events.Looked(octets, closed=closed))
        assert k.failure is not None
        assert k.failure.reply == heard
        assert kinds(k.out) == ["CloseBackend"]


def test_a_clean_look_lets_the_commit_leave() -> None:
    courier, k = _connected(Stand.STREAMING)
    courier.finish(_ACCEPTED, b".\r\n", {})
    assert courier.looked(events.Looked())
    assert kinds(k.out) == ["Look", "Record", "Commit"]


def test_a_client_that_is_gone_gets_no_commit() -> None:
    courier, k = _connected(Stand.STREAMING)
    courier.finish(_ACCEPTED, b".\r\n", {})
    assert not courier.looked(events.Looked(client_gone=True))
    assert kinds(k.out) == ["Look"]


def test_an_early_reply_in_pieces_is_waited_for_but_never_written_across() -> None:
    courier, k = _connected(Stand.STREAMING)
    courier.received(events.BackendBytes(b"55"))
    assert k.streaming
    courier.received(events.BackendBytes(b"0 5.1.1 never\r\n"))
    assert k.failure == Heard(NEVER, "backend")
    courier, k = _connected(Stand.STREAMING)
    courier.received(events.BackendBytes(b"55"))
    courier.send_body(b"text")
    courier.looked(events.Looked())
    assert k.failure is not None
    assert events.Forward(b"text") not in k.out


def test_an_idle_connection_that_speaks_or_ends_is_closed_in_silence() -> None:
    for octets in (b"421 idle\r\n", b""):
        courier, k = _connected()
        if octets:
            courier.received(events.BackendBytes(octets))
        else:
            courier.lost(events.BackendClosed())
        assert kinds(k.out) == ["CloseBackend"]
        assert k.failure is None


def test_a_connection_that_ends_while_replies_are_owed_fails_the_job() -> None:
    courier, k = _connected(Stand.WAITING)
    k.job = Job.GROUP
    courier.lost(events.BackendClosed("reset"))
    assert _failed(k, Own.BACKEND_LOST)


def test_a_warm_one_that_said_nothing_yet_is_replaced_once() -> None:
    courier, k = _idle()
    courier.group([slot()])
    courier.opened(events.BackendOpened(upstream("PIPELINING")))
    courier.looked(events.Looked())
    assert k.stand is Stand.WAITING
    courier.lost(events.BackendClosed())
    assert k.out[-1] == events.OpenBackend(frozenset(), fresh=True)


def test_a_connection_that_ends_behind_the_commit_is_unknown() -> None:
    courier, k = _connected(Stand.COMMITTED)
    courier.lost(events.BackendClosed())
    assert k.fate is Fate.UNKNOWN


@pytest.mark.parametrize(
    ("stand", "own"),
    [
        (Stand.WAITING, Own.BACKEND_SILENT),
        (Stand.LOOKING, Own.BACKEND_SILENT),
        (Stand.STREAMING, Own.BACKEND_SILENT),
    ],
)
def test_time_ends_every_wait(stand: Stand, own: Own) -> None:
    courier, k = _connected(stand)
    courier.too_late()
    assert _failed(k, own)
    courier, k = _connected(stand)
    courier.too_late(Own.TOO_LATE)
    assert _failed(k, Own.TOO_LATE)


def test_time_behind_the_commit_leaves_the_fate_unknown() -> None:
    courier, k = _connected(Stand.COMMITTED)
    courier.too_late()
    assert k.fate is Fate.UNKNOWN


def test_a_server_that_does_not_greet_in_time_leads_to_the_next() -> None:
    courier, k = _connected(Stand.OPENING)
    courier.too_late()
    assert k.out[-1] == events.OpenBackend(frozenset({"backend:25"}))


def test_why_no_connection_could_be_had() -> None:
    for reason, obstacles, own in (
        ("none", set(), Own.NO_BACKEND),
        ("full", set(), Own.NO_PLACE),
        ("none", {Own.NO_PLACE}, Own.NO_PLACE),
        ("none", {Own.NO_PLACE, Own.BACKEND_MISCONFIGURED}, Own.BACKEND_MISCONFIGURED),
        ("full", {Own.BACKEND_MISCONFIGURED, Own.BACKEND_CANNOT}, Own.BACKEND_CANNOT),
    ):
        courier, k = _idle()
        courier.group([slot()])
        k.obstacles = frozenset(obstacles)
        courier.could_not_open(events.BackendFailed(reason))
        assert _failed(k, own), own


@pytest.mark.parametrize("stand", [stand for stand in Stand if stand is not Stand.OPENING])
def test_answers_to_what_nobody_asked_change_nothing(stand: Stand) -> None:
    courier, k = _connected(stand)
    courier.opened(events.BackendOpened(upstream(server="other:25")))
    courier.could_not_open(events.BackendFailed("none"))
    if stand is not Stand.LOOKING:
        assert courier.looked(events.Looked(b"250 x\r\n", closed=True))
    assert k.out == []
    assert k.stand is stand


def test_nothing_is_owed_by_a_connection_that_is_none() -> None:
    courier, k = _idle()
    for happen in (events.BackendBytes(b"250 x\r\n"), events.BackendClosed()):
        if isinstance(happen, events.BackendBytes):
            courier.received(happen)
        else:
            courier.lost(happen)
    courier.too_late()
    assert k.out == []


def test_a_failure_that_was_told_is_forgotten() -> None:
    courier, k = _connected(Stand.WAITING)
    courier.too_late()
    courier.forget_failure()
    assert k.failure is None
    assert Purpose.RCPT not in [entry[0] for entry in k.queue]


# TLS


def _shaking_hands(security: BackendTls = BackendTls.OPPORTUNISTIC) -> tuple[Courier, Carriage]:
    courier, k = _connected(Stand.OPENING)
    k.upstream = Upstream("backend:25", HOSTNAME, security=security)
    for octets in (b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"220 go\r\n"):
        courier.received(events.BackendBytes(octets))
    assert k.out[-1] == events.SecureBackend()
    k.out.clear()
    return courier, k


def test_a_handshake_ends_well_or_not() -> None:
    courier, k = _shaking_hands()
    courier.secured(events.BackendSecured(AGREED))
    assert k.out == [events.Forward(b"EHLO mx.example.org\r\n")]
    courier, k = _shaking_hands()
    courier.not_secured(events.BackendNotSecured("wrong version number"))
    assert k.out[0] == events.CloseBackend(no_tls="wrong version number")


def test_a_connection_that_ends_in_a_handshake_or_never_ends_it_is_one_without_tls() -> None:
    courier, k = _shaking_hands()
    courier.lost(events.BackendClosed("stalled"))
    assert k.out == [events.CloseBackend(no_tls="stalled"), events.OpenBackend(frozenset())]
    courier, k = _shaking_hands()
    courier.too_late()
    assert k.out == [events.CloseBackend(no_tls="timeout"), events.OpenBackend(frozenset())]
    courier, k = _shaking_hands(BackendTls.REQUIRE)
    courier.too_late()
    assert k.out == [events.CloseBackend(reason="TLS: timeout"), events.OpenBackend(frozenset({"backend:25"}))]


def test_a_handshake_nobody_waits_for_changes_nothing() -> None:
    courier, k = _connected()
    courier.secured(events.BackendSecured(AGREED))
    courier.not_secured(events.BackendNotSecured("too late"))
    assert (k.out, k.stand) == ([], Stand.READY)
    courier, k = _idle()
    courier.secured(events.BackendSecured(AGREED))
    courier.not_secured(events.BackendNotSecured("too late"))
    assert (k.out, k.stand) == ([], Stand.IDLE)


def test_each_job_tries_tls_anew() -> None:
    courier, k = _idle()
    k.unsecured = frozenset({"backend:25"})
    courier.group([slot()])
    assert k.unsecured == frozenset()
