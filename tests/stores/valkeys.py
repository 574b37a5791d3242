"""Stores on a server of their own, for tests; and a wait for what comes by itself, on trio's clock."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import trio

from smtproxy.stores.memory import MemoryStore
from smtproxy.stores.valkey import Connect, ValkeyStore
from smtproxy.stores.valkey_client import ValkeySettings, connect
from tests.end_to_end.programs.process import HOST
from tests.end_to_end.programs.redis import Redis
from tests.fakes.journal import FakeJournal
from tests.stores.tables import memory_store

AMPLE = 20.0
"""Seconds of an operation under test that is not about deadlines: this machine may be busy."""


@dataclass(slots=True)
class Setting:
    """A store, and what is around it."""

    connect: Connect
    timeout: float = AMPLE
    local: MemoryStore = field(default_factory=memory_store)
    journal: FakeJournal = field(default_factory=FakeJournal)
    store: ValkeyStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = ValkeyStore(self.connect, self.local, self.journal, "there", self.timeout)


def settings_of(server: Redis, **more: object) -> ValkeySettings:
    return ValkeySettings(((HOST, server.port),), **more)  # type: ignore[arg-type] # whatever a test wants


@asynccontextmanager
async def running(setting: Setting) -> AsyncIterator[ValkeyStore]:
    """Run a store, connected."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(setting.store.run)
        await until(lambda: setting.store.waits)
        yield setting.store
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def store_on(server: Redis, **more: object) -> AsyncIterator[ValkeyStore]:
    """Run a store on a real server."""
    async with running(Setting(partial(connect, settings_of(server, **more)))) as store:
        yield store


async def until(condition: Callable[[], bool], patience: float = 60.0) -> None:
    """Wait until something is so."""
    with trio.fail_after(patience):
        while not condition():  # noqa: ASYNC110 - what a real server does has no event
            await trio.sleep(0.01)
