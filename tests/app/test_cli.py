"""The command line: exit status, what goes to which stream, and never a traceback for a mistake of the user's."""

import subprocess
import sys
from pathlib import Path

import pytest

from smtproxy import __version__
from smtproxy.app import server
from smtproxy.app.cli import main
from smtproxy.app.config import Config
from tests.app import logs

ROOT = Path(__file__).parents[2]
GOOD = ROOT / "tests/app/configurations/good_minimal.toml"
BAD = ROOT / "tests/app/configurations/everything_at_once.toml"


def smtproxy(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "smtproxy", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_check_prints_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--offline", "-c", str(GOOD)]) == 0
    said = capsys.readouterr()
    assert said.out == GOOD.with_suffix(".expected").read_text()
    assert said.err == ""


@pytest.mark.parametrize("command", ["check", "run"])
def test_every_mistake_goes_to_standard_error(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(BAD.parent)
    assert main([command, "--config", BAD.name]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == BAD.with_suffix(".expected").read_text()


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("file", ["/nowhere/config.toml", "/", "/dev/null", "/dev/zero", sys.executable, ""])
def test_no_configuration_at_all(command: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "-c", file]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert all(line.startswith(f"{file}:1: ") for line in said.err.splitlines())
    assert said.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["serve"],
        ["check"],
        ["run"],
        ["check", "-c"],
        ["check", "-c", "a", "b"],
        ["check", "--conf", "a"],
        ["-c", "a"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: smtproxy")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"smtproxy {__version__}\n"


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "run" in said
    assert "check" in said


def test_run_serves_what_is_configured_and_passes_its_status_on(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Config] = []

    def serve(config: Config) -> int:
        served.append(config)
        return 7

    monkeypatch.setattr(server, "run", serve)
    assert main(["run", "-c", str(GOOD)]) == 7
    assert [config.path for config in served] == [GOOD]


def test_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_config: Config) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "run", interrupted)
    assert main(["run", "-c", str(GOOD)]) == 130


def test_as_a_program() -> None:
    done = smtproxy("check", "-c", str(BAD))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) > 10


def test_reader_that_goes_away_is_no_error() -> None:
    """As in `smtproxy check ... | head -0`."""
    shell = subprocess.run(
        ["bash", "-c", '"$0" -m smtproxy check -c "$1" | true; echo "${PIPESTATUS[0]}"', sys.executable, str(GOOD)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert shell.stdout == "0\n"
    assert shell.stderr == ""


def test_explain_and_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = logs.config(tmp_path)
    log, file = tmp_path / "log", str(tmp_path / "a.toml")
    log.write_bytes(logs.line(made, 1, spf="fail") + logs.line(made, 2))
    assert main(["explain", "s1", "-c", file, "--log", str(log)]) == 0
    assert "550 by rule:spf" in capsys.readouterr().out
    assert main(["explain", "nobody", "-c", file, "--log", str(log)]) == 1
    assert main(["replay", "-c", file, "--log", str(log)]) == 0
    assert capsys.readouterr().out == "4 decisions of 2 lines judged again, 0 differ\n"
    other = tmp_path / "b.toml"
    other.write_text(logs.TEXT.replace('"reject"', '"observe"'))
    assert main(["replay", "-c", str(other), "--log", str(log)]) == 1
    assert main(["replay", "-c", file, "--against", str(other), "--log", str(log)]) == 1
    log.write_bytes(log.read_bytes().replace(b'"v":1', b'"v":99'))
    assert main(["replay", "-c", file, "--log", str(log)]) == 1, "what cannot be judged is not the same"
    assert main(["replay", "-c", file, "--log", str(tmp_path / "none")]) == 2
    assert "none: cannot be read: No such file or directory" in capsys.readouterr().err
