"""Fields of any kind, for the properties of the formats: what JSON knows, and what it does not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from hypothesis import strategies as st


class Colour(Enum):
    RED = "red"
    ODD = b"\x00\xff"


@dataclass(frozen=True, slots=True)
class Fact:
    value: object
    _hidden: str = "hidden"


class Hostile:
    """Raises whatever is done with it."""

    def __repr__(self) -> str:
        raise ValueError("no")


class HostileMapping(Mapping[str, object]):
    """A mapping that cannot be read."""

    def __getitem__(self, key: str) -> object:
        raise OSError(key)

    def __iter__(self) -> Iterator[str]:
        raise OSError("no")

    def __len__(self) -> int:
        return 3


ANY_TEXT = st.text(st.characters())  # lone surrogates and controls included
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**62, max_value=2**70),
    st.floats(),
    ANY_TEXT,
    st.text(st.characters(codec="ascii"), min_size=900, max_size=1100),
    st.binary(),
    st.uuids(),
    st.datetimes(),
    st.dates(),
    st.times(),
    st.ip_addresses(),
    st.sampled_from(list(Colour)),
    st.builds(Hostile),
    st.builds(HostileMapping),
    st.builds(ValueError, ANY_TEXT),
    st.just(object()),
    st.just(Fact),
)
NESTED = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(st.one_of(ANY_TEXT, st.integers(), st.binary()), inner, max_size=5),
        st.frozensets(st.one_of(st.integers(), ANY_TEXT), max_size=5),
        st.builds(Fact, inner),
    ),
    max_leaves=8,
)
ANYTHING = st.one_of(NESTED, st.builds(lambda one, size: [one] * size, NESTED, st.integers(90, 120)))
ANY_FIELDS = st.dictionaries(st.one_of(ANY_TEXT, st.sampled_from(["time", "event", "level"])), ANYTHING, max_size=12)
