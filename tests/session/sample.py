"""Sessions in memory as the tests of single modules need them: begun, with a hello, with a transaction, with a body."""

from dataclasses import replace

from smtproxy.sample.script import Rule, Script
from smtproxy.session.limits import LIMITS
from smtproxy.session.settings import RelaySettings
from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from tests.fakes.laboratory import Laboratory
from tests.session.parts import HOSTNAME, NEVER

CHECK = "some_check"
BODY = b"Subject: x\r\n\r\nhello\r\n"


def greeted(*rules: Rule, settings: RelaySettings | None = None, disk: int = 1 << 30, **limits: float) -> Laboratory:
    """Return a session that has said EHLO. `limits` are changed in the table of limits."""
    base = settings or RelaySettings(HOSTNAME)
    # mypy cannot know that the names are fields of `Limits`.
    table = replace(LIMITS, **limits)  # type: ignore[arg-type]
    lab = Laboratory(replace(base, limits=table), script=Script(rules), disk=disk)
    lab.start()
    lab.send(b"EHLO client.example\r\n")
    return lab


def codes(heard: bytes) -> list[int]:
    """Return the codes of complete replies, one for each line: no test here hears a reply of more lines."""
    return [int(line[:3]) for line in heard.split(b"\r\n") if line]


def begin(lab: Laboratory, recipients: int = 1) -> None:
    """Open a transaction with recipients that are accepted."""
    group = b"".join(b"RCPT TO:<r%d@example.org>\r\n" % number for number in range(recipients))
    assert set(codes(lab.send(b"MAIL FROM:<me@client.example>\r\n" + group))) == {250}


def begin_body(lab: Laboratory) -> None:
    """Open a transaction and a body."""
    begin(lab)
    assert codes(lab.send(b"DATA\r\n")) == [354]


def refuse(lab: Laboratory, stage: Stage, *, drop: bool = False) -> None:
    """Let a check refuse at a stage from here on."""

    def judge(asked: Stage) -> Verdict:
        return Refused(stage, NEVER, CHECK, drop=drop) if asked is stage else lab.verdict(asked)

    lab.on_judge = judge


def delay(lab: Laboratory, stage: Stage, seconds: float) -> None:
    """Let a check delay at a stage from here on."""
    lab.on_judge = lambda asked: Accepted(asked, delay=seconds) if asked is stage else lab.verdict(asked)
