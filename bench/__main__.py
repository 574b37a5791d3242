"""`python -m bench`: measures smtproxy beside Postfix's before-queue proxy and haproxy, and prints one table.

All servers are started for this run, on loopback, in a temporary directory, and ended with it. Nothing is compared with
a stored number. Exit status: 0; 1 when something broke; 3 with `--check` when a goal that is due was not met.
"""

import argparse
import logging
import resource
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from bench import machine, peers, table
from bench.goals import goals
from bench.scenarios import Bench, Sizes
from tests.end_to_end.programs.process import ProgramError
from tests.end_to_end.programs.smtp_sink import SmtpSink

QUICK = Sizes(
    1,
    messages=600,
    same_messages=800,
    sessions=100,
    bodies=6,
    idle=(1000,),
    tls_messages=200,
    tls_idle=200,
    crowd_messages=200,
)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, help="rounds of each scenario (3; five before a release)")
    parser.add_argument("--quick", action="store_true", help="one small round: shows that it runs, not how fast it is")
    parser.add_argument("--output", type=Path, help="write the report, in Markdown, to this file as well")
    parser.add_argument("--check", action="store_true", help="exit with 3 unless the goals that are due were met")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run everything and print the report."""
    options = _arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sizes = QUICK if options.quick else Sizes()
    if options.rounds:
        sizes = replace(sizes, rounds=options.rounds)
    pins = peers.pinning()
    head = machine.describe(pins)
    before = machine.load_average()
    with tempfile.TemporaryDirectory(prefix="smtproxy-bench-") as name:
        bench = Bench(Path(name), pins, sizes)
        try:
            with SmtpSink(Path(name) / "sink", cores=pins.load) as sink:
                bench.speed(sink.port)
                bench.secured(sink.port)
            bench.workers()
            bench.refused()
            bench.idle()
            bench.idle_secured()
        except ProgramError as error:
            bench.broken.append(str(error))
    reached = goals(bench.results, sizes)
    report = "\n".join(
        [
            *(f"* {line}" for line in head),
            f"* load average before {before}, after {machine.load_average()}",
            f"* {sizes.rounds} rounds, medians [lowest-highest]; ratios are taken inside a round",
            "* CPU is that of the proxy's whole process tree; 1 MB = 10^6 octets",
            *(f"* TLS of {peer}: {', '.join(sorted(found))}" for peer, found in bench.agreed.items()),
            *(f"* missing: {peer}: {reason}" for peer, reason in bench.missing.items()),
            *(f"* BROKEN: {what}" for what in bench.broken),
            "",
            table.markdown(table.grid(bench.results, bench.missing, sizes)),
            *(f"* {goal}" for goal in reached),
            "",
        ]
    )
    print(report)
    if options.output:
        options.output.write_text(report)
    if bench.broken or peers.AUTO in bench.missing:
        return 1
    return 3 if options.check and not all(goal.met for goal in reached if goal.due) else 0


if __name__ == "__main__":
    sys.exit(main())
