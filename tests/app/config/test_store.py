"""The table [store]: what it comes to. Mistakes are in tests/app/configurations/store_wrong."""

from pathlib import Path

import pytest

from smtproxy.app.config import ConfigErrors, load
from smtproxy.app.config.store import Store

TEXT = """
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
[backends.b]
servers = ["127.0.0.1:2600"]
"""


def _store(directory: Path, text: str = "") -> Store:
    file = directory / "config.toml"
    file.write_text(text + TEXT)
    return load(file).store


def test_without_a_word_it_is_memory(tmp_path: Path) -> None:
    store = _store(tmp_path)
    assert (store.chosen, store.entries, store.privacy) == ("memory", 100_000, False)
    assert "lost with a restart" in store.words


def test_a_directory_for_what_survives_makes_it_a_file(tmp_path: Path) -> None:
    store = _store(tmp_path, 'server.state = "."\n')
    assert (store.chosen, store.file) == ("sqlite", tmp_path / "store.sqlite")
    assert str(tmp_path / "store.sqlite") in store.words
    memory = _store(tmp_path, 'server.state = "."\nstore.kind = "memory"\n')
    assert (memory.chosen, memory.file) == ("memory", None)


def test_a_file_may_be_named(tmp_path: Path) -> None:
    store = _store(tmp_path, 'store.path = "kept"\n')
    assert (store.chosen, store.file) == ("sqlite", tmp_path / "kept")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('store.kind = "sqlite"\n', "needs a file"),
        ('store = { kind = "memory", path = "kept" }\n', "kind is memory"),
        ('store.path = "nowhere/kept"\n', "is not there"),
    ],
)
def test_what_does_not_fit_together_is_a_mistake(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigErrors, match=said):
        _store(tmp_path, text)
