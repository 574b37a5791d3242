"""The server: from a configuration to a running supervisor, or to a line that says why not."""

import os
import sys

from smtproxy.app.bindings import BindError, Bindings
from smtproxy.app.config import Config
from smtproxy.app.supervisor import FAILED, Supervisor
from smtproxy.app.systemd import Notifier, passed_sockets
from smtproxy.network.tls import CertificateError


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    notifier = Notifier(os.environ, os.getpid())
    try:
        supervisor = Supervisor(config, Bindings(passed_sockets(os.environ, os.getpid())), notifier)
    except (BindError, CertificateError) as error:
        sys.stderr.write(f"smtproxy: {error}\n")
        return FAILED
    try:
        return supervisor.run()
    finally:
        notifier.close()
