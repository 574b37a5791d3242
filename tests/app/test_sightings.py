"""What one worker has seen of a server, another one begins with, if it would see the same."""

import socket
from pathlib import Path

import pytest

from smtproxy.app.config import Config, load
from smtproxy.app.sightings import LONGEST, Sightings, written
from smtproxy.network.pool import Sighting
from smtproxy.wire.ehlo import Capabilities

FIRST, SECOND = "127.0.0.1:2600", "[::1]:2600"
TEXT = """
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "{name}"
domains = ["example.org"]
[backends.{name}]
servers = {servers}
tls = "{tls}"
"""


def _load(directory: Path, name: str = "b", servers: str = f'["{FIRST}", "{SECOND}"]', tls: str = "off") -> Config:
    file = directory / "config.toml"
    file.write_text(TEXT.format(name=name, servers=servers, tls=tls))
    return load(str(file))


def _sighting(*keywords: str) -> Sighting:
    return Sighting(
        Capabilities(tuple((keyword, "1 2") for keyword in keywords)),
        extended=True,
        address=(socket.AF_INET, ("::1", 25)),
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    config, sightings = _load(tmp_path), Sightings()
    helo_only = Sighting(Capabilities(()), extended=False, address=(socket.AF_INET6, ("::1", 2600)))
    for server, sighting in ((FIRST, _sighting("SIZE", "X-\ufffd\n")), (SECOND, helo_only)):
        (line,) = written("b", server, sighting)
        assert "\n" not in line
        sightings.read(config, line)
    assert sightings.of(config, "b") == {FIRST: _sighting("SIZE", "X-\ufffd\n"), SECOND: helo_only}


def test_the_last_sighting_holds_and_is_news_if_it_is_another_one(tmp_path: Path) -> None:
    config, sightings = _load(tmp_path), Sightings()
    news = [sightings.note(config, "b", FIRST, _sighting(one)) for one in ("SIZE", "SIZE", "DSN")]
    assert news == [True, False, True]
    assert sightings.of(config, "b") == {FIRST: _sighting("DSN")}


@pytest.mark.parametrize("other", [{"name": "c"}, {"servers": f'["{SECOND}"]'}, {"tls": "require"}])
def test_what_may_be_seen_otherwise_is_seen_anew(tmp_path: Path, other: dict[str, str]) -> None:
    sightings = Sightings()
    sightings.note(_load(tmp_path), "b", FIRST, _sighting("SIZE"))
    assert sightings.of(_load(tmp_path, **other), other.get("name", "b")) == {}
    assert sightings.of(_load(tmp_path), "b") == {FIRST: _sighting("SIZE")}


def test_a_server_that_offers_without_end_is_not_passed_on() -> None:
    assert list(written("b", FIRST, _sighting("X" * LONGEST))) == []
