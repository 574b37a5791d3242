"""The tables of backends: defaults, and what all the words mean. Mistakes are in tests/app/configurations."""

import pytest
from pydantic import ValidationError

from smtproxy.app.config.addresses import Address, Embedded
from smtproxy.app.config.backends import Backend, checked_name
from smtproxy.session.settings import BackendTls, Chunking, OpenMode, RelaySettings


def read(**table: object) -> Backend:
    return Backend.model_validate({"servers": ["10.0.0.10:25"], **table})


def test_defaults() -> None:
    backend = read()
    assert backend.servers == (Address("10.0.0.10", 25),)
    assert (backend.max_connections, backend.lease, backend.idle.connections, backend.idle.seconds) == (16, 10, 16, 5)
    assert (backend.open, backend.tls, backend.chunking, backend.trace_header) == (
        OpenMode.RECIPIENT,
        BackendTls.OFF,
        Chunking.MIRROR,
        True,
    )
    assert not backend.is_embedded


def test_defaults_are_those_of_the_relay() -> None:
    backend, relay = read(), RelaySettings("mx.example.org")
    assert (backend.open, backend.lease, backend.chunking) == (relay.open, relay.lease, relay.chunking)
    assert backend.trace_header == relay.trace_header


def test_embedded() -> None:
    backend = read(servers=["embedded:exchange"])
    assert backend.servers == (Embedded("exchange"),)
    assert backend.is_embedded


@pytest.mark.parametrize("mode", list(OpenMode))
def test_every_way_to_open(mode: OpenMode) -> None:
    assert read(open=mode.value).open is mode


def test_servers_keep_their_order() -> None:
    assert [str(server) for server in read(servers=["b.example:25", "a.example:25"]).servers] == [
        "b.example:25",
        "a.example:25",
    ]


def test_idle_default_gives_way_to_a_low_ceiling() -> None:
    """Nobody who lowers max_connections has to know of `idle`; who sets both must mean it."""
    assert read(max_connections=1).idle.connections == 16
    assert read(max_connections=1, idle={"connections": 1}).idle.connections == 1
    assert read(max_connections=1).min_connections == 2  # what is not written is no mistake
    with pytest.raises(ValidationError, match="must not be above max_connections, which is 3"):
        read(max_connections=3, min_connections=4)
    with pytest.raises(ValidationError, match="more than max_connections"):
        read(max_connections=1, idle={"connections": 2})


def test_frozen() -> None:
    with pytest.raises(ValidationError):
        read().lease = 3.0


@pytest.mark.parametrize("name", ["exchange", "a", "A-1_b.c", "0", "a" * 64])
def test_names(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", "a\n", "ä", "a/b", "a" * 65, 'a"'])
def test_no_names(name: str) -> None:
    with pytest.raises(ValueError, match="a name has"):
        checked_name(name)
