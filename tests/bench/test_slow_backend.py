"""The model server of the benchmark of slow backends."""

import pytest

from bench.slow_backend import MODELS, Server, alone, growing, thrashing
from tests.end_to_end.programs.process import ProgramError

pytestmark = pytest.mark.end_to_end


def test_the_models() -> None:
    assert [round(thrashing(busy, 0.0), 2) for busy in (1, 4, 8)] == [0.1, 0.1, 0.32]
    assert [growing(busy, passed) for busy, passed in ((1, 0.0), (16, 0.0), (1, 3600.0))] == [0.05, 0.05, 1.0]
    assert set(MODELS) == {"thrashing", "growing"}


def test_what_is_taken_within_the_time_counts() -> None:
    """Each answer takes a third of it, so three sessions have six through, or nine, however slow the machine is."""
    row = alone(lambda _busy, _passed: 0.3, 3, 40, 1.0)
    assert (row.connections, row.refused) == (3, 0)
    assert 3 <= row.rate <= 9


def test_a_time_that_was_not_filled_is_no_measurement() -> None:
    with pytest.raises(ProgramError, match="too few messages"):
        alone(lambda _busy, _passed: 0.001, 3, 6, 600.0)


def test_it_listens() -> None:
    with Server(growing, 1.0) as server:
        assert server.port
