"""The model server of the benchmark of slow backends."""

import pytest

from bench.slow_backend import MODELS, Server, alone, growing, thrashing

pytestmark = pytest.mark.end_to_end


def test_the_models() -> None:
    assert [round(thrashing(busy, 0.0), 2) for busy in (1, 4, 8)] == [0.1, 0.1, 0.32]
    assert [growing(busy, passed) for busy, passed in ((1, 0.0), (16, 0.0), (1, 3600.0))] == [0.05, 0.05, 1.0]
    assert set(MODELS) == {"thrashing", "growing"}


def test_every_message_is_taken_and_counted() -> None:
    row = alone(lambda _busy, _passed: 0.001, 3, 20)
    assert (row.connections, row.refused) == (3, 0)
    assert row.rate > 0
    with Server(growing) as server:
        assert server.port
