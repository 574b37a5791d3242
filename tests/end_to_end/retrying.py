"""Clients that try again until each of their mails is acknowledged, and the ledger of what they know.

Real senders do so too, only later: they wait for minutes, and what they may find then is the same. A mail is known by
its Message-ID; the ledger must never take one from the side it is to be compared with.
"""

import contextlib
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.end_to_end.programs.process import HOST

PATIENCE = 120.0
AGAIN = 0.02
"""Seconds until a client tries again."""


@dataclass(slots=True)
class Ledger:
    """What the clients know."""

    begun: set[str] = field(default_factory=set)
    """Message-IDs of the mails that they began to send."""
    acknowledged: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    """Mails refused with a 5xx, each with the code."""
    deferred: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Why they had to try again: how smtplib calls it, and the code; 0: the connection was lost."""
    over: bool = False
    """Nobody is to try again any more."""


class Sender(threading.Thread):
    """One client, some mails a session."""

    def __init__(self, port: int, mails: Iterator[str], ledger: Ledger, mails_a_session: int) -> None:
        super().__init__()
        self._port = port
        self._mails = mails
        self._ledger = ledger
        self._mails_a_session = mails_a_session
        self._session: smtplib.SMTP | None = None

    def run(self) -> None:
        """Send all mails."""
        for number, message_id in enumerate(self._mails, start=1):
            self._ledger.begun.add(message_id)
            while not self._settled(message_id):
                time.sleep(AGAIN)
            if number % self._mails_a_session == 0:
                self._leave()
        self._leave()

    def _settled(self, message_id: str) -> bool:
        """Send a mail; False: it is to be sent again."""
        try:
            self._send(message_id)
        except smtplib.SMTPRecipientsRefused as error:
            code, why = max(code for code, _ in error.recipients.values()), type(error).__name__
        except smtplib.SMTPResponseException as error:
            code, why = error.smtp_code, type(error).__name__
        except (OSError, smtplib.SMTPException) as error:
            code, why = 0, type(error).__name__
        else:
            self._ledger.acknowledged.add(message_id)
            return True
        self._leave()
        if code >= 500:
            self._ledger.refused.append(f"{message_id} {code}")
            return True
        self._ledger.deferred[why, code] += 1
        return self._ledger.over

    def _send(self, message_id: str) -> None:
        if self._session is None:
            self._session = smtplib.SMTP(HOST, self._port, "client.example.net", timeout=PATIENCE)
        text = f"Message-ID: {message_id}\n\n{'x' * 2000}"
        self._session.sendmail("source@example.net", ["you@example.org"], text)

    def _leave(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


@contextlib.contextmanager
def sending(port: int, clients: Sequence[Iterable[str]], *, mails_a_session: int = 1) -> Iterator[Ledger]:
    """Let each client send its mails while the body of the `with` statement runs, and until all are settled."""
    ledger = Ledger()
    senders = [Sender(port, iter(mails), ledger, mails_a_session) for mails in clients]
    for sender in senders:
        sender.start()
    try:
        yield ledger
    except BaseException:
        ledger.over = True
        raise
    finally:
        for sender in senders:
            sender.join(PATIENCE)
    assert not any(sender.is_alive() for sender in senders)
