"""The sample backend on sockets, with trio: on loopback only.

`converse()` is the driver of one connection: it performs the dialogue's actions in order and waits for one thing at a
time, octets or the timer. It must never listen on, or talk to, an address that is not loopback: whoever finds this
server would lose mail in it.
"""

import math
import ssl
import struct
from collections import Counter
from datetime import UTC, datetime
from email.utils import format_datetime
from ipaddress import ip_address

import trio

from smtproxy.sample.actions import Action, Close, Reset, Save, Send, StartTls, StopReading, Wait
from smtproxy.sample.dialogue import SampleDialogue
from smtproxy.sample.mailstore import MailStore
from smtproxy.sample.profile import Profile, encode
from smtproxy.sample.record import BackendRecord, Delivery
from smtproxy.sample.script import Point, Rule, Say, Script

_READ = 65_536
_BACKLOG = 1_048_576  # octets read ahead while a script pauses


async def serve(
    profile: Profile,
    script: Script,
    record: BackendRecord,
    store: MailStore | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    tls: ssl.SSLContext | None = None,
    task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; started with the address and port that were bound (port 0: any free one).

    `tls` is needed where the profile says 220 to STARTTLS. Without a `store` messages are kept in the record alone.
    ValueError: `host` is no loopback address. OSError: it could not be bound.
    """
    if not is_loopback(host):
        raise ValueError(f"the sample backend listens on loopback addresses only, not on {host}")
    listeners = await trio.open_tcp_listeners(port, host=host)
    open_by_source: Counter[str] = Counter()

    async def accept(stream: trio.SocketStream) -> None:
        try:
            client = str(stream.socket.getpeername()[0])
        except OSError:  # gone already
            client = ""
        if not is_loopback(client):
            await trio.aclose_forcefully(stream)
            return
        open_by_source[client] += 1
        try:
            full = profile.max_per_source is not None and open_by_source[client] > profile.max_per_source
            played = _refusal(profile) if full else script
            dialogue = SampleDialogue(
                profile, played, client, record, date=banner_date(datetime.now(tz=UTC)), saving=store is not None
            )
            await converse(stream, dialogue, store, profile.idle_timeout, tls)
        finally:
            open_by_source[client] -= 1

    task_status.started((host, listeners[0].socket.getsockname()[1]))
    await trio.serve_listeners(accept, listeners)


async def converse(
    stream: trio.abc.Stream,
    dialogue: SampleDialogue,
    store: MailStore | None = None,
    idle_timeout: float = math.inf,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Run one connection to its end, and close the stream. `store` is needed where the dialogue is `saving`."""
    driver = _Driver(stream, dialogue, store, tls)
    try:
        actions = dialogue.connected()
        while True:
            actions = await driver.perform(actions)
            if dialogue.ended:
                break
            actions = actions or await driver.wait(idle_timeout)
        await driver.close()
    finally:
        await trio.aclose_forcefully(stream)


class _Driver:
    """The stream's state: the timer, and what the peer still hears and says."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        dialogue: SampleDialogue,
        store: MailStore | None,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._stream = self._transport = stream
        self._tls = tls
        self._dialogue = dialogue
        self._store = store
        self._deadline = math.inf
        self._reads = True
        self._heard = True
        """The peer can still be written to."""

    async def perform(self, actions: list[Action]) -> list[Action]:
        """Perform the actions; -> further ones that came of it."""
        lost = False
        for action in actions:
            match action:
                case Send(octets):
                    lost = lost or not await self._send(octets)
                case Wait(seconds):
                    self._deadline = trio.current_time() + seconds
                case Save(delivery):
                    return self._dialogue.saved(await self._save(delivery))
                case StartTls():
                    lost = lost or not await self._start_tls()
                case StopReading():
                    self._reads = False
                case Reset():
                    if isinstance(self._transport, trio.SocketStream):
                        reset_on_close(self._transport)
                        self._stream = self._transport
                case Close():
                    pass
        return self._dialogue.closed(reset=True) if lost else []

    async def wait(self, idle_timeout: float) -> list[Action]:
        """Wait for octets or for the timer."""
        until = self._deadline if self._dialogue.waiting else trio.current_time() + idle_timeout
        data = None
        if self._reads and not (self._dialogue.waiting and self._dialogue.backlog > _BACKLOG):
            with trio.move_on_at(until):
                try:
                    data = bytes(await self._stream.receive_some(_READ))
                except trio.BrokenResourceError:
                    self._reads = self._heard = False
                    return self._dialogue.closed(reset=True)
        else:
            await trio.sleep_until(until)
        if data is None:
            return self._dialogue.timer() if self._dialogue.waiting else self._dialogue.timed_out()
        if not data:
            self._reads = False
            return self._dialogue.closed()
        return self._dialogue.feed(data)

    async def _send(self, octets: bytes) -> bool:
        """False: the peer was found to be gone just now."""
        if not self._heard:
            return True
        try:
            await self._stream.send_all(octets)
        except trio.BrokenResourceError:
            self._reads = self._heard = False
            return False
        return True

    async def _start_tls(self) -> bool:
        """False: there was no handshake."""
        if self._tls is None:
            self._reads = self._heard = False
            return False
        stream = trio.SSLStream(self._transport, self._tls, server_side=True, https_compatible=True)
        self._stream = stream
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError:
            self._reads = self._heard = False
            return False
        return True

    async def close(self) -> None:
        """Close in order."""
        await self._stream.aclose()

    async def _save(self, delivery: Delivery) -> bool:
        if self._store is None:
            return False
        try:
            await trio.to_thread.run_sync(self._store.save, delivery)
        except OSError:
            return False
        return True


def is_loopback(address: str) -> bool:
    """The text is an IP address that no other machine reaches."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def banner_date(moment: datetime) -> str:
    """As Exchange prints it: numeric zone, the day without a leading zero."""
    return format_datetime(moment).replace(", 0", ", ", 1)


def reset_on_close(stream: trio.SocketStream) -> None:
    """Make the next close send RST."""
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))


def _refusal(profile: Profile) -> Script:
    text = profile.texts.too_many_connections.format(hostname=profile.hostname, client="")
    return Script((Rule(Point.GREETING, (Say(encode(text, profile)), Close())),))
