"""Evidence for the tests of rules: a whole session, with the facts that a test names."""

from smtproxy.policy.evidence import Evidence, Fact
from smtproxy.session.dialogue import Dialogue, Hello, MessageFacts, Tls
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.verdicts import Stage
from smtproxy.wire.paths import Path


def evidence(stage: Stage = Stage.RECIPIENT, *, hello: str = "client.example", **facts: Fact[object]) -> Evidence:
    """Return what is known at a stage when `<a@Example.NET>` writes to `<b@example.org>`."""
    recipient = Recipient(Path("b", "example.org"))
    envelope = Envelope(Path("a", "Example.NET"), recipients=[recipient])
    dialogue = Dialogue(
        "testsession",
        "192.0.2.10",
        tls=Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384"),
        hello=Hello("EHLO", hello),
        envelope=envelope,
        recipient=recipient,
        declared_size=1000,
    )
    if stage is Stage.MESSAGE:
        dialogue.message = MessageFacts(2000, bare_newlines=False, dot_line=False, received=3, message_id=None)
    return Evidence(stage, dialogue, facts)
