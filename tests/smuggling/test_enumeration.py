"""The enumeration, short enough for every run of the suite: strings of up to six octets. See `enumeration.py`."""

import pytest

from tests.smuggling.enumeration import SETTINGS, enumerate_in_processes
from tests.smuggling.relayed import MODES

LONGEST = 6
STRINGS = sum(4**length for length in range(LONGEST + 1))
PROCESSES = 2


def test_no_string_of_newlines_and_dots_smuggles_or_swallows_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    report = enumerate_in_processes(LONGEST, PROCESSES)
    with capsys.disabled():
        print(f"\nsmuggling: {report}")
    assert report.violations == []
    # At least each string, under every setting, in ten cuts or in every mode.
    assert report.strings == STRINGS
    assert report.intake > 10 * STRINGS * len(SETTINGS)
    assert report.relay > STRINGS * len(SETTINGS) * len(MODES)
    assert report.backends > STRINGS
