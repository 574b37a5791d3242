"""What the log says when clients are accepted for the first time: where, and to a new user where the mail goes."""

from smtproxy.app.bindings import Arrangement
from smtproxy.app.config import Config
from smtproxy.network.sockets import bound
from smtproxy.session.records import Event, Journal


def announce(config: Config, arrangement: Arrangement, journal: Journal) -> None:
    """Tell where clients are accepted."""
    for place, sock in arrangement:
        journal.record(Event.LISTENING, {"listener": config.listeners[place].name, "address": str(bound(sock))})
    _introduce_sample(config, arrangement, journal)


def _introduce_sample(config: Config, arrangement: Arrangement, journal: Journal) -> None:
    """Tell a new user where the mail goes (nowhere), and how to send one."""
    for place, sock in arrangement:
        listener = config.listeners[place]
        if not config.backends[listener.backend].is_embedded:
            continue
        domain = next((one for one in listener.domains if one != "*"), "example.org")
        address = bound(sock)
        # Single quotes only: neither of the two formats of the log has to escape them.
        command = (
            "python3 -c 'import smtplib, sys; smtplib.SMTP(*sys.argv[1:3]).sendmail(*sys.argv[3:])' "
            f"{address.host} {address.port} me@example.net you@{domain} 'Subject: A test'"
        )
        journal.record(
            Event.SAMPLE_BACKEND,
            {
                "backend": listener.backend,
                "directory": str(config.sample.directory),
                "warning": "embedded sample backend: mail goes nowhere but into this directory",
                "try": command,
            },
        )
        return
