"""`python -m bench.new_clients`: how many clients a second that were never seen two workers hold, and what each costs.

Each has six questions of its own to the DNS (its name, the name it says, two lists, MX and SPF record of its sender),
which a real nsd answers. Beside all checks together each is shown alone; reverse_name asks for what excuses a dynamic
name as well, so it holds SPF and the sender's domain. A run in which a single mail failed must give no figure.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import fresh_clients
from bench.meter import settled_cpu_seconds
from tests.end_to_end.programs.name_servers import Nsd
from tests.end_to_end.programs.process import HOST, ProgramError
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

ZONES = {
    "example.net": "@ MX 10 mx\nmx A 8.8.4.4\nsource A 127.0.0.1\n"
    '@ TXT "v=spf1 ip4:127.0.0.0/8 ip4:198.18.0.0/15 -all"\n_dmarc TXT "v=DMARC1; p=reject"\n'
    '* TXT "v=spf1 ip4:198.18.0.0/15 -all"\n* MX 10 mx\n* A 198.18.0.1\n',
    "127.in-addr.arpa": "1.0.0 PTR source.example.net.\n",
    "18.198.in-addr.arpa": "* PTR source.example.net.\n",
    "list.test": "2.0.0.127 A 127.0.0.2\n",
    "other.test": "2.0.0.127 A 127.0.0.2\n",
}
_ENVELOPE = ("not_smtp", "early_talker", "hello", "reverse_name", "dnsbl", "sender_domain", "spf", "null_sender")
_MESSAGE = ("dkim", "dmarc", "header", "own_sender")
"""Checks that need the whole message: these sessions have none."""
_ASKING = ("hello", "reverse_name", "dnsbl", "sender_domain", "spf")
_LISTS = "".join(f'[[lists]]\nname = "{name}"\nzone = "{name}.test"\n' for name in ("list", "other"))
NONE = "no check"
ENVELOPE = "all of the envelope"


def _more(*observed: str) -> str:
    """Return a configuration in which these checks look, and no other one."""
    text = ""
    for name in (*_ENVELOPE, *_MESSAGE):
        text += f'[checks.{name}]\naction = "{"observe" if name in observed else "off"}"\n'
        if name == "hello":
            text += "unresolvable = true\n"
    return text + (_LISTS if "dnsbl" in observed else "")


MORE = {NONE: _more(), **{name: _more(name) for name in _ASKING}, ENVELOPE: _more(*_ENVELOPE)}


def _plan(more: str, sink: SmtpSink, server: Nsd) -> Plan:
    return Plan(
        [f"{HOST}:{sink.port}"],
        {"proxy_protocol": [fresh_clients.BALANCER]},
        server={"workers": 2},
        quotas={"exempt": ["0.0.0.0/0"]},
        dns={"servers": [server.address]},
        more=more,
    )


def measure(directory: Path, server: Nsd, sessions: int) -> None:
    """Print what sessions of clients that were never seen cost two workers, and how many a second they hold."""
    print("| new clients, two workers | sessions/s | CPU ms a session: proxy | load | name server | ", end="")
    print("sessions/s of two whole cores |\n|---|---|---|---|---|---|")
    with SmtpSink(directory / "sink-new") as sink:
        for number, name in enumerate(MORE):
            plan = _plan(MORE[name], sink, server)
            with Smtproxy(directory / f"new-{number}", plan) as proxy:
                before = settled_cpu_seconds(proxy.pid), settled_cpu_seconds(server.child.pid)
                load = fresh_clients.run_apart(proxy.port, sessions)
                ours = settled_cpu_seconds(proxy.pid) - before[0]
                others = settled_cpu_seconds(server.child.pid) - before[1]
            each = " | ".join(f"{cpu * 1000 / sessions:.3f}" for cpu in (ours, load.cpu, others))
            print(f"| {name} | {sessions / load.seconds:.0f} | {each} | {2 * sessions / ours:.0f} |", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="bench.new_clients", description=__doc__)
    parser.add_argument("--sessions", type=int, default=4000)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="smtproxy-bench-") as name, Nsd(Path(name) / "nsd", ZONES) as server:
        try:
            measure(Path(name), server, options.sessions)
        except (ProgramError, OSError, subprocess.SubprocessError) as error:
            print(f"bench.new_clients: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
