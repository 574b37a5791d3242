"""One body on its way in: what was taken, where it is kept, and why it will not be delivered if that is known already.

The end of a body that goes by BDAT is not given out: it stays here for the commit, as the final dot does by DATA.

It keeps octets in memory as long as the session's and the process's bounds allow, and says when they do not; what
happens then (stream, or a file) is the matter of `body.py`. Every octet reserved is given back exactly once.
"""

from collections.abc import Callable

from smtproxy.session.carriage import Heard
from smtproxy.session.intake import Intake
from smtproxy.session.memory import Memory
from smtproxy.session.pacing import Pacing
from smtproxy.session.settings import RelaySettings
from smtproxy.session.slots import Slot
from smtproxy.wire.chunks import Chunk, compose_bdat


class Reception:
    """The body of one message."""

    __slots__ = (
        "_chunk",
        "_chunk_end",
        "_in_memory",
        "_limit",
        "_memory",
        "_octets",
        "begun",
        "chunk",
        "chunked",
        "front",
        "intake",
        "mark",
        "mode",
        "on_disk",
        "pacing",
        "paused",
        "prefix",
        "refusal",
        "started",
        "touched",
    )

    def __init__(
        self,
        settings: RelaySettings,
        memory: Memory,
        now: float,
        prefix: bytes,
        *,
        chunks_in: bool = False,
        chunks_out: bool = False,
    ) -> None:
        """Begin a body; `prefix` (trace header) goes in front of what the client sends.

        `chunks_in`, `chunks_out`: it comes, or goes, by BDAT.
        """
        limits = settings.limits
        self.intake = Intake(
            settings.newlines,
            settings.max_message_size,
            limits.header,
            chunks_in=chunks_in,
            chunks_out=chunks_out,
            authserv_id=settings.authserv_id,
        )
        self.mode = settings.body
        """How it travels."""
        self.prefix = len(prefix)
        """Octets of ours in front of the client's."""
        self.front = b""
        """Octets of ours that go in front of what lies on disk."""
        self.chunked = chunks_out
        self.chunk: Slot | None = None
        """The client's BDAT whose octets are being read."""
        self.pacing: Pacing | None = None
        """It is taken slowly; None: as it comes."""
        self.paused = now
        """When its last chunk was complete."""
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
        self.on_disk = 0
        """Octets of the first part that lie in the session's file."""
        self._memory = memory
        self._limit = limits.body_memory
        self._chunk = limits.chunk
        self._chunk_end = limits.chunk_end if chunks_out else 0
        self._octets = bytearray(prefix)
        """One buffer: a body in segments of two octets would cost twenty times its size as a list of them."""
        self._in_memory = 0

    def others_took(self, seconds: float) -> None:
        """Time that the client is not to blame for: a slow backend or disk."""
        self.started += seconds
        self.touched += seconds
        self.mark = (self.mark[0] + seconds, self.mark[1])

    def begin_chunk(self, slot: Slot, chunk: Chunk, now: float) -> None:
        """Expect a chunk. Between two of them the client's time for a command counts, not its rate."""
        self.chunk = slot
        self.intake.begin(chunk)
        # But not `mark`: who says BDAT 0 now and then, and nothing else, is as slow as one who says nothing.
        self.started += now - self.paused
        self.touched += now - self.paused

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

    def put_in_front(self, octets: bytes) -> None:
        """Put octets of ours in front of everything; nothing must have left yet."""
        if self.on_disk:
            self.front = octets
        else:
            self._octets[:0] = octets

    def in_memory(self) -> Callable[[bytes], bytes]:
        """Return what makes the message as the client sent it out of what lies on disk: a function of its own copies.

        It may run in a thread (30 MiB take 0.2 s), while a verdict that came without it changes everything here.
        """
        last, prefix = bytes(self._octets), self.prefix
        end = None if self.chunked else self.intake.terminator.removesuffix(b".\r\n")
        return lambda kept: _undone(kept, last, prefix, end)

    def as_sent(self, kept: bytes) -> bytes:
        """Return the message as the client sent it, dots undone, without what is ours; `kept`: what lies on disk."""
        return self.in_memory()(kept)

    @property
    def leaving(self) -> int:
        """Octets in memory that may leave before the commit."""
        return max(0, len(self._octets) - self._chunk_end)

    @property
    def fills_chunk(self) -> bool:
        """Whether so many octets may leave that they are worth a round trip of their own."""
        return self.leaving >= self._chunk

    def empty(self) -> bytes:
        """Take everything that may leave out of memory."""
        octets = bytes(memoryview(self._octets)[: self.leaving] if self._chunk_end else self._octets)
        self._forget(len(octets))
        return octets

    def shelve(self) -> bytes:
        """Take out of memory what goes to disk."""
        octets = self.empty()
        self.on_disk += len(octets)
        return octets

    def last_octets(self) -> bytes:
        """Return what ends the message at the backend: for the commit, and for nobody else."""
        if self.chunked:
            return compose_bdat(len(self._octets), last=True) + self._octets
        return self.intake.terminator

    def _forget(self, many: int) -> None:
        if many == len(self._octets):
            self._octets = bytearray()
        else:
            del self._octets[:many]
        still = min(self._in_memory, len(self._octets))
        self._memory.give(self._in_memory - still)
        self._in_memory = still

    def drop(self) -> bool:
        """Forget the body; return whether a file is to be forgotten, too."""
        self._forget(len(self._octets))
        on_disk, self.on_disk = self.on_disk, 0
        return bool(on_disk)


def _undone(kept: bytes, last: bytes, prefix: int, end: bytes | None) -> bytes:
    octets = (kept + last)[prefix:] if kept else last[prefix:]
    if end is None:
        return octets
    return (octets + end).replace(b"\r\n.", b"\r\n").removeprefix(b".")
