"""Durations and sizes: what may be written, what it means, and that what is shown reads back as the same."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtproxy.app.config.units import LARGEST, LONGEST, octets, pause, seconds, show_octets, show_seconds


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("500ms", 0.5),
        ("60s", 60),
        ("10m", 600),
        ("1.5 h", 5400),
        ("30d", LONGEST),
        (5, 5),
        (0.25, 0.25),
        ("1ms", 0.001),
    ],
)
def test_durations(written: object, meant: float) -> None:
    assert seconds(written) == pytest.approx(meant)


@pytest.mark.parametrize(
    "written",
    [
        "60", "s", "", "-1s", "1 s ", "1  s", "1S", "1min", "1h30m", "1,5s", ".5s", "1.s", "\u0661s", True, None, [],
        0, "0s", -1, "31d", 10**400, math.inf, math.nan, -math.inf, "1e3s", "0.0001ms",
    ],
)  # fmt: skip
def test_no_durations(written: object) -> None:
    with pytest.raises(ValueError, match=r"^must be (a duration|between 1ms and 30d)"):
        seconds(written)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (1, 1),
        ("1B", 1),
        ("64KiB", 65536),
        ("50MiB", 52428800),
        ("1 GiB", 2**30),
        ("10kB", 10000),
        ("10KB", 10000),
        ("10MB", 10**7),
        ("1.5GB", 15 * 10**8),
        ("0.5KiB", 512),
    ],
)
def test_sizes(written: object, meant: int) -> None:
    assert octets(written) == meant


@pytest.mark.parametrize("written", ["", "B", "-1B", "50 mib", "1TiB", True, 1.0, None, {}, "1 0B", "\uff11KiB", "10"])
def test_no_sizes(written: object) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        octets(written)


@pytest.mark.parametrize("written", [0, -5, "0B", LARGEST + 1, "1025GiB"])
def test_sizes_out_of_range(written: object) -> None:
    with pytest.raises(ValueError, match="must be between 1 octet and 1024GiB"):
        octets(written)


@pytest.mark.parametrize("written", ["1.5B", "1.0001KiB"])
def test_parts_of_octets(written: str) -> None:
    with pytest.raises(ValueError, match="whole number of octets"):
        octets(written)


@pytest.mark.parametrize(
    ("written", "said"), [("50M", "MiB .* or MB "), ("4k", "KiB .* or kB "), ("1g", "GiB .* or GB ")]
)
def test_units_that_could_mean_two_things(written: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"could mean two things: write {said}"):
        octets(written)


@given(st.integers(1, LARGEST))
@example(52428800)
@example(64000000)
def test_sizes_read_back(value: int) -> None:
    assert octets(show_octets(value)) == value


@given(st.integers(1, int(LONGEST)))
@example(600)
def test_durations_read_back(value: int) -> None:
    assert seconds(show_seconds(float(value))) == value


def test_shown_in_the_largest_unit_that_is_whole() -> None:
    assert [show_octets(value) for value in (1, 1000, 1024, 52428800, 64000000, 2**30, 10**9)] == [
        "1B", "1kB", "1KiB", "50MiB", "64MB", "1GiB", "1GB",
    ]  # fmt: skip
    assert [show_seconds(value) for value in (0.5, 1.0, 60.0, 90.0, 3600.0, 86400.0)] == [
        "0.5s", "1s", "1m", "90s", "1h", "1d",
    ]  # fmt: skip


@pytest.mark.parametrize("nothing", [0, 0.0, "0s"])
def test_a_pause_may_be_none(nothing: object) -> None:
    assert pause(nothing) == 0.0


def test_a_pause_is_a_duration() -> None:
    assert pause("6s") == seconds("6s")


@pytest.mark.parametrize("wrong", [-1, False, "", "0", "0ms", None, "never"])
def test_no_pause(wrong: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        pause(wrong)
