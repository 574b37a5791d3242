"""Many SMTP sessions at once under TLS: `python -m bench.tls_load PORT MESSAGES SESSIONS OCTETS RECIPIENT AUTHORITY`.

smtp-source of Postfix 3.7 speaks no TLS, so this is the load for every peer that does. Each session at a time has a
process of its own, one message a connection: STARTTLS, TLS 1.3, the mail, QUIT. With `--resume` a session goes on with
the ticket of the one before. What was agreed on is reported, so that nobody compares two ciphers; a run in which
anything went wrong must give no figures.
"""

import argparse
import json
import multiprocessing
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.client import dialogue, failure_in, reply_of
from tests.end_to_end.programs.process import HOST, ROOT, ProgramError, on_cores

NAME = "mx.example.org"
"""Whom the certificate has to name."""
HELLO = b"EHLO client.example.net\r\n"


@dataclass(frozen=True, slots=True)
class TlsLoad:
    """What to send: messages in all, sessions at once."""

    messages: int
    sessions: int
    octets: int
    recipient: str
    resume: bool = False


@dataclass(frozen=True, slots=True)
class Secured:
    """Wall-clock seconds; sessions by what they agreed on ("TLSv1.3 TLS_AES_256_GCM_SHA384", "... resumed")."""

    seconds: float
    agreed: dict[str, int]


def trusting(authority: Path) -> ssl.SSLContext:
    """Return the context of the clients: one version, so that all peers do the same work."""
    context = ssl.create_default_context(cafile=str(authority))
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    return context


def begin_tls(
    connection: socket.socket, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> ssl.SSLSocket:
    """Say STARTTLS on a new connection, and shake hands. Raises OSError, of which a refusal is one."""
    for command, expected in ((b"", b"220"), (HELLO, b"250"), (b"STARTTLS\r\n", b"220")):
        connection.sendall(command)
        reply = reply_of(connection)
        if not reply.startswith(expected):
            raise OSError(f"{command!r}: {reply!r}")
    return context.wrap_socket(connection, server_hostname=NAME, session=session)


def _one_after_the_other(port: int, count: int, load: TlsLoad, authority: Path) -> Counter[str]:
    """Send as many messages, each on a connection of its own. Raises OSError with the first thing that went wrong."""
    context, said = trusting(authority), dialogue(load.octets, load.recipient)
    agreed: Counter[str] = Counter()
    session: ssl.SSLSession | None = None
    for _ in range(count):
        with socket.create_connection((HOST, port), timeout=60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with begin_tls(connection, context, session if load.resume else None) as secured:
                failure = failure_in(secured, said)
                if failure:
                    raise OSError(failure)
                cipher = (secured.cipher() or ("no cipher",))[0]
                agreed[f"{secured.version()} {cipher}{' resumed' if secured.session_reused else ''}"] += 1
                session = secured.session  # with the ticket, which came behind the handshake
    return agreed


def run(port: int, load: TlsLoad, authority: Path) -> Secured:
    """Run the load in processes of this one."""
    shares = [
        load.messages // load.sessions + (number < load.messages % load.sessions) for number in range(load.sessions)
    ]
    with multiprocessing.get_context("fork").Pool(load.sessions) as pool:
        begin = time.monotonic()
        found = pool.starmap(_one_after_the_other, [(port, share, load, authority) for share in shares], chunksize=1)
        seconds = time.monotonic() - begin
    return Secured(seconds, dict(sum(found, Counter[str]())))


def run_apart(port: int, load: TlsLoad, authority: Path, cores: Sequence[int]) -> Secured:
    """Run the load in a process of its own. Raises ProgramError unless all went as expected."""
    command = [sys.executable, "-m", "bench.tls_load", str(port), str(load.messages), str(load.sessions)]
    command += [str(load.octets), load.recipient, str(authority), *(["--resume"] if load.resume else [])]
    with on_cores(cores):
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=600)
    if done.returncode != 0:
        raise ProgramError(f"bench.tls_load: {done.stderr[-1000:]}")
    return Secured(**json.loads(done.stdout))


def _main() -> None:
    parser = argparse.ArgumentParser(prog="bench.tls_load", description=__doc__)
    for name, kind in (("port", int), ("messages", int), ("sessions", int), ("octets", int), ("recipient", str)):
        parser.add_argument(name, type=kind)
    parser.add_argument("authority", type=Path)
    parser.add_argument("--resume", action="store_true")
    told = parser.parse_args()
    load = TlsLoad(told.messages, told.sessions, told.octets, told.recipient, told.resume)
    print(json.dumps(asdict(run(told.port, load, told.authority))))


if __name__ == "__main__":
    _main()
