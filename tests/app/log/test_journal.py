"""What the program logs with, down to the descriptor: formats, ranks, structlog, and what kill -9 leaves."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import orjson
import pytest
import structlog
from hypothesis import given, settings

from smtproxy.app.log import LineJournal, configure_structlog, open_log
from smtproxy.app.log.journal import Format
from smtproxy.app.log.json_lines import Stamp
from smtproxy.session.records import LEVELS, Event, Journal
from tests.app.log.strategies import ANY_FIELDS, HostileMapping

ROOT = Path(__file__).parents[3]
STAMP = Stamp(lambda: 1_795_493_804_123_456_789)


class Log:
    """A journal on a real pipe, and what was read from it."""

    def __init__(self, form: Format = "json", capacity: int = 8000, reserve: int = 4000) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.journal = open_log(self.writing, form, capacity=capacity, reserve=reserve, stamp=STAMP)

    def read(self) -> bytes:
        got = b""
        while True:
            try:
                got += os.read(self.reading, 1 << 20)
            except BlockingIOError:
                return got

    def lines(self) -> list[dict[str, object]]:
        return [orjson.loads(line) for line in self.read().splitlines()]

    def close(self) -> None:
        """End without waiting for a reader: there is none any more."""
        os.close(self.reading)
        self.journal.close()
        os.close(self.writing)

    def stall(self) -> None:
        """Fill the pipe behind the journal's back."""
        fd = os.open(f"/proc/self/fd/{self.writing}", os.O_WRONLY | os.O_NONBLOCK)
        try:
            while True:
                os.write(fd, b" " * 4096)
        except BlockingIOError:
            os.close(fd)


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    yield log
    log.close()


def test_it_is_a_journal(log: Log) -> None:
    journal: Journal = log.journal
    journal.record(Event.LISTENING, {"listener": "mx", "address": "127.0.0.1:25"})
    assert log.read() == (
        b'{"time":"2026-11-24T04:16:44.123456Z","event":"listening","level":"info",'
        b'"listener":"mx","address":"127.0.0.1:25"}\n'
    )


@pytest.mark.parametrize("event", list(Event))
def test_each_event_has_its_level(log: Log, event: Event) -> None:
    log.journal.record(event, {})
    (line,) = log.lines()
    assert (line["event"], line["level"]) == (event.value, LEVELS[event])


def test_fields_that_cannot_be_read_do_not_hide_the_event(log: Log) -> None:
    log.journal.record(Event.CRASH, HostileMapping())
    (line,) = log.lines()
    assert (line["event"], line["unloggable"]) == ("crash", "OSError")


@settings(deadline=None, max_examples=50)
@given(ANY_FIELDS)
def test_any_fields_are_logged(fields: Mapping[str, object]) -> None:
    log = Log(capacity=1 << 20)
    for form in ("json", "console"):
        journal = open_log(log.writing, form, capacity=1 << 20)
        journal.record(Event.MESSAGE, fields)
        journal.close()
        assert log.read().count(b"\n") == 1
        assert journal.writer.lost == 0
    log.close()


class TestFormats:
    def test_auto_is_json_where_no_terminal_is(self) -> None:
        log = Log("auto")
        log.journal.record(Event.STOPPED, {"sessions": 0})
        assert log.lines()[0]["sessions"] == 0
        log.close()

    def test_console_has_no_colours_there(self) -> None:
        log = Log("console")
        log.journal.record(Event.STOPPED, {"sessions": 0})
        assert log.read() == b"2026-11-24T04:16:44.123456Z info    stopped      sessions=0\n"
        log.close()

    @pytest.mark.parametrize(
        ("form", "no_colour", "begin"),
        [("auto", False, b"\x1b[2m2026"), ("auto", True, b"2026"), ("json", False, b'{"time":')],
    )
    def test_on_a_terminal(self, form: Format, no_colour: bool, begin: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        if no_colour:
            monkeypatch.setenv("NO_COLOR", "1")
        else:
            monkeypatch.delenv("NO_COLOR", raising=False)
        reading, writing = pty.openpty()
        journal = open_log(writing, form, stamp=STAMP)
        journal.record(Event.STOPPED, {"sessions": 0})
        assert os.read(reading, 1000).startswith(begin)
        journal.close()
        os.close(reading)
        os.close(writing)


class TestStalledReader:
    def test_a_commit_line_that_had_to_wait_says_so(self, log: Log) -> None:
        log.journal.record(Event.COMMIT, {"transaction": "a.1"})
        log.stall()
        log.journal.record(Event.COMMIT, {"transaction": "a.2"})
        log.journal.record(Event.MESSAGE, {"transaction": "a.2"})
        first = log.read()
        log.journal.record(Event.COMMIT, {"transaction": "a.3"})
        lines = [orjson.loads(line) for line in (first + log.read()).replace(b" ", b"").splitlines()]
        assert [(line["event"], line["transaction"], line.get("queued")) for line in lines] == [
            ("commit", "a.1", None),
            ("commit", "a.2", True),
            ("message", "a.2", None),
            ("commit", "a.3", None),
        ]

    @pytest.mark.parametrize(
        ("event", "reserved"),
        [
            (event, event in (Event.SESSION, Event.COMMIT, Event.MESSAGE))
            for event in Event
            if event is not Event.LOG_LOST
        ],
    )
    def test_the_reserve_is_for_three_events(self, log: Log, event: Event, reserved: bool) -> None:
        log.stall()
        while log.journal.writer.lost == 0:
            log.journal.note("library", "info", {})
        log.journal.record(event, {"reply": "x" * 500})
        assert log.journal.writer.lost == (1 if reserved else 2)

    def test_message_lines_survive_all_others_and_losses_are_told(self, log: Log) -> None:
        log.stall()
        for number in range(60):
            log.journal.record(Event.BACKEND_DOWN, {"reason": number})
            log.journal.record(Event.SESSION, {"session": number})
            log.journal.record(Event.MESSAGE, {"session": number})
            log.journal.note("library", "warning", {})
        log.read()
        log.journal.close()
        lines = log.lines()
        events = [line["event"] for line in lines]
        assert events.count("message") == 60
        (report,) = [line for line in lines if line["event"] == "log_lost"]
        assert report["level"] == "error"
        lost = {name: 60 - events.count(name) for name in ("backend_down", "session", "library")}
        lost["other"] = lost.pop("library")
        assert report["lost"] == {name: number for name, number in lost.items() if number}
        assert lost["backend_down"] == lost["other"] == 60
        assert 0 < lost["session"] < 60


class TestStructlog:
    @pytest.fixture(autouse=True)
    def configured(self, log: Log) -> Iterator[None]:
        configure_structlog(log.journal)
        yield
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()

    def test_the_same_format(self, log: Log) -> None:
        structlog.get_logger().info("something", a=1, b=b"\xff")
        assert log.read() == (
            b'{"time":"2026-11-24T04:16:44.123456Z","event":"something","level":"info","a":1,"b":"\\\\xff"}\n'
        )

    @pytest.mark.parametrize(
        ("method", "level"),
        [
            ("info", "info"),
            ("warning", "warning"),
            ("warn", "warning"),
            ("error", "error"),
            ("critical", "error"),
            ("fatal", "error"),
            ("exception", "error"),
            ("msg", "info"),
        ],
    )
    def test_levels(self, log: Log, method: str, level: str) -> None:
        getattr(structlog.get_logger(), method)("x")
        assert [line["level"] for line in log.lines()] == [level]

    def test_debug_is_off_unless_asked_for(self, log: Log) -> None:
        structlog.get_logger().debug("x")
        assert log.read() == b""
        configure_structlog(log.journal, "debug")
        structlog.get_logger().debug("x")
        assert [line["level"] for line in log.lines()] == ["debug"]

    def test_bound_and_contextual_fields(self, log: Log) -> None:
        structlog.contextvars.bind_contextvars(session="s")
        structlog.get_logger("a name").bind(client="c").info("x", a=1)
        (line,) = log.lines()
        assert (line["session"], line["client"], line["a"]) == ("s", "c", 1)

    def test_an_event_that_is_no_string(self, log: Log) -> None:
        structlog.get_logger().info(42)
        assert [line["event"] for line in log.lines()] == ["42"]

    @pytest.mark.parametrize("way", ["exception", "true", "error", "tuple"])
    def test_exceptions(self, log: Log, way: str) -> None:
        try:
            int("bad\n")
        except ValueError as error:
            if way == "exception":
                structlog.get_logger().exception("crash")
            else:
                given = {"true": True, "error": error, "tuple": sys.exc_info()}[way]
                structlog.get_logger().error("crash", exc_info=given)
        (line,) = log.lines()
        assert line["error"] == "ValueError: invalid literal for int() with base 10: 'bad\\n'"
        where = line["traceback"]
        assert isinstance(where, list)
        assert where[0].startswith("test_journal.py:")
        assert where[0].endswith(" test_exceptions")
        assert "exc_info" not in line

    def test_exception_without_one(self, log: Log) -> None:
        structlog.get_logger().exception("x")
        (line,) = log.lines()
        assert "error" not in line

    def test_a_logger_made_before_follows_a_new_configuration(self, log: Log) -> None:
        logger = structlog.get_logger()
        logger.info("first")
        other = Log()
        configure_structlog(other.journal)
        logger.info("second")
        assert [line["event"] for line in log.lines()] == ["first"]
        assert [line["event"] for line in other.lines()] == ["second"]
        other.close()


COMMIT_AND_DIE = """
import os, signal, sys
from smtproxy.app.log import open_log
from smtproxy.session.records import Event
open_log(int(sys.argv[1]), "json").record(Event.COMMIT, {"transaction": "a.1"})
os.kill(os.getpid(), signal.SIGKILL)
"""


def commit_and_die(fd: int) -> None:
    child = subprocess.run(
        [sys.executable, "-c", COMMIT_AND_DIE, str(fd)],
        cwd=ROOT,
        pass_fds=[fd],
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert child.returncode == -signal.SIGKILL


def written_to_a_file(tmp_path: Path) -> bytes:
    path = tmp_path / "log"
    with path.open("ab") as file:
        commit_and_die(file.fileno())
    return path.read_bytes()


def written_to_a_pipe(_tmp_path: Path) -> bytes:
    log = Log()
    commit_and_die(log.writing)
    got = log.read()
    log.close()
    return got


@pytest.mark.parametrize("written", [written_to_a_file, written_to_a_pipe])
def test_a_commit_line_survives_kill_9(written: Callable[[Path], bytes], tmp_path: Path) -> None:
    (line,) = written(tmp_path).splitlines()
    fields = orjson.loads(line)
    assert (fields["event"], fields["transaction"]) == ("commit", "a.1")
    assert "queued" not in fields


def test_the_lost_line_is_of_the_format_of_the_others() -> None:
    log = Log("console", capacity=0, reserve=0)
    log.stall()
    log.journal.record(Event.STOPPED, {})
    log.read()
    log.journal.close()
    assert log.read() == b'2026-11-24T04:16:44.123456Z error   log_lost     lost={"stopped":1}\n'
    log.close()


def test_close_is_passed_on(log: Log) -> None:
    log.journal.close()
    log.journal.record(Event.STOPPED, {})
    assert log.journal.writer.lost == 1
    assert isinstance(log.journal, LineJournal)
