"""A private Exim: it relays what it is given to one port, or delivers into one maildir.

It must never be installed beside Postfix, with which it conflicts as a package: `./do test` unpacks it and the
libraries it lacks below `.venv`. Its user is then no user of this machine, so nss_wrapper tells it of one; and nothing
of it is setuid, so it delivers as that user.
"""

import os
import pwd
from pathlib import Path
from typing import Self

from tests.end_to_end.programs.process import (
    HOST,
    ROOT,
    Child,
    ProgramError,
    answers,
    free_port,
    open_to_servants,
    wait_until,
)

UNPACKED = ROOT / ".venv/unpacked"
_PROGRAM = UNPACKED / "usr/sbin/exim4"
_USER = "Debian-exim"
"""Compiled into the program; it does not start where nobody is called so."""
_SERVANT = "nobody"
"""Whose rights it has."""

_CONFIGURATION = """\
exim_path = {program}
keep_environment = LD_LIBRARY_PATH : LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
spool_directory = {directory}/spool
log_file_path = {directory}/log/%slog
pid_file_path = {directory}/exim.pid
primary_hostname = exim.example.net
local_interfaces = {host}
daemon_smtp_ports = {port}
deliver_drop_privilege
host_lookup =
smtp_accept_max = 100
smtp_accept_max_per_connection = 1000
smtp_accept_queue_per_connection = 0
message_size_limit = 60M
accept_8bitmime
acl_smtp_rcpt = accept
acl_smtp_data = accept
tls_advertise_hosts =
chunking_advertise_hosts = *
pipelining_connect_advertise_hosts =
prdr_enable = false
smtputf8_advertise_hosts =
log_selector = +all
"""

_RELAYING = """\
begin routers
only:
  driver = manualroute
  route_list = * {host}
  self = send
  transport = only
begin transports
only:
  driver = smtp
  port = {to}
  allow_localhost
  hosts_try_chunking = *
  hosts_try_fastopen =
  hosts_try_prdr =
  message_linelength_limit = 1G
"""

_DELIVERING = """\
begin routers
only:
  driver = accept
  transport = only
begin transports
only:
  driver = appendfile
  user = {user}
  maildir_format
  directory = {directory}/mail
"""

_RETRY = """\
begin retry
* * F,1h,1s
"""


class Exim:
    """A running Exim; use it in a `with` statement. With `relay_to` it sends everything to that port."""

    def __init__(self, directory: Path, *, relay_to: int | None = None) -> None:
        """Start it, and wait until it answers."""
        if not _PROGRAM.is_file():
            raise ProgramError(f"{_PROGRAM} is missing: ./do test unpacks the Debian package exim4-daemon-light")
        if os.geteuid() != 0:
            raise ProgramError(
                "Exim can be started by root only: run the tests as root, or deselect those that need it"
            )
        self.port = free_port()
        self.directory = open_to_servants(directory)
        servant = pwd.getpwnam(_SERVANT)
        for name in ("spool", "log", "mail"):
            (directory / name).mkdir()
            os.chown(directory / name, servant.pw_uid, servant.pw_gid)
        names = {
            "program": _PROGRAM,
            "directory": directory,
            "host": HOST,
            "port": self.port,
            "to": relay_to,
            "user": _USER,
        }
        configuration = directory / "exim.conf"
        role = _DELIVERING if relay_to is None else _RELAYING
        configuration.write_text((_CONFIGURATION + role + _RETRY).format(**names))
        passwd, group = directory / "passwd", directory / "group"
        passwd.write_text(
            f"root:x:0:0::/root:/bin/sh\n{_USER}:x:{servant.pw_uid}:{servant.pw_gid}::/nonexistent:/bin/false\n"
        )
        group.write_text(f"root:x:0:\n{_USER}:x:{servant.pw_gid}:\n")
        libraries = sorted({str(path.parent) for path in UNPACKED.rglob("*.so*")})
        wrapper = next(UNPACKED.rglob("libnss_wrapper.so"))
        environment = [
            f"LD_LIBRARY_PATH={':'.join(libraries)}",
            f"LD_PRELOAD={wrapper}",
            f"NSS_WRAPPER_PASSWD={passwd}",
            f"NSS_WRAPPER_GROUP={group}",
        ]
        command = ["env", *environment, str(_PROGRAM), "-C", str(configuration), "-bdf", "-q1m"]
        self._child = Child("exim", command, directory)
        try:
            self._child.wait_ready(lambda: answers(self.port, b"220"))
        except ProgramError as error:
            raise ProgramError(f"{error}; it logged: {self.log()[-2000:]}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()

    def log(self) -> str:
        """Return what it logged."""
        paths = sorted((self.directory / "log").glob("*log"))
        return "".join(path.read_text(errors="replace") for path in paths)

    def wait_empty(self, patience: float = 60) -> None:
        """Wait until no mail is left in its queue."""
        queue = self.directory / "spool/input"
        wait_until(
            lambda: not any(files for _, _, files in os.walk(queue)),
            patience,
            f"Exim's queue is not empty: {self.log()[-1500:]}",
        )

    def mails(self) -> list[bytes]:
        """Return all mails delivered so far, with Exim's own fields in front, lines ended by LF."""
        box = self.directory / "mail/new"
        return [path.read_bytes() for path in sorted(box.iterdir())] if box.exists() else []
