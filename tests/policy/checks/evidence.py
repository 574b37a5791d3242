"""Evidence for the tests of checks that judge by facts."""

from typing import Any

from smtproxy.policy.evidence import Evidence, Fact, Known, Unknown
from smtproxy.policy.facts import Key
from smtproxy.session.dialogue import Dialogue, Hello, MessageFacts
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.verdicts import Stage
from smtproxy.wire.commands import Parameters, parse_mail, parse_rcpt


def seen(
    stage: Stage,
    *facts: tuple[Key[Any], object],
    sender: str = "joe@example.com",
    recipients: tuple[str, ...] = (),
    parameters: Parameters = (),
) -> Evidence:
    """Return what is known at a stage; the last recipient is the one that is judged. A fact may be an Unknown."""
    envelope = Envelope(parse_mail(f"FROM:<{sender}>".encode()).path, parameters)
    envelope.recipients.extend(Recipient(parse_rcpt(f"TO:<{one}>".encode()).path) for one in recipients)
    message = MessageFacts(100, bare_newlines=False, dot_line=False, received=1, message_id=None)
    dialogue = Dialogue(
        "testsession",
        "192.0.2.10",
        hello=Hello("EHLO", "mail.example.com"),
        envelope=envelope,
        recipient=envelope.recipients[-1] if envelope.recipients else None,
        message=message if stage is Stage.MESSAGE else None,
    )
    known: dict[str, Fact[Any]] = {
        key.name: value if isinstance(value, Unknown) else Known(value) for key, value in facts
    }
    return Evidence(stage, dialogue, known)
