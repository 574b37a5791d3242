"""What a source is."""

from smtproxy.lookups.recipients.source import covers


def test_a_source_without_domains_covers_all() -> None:
    assert covers(frozenset(), "example.org")
    assert covers({"example.org"}, "example.org")
    assert not covers({"example.org"}, "example.net")
