"""What a session waits on, and what wakes it: one task parked on one thing, a mailbox, and a deadline that is a number.

Whoever wants something of a session, the sweeper, the pool or the server, leaves an event and wakes what the session is
parked on. No cancel scope is made per wait, no second task, no channel (PERFORMANCE sections 3 and 5). What an event
means is decided elsewhere: `driver.py` takes them out, the relay judges.
"""

from typing import Any

import trio

from smtproxy.network.link import Link
from smtproxy.session.events import Event, Timeout

_FAR = 10.0
"""Seconds; whoever waits longer has no cancel scope, which takes a kilobyte, until the last ones."""
_LAST = 2.0
"""Seconds; more than a round of the sweeper, which ends the part before them."""


class Waiting:
    """The waits of one session."""

    __slots__ = ("due", "mailbox", "parked", "wishes", "writing")

    def __init__(self) -> None:
        """Start with nothing to wait for."""
        # Lists: there is seldom more than one event, and an empty deque has 600 octets, for each idle client.
        self.mailbox: list[Event] = []
        """Events that interrupt whatever is going on."""
        self.wishes: list[Event] = []
        """Events that can wait until the session waits for something (Recall, Shutdown)."""
        self.parked: Link | trio.Event | trio.lowlevel.Task | None = None
        """What the session is waiting on; its own task: on nothing but to be woken."""
        self.due = 0.0
        """When the present wait ends, on trio's clock; 0: when the relay says."""
        self.writing = False
        """It waits until a peer takes octets."""

    # From outside

    def wake(self, event: Event) -> None:
        """Interrupt the session with an event."""
        self.mailbox.append(event)
        self.unpark()

    def wish(self, event: Event) -> None:
        """Leave an event that can wait; the same one is not left twice. Does not wake anybody."""
        if event not in self.wishes:
            self.wishes.append(event)

    def unpark(self) -> None:
        """Let the session go on, whatever it waits for."""
        parked = self.parked
        if isinstance(parked, trio.Event):
            parked.set()
        elif isinstance(parked, trio.lowlevel.Task):
            self.parked = None  # a task is rescheduled once
            trio.lowlevel.reschedule(parked)
        elif parked is not None:
            parked.wake()

    # The session's own

    @property
    def called(self) -> bool:
        """Whether an event of either kind is there."""
        return bool(self.mailbox or self.wishes)

    def take(self) -> Event | None:
        """Take the next event out: one that interrupts, else one that could wait."""
        if self.mailbox:
            return self.mailbox.pop(0)
        return self.wishes.pop(0) if self.wishes else None

    def holds(self, kinds: tuple[type[Event], ...]) -> bool:
        """Return whether an event of these kinds interrupts."""
        return any(isinstance(one, kinds) for one in self.mailbox)

    def forget(self, kinds: tuple[type[Event], ...]) -> None:
        """Drop the interrupting events of these kinds."""
        self.mailbox = [one for one in self.mailbox if not isinstance(one, kinds)]

    def pull(self, kinds: tuple[type[Event], ...]) -> Event | None:
        """Take the first interrupting event of these kinds out, past those that came before it."""
        for place, one in enumerate(self.mailbox):
            if isinstance(one, kinds):
                return self.mailbox.pop(place)
        return None

    async def progress(self, link: Link) -> None:
        """Wait until a handshake may go on, as long as the relay does."""
        self.parked, self.due = link, 0.0
        try:
            await link.progress()
        finally:
            self.parked = None

    async def writable(self, link: Link, due: float) -> None:
        """Wait until a peer may take octets, until `due` at most."""
        self.parked, self.due, self.writing = link, due, True
        try:
            await link.writable()
        finally:
            self.parked = None
            self.writing = False

    async def arrival(self, arrived: trio.Event, due: float) -> None:
        """Wait for an event of trio's, until `due` at most, to the second."""
        self.parked, self.due = arrived, due
        try:
            await arrived.wait()
        finally:
            self.parked = None

    async def mail(self, due: float) -> None:
        """Wait for an event alone, until `due`, which is a Timeout: a delay, a verdict not there yet.

        Thousands may wait so, in a tarpit: it keeps one coroutine, and no event of trio's.
        """
        while (left := due - trio.current_time()) > _FAR:
            self.parked, self.due = trio.lowlevel.current_task(), due - _LAST
            try:
                await trio.lowlevel.wait_task_rescheduled(self._abandon)
            finally:
                self.parked = None
            if trio.current_time() < due:
                self.forget((Timeout,))  # the sweeper's, for this part
            if self.called:
                return
        self.parked, self.due = trio.lowlevel.current_task(), due
        try:
            # A delay of 0.3 s is not to last until the sweeper's next round.
            with trio.move_on_after(max(0.0, left)):
                await trio.lowlevel.wait_task_rescheduled(self._abandon)
        finally:
            self.parked = None
        if not self.called:
            self.mailbox.append(Timeout())

    def _abandon(self, _raise_cancel: Any) -> trio.lowlevel.Abort:  # noqa: ANN401 - trio's type for it is as wide
        self.parked = None
        return trio.lowlevel.Abort.SUCCEEDED
