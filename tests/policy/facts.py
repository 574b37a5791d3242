"""Evidence for the tests of the policy."""

from collections.abc import Mapping
from typing import Any

from smtproxy.policy.evidence import Evidence, Known, Unknown
from smtproxy.policy.facts import Key
from smtproxy.policy.replies import Phrasebook
from smtproxy.session.dialogue import Dialogue, Hello, MessageFacts
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.verdicts import Stage
from smtproxy.wire.commands import parse_rcpt
from smtproxy.wire.paths import NULL_PATH, Path

PHRASES = Phrasebook("mx.example.org", "testsession")


def hello(name: str) -> Evidence:
    """Return what is known when a client has said EHLO."""
    return Evidence(Stage.HELLO, Dialogue("testsession", "192.0.2.10", hello=Hello("EHLO", name)))


def mail(size: int | None) -> Evidence:
    """Return what is known when a client has said MAIL, with a SIZE or without."""
    return Evidence(Stage.MAIL, Dialogue("testsession", "192.0.2.10", declared_size=size))


def rcpt(address: str) -> Evidence:
    """Return what is known when a client has said RCPT."""
    parsed = parse_rcpt(f"TO:<{address}>".encode())
    return Evidence(
        Stage.RECIPIENT, Dialogue("testsession", "192.0.2.10", recipient=Recipient(parsed.path, parsed.parameters))
    )


def message(*, size: int = 100, bare: bool = False, dots: bool = False, received: int = 1) -> Evidence:
    """Return what is known of a message."""
    facts = MessageFacts(size, bare_newlines=bare, dot_line=dots, received=received, message_id=None)
    return Evidence(Stage.MESSAGE, Dialogue("testsession", "192.0.2.10", message=facts))


def errors(number: int, *, hurried: bool = False) -> Evidence:
    """Return what is known of a client that made errors."""
    return Evidence(Stage.PROTOCOL, Dialogue("testsession", "192.0.2.10", errors=number, hurried=hurried))


def nothing(stage: Stage) -> Evidence:
    """Return what is known when nothing was said."""
    return Evidence(stage, Dialogue("testsession", "192.0.2.10"))


def told(
    stage: Stage,
    facts: Mapping[Key[Any], object],
    *,
    client: str = "198.51.100.7",
    said: str = "mx.a.test",
    names: int = 1,
    sender: Path = NULL_PATH,
) -> Evidence:
    """Return what is known of a session of which lookups found facts: values, or Unknown."""
    dialogue = Dialogue("testsession", client, hello=Hello("EHLO", said), hello_names=names)
    dialogue.envelope = Envelope(sender)
    found = {key.name: fact if isinstance(fact, Unknown) else Known(fact) for key, fact in facts.items()}
    return Evidence(stage, dialogue, found)
