"""Compares what happened with what a scene tells, and with what holds in every scene, told or not.

In every scene: one `session` line, one `message` line for each transaction, a `commit` line in front of each terminator
that left, no accepted mail that the client was not told of and none it was told of in vain, and a backend that saw
nothing but a correct client.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from smtproxy.sample.record import BackendRecord
from smtproxy.session.records import FIELDS, Event
from tests.fakes.heard import Heard, read_replies
from tests.session.playing.scene import Scene


@dataclass(slots=True)
class Ear:
    """What the client heard, reply by reply, and how much of it was accounted for."""

    octets: bytes = b""
    _told: int = 0

    def since(self) -> list[str]:
        """The replies since the last call, as a scene tells them."""
        replies, rest = read_replies(self.octets)
        assert rest == b"", f"the client heard something that is no reply: {rest!r}"
        told, self._told = self._told, len(replies)
        return [_spoken(reply) for reply in replies[told:]]

    @property
    def count(self) -> int:
        """Complete replies that were not accounted for."""
        return len(read_replies(self.octets)[0]) - self._told


def _spoken(reply: Heard) -> str:
    lines = reply.octets.decode("utf-8", "surrogateescape").split("\r\n")[:-1]
    return f"{reply.code} {' / '.join(line[4:] for line in lines)}".rstrip()


def replies_match(heard: Sequence[str], told: Sequence[str]) -> bool:
    """Each reply is the one that was told, at least up to the end of a word."""
    return len(heard) == len(told) and all(map(_begins, heard, told))


def _begins(reply: str, told: str) -> bool:
    behind = reply[len(told) : len(told) + 1]
    return reply.startswith(told) and not behind.isalnum() and behind != "."


@dataclass(slots=True)
class Commands:
    """What each backend connection got, and how much of it was accounted for."""

    record: BackendRecord
    _told: dict[int, int] = field(default_factory=dict)

    def since(self, connection: int) -> list[str]:
        """The commands of a connection since the last call."""
        commands = next((one.commands for one in self.record.connections if one.number == connection), [])
        told, self._told[connection] = self._told.get(connection, 0), len(commands)
        return [command.decode("utf-8", "backslashreplace") for command in commands[told:]]

    def untold(self) -> dict[int, list[str]]:
        """What nobody accounted for of connections of which something was told. QUIT goes without saying."""
        rests = {number: self.since(number) for number in tuple(self._told)}
        return {number: commands for number, commands in rests.items() if commands not in ([], ["QUIT"])}


Log = Sequence[tuple[Event, Mapping[str, object]]]


def check_log(scene: Scene, log: Log) -> None:
    """The lines that are told, and what holds of every log."""
    lines: dict[str, list[Mapping[str, object]]] = {}
    for event, fields in log:
        assert set(fields) <= set(FIELDS[event]), f"undocumented fields in {event.value}"
        lines.setdefault(event.value, []).append(fields)
    for name, told in scene.log.items():
        seen = lines.get(name, [])
        shown = [{key: line.get(key) for key in wanted} for line, wanted in zip(seen, told, strict=False)]
        assert len(seen) == len(told), f"{len(seen)} lines {name} instead of {len(told)}: {seen}"
        assert shown == list(told), f"{name}: {shown} instead of {list(told)}"
    assert "crash" not in lines
    (session,) = lines["session"]
    assert log[-1][0] is Event.SESSION
    assert len(lines.get("message", [])) == session["transactions"]
    delivered = [line for line in lines.get("message", []) if line["outcome"] == "delivered"]
    assert len(delivered) == session["delivered"]
    committed = [line["transaction"] for line in lines.get("commit", [])]
    assert len(committed) == len(set(committed))
    assert {line["transaction"] for line in delivered} <= set(committed)
    assert all(line["server"] for line in [*delivered, *lines.get("commit", [])]), (
        "delivered to a server without a name"
    )


def check_backend(scene: Scene, record: BackendRecord, commands: Commands, log: Log) -> None:
    """The mails that are told, and what holds of every backend."""
    assert commands.untold() == {}
    if not scene.careless:
        assert record.violations == []
    if scene.mails is not None:
        assert [_without_trace(scene, delivery.wire) for delivery in record.accepted] == list(scene.mails)
    if scene.traces is not None:
        assert [delivery.wire.split(b"\r\n", 1)[0].decode() for delivery in record.accepted] == list(scene.traces)
    outcomes = [fields["outcome"] for event, fields in log if event is Event.MESSAGE]
    # Contract item 10: only where the log says "unknown" may the backend have taken what nobody acknowledged.
    assert (
        outcomes.count("delivered") <= len(record.accepted) <= outcomes.count("delivered") + outcomes.count("unknown")
    )
    assert record.terminators == sum(event is Event.COMMIT for event, _ in log)


def _without_trace(scene: Scene, wire: bytes) -> bytes:
    if not scene.settings.trace_header:
        return wire
    first, second, third, rest = wire.split(b"\r\n", 3)
    assert first.startswith(b"Received: from "), first
    assert second.startswith(b" by mx.example.org with "), second
    assert third.startswith(b" "), third
    return rest
