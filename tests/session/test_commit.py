"""The commit: only with the verdict that accepts the message, behind its log line; and what the answer to it means."""

import pytest

from smtproxy.session import commit, events
from smtproxy.session.answers import Own
from smtproxy.session.carriage import Carriage, Fate, Heard, Stand
from smtproxy.session.limits import Limits
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.settings import RelaySettings
from smtproxy.session.upstream import Upstream
from smtproxy.session.verdicts import Accepted, Stage
from tests.session.parts import HOSTNAME, NOW, PHRASES, carriage, envelope, kinds, recipient, upstream

_TERMINATOR = b"\r\n.\r\n"


def _streaming(settings: RelaySettings | None = None) -> tuple[Carriage, Upstream]:
    k = carriage(envelope(recipient()), settings or RelaySettings(HOSTNAME))
    k.upstream = made = upstream()
    k.stand = Stand.LOOKING
    k.accepted = Accepted(Stage.MESSAGE)
    k.terminator = _TERMINATOR
    k.commit_fields = {"transaction": "testsession.1"}
    return k, made


def _committed() -> tuple[Carriage, Upstream]:
    k, made = _streaming()
    commit.try_commit(k)
    k.out.clear()
    return k, made


def test_the_log_line_goes_before_the_terminator() -> None:
    k, made = _streaming()
    commit.try_commit(k)
    line = events.Record(LogEvent.COMMIT, {"transaction": "testsession.1"})
    assert k.out == [line, events.Commit(_TERMINATOR)]
    assert k.committed
    assert made.owes == 1


def test_the_verdict_is_used_up() -> None:
    k, _ = _committed()
    assert k.accepted is None


@pytest.mark.parametrize(
    "accepted", [None, *(Accepted(stage) for stage in Stage if stage is not Stage.MESSAGE)], ids=str
)
def test_nothing_is_committed_without_the_verdict_of_stage_message(accepted: Accepted | None) -> None:
    k, _ = _streaming()
    k.accepted = accepted
    commit.try_commit(k)
    assert kinds(k.out) == ["CloseBackend"]
    assert k.failure == Heard(PHRASES.say(Own.INTERNAL), "protocol")


def test_the_backend_has_ten_minutes_whatever_is_configured() -> None:
    k, _ = _streaming(RelaySettings(HOSTNAME, limits=Limits(end_of_data_time=5)))
    commit.try_commit(k)
    assert k.deadline == NOW + 600


@pytest.mark.parametrize(
    ("octets", "fate"),
    [
        (b"250 2.6.0 queued\r\n", Fate.DELIVERED),
        (b"251 elsewhere\r\n", Fate.DELIVERED),
        (b"450 4.2.0 later\r\n", Fate.DEFERRED),
        (b"550 5.7.1 no\r\n", Fate.REJECTED),
    ],
)
def test_the_backends_word_is_the_clients(octets: bytes, fate: Fate) -> None:
    k, made = _committed()
    commit.answered(k, made, octets)
    assert k.fate is fate
    assert k.final is not None
    assert (k.final.reply.encode(), k.final.by) == (octets, "backend")
    assert k.stand is Stand.READY


def test_a_421_is_a_deferral_in_our_words() -> None:
    k, made = _committed()
    commit.answered(k, made, b"421 4.3.2 going down\r\n")
    assert k.fate is Fate.DEFERRED
    assert k.final == Heard(PHRASES.say(Own.BACKEND_LOST), "protocol")
    assert kinds(k.out) == ["CloseBackend"]


@pytest.mark.parametrize("octets", [b"354 go on\r\n", b"hello\r\n", b"\x00\r\n", b"199 x\r\n"])
def test_everything_else_is_unknown(octets: bytes) -> None:
    k, made = _committed()
    commit.answered(k, made, octets)
    assert k.fate is Fate.UNKNOWN
    assert k.final == Heard(PHRASES.say(Own.UNKNOWN_OUTCOME), "protocol")
    assert k.final.reply.code == 451
    assert kinds(k.out) == ["CloseBackend"]


def test_half_a_reply_decides_nothing() -> None:
    k, made = _committed()
    commit.answered(k, made, b"250-2.6.0 que")
    assert k.fate is None
    assert k.committed
    commit.answered(k, made, b"ued\r\n250 done\r\n")
    assert k.fate is Fate.DELIVERED


def test_who_says_more_than_one_reply_is_not_used_again() -> None:
    k, made = _committed()
    commit.answered(k, made, b"250 queued\r\n250 stray\r\n")
    assert k.fate is Fate.DELIVERED
    assert kinds(k.out) == ["CloseBackend"]


def test_two_replies_that_differ_are_no_answer() -> None:
    """A stray 250 in front of the refusal would have told the client that a lost mail was taken."""
    for octets in (b"250 stray\r\n554 no\r\n", b"554 stray\r\n250 queued\r\n"):
        k, made = _committed()
        commit.answered(k, made, octets)
        assert k.fate is Fate.UNKNOWN


def test_a_goodbye_behind_the_reply_is_no_second_opinion() -> None:
    k, made = _committed()
    commit.answered(k, made, b"250 queued\r\n421 bye\r\n")
    assert k.fate is Fate.DELIVERED


def test_a_delivery_counts_and_a_refusal_wears() -> None:
    k, made = _committed()
    commit.answered(k, made, b"250 queued\r\n")
    assert (made.messages, made.worn) == (1, False)
    k, made = _committed()
    commit.answered(k, made, b"554 no\r\n")
    assert (made.messages, made.worn) == (0, True)


def _committed_by_chunk() -> tuple[Carriage, Upstream]:
    k, made = _streaming()
    assert k.dialogue.envelope is not None
    k.dialogue.envelope.chunked = True
    commit.try_commit(k)
    k.out.clear()
    return k, made


@pytest.mark.parametrize("code", [500, 501, 502, 503, 504, 555])
def test_a_refusal_of_our_last_chunk_that_blames_us_bounces_nothing(code: int) -> None:
    k, made = _committed_by_chunk()
    commit.answered(k, made, b"%d what?\r\n" % code)
    assert (k.fate, k.final) == (Fate.DEFERRED, Heard(PHRASES.say(Own.BACKEND_MISCONFIGURED), "protocol"))
    assert kinds(k.out) == ["Record", "CloseBackend"]


@pytest.mark.parametrize(("octets", "dirty"), [(b"250 ok\r\n", False), (b"452 later\r\n", True), (b"554 no\r\n", True)])
def test_behind_a_refused_last_chunk_rset_comes_first(octets: bytes, dirty: bool) -> None:
    """RFC 3030 2: the server's state is undefined, and one that kept its transaction says 503 to the next MAIL."""
    k, made = _committed_by_chunk()
    commit.answered(k, made, octets)
    assert (k.stand, k.dirty) == (Stand.READY, dirty)
