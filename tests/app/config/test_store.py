"""The table [store]: what it comes to. Mistakes are in tests/app/configurations/store_wrong."""

from pathlib import Path

from smtproxy.app.config import load
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
