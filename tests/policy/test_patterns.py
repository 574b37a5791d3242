"""Patterns of addresses and domains."""

import pytest

from smtproxy.policy.patterns import Patterns, normal
from smtproxy.wire.paths import Path, parse_path


def path(text: str) -> Path:
    return parse_path(f"<{text}>".encode())[0]


@pytest.mark.parametrize(
    ("pattern", "address", "found"),
    [
        ("user@example.org", "User@EXAMPLE.org", "user@example.org"),
        ("user@example.org", "other@example.org", ""),
        ("user@example.org", "user@sub.example.org", ""),
        ("postmaster@*", "Postmaster@example.net", "postmaster@*"),
        ("postmaster@*", "postmaster", "postmaster@*"),
        ("*@example.org", "x@example.org", "example.org"),
        ("example.org", "x@example.org", "example.org"),
        ("example.org", "x@sub.example.org", ""),
        ("*.example.org", "x@a.b.example.org", "*.example.org"),
        ("*.example.org", "x@example.org", ""),
        ("*.example.org", "x@evilexample.org", ""),
        ("bücher.example", "x@xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("<>", "", "<>"),
        ("*", "", ""),
        ("*", "x@y.example", "*"),
        ("user@example.org", '"user"@example.org', "user@example.org"),
    ],
)
def test_what_a_pattern_means(pattern: str, address: str, found: str) -> None:
    assert Patterns([pattern]).find(path(address)) == found


def test_the_closest_pattern_is_named() -> None:
    patterns = Patterns(["*", "*.example.org", "a.example.org", "x@a.example.org"])
    assert patterns.find(path("x@a.example.org")) == "x@a.example.org"
    assert patterns.find(path("y@a.example.org")) == "a.example.org"
    assert patterns.find_domain("b.example.org") == "*.example.org"
    assert patterns.find_domain("example.net") == "*"


@pytest.mark.parametrize("wrong", ["", "@example.org", "a b@example.org", "user@", "*.*.example.org", "ex*mple.org"])
def test_what_is_no_pattern(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"no address or domain|in front of the @"):
        normal(wrong)
