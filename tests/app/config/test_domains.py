"""Domains: compared as those of recipients are. Wrong ones are in configurations/domain_is_none."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.app.config.domains import LONGEST_NAME, checked_domain, checked_domains
from smtproxy.wire.paths import domain_key


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("example.org", "example.org"),
        ("Example.ORG.", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("localhost", "localhost"),
        ("_spf.example.org", "_spf.example.org"),
        ("1.example", "1.example"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
    ],
)
def test_domains(written: str, key: str) -> None:
    assert checked_domain(written) == key == domain_key(written)


@pytest.mark.parametrize("written", [".", "a..b", "a-.b", "a b", "a\nb", "a\0b", "xn--\u2028.b"])
def test_no_domains(written: str) -> None:
    with pytest.raises(ValueError, match="is no domain"):
        checked_domain(written)


def test_longest_name() -> None:
    longest = ".".join(["a" * 63] * 3 + ["a" * 61])
    assert len(longest) == LONGEST_NAME
    assert checked_domain(longest) == longest
    with pytest.raises(ValueError, match="is no domain"):
        checked_domain(longest + "a")


@pytest.mark.parametrize("written", ["*.example.org", "ex*mple.org"])
def test_no_patterns(written: str) -> None:
    with pytest.raises(ValueError, match="there are no patterns"):
        checked_domain(written)


def test_lists() -> None:
    assert checked_domains(["a.example", "b.example"]) == ("a.example", "b.example")
    assert checked_domains(["*"]) == ("*",)
    assert checked_domains([]) == ()
    with pytest.raises(ValueError, match="twice"):
        checked_domains(["a.example", "b.example", "a.example"])
    with pytest.raises(ValueError, match="stands alone"):
        checked_domains(["*", "a.example"])


@given(st.text(max_size=40))
def test_any_text_is_a_key_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        key = checked_domain(text)
        assert key.isascii()
        assert checked_domain(key) == key
