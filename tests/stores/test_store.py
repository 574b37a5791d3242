"""The protocol: a store is one, and a rate says how long a unit takes."""

from smtproxy.stores.store import Kind, Rate, Store
from tests.stores.tables import memory_store


def test_the_store_in_memory_is_a_store() -> None:
    store: Store = memory_store()
    assert store.waits is False


def test_a_unit_leaks_in_its_part_of_the_period() -> None:
    assert Rate(60, 3600, 5).interval == 60.0


def test_no_kind_is_nothing() -> None:
    assert all(kind > 0 for kind in Kind)  # a slot of zeros has none
