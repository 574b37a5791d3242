"""The settings of TLS: certificates are read with the configuration, and mistakes in them are mistakes of the file."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from smtproxy.app.config.backends import Backend
from smtproxy.app.config.listeners import Listener
from smtproxy.app.config.survey import survey
from smtproxy.app.config.tls import KeyPair, checked_ciphers, one_or_more
from smtproxy.network.tls import Version
from smtproxy.session.settings import BackendTls
from tests.fakes.certificates import issue

TABLE = {"bind": ["127.0.0.1:25"], "backend": "b", "domains": ["example.org"]}


def _pair(directory: Path, name: str) -> dict[str, str]:
    chain, key = issue(directory, name)
    return {"certificate": chain.name, "key": key.name}


def _read(directory: Path, **table: object) -> Listener:
    document = {"backends": {"b": {"servers": ["10.0.0.10:25"]}}}
    return Listener.model_validate(TABLE | table, context=survey(directory / "config.toml", document))


def test_without_a_certificate_there_is_no_tls(tmp_path: Path) -> None:
    listener = _read(tmp_path)
    assert listener.tls == ()
    assert (listener.tls_mode, listener.tls_oldest, listener.tls_ciphers) == ("starttls", Version.TLS_1_2, "")


def test_files_stand_beside_the_configuration(tmp_path: Path) -> None:
    (pair,) = _read(tmp_path, tls=_pair(tmp_path, "mx.example.org")).tls
    assert pair.certificate == tmp_path / "mx.example.org.pem"
    assert pair.read.names == ("mx.example.org",)


def test_several(tmp_path: Path) -> None:
    pairs = [_pair(tmp_path, name) for name in ("a.example", "b.example")]
    assert [pair.read.names for pair in _read(tmp_path, tls=pairs).tls] == [("a.example",), ("b.example",)]


def test_a_key_of_another(tmp_path: Path) -> None:
    wrong = _pair(tmp_path, "a.example") | {"key": _pair(tmp_path, "b.example")["key"]}
    with pytest.raises(ValidationError, match="it is not the key of"):
        _read(tmp_path, tls=wrong)


@pytest.mark.parametrize("value", ["cert.pem", 1, True])
def test_what_is_no_table(value: object) -> None:
    with pytest.raises(ValueError, match="list of such tables"):
        one_or_more(value)


@pytest.mark.parametrize("value", ["", 1, "a\0b"])
def test_what_is_no_path(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValidationError, match="path of a file"):
        KeyPair.model_validate({"certificate": value, "key": value}, context=survey(tmp_path, {}))


def test_ciphers() -> None:
    assert checked_ciphers("") == ""
    assert checked_ciphers("HIGH") == "HIGH"
    with pytest.raises(ValueError, match="OpenSSL knows no cipher"):
        checked_ciphers("NONE-AT-ALL")


@pytest.mark.parametrize(("mode", "oldest"), [("starttls", "1.0"), ("implicit", "1.3")])
def test_words(tmp_path: Path, mode: str, oldest: str) -> None:
    listener = _read(tmp_path, tls_mode=mode, tls_oldest=oldest)
    assert (listener.tls_mode, listener.tls_oldest) == (mode, Version(oldest))


def _backend(directory: Path, **table: object) -> Backend:
    return Backend.model_validate({"servers": ["10.0.0.10:25"]} | table, context=survey(directory / "config.toml", {}))


def test_a_backends_certificate_is_verified_by_a_file_or_by_the_system(tmp_path: Path) -> None:
    chain, _ = issue(tmp_path)
    backend = _backend(tmp_path, tls="verify", tls_ca=chain.name, tls_name="MX.Example.org.")
    assert (backend.tls, backend.tls_ca, backend.tls_name) == (BackendTls.VERIFY, chain, "mx.example.org")
    assert backend.tls_oldest is Version.TLS_1_2
    assert _backend(tmp_path, tls="verify", tls_ca="").tls_ca is None


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"tls": "verify", "tls_ca": "none.pem"}, "none.pem: No such file"),
        ({"tls": "verify", "tls_ca": "empty.pem"}, "empty.pem: there is no certificate in PEM"),
        ({"tls": "verify", "tls_ca": 1}, "path of a file"),
        ({"tls": "require", "tls_name": "mx.example.org"}, 'counts with tls = "verify" only'),
        ({"tls": "opportunistic", "servers": ["embedded:exchange"]}, "the sample server speaks no TLS"),
    ],
)
def test_tls_that_a_backend_cannot_have(tmp_path: Path, table: dict[str, object], said: str) -> None:
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ValidationError, match=said):
        _backend(tmp_path, **table)
