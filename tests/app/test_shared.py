"""What workers share: limits from the configuration, and what a worker that ended leaves free."""

from pathlib import Path

import pytest

from smtproxy.app.config import Config, load
from smtproxy.app.shared import FEWEST_ROWS, ROWS, Shared
from tests.fakes.journal import FakeJournal

TEXT = """
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
[backends.b]
servers = {servers}
max_connections = {places}
"""


def _load(directory: Path, places: int = 5, servers: str = '["127.0.0.1:2600", "[::1]:2600"]') -> Config:
    file = directory / "config.toml"
    file.write_text(TEXT.format(places=places, servers=servers))
    return load(str(file))


def _limits(shared: Shared) -> list[int]:
    pages = [shared.ceilings.page("b", server) for server in ("127.0.0.1:2600", "[::1]:2600")]
    return [page.limit for page in pages if page is not None]


def test_each_server_has_the_limit_of_its_backend_and_the_one_of_the_last_reload(tmp_path: Path) -> None:
    shared = Shared(1, 10)
    assert _limits(shared) == []
    shared.allow(_load(tmp_path))
    assert _limits(shared) == [5, 5]
    shared.allow(_load(tmp_path, places=4, servers='["[::1]:2600"]'))
    assert _limits(shared) == [5, 4]  # the first one may still be held by workers of the generation before
    shared.close()


def test_a_sample_server_is_each_workers_own(tmp_path: Path) -> None:
    shared = Shared(1, 10)
    shared.allow(_load(tmp_path, servers='["embedded:exchange"]'))
    assert shared.ceilings.page("b", "embedded:exchange") is None
    shared.close()


def test_generations_have_room_beside_each_other() -> None:
    few, many = Shared(1, 10), Shared(64, 10)
    assert (few.rows, few.ceilings.rows) == (FEWEST_ROWS, FEWEST_ROWS)
    assert (many.rows, many.ceilings.rows) == (64 * ROWS, 64 * ROWS)
    few.close()
    many.close()


def test_what_a_worker_held_is_free_when_it_has_ended(tmp_path: Path) -> None:
    shared = Shared(2, 10)
    shared.allow(_load(tmp_path))
    page = shared.ceilings.page("b", "127.0.0.1:2600")
    entry = shared.clients.admit(1, 0.0)
    assert page is not None
    assert entry is not None
    for row in (0, 1):
        page.open[row] = shared.clients.row(row)[entry] = 2
    shared.vacate(1)
    assert (page.total, shared.clients.connections(entry)) == (2, 2)
    shared.close()


def test_what_is_remembered_is_made_once_before_the_fork(tmp_path: Path) -> None:
    shared = Shared(1, 10)
    with pytest.raises(RuntimeError):
        _ = shared.remembered
    shared.remember(_load(tmp_path).store, FakeJournal())
    assert shared.remembered.table.slots > 100_000
    shared.close()
