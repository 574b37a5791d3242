"""The listening sockets: one for each configured address, opened here or by systemd, kept over a reload.

A socket whose address stays in the configuration is never closed and opened anew: that would reset the clients in its
queue. Must never listen on an address that the configuration does not name.
"""

import socket
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from smtproxy.app.config import Config
from smtproxy.app.config.addresses import Address
from smtproxy.network.sockets import Endpoint, bound, listen

Arrangement: TypeAlias = Sequence[tuple[int, socket.socket]]
"""Each socket with the place of its listener in the configuration."""


class BindError(Exception):
    """An address cannot be listened on, or a socket that was passed is not wanted. The text is a line for people."""


class Bindings:
    """All sockets of this server."""

    def __init__(self, passed: Iterable[socket.socket] = ()) -> None:
        """Begin with the sockets that systemd has opened. Raises BindError."""
        self._held: list[tuple[Address, socket.socket]] = [(_address(one), one) for one in passed]
        self._passed = tuple(sock for _, sock in self._held)
        self._settled = False
        self._new: list[tuple[Address, socket.socket]] = []
        """Those of an arrangement that is not settled."""

    def arrange(self, config: Config) -> Arrangement:
        """Find or open a socket for each address; `settle` or `discard` follows. Raises BindError, with none opened."""
        spare = list(self._held)
        arranged: list[tuple[int, socket.socket]] = []
        try:
            for place, listener in enumerate(config.listeners):
                for address in listener.bind:
                    sock = _taken(spare, address)
                    if sock is None:
                        sock = _opened(listener.name, address)
                        self._new.append((address, sock))
                    arranged.append((place, sock))
            self._refuse_unwanted(spare, config)
        except BindError:
            self.discard()
            raise
        return arranged

    def _refuse_unwanted(self, spare: Sequence[tuple[Address, socket.socket]], config: Config) -> None:
        """At the start each socket that systemd passed must be configured; a reload may let go of some."""
        unwanted = [str(address) for address, sock in spare if not self._settled and sock in self._passed]
        if unwanted:
            configured = ", ".join(str(one) for listener in config.listeners for one in listener.bind)
            raise BindError(f"systemd passed {', '.join(unwanted)}, but the configured addresses are {configured}")

    def settle(self, arrangement: Arrangement) -> None:
        """The arrangement holds from now on: close what it does not use."""
        self._settled = True
        used = [sock for _, sock in arrangement]
        held, self._held, self._new = [*self._held, *self._new], [], []
        for address, sock in held:
            if any(sock is one for one in used):
                self._held.append((address, sock))
            else:
                sock.close()

    def discard(self) -> None:
        """The last arrangement came to nothing: close what was opened for it."""
        for _, sock in self._new:
            sock.close()
        self._new.clear()

    def close(self) -> None:
        """Close all of them."""
        self.settle(())


def _taken(spare: list[tuple[Address, socket.socket]], address: Address) -> socket.socket | None:
    for place, (held, sock) in enumerate(spare):
        if held == address:
            del spare[place]
            return sock
    return None


def _opened(listener: str, address: Address) -> socket.socket:
    try:
        return listen(Endpoint(address.host, address.port))
    except OSError as error:
        raise BindError(f"listener {listener}: {address}: {error.strerror}") from None


def _address(sock: socket.socket) -> Address:
    """Check a socket that was passed, and return its address."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
        raise BindError(f"systemd passed a socket that is no TCP socket: {sock.getsockname()!r}")
    endpoint = bound(sock)
    address = Address(endpoint.host, endpoint.port)
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise BindError(f"systemd passed a socket that does not listen: {address}; write ListenStream= and Accept=no")
    if sock.family == socket.AF_INET6 and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        # Clients by IPv4 would show up as ::ffff:192.0.2.1, in the log and before every check.
        raise BindError(f"systemd passed {address} for IPv4 and IPv6; write BindIPv6Only=ipv6-only in the socket unit")
    sock.setblocking(False)  # noqa: FBT003 - the name of the method says it
    return address
