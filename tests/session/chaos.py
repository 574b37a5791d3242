"""Peers that say anything, and events that come in any order: what must never be an exception."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from smtproxy.policy.replies import Phrasebook
from smtproxy.session import events
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.limits import Limits
from smtproxy.session.memory import Memory
from smtproxy.session.relay import Relay
from smtproxy.session.settings import BodyMode, Chunking, OpenMode, RelaySettings
from smtproxy.session.tarpit import Tarpit, TarpitSettings
from smtproxy.session.upstream import Upstream
from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from smtproxy.wire.ehlo import Capabilities
from smtproxy.wire.replies import Reply
from tests.fakes.laboratory import SESSION, Laboratory
from tests.wire.pieces import octets

_LIMITS = Limits(body_memory=64, chunk=16, chunk_end=4)
_MEMORY = 1_000
_CLIENT = (
    *(b"EHLO client.example\r\n", b"MAIL FROM:<me@client.example>\r\n", b"RCPT TO:<one@example.org>\r\n", b"DATA\r\n"),
    *(b"Subject: x\r\n\r\nhello\r\n", b"\r\n.\r\n", b".\r\n", b"RSET\r\n", b"QUIT\r\n", b"y" * 100),
    *(b"BDAT 30\r\n", b"BDAT 7\r\nNOOP.\r\n", b"BDAT 0 LAST\r\n", b"BDAT 2 LAST\r\n\r\n", b"BDAT x\r\n"),
)
_BACKEND = (
    *(
        b"220 hello\r\n",
        b"250-mx\r\n250-CHUNKING\r\n250 PIPELINING\r\n",
        b"250 ok\r\n",
        b"250 ok\r\n250 ok\r\n",
        b"354 go\r\n",
    ),
    *(b"421 bye\r\n", b"450 later\r\n", b"550 never\r\n", b"503 what\r\n", b"25", b"999 x\r\n", b"250-"),
)


@dataclass(frozen=True, slots=True)
class Act:
    """Something done to a session: the client sends, or the backend speaks or vanishes, or time passes, ..."""

    kind: str
    octets: bytes = b""


@dataclass(frozen=True, slots=True)
class Chaos:
    """A session in which anything is said at any time."""

    acts: tuple[Act, ...]
    body: BodyMode
    open: OpenMode
    chunking: Chunking

    def run(self) -> Laboratory:
        """Play it; the client closes at last."""
        lab = Laboratory(
            RelaySettings("mx.example.org", body=self.body, open=self.open, chunking=self.chunking, limits=_LIMITS)
        )
        lab.start()
        for act in self.acts:
            if lab.finished:
                break
            self._do(lab, act)
        if not lab.finished:
            lab.close()
        lab.run()
        return lab

    def _do(self, lab: Laboratory, act: Act) -> None:
        match act.kind:
            case "client" if act.octets:
                lab.send(act.octets)
            case "backend" if lab.line is not None and act.octets:
                lab.line.speak(act.octets)
            case "seen" if lab.line is not None and act.octets:
                lab.event(events.BackendBytes(act.octets))
            case "gone" if lab.line is not None:
                lab.line.vanish()
            case "time":
                lab.pass_time(11.0)
            case "recall":
                lab.event(events.Recall())
            case _:
                pass
        lab.run()


def mayhem() -> st.SearchStrategy[Chaos]:
    """Any octets from both sides, mostly such that the session comes somewhere."""
    client = st.builds(Act, st.just("client"), st.sampled_from(_CLIENT) | octets(6))
    backend = st.builds(Act, st.sampled_from(("backend", "seen")), st.sampled_from(_BACKEND) | octets(4))
    others = st.builds(Act, st.sampled_from(("gone", "time", "recall")))
    opening = (*_CLIENT[:4], b"Subject: x\r\n\r\nhello\r\n")
    begun = st.integers(0, len(opening)).map(lambda steps: [Act("client", one) for one in opening[:steps]])
    then = st.lists(client | client | backend | others, max_size=8)
    acts = st.tuples(begun, then).map(lambda both: (*both[0], *both[1]))
    return st.builds(Chaos, acts, st.sampled_from(BodyMode), st.sampled_from(OpenMode), st.sampled_from(Chunking))


def soup() -> st.SearchStrategy[list[events.Event]]:
    """Events in any order, whatever the relay waits for."""
    delays = st.sampled_from((0.0, 0.0, 30.0))
    verdicts: st.SearchStrategy[Verdict] = st.builds(Accepted, st.sampled_from(Stage), delay=delays) | st.builds(
        Refused,
        st.sampled_from(Stage),
        st.just(Reply(550, (b"no",))),
        st.just("check"),
        delay=delays,
        drop=st.booleans(),
    )
    said = st.sampled_from(_BACKEND)
    one = st.one_of(
        st.builds(events.ClientBytes, st.sampled_from(_CLIENT)),
        st.builds(events.ClientBytes, st.sampled_from(_CLIENT)),
        st.builds(events.BackendBytes, said, early=st.booleans()),
        st.builds(events.BackendOpened, st.builds(Upstream, st.just("backend:25"), st.just("mx.example.org"))),
        st.builds(events.BackendFailed, st.sampled_from(("none", "full"))),
        st.builds(events.BackendClosed),
        st.builds(events.Judged, verdicts),
        st.builds(events.Looked, st.just(b"") | said, st.booleans(), st.booleans()),
        st.builds(events.Looked),
        st.builds(events.Stored, st.sampled_from(("", "disk full"))),
        st.builds(events.ClientClosed),
        st.just(events.TurnedAway("refused", "quotas", {})),
        st.builds(events.Shutdown, st.booleans()),
        st.sampled_from((events.Recall(), events.Timeout(), events.Crashed())),
    )
    return st.lists(one, max_size=25)


def stir(ingredients: Sequence[events.Event]) -> list[tuple[float, events.Event | events.Effect]]:
    """Feed events to a relay of its own, a crash at last; return everything that happened."""
    settings = RelaySettings("mx.example.org", limits=_LIMITS)
    offered = Capabilities((("SIZE", ""), ("PIPELINING", "")))
    memory = Memory(_MEMORY)
    dialogue, phrases, tarpit = (
        Dialogue(SESSION, "192.0.2.10"),
        Phrasebook("mx.example.org", SESSION),
        Tarpit(TarpitSettings()),
    )
    relay = Relay(dialogue, settings, phrases, offered, memory, tarpit=tarpit)
    now = 0.0
    timeline: list[tuple[float, events.Event | events.Effect]] = []
    for event in (events.Started(), *ingredients, events.Crashed()):
        timeline.append((now, event))
        timeline.extend((now, effect) for effect in relay.handle(event, now))
        now += 7.0
    assert relay.over
    assert relay.handle(events.Timeout(), now) == []
    assert memory.left == _MEMORY
    assert len(tarpit) == 0
    return timeline
