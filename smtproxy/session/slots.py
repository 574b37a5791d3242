"""Slots and the pairing of replies. Who answers which command is decided here and nowhere else.

Two queues. Towards the client each command is a `Slot`, and slots are answered strictly in order. Towards the backend
each command sent leaves one `Awaited` entry, and each reply takes the oldest one: never "the last reply", never
"whoever asked last" (a 250 to DATA taken as go-ahead, a 5xx lost: that is where those lead). A reply without an entry
is nobody's, and its connection is not trusted any more.
"""

from dataclasses import dataclass
from enum import Enum

from smtproxy.session.envelope import Recipient
from smtproxy.wire.members import hashed_by_identity
from smtproxy.wire.replies import Reply
from smtproxy.wire.values import value


@dataclass(slots=True)
class Slot:
    """One command of the client, and its answer once there is one."""

    verb: str
    recipient: Recipient | None = None
    """Set for RCPT."""
    answer: Reply | None = None
    by: str = ""
    """Origin of the answer: backend, protocol, or the name of a check."""


@hashed_by_identity
class Purpose(Enum):
    """What a command to the backend was for."""

    GREETING = "greeting"
    EHLO = "EHLO"
    HELO = "HELO"
    STARTTLS = "STARTTLS"
    RSET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CHUNK = "BDAT"
    END_OF_DATA = "end of data"


@value
class Awaited:
    """A reply that the backend owes us."""

    purpose: Purpose
    slot: Slot | None = None
    """The client's command it answers; None: nobody's (our own RSET, a replay, MAIL sent late)."""


class Pairing:
    """The queue of replies that one backend connection owes us."""

    __slots__ = ("_awaited",)

    def __init__(self) -> None:
        """Start with nothing owed."""
        self._awaited: list[Awaited] = []

    def expect(self, purpose: Purpose, slot: Slot | None = None) -> None:
        """Note that a command has been sent."""
        self._awaited.append(Awaited(purpose, slot))

    def take(self) -> Awaited | None:
        """Return what the reply just read belongs to; None: nobody waits for it."""
        return self._awaited.pop(0) if self._awaited else None

    def __len__(self) -> int:
        """Return the number of replies still owed."""
        return len(self._awaited)

    @property
    def next(self) -> Purpose | None:
        """What the next reply will be for."""
        return self._awaited[0].purpose if self._awaited else None


class Answers:
    """The queue of slots towards the client: whatever is finished first, answers leave in the order of the commands."""

    __slots__ = ("slots",)

    def __init__(self) -> None:
        """Start empty."""
        self.slots: list[Slot] = []
        """Commands not yet answered, the oldest first."""

    def open(self, verb: str, recipient: Recipient | None = None) -> Slot:
        """Add a slot for a command just read."""
        slot = Slot(verb, recipient)
        self.slots.append(slot)
        return slot

    @property
    def first(self) -> Slot | None:
        """The oldest command whose answer has not left."""
        return self.slots[0] if self.slots else None

    def last(self) -> tuple[Slot, list[Slot]]:
        """Return the slot for a goodbye, the oldest open one, and those behind it: nobody hears them any more."""
        for place, slot in enumerate(self.slots):
            if slot.answer is None:
                unheard = self.slots[place + 1 :]
                del self.slots[place + 1 :]
                return slot, unheard
        return self.open(""), []

    def ready(self) -> list[Slot]:
        """Take all leading slots that have their answer."""
        slots = self.slots
        for place, slot in enumerate(slots):
            if slot.answer is None:
                done, self.slots = slots[:place], slots[place:]
                return done
        self.slots = []
        return slots

    def __len__(self) -> int:
        """Return the number of commands not yet answered."""
        return len(self.slots)

    def answered(self) -> list[Slot]:
        """Return the slots whose answer has not left yet."""
        return [slot for slot in self.slots if slot.answer is not None]

    def pending(self) -> list[Slot]:
        """Return the slots that wait for their answer."""
        return [slot for slot in self.slots if slot.answer is None]
