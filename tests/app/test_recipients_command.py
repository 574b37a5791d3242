"""The command without a running worker, and with the words of `ask_workers`."""

from pathlib import Path

import pytest

from smtproxy.app.cli import main


def _written(directory: Path, server: str = "") -> str:
    (directory / "people.txt").write_text("anna@example.org\n")
    text = (
        f'[server]\nhostname = "mx.example.org"\n{server}\n[[listeners]]\nname = "mx"\nbind = ["127.0.0.1:0"]\n'
        'backend = "b"\ndomains = ["example.org"]\n[backends.b]\nservers = ["127.0.0.1:1"]\n'
        '[[recipients.sources]]\nkind = "file"\npath = "people.txt"\n'
    )
    file = directory / "config.toml"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize(("name", "says"), [("Anna", "exists"), ("xaver", "does not exist")])
def test_without_a_worker_the_sources_are_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, says: str
) -> None:
    assert main(["recipients", "show", f"{name}@example.org", "-c", _written(tmp_path)]) == 0
    first, of_file, together = capsys.readouterr().out.splitlines()
    assert first == "server.state is not set, where workers listen, so the sources themselves were asked"
    assert of_file.startswith(f"  file (file): {says} [")
    assert together.startswith(f"  all together: {says} [")


@pytest.mark.parametrize("word", [["refresh"], ["forget", "anna@example.org"]])
@pytest.mark.parametrize(("server", "why"), [("", "server.state is not set"), ('state = "."', "no worker listens in")])
def test_there_is_nobody_to_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word: list[str], server: str, why: str
) -> None:
    assert main(["recipients", *word, "-c", _written(tmp_path, server)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"there is no worker to be asked: {why}" in said.err


@pytest.mark.parametrize("word", ["show", "forget"])
def test_what_is_no_address(tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert main(["recipients", word, "anna", "-c", _written(tmp_path)]) == 2
    assert "'anna' is no address" in capsys.readouterr().err
