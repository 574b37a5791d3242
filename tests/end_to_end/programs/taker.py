"""A mail server in this process that takes everything: it counts its connections and keeps whose mail it took.

It may be slow to say that it took a mail, which is when a proxy that is killed leaves a mail that is stored and not
acknowledged. It must never forget a mail that it has taken.
"""

import contextlib
import socket
import socketserver
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self


class Taker(socketserver.ThreadingTCPServer):
    """Use it in a `with` statement."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, delay: float = 0.0) -> None:
        """Say 250 to a final dot so many seconds after the mail was stored."""
        super().__init__(("127.0.0.1", 0), _Dialogue)
        self.delay = delay
        self.most = 0
        """Connections it had at once."""
        self._stored: Counter[str] = Counter()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def store(self, message_id: str) -> None:
        """Keep one mail."""
        with self._lock:
            self._stored[message_id] += 1

    def stored(self) -> Counter[str]:
        """Return the Message-IDs of all mails, each with the number of its copies."""
        with self._lock:
            return self._stored.copy()

    def process_request(self, request: object, client_address: object) -> None:
        """Count one more."""
        assert isinstance(request, socket.socket)
        self._open = {one for one in self._open if not _over(one)} | {request}
        self.most = max(self.most, len(self._open))
        super().process_request(request, client_address)


class _Dialogue(socketserver.StreamRequestHandler):
    server: Taker
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(b"220 taker\r\n")
            for line in self.rfile:
                self.wfile.write(b"354 go on\r\n" if line == b"DATA\r\n" else b"250 fine\r\n")
                if line == b"DATA\r\n" and not self._take():
                    return

    def _take(self) -> bool:
        """Take the body of a mail; False: it has no end."""
        message_id = ""
        for line in self.rfile:
            if line == b".\r\n":
                self.server.store(message_id)
                time.sleep(self.server.delay)
                self.wfile.write(b"250 stored\r\n")
                return True
            if line.startswith(b"Message-ID: "):
                message_id = line.split()[1].decode()
        return False


def _over(connection: socket.socket) -> bool:
    """Whether the client has closed it; what it said last may not have been read yet, and yet it is gone."""
    try:
        return connection.recv(16, socket.MSG_PEEK | socket.MSG_DONTWAIT) in (b"", b"QUIT\r\n")
    except BlockingIOError:
        return False
    except OSError:
        return True
