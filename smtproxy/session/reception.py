"""One body on its way in: what was taken, where it is kept, and why it will not be delivered if that is known already.

It keeps octets in memory as long as the session's and the process's bounds allow, and says when they do not; what
happens then (stream, or a file) is the matter of `body.py`. Every octet reserved is given back exactly once.
"""

from smtproxy.session.carriage import Heard
from smtproxy.session.intake import Intake
from smtproxy.session.memory import Memory
from smtproxy.session.settings import RelaySettings


class Reception:
    """The body of one message."""

    __slots__ = (
        "_in_memory",
        "_limit",
        "_memory",
        "_octets",
        "begun",
        "intake",
        "mark",
        "on_disk",
        "refusal",
        "started",
        "touched",
    )

    def __init__(self, settings: RelaySettings, memory: Memory, now: float, prefix: bytes) -> None:
        """Begin a body; `prefix` (trace header) goes in front of what the client sends."""
        self.intake = Intake(settings.newlines, settings.max_message_size, settings.limits.header)
        self.started = now
        """When the client was told to go on; time that others took is added."""
        self.touched = now
        """When its last octets came; the same."""
        self.mark = (now, 0)
        """Time and size at the start of the present window, in which its rate is measured while others wait."""
        self.refusal: Heard | None = None
        """What the client will hear at its final dot, whatever it still sends."""
        self.begun = False
        """Octets have gone to the backend: this connection, or none."""
        self.on_disk = False
        """The first part lies in the session's file."""
        self._memory = memory
        self._limit = settings.limits.body_memory
        self._octets = bytearray(prefix)
        """One buffer: a body in segments of two octets would cost twenty times its size as a list of them."""
        self._in_memory = 0

    def others_took(self, seconds: float) -> None:
        """Time that the client is not to blame for: a slow backend or disk."""
        self.started += seconds
        self.touched += seconds
        self.mark = (self.mark[0] + seconds, self.mark[1])

    def is_slow(self, now: float, window: float, rate: float) -> bool:
        """Whether fewer octets per second came in the last window: a burst at the start buys no hour of silence."""
        since, size = self.mark
        if now - since < window:
            return False
        self.mark = (now, self.intake.size)
        return self.intake.size - size < (now - since) * rate

    def keep(self, octets: bytes) -> bool:
        """Take octets into memory; return False if they must not stay there: a bound is passed."""
        self._octets += octets
        if not self._memory.take(len(octets)):
            return False
        self._in_memory += len(octets)
        return self._in_memory <= self._limit

    def empty(self) -> bytes:
        """Take everything out of memory."""
        octets = bytes(self._octets)
        self._octets = bytearray()
        self._memory.give(self._in_memory)
        self._in_memory = 0
        return octets

    def drop(self) -> bool:
        """Forget the body; return whether a file is to be forgotten, too."""
        self.empty()
        on_disk, self.on_disk = self.on_disk, False
        return on_disk
