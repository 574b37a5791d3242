"""What the relay says by itself, as names. The wording stands in one table: `policy/replies.py`.

The session floor must not know texts: it names the occasion, and whoever builds a relay hands it the `Phrases`.
"""

from enum import Enum
from typing import Protocol

from smtproxy.wire.errors import Fault
from smtproxy.wire.members import hashed_by_identity
from smtproxy.wire.replies import Reply


@hashed_by_identity
class Own(Enum):
    """An occasion on which the proxy itself answers."""

    BANNER = "banner"
    HELLO = "hello"
    MAIL_OK = "mail_ok"
    START_BODY = "start_body"
    RESET = "reset"
    NOTHING = "nothing"
    GOODBYE = "goodbye"
    CANNOT_VERIFY = "cannot_verify"
    HELP = "help"
    NOT_IMPLEMENTED = "not_implemented"
    UNKNOWN_COMMAND = "unknown_command"
    HELLO_FIRST = "hello_first"
    MAIL_FIRST = "mail_first"
    HELLO_AGAIN = "hello_again"
    MAIL_TWICE = "mail_twice"
    TLS_READY = "tls_ready"
    TLS_LATE = "tls_late"
    TLS_TWICE = "tls_twice"
    TLS_ARGUMENT = "tls_argument"
    TLS_INJECTED = "tls_injected"
    PARAMETER = "parameter"
    NO_RECIPIENTS = "no_recipients"
    EARLY_BODY = "early_body"
    CHUNK_TAKEN = "chunk_taken"
    MESSAGE_BEGUN = "message_begun"
    BINARY_BY_DATA = "binary_by_data"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    CONNECTS_TOO_OFTEN = "connects_too_often"
    TOO_MANY_RECIPIENTS = "too_many_recipients"
    TOO_MANY_COMMANDS = "too_many_commands"
    COMMAND_TIMEOUT = "command_timeout"
    BODY_TIMEOUT = "body_timeout"
    BODY_CROWDED = "body_crowded"
    SESSION_TIMEOUT = "session_timeout"
    SHUTDOWN = "shutdown"
    OVERLOADED = "overloaded"
    TOO_MUCH_BODY = "too_much_body"
    BODY_SPOILT = "body_spoilt"
    DISK_FULL = "disk_full"
    NO_BACKEND = "no_backend"
    NO_BACKEND_YET = "no_backend_yet"
    NO_PLACE = "no_place"
    BACKEND_LOST = "backend_lost"
    BACKEND_SILENT = "backend_silent"
    BACKEND_NONSENSE = "backend_nonsense"
    BACKEND_MISCONFIGURED = "backend_misconfigured"
    BACKEND_CANNOT = "backend_cannot"
    BACKEND_CHANGED = "backend_changed"
    TOO_LATE = "too_late"
    UNKNOWN_OUTCOME = "unknown_outcome"
    INTERNAL = "internal"


class Phrases(Protocol):
    """Words for one session."""

    def say(self, occasion: Own | Fault, detail: str = "") -> Reply:
        """Return the reply for an occasion. `detail` goes into texts that have a place for it, made safe and short."""
