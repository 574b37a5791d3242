"""A link: one peer's connection. Octets in and out without waiting, and one task that may be parked on it.

TLS lives in here, on the same descriptor. Its traps (LIBRARIES, "TLS on the descriptor"), and what is done about them:

* Wrapping leaves the old socket object dead: nobody but the link may keep one.
* Octets may wait inside OpenSSL while the descriptor has nothing: `can_read` is false only after OpenSSL said so.
* A write that OpenSSL could not finish must be repeated with the same octets; others of the same length would go out
  mixed up, without any error. `write` insists on it.
"""

import contextlib
import socket
import ssl
from typing import Any

import trio

from smtproxy.network.reactor import ENDED, READABLE, WRITABLE, reactor
from smtproxy.network.sockets import SPOKE, seen

_RECORD = 16384
"""Octets of a TLS record at most. RFC 8446 5.1"""


class Link:
    """A connected (or connecting) non-blocking socket, made by `sockets.py`."""

    __slots__ = ("_interest", "_owed", "_task", "can_read", "can_write", "ended", "handshaking", "sock", "tls")

    def __init__(self, sock: socket.socket) -> None:
        """Take the socket over. It counts as writable until the kernel says otherwise, and as readable once it is."""
        self.sock = sock
        self.can_read = False
        self.can_write = True
        self.ended = False
        """The peer closed, in one direction at least: there is an end of file to be read."""
        self.tls: ssl.SSLSocket | None = None
        """`sock` once more, under TLS."""
        self.handshaking = False
        """TLS was begun and stands not yet: `shake_hands` is what there is to do."""
        self._owed: bytes | None = None
        """Octets that OpenSSL has begun to send: whatever is written next must begin with them."""
        self._task: trio.lowlevel.Task | None = None
        self._interest = 0
        reactor().add(sock.fileno(), self)

    def notice(self, edges: int) -> None:
        """Take edges from the reactor: note what they mean, and wake the task if that is what it waits for."""
        if edges & READABLE:
            self.can_read = True
            if edges & ENDED:
                self.ended = True
        if edges & WRITABLE:
            self.can_write = True
        if self._task is not None and edges & self._interest:
            self.wake()

    def wake(self) -> None:
        """Let the task that is parked here go on, whatever it waits for."""
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    async def readable(self) -> None:
        """Wait until there may be something to read, or `wake` is called. A checkpoint in any case."""
        if self.can_read:
            await trio.lowlevel.checkpoint()
        else:
            await self._park(READABLE)

    async def writable(self) -> None:
        """Wait until the kernel may take octets, or `wake` is called. A checkpoint in any case."""
        if self.can_write:
            await trio.lowlevel.checkpoint()
        else:
            await self._park(WRITABLE)

    async def _park(self, interest: int) -> None:
        self._interest = interest
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abandon)

    def _abandon(self, _raise_cancel: Any) -> trio.lowlevel.Abort:  # noqa: ANN401 - trio's type for it is as wide
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def read(self, size: int) -> bytes | None:
        """Return octets, b"" at the end of file, None if there is nothing now. Raises OSError: the connection broke."""
        if self.tls is not None:
            return self._read_tls(self.tls, size)
        try:
            octets = self.sock.recv(size)
        except BlockingIOError:
            self.can_read = False
            return None
        if len(octets) < size and not self.ended:
            self.can_read = False
        return octets

    def write(self, octets: bytes | memoryview) -> int:
        """Hand octets to the kernel; return how many it took, 0 if it takes none now. Raises OSError."""
        if self.tls is not None:
            return self._write_tls(self.tls, octets)
        try:
            taken = self.sock.send(octets)
        except BlockingIOError:
            self.can_write = False
            return 0
        if taken < len(octets):
            self.can_write = False
        return taken

    # TLS

    def start_tls(self, context: ssl.SSLContext, server: str | None = None) -> None:
        """Go on under TLS: as the server, or as the client of `server`. Nothing is sent before `shake_hands`.

        What the peer sent in clear text and was not read is taken for its part of the handshake, which then fails.
        Raises OSError.
        """
        descriptor = self.sock.fileno()
        try:
            self.tls = context.wrap_socket(
                self.sock, server_side=server is None, do_handshake_on_connect=False, server_hostname=server
            )
        except OSError:
            reactor().forget(descriptor)  # The peer is gone; wrapping has closed it.
            raise
        self.sock = self.tls
        self.handshaking = self.can_read = self.can_write = True

    def shake_hands(self) -> bool:
        """Do what can be done of the handshake now; return whether it is finished. Raises OSError: there will be none.

        If it is not, wait with `progress`.
        """
        if self.tls is None:
            raise OSError("no TLS")
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self.can_read = False
            return False
        except ssl.SSLWantWriteError:
            self.can_write = False
            return False
        self.handshaking = False
        self.can_read = True
        return True

    async def progress(self) -> None:
        """Wait until the handshake may go on, or `wake` is called."""
        if self.can_write:
            await self.readable()
        else:
            await self.writable()

    def _read_tls(self, tls: ssl.SSLSocket, size: int) -> bytes | None:
        try:
            return tls.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self.can_read = False
            return None

    def _write_tls(self, tls: ssl.SSLSocket, octets: bytes | memoryview) -> int:
        """Write record by record: OpenSSL takes all of a write or, as far as it says, nothing."""
        owed, view, taken = self._owed, memoryview(octets), 0
        if self.handshaking:
            raise BrokenPipeError("nothing can be said in the middle of a handshake")
        if owed is not None and view[: len(owed)] != owed:
            raise BrokenPipeError("a TLS record is half sent, and these are not its octets")
        self._owed = None
        try:
            while taken < len(view):
                taken += tls.send(view[taken : taken + _RECORD])
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            self.can_write = False
            self._owed = bytes(view[taken : taken + _RECORD])
        return taken

    @property
    def pending(self) -> int:
        """Octets that wait inside OpenSSL, where neither a poll nor FIONREAD sees them."""
        return 0 if self.tls is None else self.tls.pending()

    @property
    def has_more(self) -> bool:
        """Whether there are any."""
        return self.pending > 0

    @property
    def spoke(self) -> bool:
        """Whether the peer has said something, or ended the connection, that was not read.

        Not in the middle of a handshake: a read would go on with it. A session ticket of TLS, which is no word, looks
        like one until it is read.
        """
        return not self.handshaking and (self.has_more or bool(seen(self.sock, SPOKE)))

    def say_last(self) -> None:
        """Say that nothing follows: close_notify under TLS, then FIN. Raises OSError: the peer is gone."""
        if self.tls is not None and not self.handshaking:
            with contextlib.suppress(ssl.SSLError):  # Its own close_notify need not come.
                self.tls.unwrap()
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection; nothing is flushed, nothing is said. Whoever is parked here goes on."""
        if self.sock.fileno() >= 0:
            reactor().forget(self.sock.fileno())
            self.sock.close()
        self.wake()
