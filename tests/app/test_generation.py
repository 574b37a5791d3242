"""What a generation inherits is read before its workers start."""

import shutil
from pathlib import Path

import pytest

from smtproxy.app.bindings import BindError, Bindings
from smtproxy.app.config import load
from smtproxy.app.generation import prepare
from smtproxy.network.tls import CLEAR_TEXT, CertificateError
from tests.fakes.certificates import issue

TEXT = """
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
tls = {{ certificate = "{chain}", key = "{key}" }}
[[listeners]]
name = "other"
bind = ["{other}"]
backend = "b"
domains = ["example.org"]
[backends.b]
servers = ["127.0.0.1:2600"]
"""


def _configuration(directory: Path, other: str = "127.0.0.1:0") -> Path:
    chain, key = issue(directory)
    file = directory / "config.toml"
    file.write_text(TEXT.format(chain=chain.name, key=key.name, other=other))
    return file


def test_each_listener_has_its_socket_and_its_tls(tmp_path: Path) -> None:
    bindings = Bindings()
    made = prepare(load(str(_configuration(tmp_path))), bindings)
    assert [place for place, _ in made.arrangement] == [0, 1]
    assert made.contexts[0] is not None
    assert made.contexts[1] is None
    assert made.servers == {"b": CLEAR_TEXT}
    bindings.discard()


def test_a_certificate_that_has_become_another_ones_is_found_before_anything_is_bound(tmp_path: Path) -> None:
    config = load(str(_configuration(tmp_path, other="192.0.2.1:0")))
    _, foreign = issue(tmp_path, "other.example.org")
    shutil.copy(foreign, tmp_path / "mx.example.org.key")
    with pytest.raises(CertificateError, match="it is not the key of"):
        prepare(config, Bindings())


def test_an_address_that_is_not_ours_binds_nothing(tmp_path: Path) -> None:
    with pytest.raises(BindError):
        prepare(load(str(_configuration(tmp_path, other="192.0.2.1:0"))), Bindings())
