"""Days on which everything else goes wrong: the backend is absent, endless or deaf, disk or descriptors run out.

Nothing is lost on any of them: the client hears a 4xx, and on the next day the mail passes.
"""

import resource
import smtplib
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from smtproxy.network.listener import Listener
from smtproxy.network.sockets import Endpoint, bound, listen
from smtproxy.sample.script import (
    Drip,
    Endless,
    Normal,
    Pause,
    Point,
    Reset,
    Rule,
    Script,
    Silence,
    Step,
    StopReading,
    reply,
)
from smtproxy.session.limits import LIMITS
from smtproxy.session.records import Event
from smtproxy.session.settings import BodyMode
from tests.end_to_end.programs.process import HOST, ROOT, Child, wait_until
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy
from tests.network.survival import ENVELOPE, HELLO, MEGABYTE, SETTINGS, honest_mail, little_memory, survives_all
from tests.network.world import World, connected

SHORT = replace(
    SETTINGS, limits=replace(LIMITS, greeting_time=20, hello_time=20, recipient_time=20, data_time=20, transfer_time=20)
)
DATA = b"DATA\r\n"
END = b"\r\n.\r\n"


async def mail(place: World, body: bytes = b"text") -> list[int]:
    """Send a mail as far as it gets; -> the codes behind EHLO."""
    async with connected(place) as client:
        await client.say(HELLO + ENVELOPE)
        codes = [reply.code for reply in await client.hear(3)][1:]
        if codes[-1] // 100 == 2:
            await client.say(DATA)
            codes += [reply.code for reply in await client.hear(1)]
        if codes[-1] == 354:
            await client.say(body + END)
            codes += [reply.code for reply in await client.hear(1)]
        return codes


def test_nobody_listens_where_the_backend_should_be() -> None:
    async def act(place: World) -> None:
        (server,) = place.service.pool.servers
        address = server.address
        with listen(Endpoint(HOST, 0)) as nobody:
            gone = bound(nobody)
        server.address = socket.AF_INET, (gone.host, gone.port)
        assert await mail(place) == [250, 451]
        server.address = address

    place = survives_all(act)
    assert place.pages.of(Event.MESSAGE)[0]["outcome"] == "deferred"


@pytest.mark.parametrize("point", [Point.GREETING, Point.EHLO, Point.RCPT, Point.DATA, Point.FINAL])
@pytest.mark.parametrize(
    "steps",
    [
        (Endless(b"250-never ends\r\n"),),
        (Endless(b"x"),),
        (reply("220 220 220"), Endless(b"220 220 220\r\n")),
        (reply("999 what?"),),
        (reply("HTTP/1.1 400 Bad Request"),),
        (Drip(3.0), Silence()),
        (Reset(),),
    ],
    ids=["endless reply", "endless line", "endless replies", "no code", "another protocol", "dripping", "reset"],
)
def test_a_backend_that_lies(point: Point, steps: tuple[Step, ...]) -> None:
    async def act(place: World) -> None:
        with little_memory():
            codes = await mail(place)
        assert codes[-1] == 451 or codes[-1] // 100 == 2  # RFC 5321 4.2.1: the first digit is what counts

    place = survives_all(act, SHORT, Script((Rule(point, steps, connections=(1,)),)))
    first = place.pages.of(Event.MESSAGE)[0]
    # A stray reply in the packet of the right one to the dot comes too late to matter.
    assert first["outcome"] in ({"unknown", "delivered"} if point is Point.FINAL else {"deferred", "delivered"})


@pytest.mark.parametrize("mode", BodyMode)
def test_a_backend_that_stops_reading(mode: BodyMode) -> None:
    """20 MB against a backend that takes no more: the transfer ends by its time, not by ours."""
    deaf = Script((Rule(Point.BODY, (StopReading(),), octets=1000, connections=(1,)),))

    async def act(place: World) -> None:
        async with connected(place) as client:
            await client.say(HELLO + ENVELOPE + DATA)
            await client.hear(4)
            for _ in range(20):
                await client.say(b"x" * MEGABYTE)
            await client.say(END)
            assert [reply.code for reply in await client.hear(1)] == [451]

    place = survives_all(act, replace(SHORT, body=mode), deaf)
    assert place.pages.of(Event.MESSAGE)[0]["outcome"] == "deferred"
    assert place.record.terminators == 1


def test_a_slow_backend_is_waited_for() -> None:
    points = (Point.GREETING, Point.EHLO, Point.MAIL, Point.RCPT, Point.DATA, Point.FINAL)
    slow = Script(tuple(Rule(point, (Pause(15.0), Normal()), connections=(1,)) for point in points))

    async def act(place: World) -> None:
        assert await mail(place) == [250, 250, 354, 250]

    survives_all(act, SHORT, slow)


def test_there_is_no_directory_for_held_bodies(tmp_path: Path) -> None:
    async def act(place: World) -> None:
        settings = replace(SETTINGS, body=BodyMode.HOLD, limits=replace(LIMITS, body_memory=1000))
        service = replace(place.service, settings=settings, spool=str(tmp_path / "gone"))
        with listen(Endpoint(HOST, 0)) as sock:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Listener(sock, service, place.sessions, 100).serve, nursery)
                elsewhere = replace(place, address=bound(sock), service=service)
                assert await mail(elsewhere, b"x" * 100_000) == [250, 250, 354, 452]
                (tmp_path / "gone").mkdir()
                assert await mail(elsewhere, b"x" * 100_000) == [250, 250, 354, 250]
                await honest_mail(elsewhere)
                nursery.cancel_scope.cancel()

    survives_all(act)
    assert list((tmp_path / "gone").iterdir()) == []


# With processes of their own, whose limits can be lowered


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[str]:
    """The sample backend as a process; -> its address."""
    command = [sys.executable, "-m", "smtproxy.sample", "--per-source", "0"]
    child = Child("sample", command, tmp_path / "sample", cwd=ROOT)
    try:
        child.wait_ready(lambda: b"\n" in child.output_path.read_bytes())
        port = child.output_path.read_text().rpartition('"port": ')[2].rstrip("}\n")
        yield f"{HOST}:{port}"
    finally:
        child.stop()


@contextmanager
def lowered(pid: int, which: int, limit: int) -> Iterator[None]:
    """Lower a limit of a running process for the time of the block."""
    soft, hard = resource.prlimit(pid, which)
    resource.prlimit(pid, which, (limit, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, which, (soft, hard))


def descriptors(proxy: Smtproxy) -> int:
    return len(list(Path(f"/proc/{proxy.workers[0]}/fd").iterdir()))


def send(proxy: Smtproxy, text: str = "hello") -> int:
    """Send a mail; -> the code that decided about it."""
    with smtplib.SMTP(HOST, proxy.port, timeout=20) as client:
        try:
            client.sendmail("a@client.example", ["user@example.org"], f"Subject: x\r\n\r\n{text}\r\n")
        except smtplib.SMTPRecipientsRefused as refused:
            return next(iter(refused.recipients.values()))[0]
        except smtplib.SMTPResponseException as refused:
            return refused.smtp_code
        return 250


def test_descriptors_run_out(backend: str, tmp_path: Path) -> None:
    with Smtproxy(tmp_path / "proxy", Plan(servers=[backend], backend={"idle": {"connections": 0}})) as proxy:
        assert send(proxy) == 250
        with lowered(proxy.workers[0], resource.RLIMIT_NOFILE, descriptors(proxy) + 10):
            crowd = [socket.create_connection((HOST, proxy.port)) for _ in range(20)]
            proxy.wait_lines("accept_paused", 1)
            # One that was let in asks for a backend connection, for which there is no descriptor.
            assert talk(crowd[0], HELLO + ENVELOPE, replies=4).endswith(b"250 2.1.0 Sender OK\r\n451")
            for client in crowd:
                client.close()
            proxy.wait_lines("accept_resumed", 1)
            assert send(proxy) == 250
        assert proxy.child.running
        assert len(proxy.lines("accept_paused")) == len(proxy.lines("accept_resumed"))
        assert proxy.lines("crash") == []
        assert len(proxy.wait_lines("session", 22)) >= 22
        assert proxy.terminate() == 0


def talk(client: socket.socket, octets: bytes, replies: int) -> bytes:
    """Say something; -> so many answers, the last one up to its code."""
    client.settimeout(20)
    client.sendall(octets)
    heard = b""
    while len(lasts := [line for line in heard.split(b"\r\n") if line[3:4] == b" "]) < replies:
        heard += client.recv(4096)
    return heard[: heard.rindex(lasts[-1]) + 3]


def test_the_disk_is_full(backend: str, tmp_path: Path) -> None:
    plan = Plan(servers=[backend], listener={"body": "hold"}, bounds={"body_memory": "64KiB"})
    large = "\r\n".join("x" * 70 for _ in range(40_000))
    with Smtproxy(tmp_path / "proxy", plan) as proxy:
        before = descriptors(proxy)
        with lowered(proxy.workers[0], resource.RLIMIT_FSIZE, MEGABYTE):
            assert send(proxy, large) == 452
            assert send(proxy) == 250
        assert send(proxy, large) == 250
        outcomes = [line["outcome"] for line in proxy.wait_lines("message", 3)]
        assert outcomes == ["deferred", "delivered", "delivered"]
        assert "4.3.1" in str(proxy.lines("message")[0]["reply"])
        assert proxy.lines("crash") == []
        # A session is over a moment after its client has heard the last of it; a warm connection stays.
        wait_until(lambda: descriptors(proxy) <= before + 1, 20, "descriptors were left behind")
        assert proxy.terminate() == 0
