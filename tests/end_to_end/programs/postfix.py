"""A private Postfix: a real smtpd as backend that delivers into one maildir, or Postfix's own before-queue proxy.

It lives in a directory of its own and must never touch the Postfix of the machine, its queue or its log.
Only root can start it.
"""

import os
import pwd
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.end_to_end.programs.process import (
    HOST,
    ROOT,
    Child,
    ProgramError,
    answers,
    find_program,
    free_port,
    on_cores,
    open_to_servants,
    wait_until,
)

OWNER = "postfix"
REAPER = (sys.executable, "-m", "tests.end_to_end.programs.reaper")

_MAIN = """\
compatibility_level = 3.6
queue_directory = {directory}/spool
data_directory = {directory}/data
maillog_file = {directory}/maillog
maillog_file_prefixes = {directory}
mail_owner = postfix
myhostname = backend.example.org
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
mynetworks = 127.0.0.2/32
alias_maps =
alias_database =
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_recipient_limit = 2000
smtpd_relay_restrictions = permit_auth_destination, reject
message_size_limit = 60000000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
in_flow_delay = 0
notify_classes =
"""

_DELIVERING = """\
virtual_mailbox_domains = example.org
virtual_mailbox_base = {directory}/mail
virtual_mailbox_maps = {mailboxes}
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_recipient_restrictions = check_recipient_access inline:{{{{nobody@example.org = 550 5.1.1 no such user}},
  {{busy@example.org = 450 4.2.0 mailbox busy}}}}, permit_auth_destination, reject
"""

_RELAYING = """\
relay_domains = example.org
smtpd_recipient_restrictions = permit_auth_destination, reject
"""

_SENDING = """\
relay_transport = smtp:[{host}]:{to}
smtp_line_length_limit = 0
"""
"""Long lines are not folded: what arrives is to be what was sent."""

_TLS = """\
smtpd_tls_security_level = may
smtpd_tls_chain_files = {key}, {chain}
smtpd_tls_loglevel = 1
"""
"""As Debian's Postfix has it. Session tickets are on by default; tlsmgr keeps their keys for all processes."""

_PLAIN = """\
{host}:{port} inet n - n - {processes} smtpd{options}
"""

_SCREENED = """\
{host}:{port} inet n - n - 1 postscreen
smtpd pass - - n - {processes} smtpd{options}
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
"""
"""postscreen(8) takes all connections in one process and hands those it lets through to a smtpd."""

_MASTER = """\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
discard unix - - n - - discard
virtual unix - n n - - virtual
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""

PROCESSES = 1100
"""smtpd serves one client per process; a hundred, the usual limit, would make a thousand idle clients wait."""


@dataclass(frozen=True, slots=True)
class DeliveredMail:
    """One mail in the maildir, with Postfix's own fields in front."""

    text: str

    @property
    def delivered_to(self) -> str:
        """The recipient of this copy."""
        return next(line.partition(": ")[2] for line in self.text.splitlines() if line.startswith("Delivered-To: "))


class Postfix:
    """A running Postfix; use it in a `with` statement. With `proxy_to` it is a before-queue proxy to that port, with
    `relay_to` it sends from its queue to that port, with `tls` (certificate chain and key) it offers STARTTLS. It takes
    `recipients` alone, or anybody in its domain.
    """

    def __init__(
        self,
        directory: Path,
        *,
        proxy_to: int | None = None,
        relay_to: int | None = None,
        tls: tuple[Path, Path] | None = None,
        recipients: Sequence[str] = (),
        cores: Sequence[int] = (),
        processes: int = PROCESSES,
        screened: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Start it with so many smtpd at most, behind postscreen if `screened`; `settings` go into main.cf, last."""
        self._program = find_program("postfix", "postfix")
        if os.geteuid() != 0:
            raise ProgramError(
                "Postfix can be started by root only: run the tests as root, or deselect those that need it"
            )
        self.port = free_port()
        self.directory = directory
        self._write_configuration(proxy_to, relay_to, tls, recipients, settings or {})
        self._write_services(_SCREENED if screened else _PLAIN, proxy_to, processes)
        command = [*REAPER, self._program, "-c", str(directory / "etc"), "start-fg"]
        with on_cores(cores):
            self._child = Child("postfix", command, directory, cwd=ROOT)
        try:
            self._child.wait_ready(lambda: answers(self.port, b"220"))
        except ProgramError as error:
            raise ProgramError(f"{error}; it logged: {self.log()[-2000:]}") from error

    @property
    def pid(self) -> int:
        """The master: root of the tree of all its processes."""
        return int((self.directory / "spool/pid/master.pid").read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _write_configuration(
        self,
        proxy_to: int | None,
        relay_to: int | None,
        tls: tuple[Path, Path] | None,
        recipients: Sequence[str],
        settings: Mapping[str, str],
    ) -> None:
        owner = pwd.getpwnam(OWNER)
        etc = self.directory / "etc"
        etc.mkdir(parents=True)
        (self.directory / "spool").mkdir()
        for name in ("data", "mail"):
            os.chown(open_to_servants(self.directory / name), owner.pw_uid, owner.pw_gid)
            (self.directory / name).chmod(0o755)
        main = _MAIN + (_DELIVERING if proxy_to is None and relay_to is None else _RELAYING)
        known = ", ".join(f"{{{one} = all/}}" for one in recipients)
        text = main.format(
            directory=self.directory,
            uid=owner.pw_uid,
            gid=owner.pw_gid,
            mailboxes=f"inline:{{{known}}}" if recipients else "static:all/",
        )
        if relay_to is not None:
            text += _SENDING.format(host=HOST, to=relay_to)
        if tls is not None:
            chain, key = tls
            text += _TLS.format(chain=chain, key=key)
        text += "".join(f"{name} = {value}\n" for name, value in settings.items())
        (etc / "main.cf").write_text(text)

    def _write_services(self, front: str, proxy_to: int | None, processes: int) -> None:
        options = "" if proxy_to is None else f" -o smtpd_proxy_filter={HOST}:{proxy_to}"
        master = (front + _MASTER).format(host=HOST, port=self.port, processes=processes, options=options)
        (self.directory / "etc/master.cf").write_text(master)

    def stop(self) -> None:
        """End the master, which ends its children, and wait until the last has gone; insist after 10 seconds."""
        if self._child.running:
            os.kill(self.pid, signal.SIGTERM)
            self._child.wait_end(10)

    def log(self) -> str:
        """Return what it logged."""
        path = self.directory / "maillog"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_delivered(self, patience: float = 60) -> None:
        """Wait until no mail is left in the queue."""
        queues = [self.directory / "spool" / name for name in ("maildrop", "incoming", "active", "deferred")]
        wait_until(lambda: not any(_files(queue) for queue in queues), patience, "Postfix's queue is not empty")

    def mails(self) -> list[DeliveredMail]:
        """Return all mails delivered so far; see `wait_delivered`."""
        box = self.directory / "mail/all/new"
        paths = sorted(box.iterdir()) if box.exists() else []
        return [DeliveredMail(path.read_text("utf-8", "surrogateescape")) for path in paths]

    def stored(self) -> Counter[str]:
        """Count how often each recipient (unique with smtp-source -N) was given a mail."""
        return Counter(mail.delivered_to for mail in self.mails())


def _files(directory: Path) -> bool:
    """Tell whether a file lies anywhere below the directory. Files may vanish while we look."""
    return any(names for _, _, names in os.walk(directory))
