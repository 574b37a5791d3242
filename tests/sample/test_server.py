"""The double on streams: in memory with a clock that jumps, and on loopback sockets."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from smtproxy.network.tls import Version, read_certificate, server_context
from smtproxy.sample.dialogue import SampleDialogue
from smtproxy.sample.mailstore import MailStore
from smtproxy.sample.profile import Profile
from smtproxy.sample.profiles import EXCHANGE
from smtproxy.sample.record import BackendRecord
from smtproxy.sample.script import (
    Close,
    Drip,
    Endless,
    Normal,
    Pause,
    Point,
    Reset,
    Rule,
    Script,
    StopReading,
    reply,
)
from smtproxy.sample.server import banner_date, converse, is_loopback, reset_on_close, serve
from tests.fakes.certificates import NAME, issue, trusting
from tests.sample.play import ENVELOPE, MESSAGE

GROUP = b"EHLO a\r\n" + ENVELOPE + b"DATA\r\n"


async def read_until(stream: trio.abc.ReceiveStream, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        piece = bytes(await stream.receive_some(4096))
        assert piece, data
        data += piece
    return data


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    data = b""
    while piece := bytes(await stream.receive_some(4096)):
        data += piece
    return data


def messages(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in directory.glob("*.eml")]


async def deliver(stream: trio.abc.Stream) -> bytes:
    """A whole session; -> the reply to the dot."""
    await read_until(stream, b"\r\n")
    await stream.send_all(b"EHLO a\r\n")
    await read_until(stream, b"250 XRDST\r\n")
    await stream.send_all(ENVELOPE)
    await read_until(stream, b"Recipient OK\r\n")
    await stream.send_all(b"DATA\r\n")
    await read_until(stream, b"\r\n")
    await stream.send_all(MESSAGE + b".\r\n")
    return await read_until(stream, b"\r\n")


class Memory:
    """One connection in memory; time jumps when everybody waits."""

    def __init__(self, *rules: Rule, profile: Profile = EXCHANGE, saving: bool = False) -> None:
        self.record = BackendRecord()
        self.profile = profile
        self.client, self.server = trio.testing.memory_stream_pair()
        self.dialogue = SampleDialogue(profile, Script(rules), "192.0.2.1", self.record, saving=saving)

    async def run(self, store: MailStore | None = None) -> None:
        await converse(self.server, self.dialogue, store, self.profile.idle_timeout)


async def test_a_pause_takes_its_time(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    memory = Memory(Rule(Point.NOOP, (Pause(30), Normal())))
    nursery.start_soon(memory.run)
    await read_until(memory.client, b"\r\n")
    start = trio.current_time()
    await memory.client.send_all(b"NOOP\r\n")
    assert await read_until(memory.client, b"\r\n") == b"250 2.0.0 OK\r\n"
    assert trio.current_time() - start == 30
    await memory.client.aclose()


async def test_octets_with_time_between(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    memory = Memory(Rule(Point.GREETING, (Drip(1), reply("220 x"))))
    nursery.start_soon(memory.run)
    start = trio.current_time()
    pieces = [bytes(await memory.client.receive_some(10)) for _ in range(7)]
    assert pieces == [b"2", b"2", b"0", b" ", b"x", b"\r", b"\n"]
    assert trio.current_time() - start == 6
    await memory.client.aclose()


async def test_idle_time(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    memory = Memory()
    nursery.start_soon(memory.run)
    data = await read_all(memory.client)
    assert data.endswith(b"421 4.4.1 Connection timed out\r\n")
    assert trio.current_time() == pytest.approx(300, abs=1e-6)


async def test_reading_stops(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    memory = Memory(Rule(Point.NOOP, (StopReading(), Pause(60), Close())))
    nursery.start_soon(memory.run)
    await read_until(memory.client, b"\r\n")
    await memory.client.send_all(b"NOOP\r\n")
    await memory.client.send_all(b"NOOP\r\n")
    assert await read_all(memory.client) == b""
    assert memory.record.commands == [b"NOOP"]
    assert memory.record.connections[0].unread == b""


async def test_it_reads_ahead_only_so_far(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    memory = Memory(Rule(Point.NOOP, (Pause(60), Close())))
    nursery.start_soon(memory.run)
    await read_until(memory.client, b"\r\n")
    await memory.client.send_all(b"NOOP\r\n" + b"x" * 3_000_000)
    assert await read_all(memory.client) == b""
    assert 1_048_576 < len(memory.record.connections[0].unread) < 1_200_000


async def test_a_client_that_closed_still_gets_its_mail_through(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    memory = Memory(Rule(Point.FINAL, (Pause(10), Normal())))
    nursery.start_soon(memory.run)
    client = memory.client
    await read_until(client, b"\r\n")
    await client.send_all(GROUP)
    await read_until(client, b"<CRLF>.<CRLF>\r\n")
    await client.send_all(MESSAGE + b".\r\nQUIT\r\n")
    await client.send_eof()
    data = await read_all(client)
    assert b"Queued mail" in data
    assert b"221 2.0.0" in data
    assert len(memory.record.accepted) == 1


async def test_a_client_that_is_gone_does_not_stop_the_script(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    memory = Memory(Rule(Point.FINAL, (Pause(10), reply("250 a"), Pause(10), Close())))
    finished = trio.Event()

    async def run() -> None:
        await memory.run()
        finished.set()

    nursery.start_soon(run)
    await read_until(memory.client, b"\r\n")
    await memory.client.send_all(GROUP)
    await read_until(memory.client, b"<CRLF>.<CRLF>\r\n")
    await memory.client.send_all(b".\r\n")
    await trio.testing.wait_all_tasks_blocked()
    await memory.client.aclose()
    await finished.wait()
    assert trio.current_time() == 20
    assert len(memory.record.accepted) == 1


async def test_endless_octets_end_with_the_client(nursery: trio.Nursery) -> None:
    memory = Memory(Rule(Point.GREETING, (Endless(b"220-x\r\n"),)))
    nursery.start_soon(memory.run)
    total = 0
    while total < 1_000_000:
        total += len(await memory.client.receive_some(65_536))
    await memory.client.aclose()
    with trio.fail_after(5):
        while not memory.dialogue.ended:
            await trio.lowlevel.checkpoint()
    assert memory.record.connections[0].ended == "client reset"


async def test_messages_go_to_the_store(nursery: trio.Nursery, tmp_path: Path) -> None:
    memory = Memory(saving=True)
    nursery.start_soon(memory.run, MailStore(tmp_path))
    assert (await deliver(memory.client)).startswith(b"250 2.6.0 ")
    assert messages(tmp_path) == [MESSAGE]
    await memory.client.aclose()


async def test_a_store_that_cannot_write(nursery: trio.Nursery, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    memory = Memory(saving=True)
    nursery.start_soon(memory.run, MailStore(tmp_path / "file"))
    assert (await deliver(memory.client)).startswith(b"452 4.3.1 ")
    assert memory.record.accepted == []
    await memory.client.aclose()


async def test_on_sockets(nursery: trio.Nursery, tmp_path: Path) -> None:
    record = BackendRecord()
    host, port = await nursery.start(serve, EXCHANGE, Script(), record, MailStore(tmp_path))
    assert host == "127.0.0.1"
    for number in (1, 2):
        stream = await trio.open_tcp_stream(host, port)
        assert (await deliver(stream)).startswith(b"250 2.6.0 ")
        await stream.send_all(b"QUIT\r\n")
        assert (await read_all(stream)).startswith(b"221 ")
        assert record.connections[number - 1].ended == "close"
        await stream.aclose()
    assert messages(tmp_path) == [MESSAGE, MESSAGE]
    assert [message.client for message in record.accepted] == ["127.0.0.1"] * 2
    nursery.cancel_scope.cancel()


async def test_reset_on_sockets(nursery: trio.Nursery) -> None:
    script = Script((Rule(Point.NOOP, (Reset(),)),))
    host, port = await nursery.start(serve, EXCHANGE, script, BackendRecord())
    stream = await trio.open_tcp_stream(host, port)
    await read_until(stream, b"\r\n")
    await stream.send_all(b"NOOP\r\n")
    with pytest.raises(trio.BrokenResourceError) as raised:
        await stream.receive_some(10)
    assert isinstance(raised.value.__cause__, ConnectionResetError)
    await stream.aclose()
    nursery.cancel_scope.cancel()


async def test_a_client_that_resets(nursery: trio.Nursery) -> None:
    ended = trio.Event()
    record = BackendRecord(observe=lambda _entry: ended.set())
    host, port = await nursery.start(serve, EXCHANGE, Script(), record)
    stream = await trio.open_tcp_stream(host, port)
    await read_until(stream, b"\r\n")
    reset_on_close(stream)
    await stream.aclose()
    with trio.fail_after(5):
        await ended.wait()
    assert record.connections[0].ended == "client reset"
    nursery.cancel_scope.cancel()


async def test_too_many_connections_of_one_source(nursery: trio.Nursery) -> None:
    record = BackendRecord()
    host, port = await nursery.start(serve, replace(EXCHANGE, max_per_source=2), Script(), record)
    streams = [await trio.open_tcp_stream(host, port) for _ in range(2)]
    for stream in streams:
        assert (await read_until(stream, b"\r\n")).startswith(b"220 ")
    third = await trio.open_tcp_stream(host, port)
    assert (await read_all(third)).startswith(b"421 4.3.2 The maximum number of concurrent connections")
    await streams[0].send_all(b"QUIT\r\n")
    await read_all(streams[0])
    await trio.testing.wait_all_tasks_blocked()
    again = await trio.open_tcp_stream(host, port)
    assert (await read_until(again, b"\r\n")).startswith(b"220 ")
    assert record.opened == 4
    for stream in (*streams, third, again):
        await stream.aclose()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "localhost", ""])
async def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        await serve(EXCHANGE, Script(), BackendRecord(), host=host)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.1", False),
        ("192.0.2.1", False),
        ("10.0.0.1", False),
        ("", False),
        ("name.example", False),
    ],
)
def test_loopback(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


def test_the_day_has_no_leading_zero() -> None:
    assert banner_date(datetime(2016, 8, 5, 16, 24, 41, tzinfo=UTC)) == "Fri, 5 Aug 2016 16:24:41 +0000"
    assert banner_date(datetime(2026, 11, 24, 4, 6, 4, tzinfo=UTC)) == "Tue, 24 Nov 2026 04:06:04 +0000"


async def test_a_mail_under_tls(tmp_path: Path) -> None:
    profile = replace(EXCHANGE, texts=replace(EXCHANGE.texts, starttls="220 2.0.0 SMTP server ready"))
    context = server_context([read_certificate(*issue(tmp_path))], Version.TLS_1_2)
    record = BackendRecord()
    async with trio.open_nursery() as nursery:
        host, port = await nursery.start(partial(serve, profile, Script(), record, tls=context))
        async with await trio.open_tcp_stream(host, port) as clear:
            await read_until(clear, b"\r\n")
            await clear.send_all(b"EHLO a\r\n")
            await read_until(clear, b"250 XRDST\r\n")
            await clear.send_all(b"STARTTLS\r\n")
            await read_until(clear, b"\r\n")
            stream = trio.SSLStream(clear, trusting(), server_hostname=NAME)
            await stream.send_all(b"EHLO a\r\n" + ENVELOPE)
            await read_until(stream, b"Recipient OK\r\n")
            await stream.send_all(b"DATA\r\n" + MESSAGE + b".\r\n")
            await read_until(stream, b"Queued mail for delivery\r\n")
        nursery.cancel_scope.cancel()
    assert record.accepted[0].body == MESSAGE


async def test_a_handshake_that_fails_ends_the_connection() -> None:
    """No certificate was given, or the client has no TLS."""
    profile = replace(EXCHANGE, texts=replace(EXCHANGE.texts, starttls="220 2.0.0 SMTP server ready"))
    record = BackendRecord()
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(converse, server, SampleDialogue(profile, Script(), "192.0.2.1", record))
        await read_until(client, b"\r\n")
        await client.send_all(b"STARTTLS\r\n")
        assert (await read_all(client)).startswith(b"220")
    assert record.connections[0].ended == "client reset"
