"""A client for the sample backend in memory: says lines, gathers what came back, and lets time pass only when told."""

from dataclasses import dataclass, field

from smtproxy.sample.actions import Action, Close, Reset, Save, Send, StopReading, Wait
from smtproxy.sample.dialogue import SampleDialogue
from smtproxy.sample.profile import Profile
from smtproxy.sample.profiles import EXCHANGE
from smtproxy.sample.record import BackendRecord, Connection
from smtproxy.sample.script import Rule, Script

ENVELOPE = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<user@example.org>\r\n"
MESSAGE = b"Subject: test\r\nMessage-ID: <id-1@client.example>\r\n\r\nHello\r\n"


@dataclass
class Play:
    """One connection to the double."""

    profile: Profile = EXCHANGE
    rules: tuple[Rule, ...] = ()
    record: BackendRecord = field(default_factory=BackendRecord)
    saving: bool = False

    def __post_init__(self) -> None:
        script = Script(self.rules)
        self.dialogue = SampleDialogue(self.profile, script, "192.0.2.1", self.record, saving=self.saving)
        self.actions: list[Action] = []
        self.greeting = self._said(self.dialogue.connected())

    def say(self, octets: bytes) -> bytes:
        """-> what the double sent at once."""
        return self._said(self.dialogue.feed(octets))

    def wait(self) -> bytes:
        """The timer is over."""
        assert self.dialogue.waiting
        return self._said(self.dialogue.timer())

    def close(self, *, reset: bool = False) -> bytes:
        return self._said(self.dialogue.closed(reset=reset))

    def saved(self, *, ok: bool) -> bytes:
        assert self.dialogue.saving
        return self._said(self.dialogue.saved(ok))

    def codes(self, octets: bytes) -> list[int]:
        """Say this; -> the codes that came at once, one for each reply."""
        return codes(self.say(octets))

    def begin(self) -> None:
        assert self.codes(b"EHLO mx.example.net\r\n") == [250]

    def send(self, body: bytes = MESSAGE) -> bytes:
        """EHLO and a message up to its dot; -> the reply to the dot."""
        self.begin()
        assert self.codes(ENVELOPE) == [250, 250]
        assert self.codes(b"DATA\r\n") == [354]
        return self.say(body + b".\r\n")

    def _said(self, actions: list[Action]) -> bytes:
        self.actions += actions
        return b"".join(action.octets for action in actions if isinstance(action, Send))

    @property
    def connection(self) -> Connection:
        return self.dialogue.connection

    @property
    def waits(self) -> list[float]:
        return [action.seconds for action in self.actions if isinstance(action, Wait)]

    @property
    def last(self) -> Action:
        return self.actions[-1]

    @property
    def saves(self) -> int:
        return sum(isinstance(action, Save) for action in self.actions)

    @property
    def ends(self) -> list[Action]:
        return [action for action in self.actions if isinstance(action, Close | Reset | StopReading)]


def codes(replies: bytes) -> list[int]:
    """The codes of complete replies."""
    return [int(line[:3]) for line in replies.splitlines() if line[3:4] == b" "]
