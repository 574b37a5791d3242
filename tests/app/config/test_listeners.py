"""The tables of listeners: defaults, and the rules between listeners and backends."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from smtproxy.app.config.addresses import Address
from smtproxy.app.config.listeners import Listener
from smtproxy.app.config.survey import survey
from smtproxy.session.settings import BodyMode, RelaySettings
from smtproxy.wire.newlines import NewlineMode

ALL = TypeAdapter(list[Listener])
TABLE = {"bind": ["127.0.0.1:25"], "backend": "b", "domains": ["example.org"]}


def read_all(*tables: dict[str, object], servers: tuple[str, ...] = ("10.0.0.10:25",)) -> list[Listener]:
    document = {"backends": {"b": {"servers": list(servers)}}}
    return ALL.validate_python([TABLE | table for table in tables], context=survey(Path(), document))


def read(**table: object) -> Listener:
    return read_all(table)[0]


def test_defaults() -> None:
    listener = read()
    assert (listener.name, listener.role, listener.bind) == ("mx", "mx", (Address("127.0.0.1", 25),))
    assert (listener.body, listener.bare_newlines) == (BodyMode.AUTO, NewlineMode.NORMALISE)
    assert (listener.max_message_size, listener.max_recipients, listener.commit_by) == (52428800, 1000, 300)
    assert (listener.domains, listener.allow_routing_local_parts) == (("example.org",), ())


def test_defaults_are_those_of_the_relay() -> None:
    listener, relay = read(), RelaySettings("mx.example.org")
    assert (listener.body, listener.bare_newlines) == (relay.body, relay.newlines)
    assert (listener.max_message_size, listener.max_recipients) == (relay.max_message_size, relay.max_recipients)
    assert (listener.banner_delay, listener.proxy_protocol) == (relay.banner_delay, ())
    assert (listener.commit_by, listener.name) == (relay.commit_by, relay.listener)


@pytest.mark.parametrize("mode", list(BodyMode))
def test_every_body_mode(mode: BodyMode) -> None:
    assert read(body=mode.value).body is mode


@pytest.mark.parametrize("mode", list(NewlineMode))
def test_every_newline_mode(mode: NewlineMode) -> None:
    assert read(bare_newlines=mode.value).bare_newlines is mode


def test_domains_are_keys() -> None:
    listener = read(domains=["Example.ORG.", "bücher.example"], allow_routing_local_parts=["EXAMPLE.org"])
    assert listener.domains == ("example.org", "xn--bcher-kva.example")
    assert listener.allow_routing_local_parts == ("example.org",)


def test_anything_allows_any_routing() -> None:
    assert read(domains=["*"], allow_routing_local_parts=["a.example"]).allow_routing_local_parts == ("a.example",)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("127.0.0.1:25", "127.0.0.1:26", True),
        ("127.0.0.1:0", "127.0.0.1:0", True),
        ("127.0.0.1:25", "127.0.0.2:25", True),
        ("0.0.0.0:25", "[::]:25", True),
        ("[::1]:25", "0.0.0.0:25", True),
        ("127.0.0.1:25", "127.0.0.1:25", False),
        ("0.0.0.0:25", "127.0.0.1:25", False),
        ("[::1]:25", "[::]:25", False),
        ("[::1]:25", "[0::1]:25", False),
    ],
)
@pytest.mark.parametrize("one_listener", [True, False])
def test_addresses_are_taken_once(first: str, second: str, together: bool, one_listener: bool) -> None:
    tables: list[dict[str, object]] = (
        [{"bind": [first, second]}] if one_listener else [{"bind": [first]}, {"name": "other", "bind": [second]}]
    )
    if together:
        assert len(read_all(*tables)) == len(tables)
    else:
        with pytest.raises(ValidationError, match=r"twice|bound both"):
            read_all(*tables)


@pytest.mark.parametrize(
    ("bind", "server", "circle"),
    [
        ("127.0.0.1:25", "127.0.0.1:25", True),
        ("127.0.0.1:25", "localhost:25", True),
        ("0.0.0.0:25", "127.0.0.2:25", True),
        ("[::]:25", "[::1]:25", True),
        ("[::]:25", "localhost:25", True),
        ("127.0.0.1:25", "127.0.0.1:26", False),
        ("127.0.0.1:25", "127.0.0.2:25", False),
        ("0.0.0.0:25", "[::1]:25", False),
        ("0.0.0.0:25", "10.0.0.10:25", False),
        ("10.0.0.1:25", "localhost:25", False),
        ("127.0.0.1:25", "mx.example.org:25", False),
    ],
)
def test_mail_does_not_go_in_circles(bind: str, server: str, circle: bool) -> None:
    if circle:
        with pytest.raises(ValidationError, match="in circles"):
            read_all({"bind": [bind]}, servers=(server,))
    else:
        assert read_all({"bind": [bind]}, servers=(server,))


@pytest.mark.parametrize(
    ("bind", "allowed"),
    [
        ("127.0.0.1:25", True),
        ("[::1]:25", True),
        ("127.8.8.8:25", True),
        ("0.0.0.0:25", False),
        ("192.0.2.1:25", False),
    ],
)
def test_sample_server_stays_on_loopback(bind: str, allowed: bool) -> None:
    if allowed:
        assert read_all({"bind": [bind]}, servers=("embedded:exchange",))
    else:
        with pytest.raises(ValidationError, match="loopback"):
            read_all({"bind": ["127.0.0.1:26", bind]}, servers=("embedded:exchange",))


@pytest.mark.parametrize(("written", "right"), [("540s", True), ("541s", False), ("1ms", True)])
def test_commit_comes_before_the_sender_gives_up(written: str, right: bool) -> None:
    if right:
        assert read(commit_by=written).commit_by <= 540
    else:
        with pytest.raises(ValidationError, match="10 minutes"):
            read(commit_by=written)
