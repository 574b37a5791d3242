"""Parts of a session, built for the tests of single modules: as small as they can be, and real."""

from smtproxy.policy.replies import Phrasebook
from smtproxy.session.carriage import Carriage, Job
from smtproxy.session.conversation import Conversation
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.events import Effect
from smtproxy.session.memory import Memory
from smtproxy.session.settings import RelaySettings
from smtproxy.session.slots import Slot
from smtproxy.session.upstream import Paired, Upstream
from smtproxy.session.verdicts import Accepted, Stage, Verdict
from smtproxy.wire.ehlo import Capabilities
from smtproxy.wire.paths import parse_path
from smtproxy.wire.replies import Reply

HOSTNAME = "mx.example.org"
SESSION = "testsession"
NOW = 1000.0
PHRASES = Phrasebook(HOSTNAME, SESSION)
SETTINGS = RelaySettings(HOSTNAME)
OK = Reply(250, (b"2.0.0 ok",))
LATER = Reply(450, (b"4.2.0 later",))
NEVER = Reply(550, (b"5.1.1 never",))


def recipient(address: str = "one@example.org", reply: Reply | None = None, by: str = "backend") -> Recipient:
    """Return a recipient, answered or not."""
    path, _ = parse_path(f"<{address}>".encode())
    return Recipient(path, (), reply, by if reply is not None else "")


def envelope(*recipients: Recipient, sender: str = "me@client.example") -> Envelope:
    """Return an envelope with these recipients, counted."""
    path, _ = parse_path(f"<{sender}>".encode())
    made = Envelope(path, (), list(recipients))
    for one in recipients:
        made.count(one)
    return made


def dialogue(mail: Envelope | None = None) -> Dialogue:
    """Return the dialogue of a session that has come as far as its envelope."""
    made = Dialogue(SESSION, "192.0.2.10", 4711, now=NOW)
    made.envelope = mail
    return made


def carriage(mail: Envelope | None = None, settings: RelaySettings = SETTINGS) -> Carriage:
    """Return the backend's half of a session, without a connection; its effects are in `out`."""
    return Carriage([], dialogue(mail), settings, PHRASES)


def upstream(*keywords: str, server: str = "backend:25") -> Upstream:
    """Return a connection whose greeting and hello are over."""
    made = Upstream(server, HOSTNAME)
    lines = "".join(f"250-{keyword}\r\n" for keyword in keywords)
    for octets in (b"220 hi\r\n", f"250-backend\r\n{lines}250 HELP\r\n".encode()):
        for got in made.receive(octets):
            assert isinstance(got, Paired)
            made.opening(got)
    assert made.ready
    return made


def conversation(settings: RelaySettings = SETTINGS, verdict: Verdict | None = None) -> Conversation:
    """Return the client's half of a session. Everything is accepted on the spot unless there is a `verdict`."""
    applied: list[Verdict] = []

    def judge(stage: Stage) -> Verdict:
        return verdict or Accepted(stage)

    def on_verdict(_c: Conversation, given: Verdict) -> None:
        applied.append(given)

    return Conversation(
        dialogue(), settings, PHRASES, Capabilities((("SIZE", ""),)), Memory(1 << 20), judge, on_verdict, 0.0
    )


def slot(verb: str = "RCPT", to: Recipient | None = None) -> Slot:
    """Return a command of a client; RCPT with its recipient."""
    return Slot(verb, to if to is not None or verb != "RCPT" else recipient())


def job(k: Carriage) -> Job | None:
    """Return what is going on: asked anew, whatever the type checker remembers of it."""
    return k.job


def kinds(effects: list[Effect]) -> list[str]:
    """Return the names of effects, in order."""
    return [type(effect).__name__ for effect in effects]
