"""The proxy against nothing: random clients straight to the sample backend and through the proxy (`open = "mail"`).

Both must answer with the same codes and end with the same mails, but for what `DIFFERENCES` declares, each with its
reason, and for what the contract lets us change in a mail: the trace header, and bare newlines. In memory, seeded.
"""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from smtproxy.sample.actions import Action, Close, Send
from smtproxy.sample.dialogue import SampleDialogue
from smtproxy.sample.profile import Profile, UnknownRecipients
from smtproxy.sample.profiles import EXCHANGE
from smtproxy.sample.record import BackendRecord, Delivery
from smtproxy.sample.script import Script
from smtproxy.session.settings import BodyMode, OpenMode, RelaySettings
from smtproxy.wire.newlines import NewlineMode
from tests.end_to_end.differences import DATA_PAIRS, DIFFERENCES, EXTENDED, SAME, Line
from tests.fakes.heard import read_replies
from tests.fakes.laboratory import Laboratory
from tests.session.playing.head import Head
from tests.smuggling.reference import passed

SCRIPTS = 120
"""Random clients for each body mode and backend."""
MAX_SIZE = 4000
KNOWN = frozenset({"user@example.org", "other@example.org", "third@example.org", "fourth@example.org", "postmaster"})
# The backend counts our errors, not the client's: those end in the proxy. Its own patience would be another matter.
BACKEND = replace(EXCHANGE, known_recipients=KNOWN, max_size=MAX_SIZE, max_recipients=3, max_errors=None)
BACKENDS = {
    "refuses at RCPT": replace(BACKEND, unknown_recipients=UnknownRecipients.EDGE),
    "refuses at the dot": replace(BACKEND, unknown_recipients=UnknownRecipients.RECIPIENT_FILTER),
    "without PIPELINING": replace(
        BACKEND,
        unknown_recipients=UnknownRecipients.EDGE,
        ehlo=tuple(line for line in BACKEND.ehlo or () if line != "PIPELINING"),
    ),
}

PATIENT = Head({"checks": {"soft": 1000, "hard": 1000}})


# Clients


def script(chance: random.Random) -> Iterator[list[Line]]:
    """One client: groups of lines, each sent in one write. It waits for the answers to a group, and to DATA alone."""
    yield [Line(b"EHLO client.example", b"EHLO client.example")]
    extended = True
    different = [line for lines in DIFFERENCES.values() for line in lines]
    for _ in range(chance.randint(3, 12)):
        group = []
        for _ in range(chance.choice((1, 1, 2, 4))):
            line = chance.choice((*SAME, *chance.sample(different, 6), *(EXTENDED if extended else ())))
            extended = extended if line.direct is None else _extended(line.direct, before=extended)
            group.append(line)
        yield group
        if chance.random() < 0.5:
            yield [Line(b"RSET", b"RSET"), mail(chance, extended=extended), recipient(chance), recipient(chance)]
        if chance.random() < 0.8:
            yield [chunk(chance) if extended and chance.random() < 0.4 else data(chance)]
    yield [chance.choice((Line(b"QUIT", b"QUIT"), Line(b"quit now", b"QUIT"), Line(b"NOOP", b"NOOP")))]


def _extended(line: bytes, *, before: bool) -> bool:
    verb = line.split(b" ")[0].upper()
    return verb == b"EHLO" if verb in (b"EHLO", b"HELO") else before


def mail(chance: random.Random, *, extended: bool) -> Line:
    lines: list[Line] = [*SAME, *(EXTENDED if extended else ())]
    return chance.choice([line for line in lines if line.proxy.upper().startswith(b"MAIL FROM")])


def recipient(chance: random.Random) -> Line:
    return chance.choice([line for line in SAME if line.proxy.upper().startswith(b"RCPT TO:<")])


def data(chance: random.Random) -> Line:
    lines = [chance.choice((b"text", b"", b"..", b"..text", b"\xff\0", b"a: b")) for _ in range(chance.randint(0, 6))]
    if chance.random() < 0.2:
        lines.append(b"x" * 900 + b"\r\n" + b"y" * chance.choice((900, 5000)))
    newline = chance.choice((b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"))
    text = b"Subject: x\r\n\r\n" + newline.join(lines)
    return Line(b"DATA", b"DATA", pairs=DATA_PAIRS, body=text + b"\r\n.\r\n")


def chunk(chance: random.Random) -> Line:
    """A whole text as one last chunk, the CRLF that is put behind it included."""
    octets = bytes(chance.choices(b"\r\n.a\0\xff", k=chance.choice((0, 1, 10, 300, 5000))))
    text = b"Subject: x\r\n\r\n" + octets
    line = b"BDAT %d LAST\r\n" % (len(text) + 2) + text
    return Line(line, line, pairs=DATA_PAIRS)


# The two ways


class Direct:
    """Straight to the backend."""

    def __init__(self, profile: Profile) -> None:
        self.record = BackendRecord()
        self.closed = False
        self._dialogue = SampleDialogue(profile, Script(), "192.0.2.10", self.record)
        self._actions(self._dialogue.connected())

    def say(self, octets: bytes) -> list[int]:
        return self._actions(self._dialogue.feed(octets)) if octets and not self.closed else []

    def _actions(self, actions: list[Action]) -> list[int]:
        self.closed = self.closed or any(isinstance(action, Close) for action in actions)
        return codes(b"".join(action.octets for action in actions if isinstance(action, Send)))


class Proxied:
    """Through the proxy, which is in no hurry to lose patience."""

    def __init__(self, profile: Profile, mode: BodyMode) -> None:
        settings = RelaySettings("mx.example.org", body=mode, open=OpenMode.MAIL)
        self.lab = Laboratory(settings, profile=profile, policy=PATIENT.policy(settings))
        self.lab.start()

    def say(self, octets: bytes) -> list[int]:
        return codes(self.lab.send(octets))

    @property
    def closed(self) -> bool:
        return self.lab.finished


def codes(replies: bytes) -> list[int]:
    heard, rest = read_replies(replies)
    assert rest == b""
    return [reply.code for reply in heard]


@pytest.mark.parametrize("mode", BodyMode)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_proxy_answers_and_delivers_as_its_backend_does(backend: str, mode: BodyMode) -> None:
    delivered = 0
    for seed in range(SCRIPTS):
        delivered += compare(BACKENDS[backend], mode, random.Random(f"{backend} {mode.value} {seed}"))
    assert delivered > SCRIPTS / 2, "scripts that deliver nothing compare nothing"


def compare(profile: Profile, mode: BodyMode, chance: random.Random) -> int:
    """Play one script both ways; -> number of mails."""
    direct, proxied = Direct(profile), Proxied(profile, mode)
    said: list[bytes] = []
    for group in script(chance):
        said += [line.proxy for line in group]
        from_proxy = proxied.say(b"".join(line.proxy + b"\r\n" for line in group))
        from_backend = direct.say(b"".join(line.direct + b"\r\n" for line in group if line.direct is not None))
        check_codes(group, from_backend, from_proxy, said)
        assert proxied.closed is direct.closed, said
        if group[-1].body is not None and from_proxy[-1] == 354:
            said.append(group[-1].body)
            assert proxied.say(group[-1].body) == direct.say(group[-1].body), said
    assert [mail_of(delivery) for delivery in proxied.lab.record.accepted] == [
        expected(delivery) for delivery in direct.record.accepted
    ], said
    assert proxied.lab.record.violations == [], said
    return len(direct.record.accepted)


def check_codes(group: list[Line], from_backend: list[int], from_proxy: list[int], said: list[bytes]) -> None:
    assert len(from_proxy) == len(group), said
    answers = iter(from_backend)
    for line, code in zip(group, from_proxy, strict=True):
        if line.direct is None:
            assert code in line.refused, (line.proxy, code, said)
        else:
            backend = next(answers)
            assert backend == code or (backend, code) in line.pairs, (line.proxy, backend, code, said)
    assert next(answers, None) is None, said


Mail = tuple[str, tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...], bytes]


def mail_of(delivery: Delivery) -> Mail:
    """What the backend stored of a mail that came through the proxy, the trace header aside."""
    assert delivery.wire.startswith(b"Received: from "), delivery.wire
    return (*envelope(delivery), delivery.wire.split(b"\r\n", 3)[3])


def expected(delivery: Delivery) -> Mail:
    """What is to be stored where this came straight: the same, with bare newlines made CRLF."""
    if delivery.via == "BDAT":
        return (*envelope(delivery), delivery.wire)
    text = passed(delivery.wire.removesuffix(b"\r\n"), NewlineMode.NORMALISE)
    assert text is not None
    return (*envelope(delivery), text + b"\r\n")


def envelope(delivery: Delivery) -> tuple[str, tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]]:
    return delivery.sender, delivery.parameters, tuple((to.address, to.parameters) for to in delivery.recipients)


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in DIFFERENCES.items() for line in lines])
def test_each_declared_difference_is_one(name: str, line: Line) -> None:
    profile = BACKENDS["refuses at RCPT"]
    direct, proxied = Direct(profile), Proxied(profile, BodyMode.AUTO)
    begin = b"EHLO client.example\r\n"
    if line.proxy.startswith(b"RCPT"):
        begin += b"MAIL FROM:<a@client.example>\r\n"
    assert direct.say(begin) == proxied.say(begin)
    (from_proxy,) = proxied.say(line.proxy + b"\r\n")
    (from_backend,) = direct.say(line.proxy + b"\r\n")
    if line.direct is None:
        assert from_proxy in line.refused - {503}
        assert not any(command in line.proxy for command in proxied.lab.record.commands)
    elif line.pairs:
        assert (from_backend, from_proxy) in line.pairs
    else:
        assert from_backend >= 500
        assert direct.say(line.direct + b"\r\n") == [from_proxy]
