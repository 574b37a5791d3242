"""What the parts cost, one by one: `python -m bench.costs` prints a table of microseconds of CPU.

Each part is measured alone, in this process, without a network: the figures say where a message's CPU goes, and what a
change to one part is worth. They do not add up to `./do bench`, where the kernel and the waiting count too. Nothing
here may be compared with a stored number either.
"""

import os
import ssl
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from smtproxy.app.log import open_log
from smtproxy.network.tls import Version, read_certificate, server_context
from smtproxy.policy.evidence import Evidence
from smtproxy.policy.judge import Policy
from smtproxy.policy.replies import Phrasebook
from smtproxy.session import events
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.memory import Memory
from smtproxy.session.records import Event
from smtproxy.session.relay import Relay
from smtproxy.session.settings import RelaySettings
from smtproxy.session.upstream import Upstream
from smtproxy.session.verdicts import Stage, Verdict
from smtproxy.wire.data import DataFramer
from smtproxy.wire.ehlo import Capabilities
from smtproxy.wire.newlines import NewlineMode, Newlines
from tests.fakes.certificates import NAME, issue, trusting
from tests.fakes.policies import default_policy

CHUNK = 65536
LINE = b"x" * 76 + b"\r\n"
TEXT = (LINE * (CHUNK // len(LINE) + 1))[:CHUNK]
ROUNDS = 5
SECONDS = 0.2
"""CPU of one round, about."""
SAID = (
    b"EHLO client.example.net\r\n",
    b"MAIL FROM:<client@example.net>\r\n",
    b"RCPT TO:<client@example.org>\r\n",
    b"DATA\r\n",
    b"Subject: x\r\n\r\n" + LINE * 52 + b".\r\n",
    b"QUIT\r\n",
)
"""A session with a message of 4 KiB."""
HEARD = {b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250 SIZE 60000000\r\n", b"DATA": b"354 go ahead\r\n"}


def costs(action: Callable[[], float | None], rounds: int) -> float:
    """Return the microseconds of CPU that an action takes, the median of some rounds; it may say itself what it took.

    Seconds that an action returns are taken instead of all that it used.
    """
    begin = time.process_time()
    action()
    times = max(1, int(SECONDS / max(time.process_time() - begin, 1e-6)))
    found = []
    for _ in range(rounds):
        begin, own = time.process_time(), 0.0
        for _ in range(times):
            own += action() or 0.0
        found.append((own or time.process_time() - begin) / times * 1e6)
    return median(found)


class Mail:
    """A session with one message, through the sans-IO core: a client and a backend that say what they always say."""

    def __init__(self) -> None:
        self.settings = RelaySettings("mx.example.org")
        self.policy = default_policy(self.settings)
        self.offered = Capabilities((("SIZE", "60000000"), ("PIPELINING", "")))
        self.records: list[events.Record] = []

    def run(self) -> None:
        """Play it from the connection to the end."""
        dialogue, phrases = Dialogue("id", "192.0.2.1", 4711), Phrasebook("mx.example.org", "id")
        judge = partial(_judge, self.policy, dialogue, phrases)
        relay = Relay(dialogue, self.settings, phrases, self.offered, Memory(1 << 30), judge=judge)
        self.records.clear()
        self._perform(relay, relay.handle(events.Started(), 0.0))
        for said in SAID:
            self._perform(relay, relay.handle(events.ClientBytes(said), 0.0))

    def _perform(self, relay: Relay, effects: list[events.Effect]) -> None:
        for effect in effects:
            match effect:
                case events.Look():
                    effects.extend(relay.handle(events.Looked(), 0.0))
                case events.OpenBackend():
                    effects.extend(relay.handle(events.BackendOpened(Upstream("sink:25", "mx.example.org")), 0.0))
                    effects.extend(relay.handle(events.BackendBytes(b"220 sink ESMTP\r\n"), 0.0))
                case events.Commit():
                    effects.extend(relay.handle(events.BackendBytes(b"250 2.0.0 taken\r\n"), 0.0))
                case events.Forward():
                    said = _answered(effect.octets) if relay.waits_for is events.Wait.BACKEND else b""
                    if said:
                        effects.extend(relay.handle(events.BackendBytes(said), 0.0))
                case events.Record():
                    self.records.append(effect)
                case _:
                    pass


def _answered(octets: bytes) -> bytes:
    """What a backend says to commands; nothing to a body."""
    if octets[:4] not in (b"EHLO", b"MAIL", b"RCPT", b"DATA", b"RSET"):
        return b""
    return b"".join(HEARD.get(line[:4], b"250 2.0.0 ok\r\n") for line in octets.splitlines())


def _judge(policy: Policy, dialogue: Dialogue, phrases: Phrasebook, stage: Stage) -> Verdict:
    return policy.judge(Evidence(stage, dialogue), phrases)


@dataclass(frozen=True, slots=True)
class Shaken:
    """Both ends of a connection in memory, and what the handshake cost the server, in seconds of CPU."""

    ours: ssl.SSLObject
    theirs: ssl.SSLObject
    seconds: float


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Shaken:
    """Shake hands; the client has its next ticket then. With a session it must be taken up."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname=NAME, session=session)
    spent, open_ends = 0.0, [theirs, ours]
    while open_ends:
        for end in tuple(open_ends):
            begin = time.process_time()
            try:
                end.do_handshake()
                open_ends.remove(end)
            except ssl.SSLWantReadError:
                pass
            spent += (time.process_time() - begin) if end is ours else 0.0
    ours.write(b"x")
    theirs.read(1)
    if session is not None and not ours.session_reused:
        raise RuntimeError("the ticket was not taken")
    return Shaken(ours, theirs, spent)


def _tls() -> dict[str, Callable[[], float | None]]:
    with tempfile.TemporaryDirectory() as name:
        server = server_context([read_certificate(*issue(Path(name)))], Version.TLS_1_2)
    client = trusting()
    shaken = _shake_hands(server, client)

    def read() -> float:
        shaken.theirs.write(TEXT)
        begin, left = time.process_time(), CHUNK
        while left:
            left -= len(shaken.ours.read(CHUNK))
        return time.process_time() - begin

    return {
        "a TLS handshake, the server's side": lambda: _shake_hands(server, client).seconds,
        "the same with a session ticket": lambda: _shake_hands(server, client, shaken.theirs.session).seconds,
        "TLS: 64 KiB read": read,
    }


def measure(rounds: int = ROUNDS) -> dict[str, float]:
    """Return what each part costs, the median of some rounds."""
    mail, null = Mail(), os.open(os.devnull, os.O_WRONLY)
    mail.run()
    outcomes = [record.fields["outcome"] for record in mail.records if record.event is Event.MESSAGE]
    if outcomes != ["delivered"]:
        raise RuntimeError(f"the message was not delivered: {outcomes}")
    records, journal = list(mail.records), open_log(null, "json")

    def log() -> None:
        for record in records:
            journal.record(record.event, record.fields)

    dialogue, phrases = Dialogue("id", "192.0.2.1", 4711), Phrasebook("mx.example.org", "id")
    parts: dict[str, Callable[[], float | None]] = {
        "the core: a session with a message of 4 KiB, verdicts included": mail.run,
        f"the log: its {len(records)} lines, rendered and written to /dev/null": log,
        "the judge: one stage": lambda: _no_seconds(_judge(mail.policy, dialogue, phrases, Stage.CONNECT)),
        "64 KiB of a body: the end looked for": lambda: _no_seconds(DataFramer().feed(TEXT)),
        "64 KiB of a body: newlines looked at": lambda: _no_seconds(Newlines(NewlineMode.NORMALISE).feed(TEXT)),
        "the same, all of them bare": lambda: _no_seconds(
            Newlines(NewlineMode.NORMALISE).feed(TEXT.replace(b"\r\n", b"\n"))
        ),
        **_tls(),
    }
    try:
        return {name: costs(action, rounds) for name, action in parts.items()}
    finally:
        journal.close()
        os.close(null)


def _no_seconds(_result: object) -> None:
    """Drop what an action returns."""


def main() -> int:
    """Print the table."""
    found = measure()
    width = max(map(len, found))
    print(f"| {'part'.ljust(width)} | CPU, µs |\n| {'-' * width} | ------: |")
    for name, microseconds in found.items():
        print(f"| {name.ljust(width)} | {microseconds:7.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
