"""What judging costs: `python -m bench.judgement` prints ms of CPU a message, without checks and with all of them.

Several smtproxy run side by side, in front of the same sink, and get the same load in turn, a new connection for each
message: one has every judgement switched off, one asks all of them with the action `observe`, on facts that are all
remembered (the first round warms up), one counts for three limits besides. The last one is as shipped, whose sessions
from this machine are exempt.
"""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import dns.message
import dns.rdatatype

from bench.meter import settled_cpu_seconds
from bench.peers import pinning
from tests.end_to_end.programs.process import HOST, ProgramError
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtp_source import Load, send
from tests.end_to_end.programs.smtproxy import Plan, Setting, Smtproxy
from tests.fakes.name_server import NameServer, name_of, nobody, reply

JUDGEMENTS = (
    "early_talker", "hello", "reverse_name", "sender_domain", "dnsbl", "spf", "own_sender", "null_sender", "dkim",
    "dmarc", "header", "blocked", "reputation", "not_smtp",
)  # fmt: skip
RECORDS = {
    "MX": "10 mx.sender.test.",
    "A": "8.8.4.4",
    "TXT": '"v=spf1 ip4:127.0.0.0/8 -all"',
    "PTR": "mx.sender.test.",
}
LISTS = '[[lists]]\nname = "mylist"\nzone = "list.test"\n'
LIMITS = "".join(
    f'[[limits]]\nname = "{of}"\nof = "{of}"\nper = "client"\nrate = "1000000/1m"\n'
    for of in ("connections", "messages", "recipients")
)
ALONE = "limits = []\ndefault_exemptions = false\n"
"""In front of a file: no limit, and this machine is judged."""
ROOM: dict[str, Setting] = {"max_connections": 40, "idle": {"connections": 40, "seconds": 5}}
"""Places at the backend for every session: standing in line for one is no part of judging."""
ROUNDS = 5
MESSAGES = 2000
LOAD = Load(messages=MESSAGES, sessions=20, octets=4096)


def world(question: bytes) -> list[bytes]:
    """Every domain sends from this machine and takes mail; the list has nobody."""
    name = name_of(question)
    kind = dns.rdatatype.to_text(dns.message.from_wire(question).question[0].rdtype)
    if name == "2.0.0.127.list.test":
        return [reply(question, f"{name}. 3600 IN A 127.0.0.2")]
    if name.endswith(".list.test") or name.startswith("_dmarc."):
        return nobody(question)
    records = {
        "MX": "10 mx.sender.test.",
        "A": "8.8.4.4",
        "TXT": '"v=spf1 ip4:127.0.0.0/8 -all"',
        "PTR": "mx.sender.test.",
    }
    if kind in records:
        return [reply(question, f"{name}. 3600 IN {kind} {records[kind]}")]
    return nobody(question)


def checks(action: str) -> str:
    """Return the tables that give all judgements this action."""
    return LISTS + "".join(f'[checks.{name}]\naction = "{action}"\n' for name in JUDGEMENTS)


def measure(directory: Path) -> dict[str, list[float]]:
    """Return ms of CPU a message, by what is judged, for each round."""
    pins = pinning()
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        server = stack.enter_context(NameServer(world))
        sink = stack.enter_context(SmtpSink(directory / "sink"))
        proxies = {}
        for number, (name, top, more) in enumerate(
            (
                ("no judgement", ALONE, checks("off")),
                ("all, facts remembered", ALONE, checks("observe")),
                ("these, and three limits", "default_exemptions = false\n", checks("observe") + LIMITS),
                ("as shipped, this machine exempt", "", LISTS),
            )
        ):
            plan = Plan(
                [f"{HOST}:{sink.port}"],
                dns={"servers": [f"{HOST}:{server.port}"]},
                backend=ROOM,
                more=more,
                top=top,
            )
            proxies[name] = stack.enter_context(Smtproxy(directory / f"proxy-{number}", plan, cores=pins.proxy))
        for turn in range(ROUNDS + 1):
            for name in sorted(proxies, reverse=bool(turn % 2)):
                before = settled_cpu_seconds(proxies[name].pid)
                outcome = send(LOAD, proxies[name].port, patience=600, cores=pins.load)
                if not outcome.clean:
                    raise ProgramError(f"{name}: smtp-source: {outcome.failures[:3]}")
                if turn:
                    spent = settled_cpu_seconds(proxies[name].pid) - before
                    found.setdefault(name, []).append(spent * 1000 / MESSAGES)
    return found


def main() -> int:
    """Print the table."""
    with tempfile.TemporaryDirectory() as directory:
        found = measure(Path(directory))
    base = found["no judgement"]
    print("| judged | ms CPU a message | more than without |\n|---|---|---|")
    for name, values in found.items():
        more = [one - other for one, other in zip(values, base, strict=True)]
        print(f"| {name} | {median(values):.3f} | {median(more):+.3f} [{min(more):+.3f} to {max(more):+.3f}] |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
