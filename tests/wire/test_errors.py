"""Tests of the list of faults and the exception that carries them."""

import pytest

from smtproxy.wire.errors import Fault, PeerError


def test_names_are_fit_for_a_log() -> None:
    for fault in Fault:
        assert fault.value == fault.name.lower()
        assert fault.value.replace("_", "").isalnum()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PeerError(Fault.BAD_PATH), "bad_path"),
        (PeerError(Fault.BAD_PATH, "no path"), "bad_path: no path"),
    ],
)
def test_says_what_is_wrong(error: PeerError, text: str) -> None:
    assert str(error) == text
    assert error.fault is Fault.BAD_PATH
