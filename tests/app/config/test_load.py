"""The directory of configurations, good and bad, each with what `smtproxy check` must say of it; files that are none.

After a change of wording `WRITE_EXPECTED=1 ./do test tests/app/config` writes the expected texts anew (and the limits
in config.toml): read the difference.
"""

import os
from pathlib import Path

import pytest

from smtproxy.app.config import Config, ConfigError, ConfigErrors, load
from smtproxy.app.config.load import LARGEST_FILE
from smtproxy.app.plan import plan

DIRECTORY = Path(__file__).parents[1] / "configurations"
NAMES = sorted(path.stem for path in DIRECTORY.glob("*.toml"))

MINIMAL = """
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
[backends.b]
servers = ["127.0.0.1:25"]
"""


def errors_of(path: Path | str) -> tuple[ConfigError, ...]:
    with pytest.raises(ConfigErrors) as caught:
        load(path)
    return caught.value.errors


@pytest.mark.parametrize("name", NAMES)
def test_expected(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good one has its plan in x.expected, a bad one all of its errors, and nothing else."""
    monkeypatch.chdir(DIRECTORY)
    expected = Path(f"{name}.expected")
    try:
        said = plan(load(f"{name}.toml")).replace(str(DIRECTORY), "DIRECTORY")
    except ConfigErrors as wrong:
        said = f"{wrong}\n"
        assert not name.startswith("good_")
    else:
        assert name.startswith("good_")
    if "WRITE_EXPECTED" in os.environ:
        expected.write_text(said, encoding="utf-8")
    assert said == expected.read_text(encoding="utf-8")


def test_every_expectation_has_its_configuration() -> None:
    assert sorted(path.stem for path in DIRECTORY.glob("*.expected")) == NAMES
    assert len(NAMES) > 60


def test_windows_writes_it_too(tmp_path: Path) -> None:
    """A byte order mark and CRLF: same meaning, same lines in errors."""
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    bad.write_bytes(b"\xef\xbb\xbf" + (MINIMAL + "lease = 0\n").replace("\n", "\r\n").encode())
    assert load(good).backends["b"].lease == 10
    assert [error.line for error in errors_of(bad)] == [8]


def test_path_may_be_a_string_or_a_path(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(MINIMAL)
    assert isinstance(load(file), Config)
    assert load(str(file)).path == load(file).path == file


def test_missing_file(tmp_path: Path) -> None:
    file = str(tmp_path / "none.toml")
    assert errors_of(file) == (ConfigError(file, 1, "file", "cannot be read: No such file or directory"),)


def test_directory(tmp_path: Path) -> None:
    (error,) = errors_of(tmp_path)
    assert (error.path, error.message) == ("file", "cannot be read: Is a directory")


def test_path_through_a_file() -> None:
    (error,) = errors_of("/dev/null/a.toml")
    assert error.message == "cannot be read: Not a directory"


def test_name_with_a_nul() -> None:
    (error,) = errors_of("a\0b")
    assert error.message == "cannot be read: there is a NUL in its name"


def test_huge_file_is_not_read_to_its_end() -> None:
    (error,) = errors_of("/dev/zero")
    assert error.message == "is larger than 1MiB: this is no configuration"


def test_largest_file(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(MINIMAL + "#" * (LARGEST_FILE - len(MINIMAL) - 1) + "\n")
    assert load(file).path == file


def test_pipe() -> None:
    """As the shell's <(...) gives one."""
    read, write = os.pipe()
    try:
        os.write(write, MINIMAL.encode())
        os.close(write)
        assert load(f"/dev/fd/{read}").listeners[0].name == "mx"
    finally:
        os.close(read)


def test_errors_come_in_the_order_of_the_file() -> None:
    lines = [error.line for error in errors_of(DIRECTORY / "everything_at_once.toml")]
    assert len(lines) > 10
    assert lines == sorted(lines)
