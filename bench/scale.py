"""What sessions of each kind cost one worker: `python -m bench.scale` prints the figures of docs/scaling.md.

One smtproxy for each row, with one worker on a core of its own; clients, backend, name server and store on the other.
All judgements look (`bench/judgement.py`), on facts that are remembered; the clients are strangers. Must never print a
row of which a session went otherwise than the row says, or was without its store.
"""

import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import trio

from bench.client import dialogue, failure_in, reply_of
from bench.judgement import checks, world
from bench.meter import memory_kib, settled_cpu_seconds
from bench.peers import pinning
from smtproxy.stores.store import Store
from tests.end_to_end.programs.process import HOST, ProgramError, on_cores, wait_until
from tests.end_to_end.programs.redis import Redis
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Plan, Setting, Smtproxy
from tests.fakes.name_server import NameServer
from tests.stores.valkeys import store_on

SESSIONS = 1000
ROUNDS = 5
AT_ONCE = 20
HELD = 500
"""Sessions that are kept waiting, for their memory."""
PASSWORD = "secret"  # noqa: S105 - of a server of our own
OURS, FOREIGN = "load@example.org", "load@elsewhere.example"
_TARPIT = '[tarpit]\ndelay = "{}"\nmax_per_client = 2000\nmax_total = 2000\n'
_ALL = '[[rules]]\nname = "all"\nstage = "mail"\nwhen = "true"\nthen = "tarpit"\n'


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of session."""

    name: str
    said: Sequence[tuple[bytes, bytes]]
    """Commands, and the beginning of the reply to each."""
    more: str = ""
    """Of the configuration."""
    bounds: Mapping[str, Setting] = field(default_factory=dict)
    crowd: int = 0
    """Sessions that are there all the time."""
    shared: bool = False
    """What is remembered is on a server."""


CASES = (
    Case("a message of 4 KiB, delivered", dialogue(4096, OURS)),
    Case("the same, what is remembered on a server", dialogue(4096, OURS), shared=True),
    Case("refused at RCPT", dialogue(0, FOREIGN)),
    Case("the same, kept waiting before for 0.2 s", dialogue(0, FOREIGN), more=_TARPIT.format("200ms") + _ALL),
    Case("turned away in an overload", (), more="[overload]\nkept = 0.9\n", bounds={"sessions": 500}, crowd=50),
)


def session(port: int, case: Case) -> str:
    """Have a session; return what went wrong, empty if nothing did."""
    with socket.create_connection((HOST, port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        greeting = reply_of(connection)
        if not greeting.startswith(b"421" if case.crowd else b"220"):
            return f"greeting: {greeting!r}"
        return failure_in(connection, case.said)


def _started(stack: ExitStack, directory: Path, case: Case, sink: SmtpSink, server: NameServer) -> Smtproxy:
    more = checks("observe") + case.more
    if case.shared:
        store = stack.enter_context(Redis(directory / "store", password=PASSWORD))
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "password").write_text(PASSWORD)
        more += (
            f'[store]\nkind = "valkey"\nservers = ["{HOST}:{store.port}"]\npassword_file = "password"\ntimeout = "5s"\n'
        )
    plan = Plan(
        [f"{HOST}:{sink.port}"],
        dns={"servers": [f"{HOST}:{server.port}"]},
        bounds=case.bounds,
        top="default_exemptions = false\n",
        more=more,
    )
    return stack.enter_context(Smtproxy(directory, plan, cores=pinning().proxy))


def measure(directory: Path, case: Case, sessions: int = SESSIONS, rounds: int = ROUNDS) -> list[float]:
    """Return ms of CPU of a session, for each round but the first, which warms up. Raises ProgramError."""
    with ExitStack() as stack:
        stack.enter_context(on_cores(pinning().load))
        sink, server = stack.enter_context(SmtpSink(directory / "sink")), stack.enter_context(NameServer(world))
        proxy = _started(stack, directory / "proxy", case, sink, server)
        for _ in range(case.crowd):
            reply_of(stack.enter_context(closing(socket.create_connection((HOST, proxy.port), timeout=30))))
        found = []
        for turn in range(rounds + 1):
            before = settled_cpu_seconds(proxy.pid)
            with ThreadPoolExecutor(AT_ONCE) as clients:
                failures = [one for one in clients.map(lambda _: session(proxy.port, case), range(sessions)) if one]
            if failures:
                raise ProgramError(f"{case.name}: {len(failures)} of {sessions} sessions, the first: {failures[0]}")
            if proxy.lines("store_down"):
                raise ProgramError(f"{case.name}: {proxy.lines('store_down')[0]}")
            if turn:
                found.append((settled_cpu_seconds(proxy.pid) - before) * 1000 / sessions)
        return found


def held(directory: Path, sessions: int = HELD) -> float:
    """Return KiB of a session that is kept waiting."""
    with ExitStack() as stack:
        sink, server = stack.enter_context(SmtpSink(directory / "sink")), stack.enter_context(NameServer(world))
        case = Case("held", (), more=_TARPIT.format("60s") + _ALL)
        proxy = _started(stack, directory / "proxy", case, sink, server)
        session(proxy.port, Case("first", dialogue(0, FOREIGN)[:1]))  # what is made once
        before = memory_kib(proxy.pid)
        for _ in range(sessions):
            client = stack.enter_context(closing(socket.create_connection((HOST, proxy.port), timeout=30)))
            reply_of(client)
            client.sendall(b"".join(command for command, _ in dialogue(0, FOREIGN)[:3]))
        last: list[int] = []
        wait_until(lambda: _steady(last, proxy.pid), 30, "memory never rests")
        return (last[-1] - before) / sessions


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a store on a server: ms of CPU here, ms of waiting; and how many there were a second."""

    cpu: float
    waited: float
    rate: float


def operation(directory: Path, count: int = 3000) -> Operation:
    """Measure counts, `AT_ONCE` at once; the server is on the core of the clients, this process on the other one."""

    async def ask(store: Store, number: int) -> None:
        for turn in range(count // AT_ONCE):
            await store.count(f"1/delivered/{number}.{turn}.example", 86400.0)

    async def all_of_them() -> Operation:
        async with store_on(server) as store:
            cpu, began = time.process_time(), time.monotonic()
            async with trio.open_nursery() as nursery:
                for number in range(AT_ONCE):
                    nursery.start_soon(ask, store, number)
            cpu, passed = time.process_time() - cpu, time.monotonic() - began
            if not store.waits:
                raise ProgramError("the store was lost")
            return Operation(cpu * 1000 / count, passed * 1000 * AT_ONCE / count, count / passed)

    with ExitStack() as stack:
        with on_cores(pinning().load):
            server = stack.enter_context(Redis(directory / "store"))
        stack.enter_context(on_cores(pinning().proxy))
        return trio.run(all_of_them)


def _steady(last: list[int], pid: int) -> bool:
    """Note how much memory is used; whether it has been the same for a moment."""
    last.append(memory_kib(pid))
    time.sleep(0.1)
    return len(last) > 5 and max(last[-5:]) - min(last[-5:]) < 64


def main() -> int:
    """Print the table."""
    print("| session | ms CPU | a second on one core |\n|---|---|---|")
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="smtproxy-scale-") as directory:
            found = measure(Path(directory), case)
        middle, spread = median(found), f"[{min(found):.2f} to {max(found):.2f}]"
        print(f"| {case.name} | {middle:.2f} {spread} | {1000 / middle:.0f} |", flush=True)
    with tempfile.TemporaryDirectory(prefix="smtproxy-scale-") as directory:
        print(f"\nA session that is kept waiting: {held(Path(directory)):.1f} KiB")
    with tempfile.TemporaryDirectory(prefix="smtproxy-scale-") as directory:
        one = operation(Path(directory))
    print(f"An operation of a store on a server: {one.cpu:.2f} ms CPU, {one.waited:.1f} ms, {one.rate:.0f} a second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
