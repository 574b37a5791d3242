"""Keys: never two lists of parts with one key, never longer than a slot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.stores.keys import LONGEST_KEY, LONGEST_TEXT, compose, fitted, private


def test_a_key_reads_like_a_path() -> None:
    assert compose("limit", "mx", "192.0.2.7") == "1/limit/mx/192.0.2.7"
    assert compose("limit", "mx", "2001:db8::/64") == "1/limit/mx/2001:db8::/64"


@given(st.lists(st.text("ab/%2F"), min_size=2, max_size=2), st.lists(st.text("ab/%2F"), min_size=2, max_size=2))
def test_other_parts_are_another_key(one: list[str], other: list[str]) -> None:
    assert (compose("x", *one) == compose("x", *other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a/b", "c"), ("a", "b/c")),
        (("a%2Fb", "c"), ("a/b", "c")),
        (("a", "b", "c"), ("a", "b/c")),
    ],
)
def test_a_slash_moves_nobody_into_another_key(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """The last has one key: how many parts there are is a matter of the purpose, and nobody's choice."""
    assert (compose("x", *one) == compose("x", *other)) == (len(one) != len(other))


@given(st.text(max_size=200))
def test_a_text_fits_and_is_still_a_text(text: str) -> None:
    octets = fitted(text)
    assert len(octets) <= LONGEST_KEY
    octets.decode()
    whole = text.encode(errors="backslashreplace")
    assert (octets == whole) == (len(whole) <= LONGEST_KEY)


def test_long_keys_that_begin_alike_differ() -> None:
    one, other = fitted("a" * 200), fitted("a" * 201)
    assert one != other
    assert one[:70] == other[:70]
    assert len(fitted("ä" * 99, LONGEST_TEXT)) <= LONGEST_TEXT


@pytest.mark.parametrize("part", ["192.0.2.7", "user@example.org", "", "\udcff"])
def test_a_private_part_can_be_found_again_and_not_read(part: str) -> None:
    assert private(part, None) == part
    hidden = private(part, b"k" * 32)
    assert hidden == private(part, b"k" * 32)
    assert hidden != private(part, b"l" * 32)
    assert len(hidden) == 21
    assert not part or part not in hidden
