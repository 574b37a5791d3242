"""The sweeper: one task per worker that looks after every session, once a second.

It is the only watcher: deadlines, a client that hung up while its session waits for the backend, a backend that speaks
while its session waits for the client. A second is precise enough for SMTP, and a task or a cancel scope per wait is
what it saves (PERFORMANCE section 3).
"""

from collections.abc import Iterable, Sequence

import trio

from smtproxy.network.ceiling import quieten
from smtproxy.network.driver import Session
from smtproxy.network.pool import Pool

INTERVAL = 1.0
"""Seconds between rounds."""


async def sweep(sessions: Iterable[Session], pools: Sequence[Pool]) -> None:
    """Look after sessions and pools for ever."""
    while True:
        await trio.sleep(INTERVAL)
        now = trio.current_time()
        for session in tuple(sessions):
            session.sweep(now)
        for pool in pools:
            with pool.boundary:
                pool.press(now)
                pool.tend(now)


async def answer(bell: int, pools: Sequence[Pool]) -> None:
    """Look for places whenever another worker rings, for ever."""
    while True:
        await trio.lowlevel.wait_readable(bell)
        quieten(bell)
        for pool in pools:
            with pool.boundary:
                pool.hear_bell()
