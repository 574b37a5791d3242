"""Properties of the whole relay: with any client, any cuts, any verdicts and any backend.

Octets do not depend on the network, nothing ends a message but a verdict, answers come in order, and nothing that a
peer says is ever an exception (DESIGN section 2, STYLE section 7).
"""

from collections.abc import Callable, Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from smtproxy.sample.script import Point
from smtproxy.session import events
from smtproxy.session.verdicts import Accepted, Stage
from tests.session.chaos import Chaos, mayhem, soup, stir
from tests.session.sessions import REFUSAL, Mail, Network, Session, Told, sessions, tell
from tests.wire.pieces import PROPERTY

_SOME = settings(PROPERTY, max_examples=120)
_SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=4)
_ALWAYS = {
    b"": 500,
    b"NOOP": 250,
    b"noop\t": 250,
    b"RSET": 250,
    b"VRFY someone": 252,
    b"HELP": 214,
    b"EXPN list": 502,
    b"STARTTLS": 502,
    b"XYZZY": 500,
    b"\xff\xfb": 500,
    b"EHLO again.example": 250,
    b"HELO again.example": 250,
    b"MAIL FROM:<": 501,
    b"MAIL FROM:<a@b> SIZE=x": 501,
    b"MAIL FROM:<a@b> AUTH=<>": 555,
    b"RCPT TO:<early@example.org>": 503,
    b"QUIT": 221,
}
"""Commands with the same answer wherever they stand in these sessions."""


def _cutter(sizes: Sequence[int]) -> Callable[[bytes], list[bytes]]:
    """Return a network that cuts octets into pieces of these sizes, over and over."""

    def cut(whole: bytes) -> list[bytes]:
        pieces: list[bytes] = []
        at = 0
        while at < len(whole):
            size = sizes[len(pieces) % len(sizes)]
            pieces.append(whole[at : at + size])
            at += size
        return pieces

    return cut


def _seen(told: Told, *, envelopes: bool = True) -> tuple[object, ...]:
    """Return everything that the peers and the log saw; without `envelopes` only what must be equal in any case."""
    lab = told.lab
    content = lab.heard, lab.record.envelopes, [delivery.wire for delivery in lab.record.accepted]
    return (*content, [bytes(one.received) for one in lab.record.connections], lab.log) if envelopes else content


@_SOME
@given(session=sessions(), sizes=_SIZES)
def test_octets_do_not_depend_on_how_the_clients_are_cut(session: Session, sizes: list[int]) -> None:
    # Behind a refused MAIL no RCPT leaves any more but those of its own group, and its size depends on the cut.
    whole = all(rule.at is not Point.MAIL for rule in session.script) and not session.streams_chunks
    expected = _seen(tell(session), envelopes=whole)
    assert _seen(tell(session, Network(client=_cutter(sizes))), envelopes=whole) == expected


@_SOME
@given(session=sessions(), sizes=_SIZES)
def test_octets_do_not_depend_on_how_the_backends_are_cut(session: Session, sizes: list[int]) -> None:
    assert _seen(tell(session, Network(backend=_cutter(sizes)))) == _seen(tell(session))


@_SOME
@given(session=sessions(), late=st.sets(st.integers(1, 40)))
def test_octets_do_not_depend_on_when_verdicts_come(session: Session, late: set[int]) -> None:
    assert _seen(tell(session, Network(late=late.__contains__))) == _seen(tell(session))


@_SOME
@given(session=sessions())
def test_one_answer_for_each_command_in_order(session: Session) -> None:
    told = tell(session)
    assert len(told.replies) == len(told.commands)
    for command, reply in zip(told.commands[1:], told.replies[1:], strict=True):
        assert reply.code == _ALWAYS.get(command, reply.code), (command, reply)
        if command in {b"RCPT TO:<far@elsewhere.example>", b"RCPT TO:<bad"}:
            assert reply.code >= 500


@_SOME
@given(session=sessions())
def test_no_terminator_before_an_accepting_verdict(session: Session) -> None:
    lab = tell(session).lab
    accepted = False
    for _, what in lab.timeline:
        match what:
            case events.Judged() if what.verdict.stage is Stage.MESSAGE:
                accepted = isinstance(what.verdict, Accepted)
            case events.Commit():
                assert accepted
                accepted = False
            case _:
                pass
    assert lab.record.terminators == len(lab.effects(events.Commit))


@_SOME
@given(session=sessions())
def test_each_mail_has_the_fate_that_its_client_heard(session: Session) -> None:
    told = tell(session)
    finals = [reply for command, reply in zip(told.commands, told.replies, strict=True) if command == b"."]
    bodies = [move for move in session.moves if isinstance(move, Mail)]
    assert sum(reply.code == 250 for reply in finals) == len(told.lab.record.accepted)
    if not session.script:
        assert all(reply.octets == REFUSAL.encode() for reply in finals if reply.code != 250)
    assert len(told.lab.messages) == len(bodies)
    outcomes = [line["outcome"] for line in told.lab.messages]
    assert outcomes.count("delivered") == len(told.lab.record.accepted)


@settings(PROPERTY, max_examples=300)
@given(chaos=mayhem())
def test_no_octets_of_any_peer_are_an_exception(chaos: Chaos) -> None:
    lab = chaos.run()
    assert lab.finished
    _honest(lab.timeline)
    assert lab.record.terminators <= len(lab.effects(events.Commit))


@settings(PROPERTY, max_examples=300)
@given(ingredients=soup())
def test_no_event_at_any_time_is_an_exception(ingredients: list[events.Event]) -> None:
    _honest(stir(ingredients))


def _honest(timeline: Sequence[tuple[float, events.Event | events.Effect]]) -> None:
    """Assert one session line, one message line for each transaction, commit line and verdict before each commit."""
    names: list[object] = []
    ends: list[Mapping[str, object]] = []
    commits, verdict = 0, False
    for _, what in timeline:
        match what:
            case events.Judged() if what.verdict.stage is Stage.MESSAGE:
                verdict = isinstance(what.verdict, Accepted)
            case events.Record() if what.event.value == "session":
                ends.append(what.fields)
            case events.Record() if what.event.value == "message":
                names.append(what.fields["transaction"])
                verdict = False
            case events.Record() if what.event.value == "commit":
                commits += 1
            case events.Commit():
                commits -= 1
                assert verdict
                assert commits == 0
            case _:
                pass
    assert len(ends) == 1
    assert len(names) == len(set(names)) == ends[0]["transactions"]
