"""From the configuration to the resolver and the lookups."""

from pathlib import Path

from smtproxy.app.config import Config, load
from smtproxy.app.lookups import dns_list, dns_settings
from smtproxy.lookups.fuse import ADDRESSES, DOMAINS, Points
from smtproxy.lookups.listings import Subject

MINIMAL = """
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
[backends.b]
servers = ["127.0.0.1:25"]
"""


def configured(directory: Path, more: str = "") -> Config:
    file = directory / "a.toml"
    file.write_text(MINIMAL + more)
    return load(file)


def test_settings_of_the_resolver(tmp_path: Path) -> None:
    table = """
        servers = ["127.0.0.1", "[::1]:5353"]
        timeout = 1
        attempt = 0.5
        concurrent = 2
        per_lookup = 3
        cache_entries = 4
        cache_memory = 5
        longest_ttl = 6
        longest_negative_ttl = 7
    """
    settings = dns_settings(configured(tmp_path, f"[dns]\n{table}"))
    assert [str(server) for server in settings.servers] == ["127.0.0.1:53", "[::1]:5353"]
    assert (settings.timeout, settings.attempt, settings.concurrent, settings.per_lookup) == (1, 0.5, 2, 3)
    assert (settings.cache_entries, settings.cache_memory) == (4, 5)
    assert (settings.longest_ttl, settings.longest_negative_ttl) == (6, 7)


def test_without_servers_those_of_the_system_are_asked(tmp_path: Path) -> None:
    assert dns_settings(configured(tmp_path)).servers


def points(directory: Path, more: str = "") -> tuple[Points, Points]:
    (table,) = configured(directory, f'[[lists]]\nname = "a"\nzone = "a.test"\n{more}').lists
    made = dns_list(table)
    return made.addresses, made.domains


def test_a_list_as_it_is_asked(tmp_path: Path) -> None:
    text = 'subjects = ["client", "sender"]\nanswers = ["127.0.0.2"]\n'
    (table,) = configured(tmp_path, f'[[lists]]\nname = "a"\nzone = "a.test"\n{text}').lists
    made = dns_list(table)
    assert (made.name, made.zone, made.subjects) == ("a", "a.test", frozenset({Subject.CLIENT, Subject.SENDER}))
    assert [str(one) for one in made.answers] == ["127.0.0.2"]


def test_test_points_are_for_the_kind_that_they_are(tmp_path: Path) -> None:
    assert points(tmp_path) == (ADDRESSES, DOMAINS)
    assert points(tmp_path, 'test_listed = "127.0.0.9"\n') == (Points("127.0.0.9", "127.0.0.1"), DOMAINS)
    assert points(tmp_path, 'test_listed = "2001:db8::2"\n') == (Points("2001:db8::2", "127.0.0.1"), DOMAINS)
    assert points(tmp_path, 'test_unlisted = "not.example"\n') == (
        ADDRESSES,
        Points("test", "not.example", domains=True),
    )
    assert points(tmp_path, 'test_listed = ""\n') == (
        Points("", "127.0.0.1"),
        Points("", "invalid", domains=True),
    )
