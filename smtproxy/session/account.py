"""The account of a session for its one log line: how long it waited for what, who answered, what was found."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from smtproxy.session.dialogue import Dialogue
from smtproxy.session.events import Wait
from smtproxy.session.transaction import said
from smtproxy.wire.replies import Reply

_LOGGED_WAITS = frozenset({Wait.CLIENT, Wait.BACKEND, Wait.VERDICT, Wait.DELAY, Wait.PACE, Wait.TLS})


@dataclass(slots=True)
class Account:
    """What the `session` line will say."""

    started: float = 0.0
    notes: list[Mapping[str, object]] = field(default_factory=list)
    """Findings that belong to no transaction."""
    waited: dict[Wait, float] = field(default_factory=dict)
    delays_left_out: dict[str, int] = field(default_factory=dict)
    """Bound of the tarpit that was reached -> how often."""
    origins: dict[str, int] = field(default_factory=dict)
    last_reply: Reply | None = None
    tls_failed: str | None = None
    """Why there is no TLS with the client, though it was begun."""

    def note(self, notes: tuple[Mapping[str, object], ...], limit: int) -> None:
        """Add findings, as many as the line may hold."""
        self.notes.extend(notes[: max(0, limit - len(self.notes))])

    def fields(self, dialogue: Dialogue, listener: str, connections: int, ended: str, by: str) -> Mapping[str, object]:
        """Return the fields of the `session` line."""
        hello = dialogue.hello
        fields: dict[str, object] = {
            "session": dialogue.session,
            "listener": listener,
            "client": dialogue.client or None,
            "port": dialogue.port,
            "hello": None if hello is None else hello.name,
            "hello_verb": None if hello is None else hello.verb,
            "tls": None if dialogue.tls is None else dialogue.tls.version,
            "cipher": None if dialogue.tls is None else dialogue.tls.cipher,
            "tls_failed": self.tls_failed,
            "commands": dialogue.commands,
            "transactions": dialogue.transactions,
            "delivered": dialogue.delivered,
            "recipients": dialogue.recipients,
            "refused": dialogue.refused,
            "octets_in": dialogue.octets_in,
            "octets_out": dialogue.octets_out,
            "errors": dialogue.errors,
            "backend_connections": connections,
            "findings": self.notes,
            "duration": round(dialogue.now - self.started, 4),
            "waited": {wait.value: round(time, 4) for wait, time in self.waited.items() if wait in _LOGGED_WAITS},
            "ended": ended,
            "by": by,
            "reply": said(self.last_reply),
            "origins": self.origins,
        }
        if self.delays_left_out:
            fields["delays_left_out"] = self.delays_left_out
        if dialogue.proxy:
            fields["proxy"] = dialogue.proxy
        return fields
