"""What systemd and a service tell each other: sockets that it opened, readiness, reload, stop, watchdog.

The protocols of sd_listen_fds(3) and sd_notify(3): environment variables and datagrams. Started by anything else, all
of this is silent.
"""

import os
import socket
import time
from collections.abc import MutableMapping

FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START."""


def passed_sockets(environment: MutableMapping[str, str], pid: int) -> list[socket.socket]:
    """Return the sockets that were opened for this process, and take their variables out of the environment.

    Names (LISTEN_FDNAMES) are not used: what counts is where a socket is bound.
    """
    said = {name: environment.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    if said["LISTEN_PID"] != str(pid) or not said["LISTEN_FDS"].isdecimal():
        return []
    sockets = []
    for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(said["LISTEN_FDS"])):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the name of the function says it
        sockets.append(socket.socket(fileno=descriptor))
    return sockets


class Notifier:
    """Tells systemd how the service is. Must not raise: a supervisor that is gone or deaf is no reason to stop."""

    def __init__(self, environment: MutableMapping[str, str], pid: int) -> None:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        address = environment.get("NOTIFY_SOCKET", "")
        # "@" stands for the NUL of an abstract name. systemd knows vsock, too, for virtual machines: not served here.
        self._address = "\0" + address[1:] if address.startswith("@") else address if address.startswith("/") else ""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if self._address else None
        microseconds = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        self.watchdog = int(microseconds) / 1e6 if microseconds.isdecimal() and ours and self._address else 0.0
        """Seconds within which `feed` is to be called; 0.0: no watchdog."""

    def ready(self) -> None:
        """All workers accept clients; also after a reload."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """A reload begins."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The drain begins."""
        self._tell("STOPPING=1")

    def feed(self) -> None:
        """All is well."""
        self._tell("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()

    def _tell(self, text: str) -> None:
        if self._socket is not None:
            try:
                self._socket.sendto(text.encode(), socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT, self._address)
            except OSError:
                return
