"""The command line: `smtproxy run -c FILE`, `smtproxy check -c FILE`. Exit 0, or 2 for a mistake of the caller's.

Must never show a traceback for a mistake in a command line or a configuration.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from smtproxy import __version__
from smtproxy.app.config import Config, ConfigErrors, load
from smtproxy.app.plan import plan

MISTAKE = 2
"""Exit status for a wrong command line or configuration: the one argparse has, too."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells count: 128 and the number of SIGINT."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status. argparse itself exits for --help, --version and wrong usage."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # a name that the terminal cannot show
    asked = _parser().parse_args(arguments)
    try:
        return _run(asked.config) if asked.command == "run" else _check(asked.config)
    except ConfigErrors as wrong:
        print(wrong, file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="smtproxy",
        description="A transparent SMTP proxy: relays the dialogue live, speaks up only to refuse, defer, slow down "
        "or hang up.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"smtproxy {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in (
        ("run", "serve until SIGTERM; running sessions may end then"),
        ("check", "check a configuration and print what it plans; exit 2 with every mistake at its line"),
    ):
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.add_argument("-c", "--config", required=True, metavar="FILE", help="the configuration (TOML)")
    return parser


def _check(file: str) -> int:
    text = plan(load(file))
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:  # `smtproxy check ... | head`: nothing to complain of, at the end of the process neither
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _run(file: str) -> int:
    config: Config = load(file)
    from smtproxy.app.server import run  # noqa: PLC0415 - `check` needs no network, and is quicker without

    return run(config)


if __name__ == "__main__":
    raise SystemExit(main())
