"""One question over real sockets, to servers that are dead, slow, lying, or cut their answers short."""

import errno
import socket

import pytest
import trio

from smtproxy.network.dns.answers import Answer, Status
from smtproxy.network.dns.exchange import GUESSES, Silence, Wire
from smtproxy.network.dns.packet import LARGEST_ANSWER, question
from smtproxy.network.sockets import Endpoint
from tests.fakes.name_server import HOST, NameServer, reply, silent

QUESTION = question("a.test", "A") or b""
TRUTH = Answer(Status.FOUND, ("192.0.2.1",), 9)
LINE = "a.test. 9 IN A 192.0.2.1"


def honest(packet: bytes) -> list[bytes]:
    return [reply(packet, LINE)]


def cut(packet: bytes) -> list[bytes]:
    return [reply(packet, truncated=True)]


async def ask(server: NameServer, patience: float = 5, wire: Wire | None = None) -> Answer | Silence:
    with trio.fail_after(10):
        return await (wire or Wire())(Endpoint(HOST, server.port), QUESTION, patience)


async def test_an_answer() -> None:
    with NameServer(honest) as server:
        assert await ask(server) == TRUTH


async def test_ids_and_ports_are_drawn_by_lot() -> None:
    """RFC 5452: who would forge an answer has to guess both."""
    with NameServer(honest) as server:
        for _ in range(20):
            await ask(server)
    assert len({packet[:2] for packet in server.heard}) > 15
    assert len(set(server.from_ports)) > 15


async def test_lies_are_counted_and_the_truth_is_waited_for() -> None:
    def lying(packet: bytes) -> list[bytes]:
        wrong_id = bytes((packet[0] ^ 1,)) + packet[1:]
        other = packet[:2] + (question("b.test", "A") or b"")
        return [
            reply(wrong_id, "a.test. 9 IN A 192.0.2.66"),
            reply(other, "b.test. 9 IN A 192.0.2.66"),
            b"",
            b"\xff" * 500,
            *honest(packet),
        ]

    wire = Wire()
    with NameServer(lying) as server:
        assert await ask(server, wire=wire) == TRUTH
    assert wire.foreign == 4


async def test_a_stranger_is_not_heard() -> None:
    """The kernel drops what comes from another address: the right answer there is nobody's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger, NameServer() as server:

        def elsewhere(packet: bytes) -> list[bytes]:
            stranger.sendto(reply(packet, "a.test. 9 IN A 192.0.2.66"), (HOST, server.from_ports[-1]))
            return honest(packet)

        server.behaviour = elsewhere
        assert await ask(server) == TRUTH


async def test_who_is_flooded_with_guesses_asks_by_tcp() -> None:
    def flood(packet: bytes) -> list[bytes]:
        return [reply(bytes((packet[0] ^ 1, guess)) + packet[2:], LINE) for guess in range(GUESSES)]

    with NameServer(flood, by_tcp=honest) as server:
        assert await ask(server) == TRUTH
        assert server.tcp_heard == 1


async def test_what_is_cut_short_comes_by_tcp() -> None:
    lines = [f"a.test. 9 IN A 192.0.2.{number}" for number in range(200)]

    def whole(packet: bytes) -> list[bytes]:
        return [reply(packet, *lines)]

    with NameServer(cut, by_tcp=whole) as server:
        found = await ask(server)
    assert isinstance(found, Answer)
    assert len(found.records) == 200


async def test_an_answer_without_measure_is_not_read() -> None:
    def huge(packet: bytes) -> list[bytes]:
        return [packet[:2] + bytes(LARGEST_ANSWER - 1)]

    with NameServer(cut, by_tcp=huge) as server:
        assert await ask(server) == Answer(Status.SERVFAIL)


async def test_lies_by_tcp_are_a_failure() -> None:
    def lying(packet: bytes) -> list[bytes]:
        return [reply(bytes((packet[0] ^ 1,)) + packet[1:], LINE)]

    with NameServer(cut, by_tcp=lying) as server:
        assert await ask(server) == Answer(Status.SERVFAIL)


async def test_a_server_that_hangs_up() -> None:
    with NameServer(cut, by_tcp=silent) as server:
        assert await ask(server) is Silence.UNREACHABLE


async def test_dead() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        port = sock.getsockname()[1]
    with trio.fail_after(5):
        assert await Wire()(Endpoint(HOST, port), QUESTION, 60) is Silence.UNREACHABLE


@pytest.mark.parametrize("by_tcp", [False, True])
async def test_slow(by_tcp: bool) -> None:
    """The wait ends when it was told to, whatever the server does by TCP."""
    with NameServer(cut if by_tcp else silent) as server, socket.create_server((HOST, 0)) as stuck:
        wire = Wire()
        begin = trio.current_time()
        if by_tcp:
            with trio.fail_after(5), pytest.MonkeyPatch.context() as patch:
                open_stream = trio.open_tcp_stream
                patch.setattr(trio, "open_tcp_stream", lambda host, port: open_stream(host, stuck.getsockname()[1]))
                assert await ask(server, 0.1, wire) is Silence.TIMEOUT
        else:
            assert await ask(server, 0.1, wire) is Silence.TIMEOUT
        assert 0.1 <= trio.current_time() - begin < 3


async def test_a_machine_without_sockets_blames_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(socket, "socket", none_left)
    assert await Wire()(Endpoint(HOST, 53), QUESTION, 1) is Silence.OURS


async def test_ipv6() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("::1", 0))
        port = sock.getsockname()[1]

        async def answer() -> None:
            await trio.lowlevel.wait_readable(sock)
            packet, address = sock.recvfrom(512)
            sock.sendto(honest(packet)[0], address)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            assert await Wire()(Endpoint("::1", port), QUESTION, 5) == TRUTH
