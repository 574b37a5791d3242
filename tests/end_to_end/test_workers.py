"""Two workers, one `max_connections`: a server that counts its connections must never see more than that."""

import contextlib
import os
import signal
import smtplib
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

pytestmark = pytest.mark.end_to_end

PLACES = 3
CLIENTS = 8
EACH = 20


def _over(connection: socket.socket) -> bool:
    """Whether the proxy has closed it: its place may be taken anew before the server has read what it said last."""
    try:
        return connection.recv(16, socket.MSG_PEEK | socket.MSG_DONTWAIT) in (b"", b"QUIT\r\n")
    except BlockingIOError:
        return False
    except OSError:
        return True


class Counting(socketserver.ThreadingTCPServer):
    """A mail server that takes everything, and knows how many connections it had at once."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Dialogue)
        self.open: set[socket.socket] = set()
        self.most = 0

    def process_request(self, request: object, client_address: object) -> None:
        """Count one more."""
        assert isinstance(request, socket.socket)
        self.open = {one for one in self.open if not _over(one)} | {request}
        self.most = max(self.most, len(self.open))
        super().process_request(request, client_address)


class _Dialogue(socketserver.StreamRequestHandler):
    server: Counting

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(b"220 counting\r\n")
            for line in self.rfile:
                self.wfile.write(b"354 go on\r\n" if line == b"DATA\r\n" else b"250 fine\r\n")
                if line == b"DATA\r\n":
                    while self.rfile.readline() != b".\r\n":
                        pass
                    self.wfile.write(b"250 stored\r\n")


@contextlib.contextmanager
def _counting() -> Iterator[Counting]:
    with Counting() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _proxy(directory: Path, server: Counting, place_time: str = "30s") -> Smtproxy:
    return Smtproxy(
        directory,
        Plan(
            [f"127.0.0.1:{server.server_address[1]}"],
            backend={"max_connections": PLACES, "idle": {"connections": 0, "seconds": 1}},
            server={"workers": 2},
            limits={"place_time": place_time},
        ),
    )


def _recipient(port: int) -> tuple[smtplib.SMTP, int]:
    """A client that got as far as RCPT, and the code it heard there."""
    client = smtplib.SMTP("127.0.0.1", port, timeout=20)
    client.ehlo("client.example")
    assert client.mail("me@example.net")[0] == 250
    return client, client.rcpt("you@example.org")[0]


def test_a_worker_gets_no_place_while_the_other_one_has_all(directory: Path) -> None:
    with _counting() as server, _proxy(directory / "all-places", server, "1s") as proxy:
        one, other = proxy.workers
        os.kill(other, signal.SIGSTOP)
        holders = [_recipient(proxy.port) for _ in range(PLACES)]
        assert [code for _, code in holders] == [250] * PLACES
        os.kill(one, signal.SIGSTOP)
        os.kill(other, signal.SIGCONT)
        late, code = _recipient(proxy.port)
        assert code == 451
        # The other one lives again: it is asked for a place that nobody uses, and gives it.
        os.kill(one, signal.SIGCONT)
        assert late.rcpt("you@example.org")[0] == 250
        assert server.most == PLACES
        for client, _ in (*holders, (late, 0)):
            client.close()


def _send(port: int, failed: list[object]) -> None:
    for _ in range(EACH):
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
                client.sendmail("me@example.net", ["you@example.org"], "Subject: x\n\nx\n")
        except (OSError, smtplib.SMTPException) as error:
            failed.append(error)


def test_the_ceiling_holds_under_load(directory: Path) -> None:
    with _counting() as server, _proxy(directory / "ceiling-load", server) as proxy:
        failed: list[object] = []
        senders = [threading.Thread(target=_send, args=(proxy.port, failed)) for _ in range(CLIENTS)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert failed == []
        delivered = [line for line in proxy.wait_lines("message", CLIENTS * EACH) if line["outcome"] == "delivered"]
        assert len(delivered) == CLIENTS * EACH
        assert 1 < server.most <= PLACES
