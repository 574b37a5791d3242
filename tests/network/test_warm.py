"""Warm connections: kept only when all went well, looked at before use, bounded; and never a mail lost by them."""

import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock

from smtproxy.network.link import Link
from smtproxy.network.warm import MESSAGES, Warm, WarmConnections
from smtproxy.sample.script import Close, Normal, Pause, Point, Reset, Rule, Script, Step, reply
from smtproxy.session.records import Event
from smtproxy.session.settings import BodyMode, OpenMode, RelaySettings
from smtproxy.session.upstream import Upstream
from tests.network.stage import ENVELOPE, LETTER, Guest, Stage, quiet, stage, until

SERVER, OTHER = "192.0.2.1:25", "192.0.2.2:25"


@dataclass(slots=True)
class Shelf:
    """Warm connections to nobody in particular, and the servers' ends of them."""

    warm: WarmConnections
    given_back: list[Warm] = field(default_factory=list)
    """Connections whose places were given back."""
    peers: dict[int, socket.socket] = field(default_factory=dict)
    made: list[Warm] = field(default_factory=list)

    def make(self, server: str = SERVER, messages: int = 1) -> Warm:
        """A connection that may be kept."""
        ours, peer = socket.socketpair()
        for one in (ours, peer):
            one.setblocking(False)
        upstream = Upstream(server, "mx.example.org")
        upstream.messages = messages
        place = len(self.made)

        def give_back() -> None:
            self.given_back.append(self.made[place])

        warm = Warm(server, Link(ours), upstream, trio.current_time(), give_back)
        self.made.append(warm)
        self.peers[id(warm)] = peer
        return warm

    def kept(self, server: str = SERVER) -> Warm:
        """One that was kept."""
        warm = self.make(server)
        assert self.warm.keep(warm)
        return warm

    def peer(self, warm: Warm) -> socket.socket:
        """The server's end."""
        return self.peers[id(warm)]


@contextlib.contextmanager
def shelf(most: int = 4, seconds: float = 5.0) -> Iterator[Shelf]:
    """At the end of it all sockets are closed."""
    here = Shelf(WarmConnections(most, seconds))
    try:
        yield here
    finally:
        for one in here.made:
            one.link.close()
        for peer in here.peers.values():
            peer.close()


async def test_the_connection_used_last_is_taken_first() -> None:
    with shelf() as here:
        old, new = here.kept(), here.kept()
        assert here.warm.take(SERVER) is new
        assert here.warm.take(SERVER) is old
        assert here.warm.take(SERVER) is None
        assert here.given_back == []


async def test_each_server_has_its_own() -> None:
    with shelf(most=1) as here:
        one, other = here.kept(), here.kept(OTHER)
        assert len(here.warm) == 2
        assert here.warm.take(OTHER) is other
        assert here.warm.take(OTHER) is None
        assert here.warm.take(SERVER) is one


async def test_no_more_than_configured_are_kept() -> None:
    with shelf(most=2) as here:
        here.kept()
        here.kept()
        assert not here.warm.keep(here.make())
        assert (len(here.warm), here.given_back) == (2, [])


async def test_none_is_kept_where_none_is_wanted() -> None:
    with shelf(most=0) as here:
        assert not here.warm.keep(here.make())


async def test_a_connection_is_used_up_after_a_hundred_messages() -> None:
    with shelf() as here:
        assert here.warm.keep(here.make(messages=MESSAGES - 1))
        assert not here.warm.keep(here.make(messages=MESSAGES))
        assert MESSAGES == 100


async def test_a_connection_that_spoke_or_ended_is_not_handed_out() -> None:
    with shelf() as here:
        good, spoke, ended = here.kept(), here.kept(), here.kept()
        here.peer(spoke).send(b"421 bye\r\n")
        here.peer(ended).close()
        assert here.warm.take(SERVER) is good
        assert here.given_back == [ended, spoke]
        assert [one.link.sock.fileno() >= 0 for one in here.made] == [True, False, False]


async def test_the_longest_idle_one_makes_room() -> None:
    with shelf() as here:
        other, old, new = here.kept(OTHER), here.kept(), here.kept()
        assert here.warm.evict(SERVER)
        assert here.given_back == [old]
        assert here.warm.evict(SERVER)
        assert here.given_back == [old, new]
        assert not here.warm.evict(SERVER)
        assert here.warm.take(OTHER) is other


async def test_who_is_closed_hears_a_farewell() -> None:
    with shelf() as here:
        warm = here.kept()
        assert here.warm.evict(SERVER)
        assert here.peer(warm).recv(100) == b"QUIT\r\n"
        assert here.peer(warm).recv(100) == b""


async def test_age_and_unasked_words_end_a_connection(mock_clock: MockClock) -> None:
    with shelf(seconds=5.0) as here:
        old = here.kept()
        mock_clock.jump(3.0)
        young, spoke = here.kept(), here.kept()
        here.warm.tidy(trio.current_time())
        assert here.given_back == []
        here.peer(spoke).send(b"421 bye\r\n")
        here.warm.tidy(trio.current_time())
        assert here.given_back == [spoke]
        mock_clock.jump(2.0)
        here.warm.tidy(trio.current_time())
        assert here.given_back == [spoke, old]
        assert here.warm.take(SERVER) is young


async def test_all_are_closed_at_the_end() -> None:
    with shelf() as here:
        kept = [here.kept(), here.kept(OTHER)]
        here.warm.clear()
        assert here.given_back == kept
        assert len(here.warm) == 0


async def test_none_is_kept_any_more_once_it_is_stopped() -> None:
    with shelf() as here:
        kept = here.kept()
        here.warm.stop()
        assert here.given_back == [kept]
        late = here.make()
        assert not here.warm.keep(late)
        late.link.close()


# Through whole sessions, before the sample server


async def _second_mail(here: Stage) -> None:
    """A mail of another client arrives as it should, with nothing of the first one's in it."""
    before = len(here.record.accepted)
    guest = await here.enter()
    await guest.says_hello()
    letter = b"Subject: second\r\n\r\nAnother one\r\n"
    reply = await guest.sends(letter, b"MAIL FROM:<second@client.example>\r\nRCPT TO:<other@example.org>\r\n")
    assert reply.code == 250
    await guest.quits()
    await here.over(guest)
    (delivery,) = here.record.accepted[before:]
    assert (delivery.sender, delivery.addresses) == ("second@client.example", ("other@example.org",))
    assert delivery.body.endswith(b"\r\n" + letter)
    assert b"id-1@client.example" not in delivery.body
    assert here.record.violations == []


@pytest.mark.parametrize("opening", list(OpenMode), ids=lambda one: one.value)
async def test_the_next_session_uses_the_connection_of_the_last(mock_clock: MockClock, opening: OpenMode) -> None:
    async with stage(settings=RelaySettings("mx.example.org", open=opening), warm=2) as here:
        assert (await here.mail()).code == 250
        assert (here.server.open, len(here.pool.warm)) == (1, 1)
        await _second_mail(here)
        (connection,) = here.record.connections
        assert connection.verbs == ["EHLO", "MAIL", "RCPT", "DATA", "MAIL", "RCPT", "DATA"]
        assert (here.server.open, len(here.pool.warm)) == (1, 1)


async def test_a_session_that_waits_for_its_client_gives_its_connection_to_others(mock_clock: MockClock) -> None:
    async with stage(warm=2) as here:
        guest = await here.enter()
        await guest.says_hello()
        assert (await guest.sends()).code == 250
        await here.pass_time(here.service.settings.lease)
        await here.swept(lambda: len(here.pool.warm) == 1)
        await _second_mail(here)
        assert here.record.opened == 1


async def test_a_reset_without_a_transaction_does_no_harm(mock_clock: MockClock) -> None:
    async with stage(warm=2) as here:
        guest = await here.enter()
        await guest.says_hello()
        assert (await guest.sends()).code == 250
        assert await guest.codes(b"RSET\r\nQUIT\r\n", 2) == [250, 221]
        await here.over(guest)
        await _second_mail(here)
        assert here.record.opened == 1


def _on_the_first(*rules: Rule) -> Script:
    return Script(tuple(Rule(one.at, one.do, one.nth, one.octets, (1,), one.transactions) for one in rules))


async def _sends_to_two(guest: Guest) -> None:
    assert (await guest.sends(envelope=ENVELOPE + b"RCPT TO:<two@example.org>\r\n")).code == 250


async def _resets_a_transaction(guest: Guest) -> None:
    assert (await guest.sends()).code == 250
    assert await guest.codes(ENVELOPE + b"RSET\r\n", 3) == [250, 250, 250]


async def _greets_in_a_transaction(guest: Guest) -> None:
    assert (await guest.sends()).code == 250
    assert await guest.codes(ENVELOPE + b"EHLO again.example\r\n", 3) == [250, 250, 250]


async def _leaves_a_transaction(guest: Guest) -> None:
    assert (await guest.sends()).code == 250
    assert await guest.codes(ENVELOPE, 2) == [250, 250]


async def _leaves_a_body(guest: Guest) -> None:
    assert (await guest.sends()).code == 250
    assert await guest.codes(ENVELOPE + b"DATA\r\n", 3) == [250, 250, 354]
    await guest.client.say(LETTER)
    await guest.client.stream.send_eof()


async def _is_refused_at_the_dot(guest: Guest) -> None:
    assert (await guest.sends()).code == 250
    assert (await guest.sends()).code in {451, 554}


async def _is_refused_at_data(guest: Guest) -> None:
    assert (await guest.sends()).code == 250
    codes = await guest.codes(ENVELOPE + b"DATA\r\n", 3)
    if codes[-1] == 354:
        codes = await guest.codes(LETTER + b".\r\n")
    assert codes[-1] == 452


async def _sends_no_mail(guest: Guest) -> None:
    assert await guest.codes(ENVELOPE + b"RSET\r\n", 3) == [250, 250, 250]


@pytest.mark.parametrize(
    ("does", "rule"),
    [
        (_sends_to_two, Rule(Point.RCPT, (reply("550 5.1.1 unknown"),), nth=2)),
        (_sends_to_two, Rule(Point.RCPT, (reply("451 4.3.0 later"),), nth=2)),
        (_resets_a_transaction, None),
        (_greets_in_a_transaction, None),
        (_leaves_a_transaction, None),
        (_leaves_a_body, None),
        (_is_refused_at_the_dot, Rule(Point.FINAL, (reply("554 5.6.0 no"),), nth=2)),
        (_is_refused_at_the_dot, Rule(Point.FINAL, (reply("451 4.3.0 later"),), nth=2)),
        (_is_refused_at_the_dot, Rule(Point.FINAL, (reply("421 4.3.2 bye"),), nth=2)),
        (_is_refused_at_data, Rule(Point.DATA, (reply("452 4.3.1 full"),), nth=2)),
        (_sends_no_mail, None),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
@pytest.mark.parametrize("body", [BodyMode.AUTO, BodyMode.STREAM], ids=lambda one: one.value)
async def test_a_connection_on_which_anything_went_wrong_is_not_used_again(
    mock_clock: MockClock, body: BodyMode, does: Callable[[Guest], Awaitable[None]], rule: Rule | None
) -> None:
    script = _on_the_first() if rule is None else _on_the_first(rule)
    async with stage(script, settings=RelaySettings("mx.example.org", body=body), warm=2) as here:
        guest = await here.enter()
        await guest.says_hello()
        await does(guest)
        with contextlib.suppress(trio.ClosedResourceError):  # It may have left already.
            await guest.client.say(b"QUIT\r\n")
        await here.over(guest)
        assert len(here.pool.warm) == 0
        await until(lambda: bool(here.record.connections[0].ended))
        await _second_mail(here)
        assert here.record.opened == 2


@pytest.mark.parametrize(
    "steps",
    [(Close(),), (Reset(),), (reply("421 4.4.1 idle"), Close()), (reply("250 2.0.0 what"),)],
    ids=["closed", "reset", "said goodbye", "spoke"],
)
@pytest.mark.parametrize("opening", list(OpenMode), ids=lambda one: one.value)
async def test_a_connection_that_ended_or_spoke_meanwhile_costs_no_mail(
    mock_clock: MockClock, opening: OpenMode, steps: tuple[Step, ...]
) -> None:
    rule = Rule(Point.FINAL, (Normal(), Pause(1.0), *steps))
    async with stage(_on_the_first(rule), settings=RelaySettings("mx.example.org", open=opening), warm=2) as here:
        assert (await here.mail()).code == 250
        await here.pass_time(1.0)
        assert len(here.pool.warm) == 1
        await _second_mail(here)
        assert here.record.opened == 2
        assert here.server.open == len(here.pool.warm) == 1


@pytest.mark.parametrize("step", [Close(), Reset()], ids=["closed", "reset"])
@pytest.mark.parametrize("opening", list(OpenMode), ids=lambda one: one.value)
async def test_a_connection_that_ends_between_the_look_and_the_reply_costs_no_mail(
    mock_clock: MockClock, opening: OpenMode, step: Step
) -> None:
    rule = Rule(Point.MAIL, (step,), nth=2)
    async with stage(_on_the_first(rule), settings=RelaySettings("mx.example.org", open=opening), warm=2) as here:
        assert (await here.mail()).code == 250
        await _second_mail(here)
        first, second = here.record.connections
        assert first.verbs[:5] == ["EHLO", "MAIL", "RCPT", "DATA", "MAIL"]
        assert second.verbs == ["EHLO", "MAIL", "RCPT", "DATA"]
        assert not here.journal.of(Event.BACKEND_DOWN)


async def test_the_sweeper_closes_a_connection_that_ended(mock_clock: MockClock) -> None:
    rule = Rule(Point.FINAL, (Normal(), Pause(1.0), Close()))
    async with stage(_on_the_first(rule), warm=2) as here:
        assert (await here.mail()).code == 250
        await here.pass_time(1.0)
        here.pool.tend(trio.current_time())
        assert (here.server.open, len(here.pool.warm)) == (0, 0)


async def test_a_connection_that_nobody_wants_is_closed_with_a_farewell(mock_clock: MockClock) -> None:
    async with stage(warm=2) as here:
        assert (await here.mail()).code == 250
        await here.pass_time(5.0)
        here.pool.tend(trio.current_time())
        await until(lambda: here.record.connections[0].verbs[-1] == "QUIT")
        assert here.server.open == 0


async def test_whoever_waits_in_line_gets_the_connection(mock_clock: MockClock) -> None:
    """Closing it, and making another one, would cost the backend a greeting each time just when it has most to do."""
    async with stage(warm=1, places=1) as here:
        guest, waiter = await here.enter(), await here.enter()
        for one in (guest, waiter):
            await one.says_hello()
        assert await guest.codes(ENVELOPE, 2) == [250, 250]
        await waiter.client.say(ENVELOPE)
        await quiet()
        assert here.pool.waiting == 1
        assert await guest.codes(b"DATA\r\n") == [354]
        assert await guest.codes(LETTER + b".\r\n") == [250]
        await guest.quits()
        assert [one.code for one in await waiter.client.hear(2)] == [250, 250]
        assert here.record.opened == 1
        assert here.record.connections[0].verbs.count("MAIL") == 2


async def test_a_hundred_messages_and_a_new_connection(mock_clock: MockClock) -> None:
    async with stage(warm=1) as here:
        for _ in range(MESSAGES + 1):
            assert (await here.mail()).code == 250
        assert [one.terminators for one in here.record.connections] == [MESSAGES, 1]
