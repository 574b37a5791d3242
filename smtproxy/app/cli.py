"""The command line: `smtproxy run`, `check`, `explain`, `replay`, `ledger`, `recipients`, `reputation`.

Exit 0, or 2 for a mistake of the caller's; 1 where `explain` or `ledger` finds nothing, where `replay` finds a
difference or cannot judge all, and where `recipients` or `reputation` finds no worker to ask.

Must never show a traceback for a mistake in a command line or a configuration.
"""

import argparse
import os
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from gzip import GzipFile
from io import BufferedReader
from itertools import islice
from typing import BinaryIO, cast

from smtproxy import __version__
from smtproxy.app.config import Config, ConfigErrors, load
from smtproxy.app.log.values import CONTROL
from smtproxy.app.plan import plan

NOT_SO = 1
"""Exit status where what was asked about is not there, or not as it was."""

MISTAKE = 2
"""Exit status for a wrong command line or configuration: the one argparse has, too."""

_GZIP = b"\x1f\x8b"

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells count: 128 and the number of SIGINT."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status. argparse itself exits for --help, --version and wrong usage."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # a name that the terminal cannot show
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.do(asked))
    except (ConfigErrors, LogError) as wrong:
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
    for name, do, text in (
        ("run", _run, "serve until SIGTERM; running sessions may end then"),
        ("check", _check, "check a configuration and print what it plans; exit 2 with every mistake at its line"),
        ("explain", _explain, "say why a mail was let in or refused, and what single change would have let it in"),
        ("replay", _replay, "judge a recorded log again, by the same configuration or another; exit 1 if any differs"),
    ):
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(do=do)
        command.add_argument(
            "-c", "--config", required=name != "explain", metavar="FILE", help="the configuration (TOML)"
        )
        if name == "check":
            command.add_argument(
                "--offline",
                action="store_true",
                help="do not ask backends without a source of recipients whether they take mail for anybody",
            )
        if name in ("explain", "replay"):
            command.add_argument(
                "--log", default="-", metavar="FILE", help="the log (JSON lines); without it standard input"
            )
        if name == "explain":
            command.add_argument("id", nargs="?", metavar="ID", help="of a session, a transaction or a message")
            command.add_argument(
                "--to", metavar="ADDRESS", action="append", help="a recipient; may be there several times"
            )
            for option, metavar, meaning in _REHEARSED:
                command.add_argument(option, metavar=metavar, help=meaning)
        if name == "replay":
            command.add_argument("--against", metavar="FILE", help="compare with the decisions of this configuration")
    _add_ledger(commands)
    _add_recipients(commands)
    _add_reputation(commands)
    return parser


def _add_ledger(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "say what became of the mails that smtproxy itself deferred, from a log"
    command = commands.add_parser("ledger", help=text, description=text, allow_abbrev=False)
    command.set_defaults(do=_ledger)
    command.add_argument(
        "--log", default="-", metavar="FILE", help="the log (JSON lines), oldest first; without it standard input"
    )
    command.add_argument("--json", action="store_true", help="one JSON object, by check; times in seconds")


def _add_recipients(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "explain and mend what is known of recipients"
    words = commands.add_parser("recipients", help=text, description=text, allow_abbrev=False).add_subparsers(
        dest="word", metavar="WORD", required=True
    )
    for word, meaning in (
        ("show", "say what each source says of an address"),
        ("refresh", "let running workers read all sources anew, however much they have shrunk"),
        ("forget", "let running workers forget what they learned of an address"),
    ):
        command = words.add_parser(word, help=meaning, description=meaning, allow_abbrev=False)
        command.set_defaults(do=_recipients, address="")
        command.add_argument("-c", "--config", required=True, metavar="FILE", help="the configuration (TOML)")
        if word != "refresh":
            command.add_argument("address", help="the address")


def _add_reputation(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "see, set and lift what is known of clients and senders"
    words = commands.add_parser("reputation", help=text, description=text, allow_abbrev=False).add_subparsers(
        dest="word", metavar="WORD", required=True
    )
    for word, meaning, lasts in (
        ("show", "say what is known of a client or a domain; without KEY, who is blocked, allowed or penalised", ""),
        ("forgive", "lift a block, an allowance or a penalty, and forget what was refused", ""),
        ("block", "refuse a client, a network or a sender's domain", "1d"),
        ("allow", "exempt a client, a network or a proven domain from every judgement, never from a duty", "30d"),
    ):
        command = words.add_parser(word, help=meaning, description=meaning, allow_abbrev=False)
        command.set_defaults(do=_reputation, lasts="", reason="")
        command.add_argument("-c", "--config", required=True, metavar="FILE", help="the configuration (TOML)")
        command.add_argument(
            "key", nargs="?" if word == "show" else None, default="", metavar="KEY", help="address, network or domain"
        )
        if lasts:
            command.add_argument("--for", dest="lasts", default=lasts, metavar="TIME", help=f'as "12h"; usual: {lasts}')
            command.add_argument("--reason", default="", metavar="TEXT", help="why; of a block the client hears it")


def _check(asked: argparse.Namespace) -> int:
    config, found = load(asked.config), []
    if not asked.offline:
        from smtproxy.app.accepting import said, try_backends  # noqa: PLC0415 - as below

        found = [said(one) for one in try_backends(config)]
    return _print([plan(config, found).removesuffix("\n")])


_REHEARSED = (
    ("--client", "ADDRESS", "instead of ID: a client that might come; it is judged with live look-ups"),
    ("--hello", "NAME", "what it would call itself"),
    ("--from", "ADDRESS", 'its sender; without it the null sender "<>"'),
    ("--message", "FILE", "its message; without it nothing behind RCPT is judged"),
    ("--listener", "NAME", "where it would come in; without it the first one"),
)


def _rehearse(asked: argparse.Namespace) -> int:
    from smtproxy.app.explain import explain  # noqa: PLC0415 - as below
    from smtproxy.app.rehearsal import asked_for, rehearse  # noqa: PLC0415

    if asked.config is None or not asked.to:
        print("a session that did not happen needs -c FILE and --to ADDRESS", file=sys.stderr)
        return MISTAKE
    config = load(asked.config)
    try:
        thought = asked_for(vars(asked), config)
    except ValueError as wrong:
        print(wrong, file=sys.stderr)
        return MISTAKE
    return _print(list(explain(rehearse(config, *thought), config)))


def _explain(asked: argparse.Namespace) -> int:
    if asked.client is not None:
        return _rehearse(asked)
    if asked.id is None:
        print("explain needs an ID, or --client ADDRESS", file=sys.stderr)
        return MISTAKE
    from smtproxy.app.explain import MOST, explain  # noqa: PLC0415 - nobody else needs them, nor what they load
    from smtproxy.app.recordings import Reading, recordings  # noqa: PLC0415

    config = None if asked.config is None else load(asked.config)
    bracketed = asked.id.startswith("[") and asked.id.endswith("]")
    name = asked.id[1:-1] if bracketed else asked.id  # as it stands in a reply
    reading = Reading(name)
    with _log(asked.log) as log:
        found = list(islice((one for one in recordings(log, reading) if one.is_called(name)), MOST + 1))
    if not found:
        print(f"there is no decision of {name} in this log: {reading}", file=sys.stderr)
        return NOT_SO
    lines = [line for one in found[:MOST] for line in ("", *explain(one, config))][1:]
    if len(found) > MOST:
        lines.append(f"\nthere are more than {MOST}: name one transaction")
    if config is None:
        lines.append("\nwith -c FILE it is judged again, and what would have let it in is tried")
    return _print(lines)


def _replay(asked: argparse.Namespace) -> int:
    from smtproxy.app.recordings import Reading, recordings  # noqa: PLC0415 - as above
    from smtproxy.app.replay import replay, report  # noqa: PLC0415

    config, against = load(asked.config), None if asked.against is None else load(asked.against)
    reading = Reading()
    with _log(asked.log) as log:
        made = replay(recordings(log, reading), config, against)
    _print([*report(made), *([f"  nothing was there to judge: {reading}"] if not made.lines else [])])
    return NOT_SO if made.differing or made.unverified or not made.judged else 0


def _ledger(asked: argparse.Namespace) -> int:
    import orjson  # noqa: PLC0415 - as above

    from smtproxy.app.ledger import ledger, report  # noqa: PLC0415
    from smtproxy.app.recordings import Reading, recordings  # noqa: PLC0415

    reading = Reading()
    with _log(asked.log) as log:
        made = ledger(recordings(log, reading))
    if not made.lines:
        print(f"there is no message in this log: {reading}", file=sys.stderr)
        return NOT_SO
    if asked.json:
        return _print([orjson.dumps({check: one.plain() for check, one in made.accounts.items()}).decode()])
    return _print(report(made))


@contextmanager
def _log(file: str) -> Iterator[BinaryIO]:
    """Open a log, which gzip may have compressed. Raises LogError, for what is found out while it is read, too."""
    if file == "-" and sys.stdin.isatty():
        print("the log is read from this terminal: --log names a file", file=sys.stderr)
    with nullcontext(cast("BufferedReader", sys.stdin.buffer)) if file == "-" else _opened(file) as log:
        try:
            yield cast("BinaryIO", GzipFile(fileobj=log)) if log.peek(2)[:2] == _GZIP else log
        except (OSError, EOFError, zlib.error) as error:
            raise _unreadable(file, error) from None


def _opened(file: str) -> BufferedReader:
    try:
        return open(file, "rb")  # noqa: PTH123 - Path.open refuses nothing that this would not
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from None


def _unreadable(file: str, error: Exception) -> "LogError":
    return LogError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}")


class LogError(Exception):
    """A log that cannot be read."""


def _print(lines: Iterable[str]) -> int:
    try:
        for line in lines:
            print(CONTROL.sub(lambda found: found[0] if found[0] == "\n" else ascii(found[0])[1:-1], line))
        sys.stdout.flush()
    except BrokenPipeError:  # `smtproxy check ... | head`: nothing to complain of, at the end of the process neither
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _recipients(asked: argparse.Namespace) -> int:
    from smtproxy.app.recipients_command import command  # noqa: PLC0415 - as above

    return command(load(asked.config), asked.word, asked.address)


def _reputation(asked: argparse.Namespace) -> int:
    from smtproxy.app.reputation_command import command  # noqa: PLC0415 - as above

    return command(load(asked.config), asked.word, asked.key, asked.lasts, asked.reason)


def _run(asked: argparse.Namespace) -> int:
    config: Config = load(asked.config)
    from smtproxy.app.server import run  # noqa: PLC0415 - `check` needs no network, and is quicker without

    return run(config)


if __name__ == "__main__":
    raise SystemExit(main())
