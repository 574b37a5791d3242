"""What the sample backend saw and said: the evidence that tests judge the proxy by.

It keeps exact octets, in both directions, and each message under its fate: accepted, refused, or cut off before its
end. Nothing here may ever interpret what it keeps: the dialogue decides, this file remembers. With `keep=False` (the
embedded use, which runs for days) only counts stay in memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Recipient:
    """An accepted RCPT: the address without brackets and its parameters as sent, e.g. ("NOTIFY=NEVER",)."""

    address: str
    parameters: tuple[str, ...] = ()


@dataclass(slots=True)
class Delivery:
    """One message: accepted, refused at its end, or (`complete` is False) cut off before its end."""

    connection: int
    """Number of the connection, from 1."""
    client: str
    hello: str
    """Verb and argument of the last EHLO or HELO, e.g. "EHLO mx.example.org"."""
    sender: str
    """Envelope sender without brackets; "" is the null sender."""
    parameters: tuple[str, ...]
    """Parameters of MAIL as sent, e.g. ("SIZE=100", "BODY=8BITMIME")."""
    recipients: tuple[Recipient, ...]
    via: str
    """"DATA" or "BDAT"."""
    wire: bytes
    """The message as it came: dots still stuffed, without terminator and without BDAT commands."""
    body: bytes
    """The message itself, dots unstuffed."""
    octets: int
    """Size on the wire; larger than `wire` where a message over the size limit was not kept."""
    internal_id: int
    complete: bool = True
    """The end of the message arrived (terminator, or BDAT LAST)."""
    accepted: bool = False
    """The backend took responsibility, whether or not it could say so."""
    reply: bytes = b""
    """Octets said in answer to the end of the message."""
    replied: bool = False
    """All of `reply` was handed to the connection."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """The recipients' addresses alone."""
        return tuple(recipient.address for recipient in self.recipients)


@dataclass(slots=True)
class Connection:
    """All that happened on one connection."""

    number: int
    client: str
    received: bytearray = field(default_factory=bytearray)
    """Every octet that was read, bodies included."""
    sent: bytearray = field(default_factory=bytearray)
    unread: bytearray = field(default_factory=bytearray)
    """Octets that came too late or were never acted upon: after a close or a stop of reading."""
    commands: list[bytes] = field(default_factory=list)
    """Command lines in order, without their line end; BDAT included, bodies not."""
    violations: list[str] = field(default_factory=list)
    """What no correct client does, e.g. talk before the greeting. Empty for each connection of a correct proxy."""
    terminators: int = 0
    """Ends of messages seen: ends of data and BDAT LAST, acted upon or not."""
    ended: str = ""
    """"" while open, else who ended it: "client", "client reset", "close", "reset"."""

    @property
    def verbs(self) -> list[str]:
        """The verbs of `commands`, upper case."""
        return [command.split(b" ", 1)[0].decode("latin-1").upper() for command in self.commands]


@dataclass(slots=True)
class BackendRecord:
    """The memory of one backend over all its connections; also the source of connection numbers and internal ids."""

    keep: bool = True
    """False: keep counts only, so that a backend that runs for long does not grow."""
    observe: Callable[[Delivery | Connection], None] | None = None
    """Told each message when its fate is known and each connection when it has ended; must not raise."""
    connections: list[Connection] = field(default_factory=list)
    accepted: list[Delivery] = field(default_factory=list)
    refused: list[Delivery] = field(default_factory=list)
    """Messages that came to their end and were not taken."""
    aborted: list[Delivery] = field(default_factory=list)
    """Messages that began (354 or a first chunk) and never came to their end."""
    opened: int = 0
    """Connections so far."""
    messages: int = 0
    """Messages accepted so far."""
    internal_id: int = 5_111_011_082_268
    """Last internal id that was given; the start is the one of Microsoft's own example."""

    def open(self, client: str, number: int | None = None) -> Connection:
        """Begin a connection; without `number` it gets the next one."""
        self.opened = self.opened + 1 if number is None else max(self.opened, number)
        connection = Connection(number or self.opened, client)
        if self.keep:
            self.connections.append(connection)
        return connection

    def next_internal_id(self) -> int:
        """A new id for a message, as Exchange prints it in its final reply."""
        self.internal_id += 1
        return self.internal_id

    def accept(self, delivery: Delivery) -> None:
        """The backend took the message."""
        delivery.accepted = True
        self.messages += 1
        self._file(delivery, self.accepted)

    def refuse(self, delivery: Delivery) -> None:
        """The message came to its end and was not taken."""
        self._file(delivery, self.refused)

    def abort(self, delivery: Delivery) -> None:
        """The message never came to its end."""
        delivery.complete = False
        self._file(delivery, self.aborted)

    def end(self, connection: Connection, ended: str) -> None:
        """The connection has ended."""
        connection.ended = ended
        if self.observe is not None:
            self.observe(connection)

    def containing(self, octets: bytes) -> list[Delivery]:
        """Accepted messages whose body holds these octets, e.g. a unique id."""
        return [delivery for delivery in self.accepted if octets in delivery.body]

    @property
    def terminators(self) -> int:
        """Ends of messages seen on all connections."""
        return sum(connection.terminators for connection in self.connections)

    @property
    def violations(self) -> list[str]:
        """Violations on all connections, each with its connection's number in front."""
        return [f"{c.number}: {violation}" for c in self.connections for violation in c.violations]

    @property
    def commands(self) -> list[bytes]:
        """Commands of all connections, in the order of the connections."""
        return [command for connection in self.connections for command in connection.commands]

    @property
    def envelopes(self) -> list[tuple[str, tuple[str, ...]]]:
        """Sender and recipients of each accepted message."""
        return [(delivery.sender, delivery.addresses) for delivery in self.accepted]

    def _file(self, delivery: Delivery, fate: list[Delivery]) -> None:
        if self.keep:
            fate.append(delivery)
        if self.observe is not None:
            self.observe(delivery)


def as_fields(entry: Delivery | Connection) -> Iterator[tuple[str, object]]:
    """The entry's fields for a JSON line; octets become text one to one (latin-1)."""
    if isinstance(entry, Connection):
        yield "event", "connection"
        for name in ("number", "client", "violations", "terminators", "ended"):
            yield name, getattr(entry, name)
        for name in ("received", "sent", "unread"):
            yield name, getattr(entry, name).decode("latin-1")
        yield "commands", [command.decode("latin-1") for command in entry.commands]
        return
    yield "event", "message"
    for name in ("connection", "client", "hello", "sender", "parameters", "via", "octets", "internal_id"):
        yield name, getattr(entry, name)
    for name in ("complete", "accepted", "replied"):
        yield name, getattr(entry, name)
    yield "recipients", [{"address": to.address, "parameters": to.parameters} for to in entry.recipients]
    for name in ("wire", "body", "reply"):
        yield name, getattr(entry, name).decode("latin-1")
