"""The sample backend as a process of its own, for benchmarks and for tests with real programs.

    python -m smtproxy.sample --port 2526 --profile exchange --script faults.toml --record record.jsonl

It prints one JSON line with the address it listens on, and ends well at SIGTERM or SIGINT. With `--record` each message
and each finished connection becomes one JSON line in that file, at once. Without it nothing is kept, so that a
benchmark measures no memory of ours. It must never listen anywhere but on loopback; `serve` sees to that.
"""

import argparse
import json
import signal
import sys
from dataclasses import replace
from io import TextIOBase
from pathlib import Path

import trio

from smtproxy.sample.mailstore import MailStore
from smtproxy.sample.profile import Profile
from smtproxy.sample.profiles import PROFILES, embedded
from smtproxy.sample.record import BackendRecord, Connection, Delivery, as_fields
from smtproxy.sample.script import Script
from smtproxy.sample.script_file import ScriptError, load_script
from smtproxy.sample.server import serve


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal ends it; -> exit status: 0, or 2 for a mistake in the arguments."""
    parser = argparse.ArgumentParser(prog="python -m smtproxy.sample", description="A mail server that goes nowhere.")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0: any free port (%(default)s)")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="exchange")
    parser.add_argument("--per-source", type=int, help="connections from one address; 0: no limit (the profile's own)")
    parser.add_argument("--script", type=Path, help="faults to play, TOML or JSON")
    parser.add_argument("--record", type=Path, help="file for JSON lines: messages and connections")
    parser.add_argument("--store", type=Path, help="directory for the messages")
    options = parser.parse_args(arguments)
    profile = embedded(options.profile)
    if options.per_source is not None:
        profile = replace(profile, max_per_source=options.per_source or None)
    store = MailStore(options.store) if options.store else None
    status = 0
    try:
        script = load_script(options.script) if options.script else Script()
        if options.record is None:
            trio.run(_run, profile, script, BackendRecord(keep=False), store, options.host, options.port)
        else:
            with options.record.open("w", encoding="utf-8") as file:
                trio.run(_run, profile, script, _recorder(file), store, options.host, options.port)
    except* (OSError, ValueError, ScriptError) as errors:  # those of `serve` come in the nursery's group
        status = 2
        sys.stderr.writelines(f"{error}\n" for error in errors.exceptions)
    return status


def _recorder(file: TextIOBase) -> BackendRecord:
    def observe(entry: Delivery | Connection) -> None:
        json.dump(dict(as_fields(entry)), file)
        file.write("\n")
        file.flush()

    return BackendRecord(observe=observe)


async def _run(
    profile: Profile, script: Script, record: BackendRecord, store: MailStore | None, host: str, port: int
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            address = await nursery.start(serve, profile, script, record, store, host, port)
            sys.stdout.write(json.dumps({"event": "listening", "host": address[0], "port": address[1]}) + "\n")
            sys.stdout.flush()
            async for _signal in signals:
                nursery.cancel_scope.cancel()
