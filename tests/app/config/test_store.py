"""The table [store]: what it comes to. Mistakes are in tests/app/configurations/store_wrong."""

from pathlib import Path

import pytest

from smtproxy.app.config import ConfigErrors, load
from smtproxy.app.config.store import Store

VALKEY = '[store]\nkind = "valkey"\n'
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
        ('store.servers = ["127.0.0.1:6379"]\n', "kind is auto"),
        ('store.kind = "valkey"\n', "needs servers"),
        (f"{VALKEY}servers = ['127.0.0.1:1', '127.0.0.1:2']\n", "set cluster"),
        (f"{VALKEY}servers = ['embedded:exchange']\n", "must be like"),
        (f"{VALKEY}servers = [6379]\n", "must be like"),
        (f"{VALKEY}servers = ['127.0.0.1:1']\nuser = 'x'\n", "user needs password_file"),
        (f"{VALKEY}servers = ['127.0.0.1:1']\npassword_file = 'nowhere'\n", "nowhere: No such file"),
        (f"{VALKEY}servers = ['127.0.0.1:1']\nprivacy = true\n", "stand together"),
        (f"{VALKEY}servers = ['127.0.0.1:1']\nprivacy = true\nsecret_file = 'config.toml'\n", "octets"),
    ],
)
def test_what_does_not_fit_together_is_a_mistake(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigErrors, match=said):
        _store(tmp_path, text)


def test_a_server_is_named_with_what_it_speaks(tmp_path: Path) -> None:
    store = _store(tmp_path, f"{VALKEY}servers = ['10.0.0.30:6379']\n")
    assert (store.chosen, store.file) == ("valkey", None)
    assert store.words == "on 10.0.0.30:6379 in CLEAR TEXT, within 0.05s; in memory while it is down"


def test_the_package_that_asks_it_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigErrors, match="coredis is missing"):
        _store(tmp_path, f"{VALKEY}servers = ['10.0.0.30:6379']\n")
