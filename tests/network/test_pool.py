"""The pool: who gets a place where, who waits, who is asked to give one back, and how servers are judged."""

import contextlib
import select
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from smtproxy.network.ceiling import Ceiling, Ceilings, quieten
from smtproxy.network.link import Link
from smtproxy.network.pool import FIRST_PAUSE, RECALL_AFTER, Place, Pool, Server, Sighting, Waiter, resolve
from smtproxy.network.record_lock import LockFile
from smtproxy.network.sockets import Endpoint
from smtproxy.network.warm import WarmConnections
from smtproxy.session.events import BackendFailed
from smtproxy.session.records import Event
from smtproxy.session.upstream import Upstream
from smtproxy.wire.ehlo import Capabilities
from tests.fakes.journal import FakeJournal

NOBODY = frozenset[str]()
FIRST, SECOND = Endpoint("192.0.2.1", 25), Endpoint("192.0.2.2", 25)


@dataclass(slots=True)
class Holder:
    """A session, as far as the pool knows it."""

    name: str = ""
    recallable_since: float | None = None
    streaming: bool = False
    good: bool = False
    recalled: int = 0

    def recall(self) -> None:
        """Count."""
        self.recalled += 1


@dataclass(slots=True)
class Ground:
    """A pool, its log, and the far ends of its warm connections."""

    pool: Pool
    journal: FakeJournal
    places: list[Place] = field(default_factory=list)
    waiters: list[Waiter] = field(default_factory=list)
    peers: list[socket.socket] = field(default_factory=list)

    @property
    def first(self) -> Server:
        """The first server."""
        return self.pool.servers[0]

    @property
    def second(self) -> Server:
        """The second server."""
        return self.pool.servers[1]

    def place(self, tried: frozenset[str] = NOBODY, holder: Holder | None = None, *, fresh: bool = False) -> Place:
        """Take a place; there has to be one."""
        got = self.pool.take(tried, holder or Holder(), fresh=fresh)
        assert isinstance(got, Place)
        self.places.append(got)
        return got

    def waiter(self, tried: frozenset[str] = NOBODY, holder: Holder | None = None) -> Waiter:
        """Ask for a place where none is to be had."""
        got = self.pool.take(tried, holder or Holder())
        assert isinstance(got, Waiter)
        self.waiters.append(got)
        return got

    def keep(self, place: Place) -> bool:
        """Keep a connection warm at this place; where that fails, close it and give the place back, as sessions do."""
        link = self._connected() if place.warm is None else place.warm.link
        if self.pool.keep(place, link, Upstream(place.server.name, "mx.example.org")):
            self.places = [one for one in self.places if one is not place]
            return True
        link.close()
        self.pool.give_back(place)
        return False

    def _connected(self) -> Link:
        ours, peer = socket.socketpair()
        ours.setblocking(False)
        self.peers.append(peer)
        return Link(ours)


@contextlib.asynccontextmanager
async def ground(
    *endpoints: Endpoint,
    places: int = 2,
    warm: int = 0,
    weights: tuple[int, ...] = (),
    ceiling: Callable[[str], Ceiling] | None = None,
) -> AsyncIterator[Ground]:
    """A pool of servers, by default one; when all is given back at the end, no place may be missing."""
    journal = FakeJournal()
    pool = Pool("exchange", endpoints or (FIRST,), places, 1000, journal, WarmConnections(warm, 5.0), ceiling=ceiling)
    pool.share(weights)
    here = Ground(pool, journal)
    try:
        yield here
    finally:
        for waiter in here.waiters:
            pool.leave_line(waiter)
        for place in here.places:
            pool.give_back(place)
        pool.warm.clear()
        for peer in here.peers:
            peer.close()
    assert (pool.waiting, [server.open for server in pool.servers]) == (0, [0] * len(pool.servers))
    assert pool._holders == {}


# Places


async def test_servers_are_taken_in_their_order(mock_clock: MockClock) -> None:
    async with ground(FIRST, SECOND) as here:
        names = [here.place().server.endpoint for _ in range(4)]
        assert names == [FIRST, FIRST, SECOND, SECOND]


async def test_servers_that_are_down_come_last(mock_clock: MockClock) -> None:
    async with ground(FIRST, SECOND) as here:
        here.pool.failed(here.first, "refused")
        assert [here.place().server.endpoint for _ in range(4)] == [SECOND, SECOND, FIRST, FIRST]


def _taken(here: Ground, number: int) -> str:
    """Take places one after the other, each given back at once; -> which server each was at."""
    taken = []
    for _ in range(number):
        place = here.place()
        taken.append("a" if place.server is here.first else "b")
        here.pool.give_back(place)
    return "".join(taken)


@pytest.mark.parametrize(
    ("weights", "taken"),
    [((1, 1), "abababababab"), ((3, 1), "abaaabaaabaa"), ((1, 2), "abbabbabbabb"), ((), "aaaaaaaaaaaa")],
)
async def test_servers_have_their_shares(mock_clock: MockClock, weights: tuple[int, ...], taken: str) -> None:
    async with ground(FIRST, SECOND, weights=weights) as here:
        assert _taken(here, 12) == taken


async def test_the_share_of_a_server_that_is_down_goes_to_the_others_and_is_not_made_up_for(
    mock_clock: MockClock,
) -> None:
    async with ground(FIRST, SECOND, weights=(1, 1)) as here:
        here.pool.failed(here.first, "refused")
        assert _taken(here, 8) == "b" * 8
        here.pool.reached(here.first, Capabilities(()), "")
        assert sorted(_taken(here, 8)) == sorted("abababab")


async def test_the_share_of_a_server_that_is_full_is_hardly_made_up_for(
    mock_clock: MockClock,
) -> None:
    async with ground(FIRST, SECOND, places=9, weights=(1, 1)) as here:
        probes = [here.pool.take_for_probe(here.first) for _ in range(9)]
        assert [here.place().server is here.first for _ in range(8)] == [False] * 8
        for probe in probes:
            assert probe is not None
            here.pool.give_back(probe)
        assert _taken(here, 6) == "aaabab"


async def test_warm_connections_are_part_of_a_share(mock_clock: MockClock) -> None:
    async with ground(FIRST, SECOND, warm=2, weights=(1, 1)) as here:
        for _ in range(2):
            assert here.keep(here.place())
        taken = []
        for _ in range(4):
            place = here.place()
            assert place.warm is not None
            taken.append("a" if place.server is here.first else "b")
            assert here.keep(place)
        assert "".join(taken) == "abab"


async def test_a_probe_takes_nobodys_share(mock_clock: MockClock) -> None:
    async with ground(FIRST, SECOND, weights=(1, 1)) as here:
        for _ in range(3):
            place = here.pool.take_for_probe(here.first)
            assert place is not None
            here.pool.give_back(place)
        assert _taken(here, 4) == "abab"


async def test_servers_tried_already_are_not_given_again(mock_clock: MockClock) -> None:
    async with ground(FIRST, SECOND) as here:
        assert here.place(frozenset({str(FIRST)})).server.endpoint == SECOND
        assert here.pool.take(frozenset({str(FIRST), str(SECOND)}), Holder()) == BackendFailed("none")


async def test_never_more_than_max_connections_probes_included(mock_clock: MockClock) -> None:
    async with ground(places=3) as here:
        here.place()
        probe = here.pool.take_for_probe(here.first)
        assert probe is not None
        here.place()
        assert here.pool.take_for_probe(here.first) is None
        waiter = here.waiter()
        assert here.first.open == 3
        here.pool.give_back(probe)
        assert waiter.place is not None
        assert here.first.open == 3


async def test_a_place_is_given_back_once(mock_clock: MockClock) -> None:
    async with ground() as here:
        place, _ = here.place(), here.place()
        here.pool.give_back(place)
        here.pool.give_back(place)
        assert here.first.open == 1


# The line


async def test_first_come_first_served(mock_clock: MockClock) -> None:
    async with ground(places=1) as here:
        place = here.place()
        waiters = [here.waiter() for _ in range(3)]
        for number, waiter in enumerate(waiters):
            assert [one.arrived.is_set() for one in waiters] == [True] * number + [False] * (3 - number)
            here.pool.give_back(place)
            assert waiter.place is not None
            place = waiter.place
        assert here.pool.waiting == 0


async def test_who_comes_later_does_not_overtake_the_line(mock_clock: MockClock) -> None:
    async with ground(places=1) as here:
        place = here.place()
        first = here.waiter()
        later = here.waiter()
        here.pool.give_back(place)
        assert first.place is not None
        assert later.place is None


async def test_a_rush_of_strangers_leaves_places_for_senders_with_a_good_record(mock_clock: MockClock) -> None:
    async with ground(places=8) as here:
        here.pool.reserve(0.25)
        places = [here.place() for _ in range(6)]
        strangers = [here.waiter() for _ in range(2)]
        known = here.place(holder=Holder(good=True))
        assert here.first.open == 7
        here.place(holder=Holder(good=True))
        late = here.waiter(holder=Holder(good=True))
        here.pool.give_back(places[0])
        assert late.place is not None, "strangers in line hold up a sender with a good record"
        here.pool.give_back(places[1])
        assert [one.place is None for one in strangers] == [True, True], "strangers have places that are kept"
        for one in (known, places[2]):
            here.pool.give_back(one)
        assert [one.place is None for one in strangers] == [False, True]


async def test_places_that_are_not_kept_go_to_whoever_came_first(mock_clock: MockClock) -> None:
    async with ground(places=4) as here:
        here.pool.reserve(0.2)
        places = [here.place() for _ in range(4)]
        stranger = here.waiter()
        known = here.waiter(holder=Holder(good=True))
        here.pool.give_back(places[0])
        assert [stranger.arrived.is_set(), known.arrived.is_set()] == [True, False]


async def test_a_warm_connection_does_not_hand_on_a_place_that_is_kept(mock_clock: MockClock) -> None:
    async with ground(places=4, warm=4) as here:
        here.pool.reserve(0.25)
        first, *_ = [here.place() for _ in range(3)]
        stranger = here.waiter()
        kept = here.place(holder=Holder(good=True))
        assert not here.keep(kept), "its place is one of those that are kept, and a stranger would get it"
        assert not stranger.arrived.is_set()
        assert here.keep(first)
        assert stranger.place is not None
        assert stranger.place.warm is not None
        last = here.place(holder=Holder(good=True))
        assert not here.keep(last)
        assert here.first.open == 3


async def test_whether_somebody_is_known_is_asked_only_where_places_are_short(mock_clock: MockClock) -> None:
    class Curious:
        recallable_since = None
        streaming = False
        asked = 0

        @property
        def good(self) -> bool:
            self.asked += 1
            return False

        def recall(self) -> None:
            raise AssertionError

    async with ground(places=4) as here:
        here.pool.reserve(0.25)
        holder = Curious()
        for _ in range(3):
            got = here.pool.take(NOBODY, holder)
            assert isinstance(got, Place)
            here.places.append(got)
        assert holder.asked == 0
        got = here.pool.take(NOBODY, holder)
        assert isinstance(got, Waiter)
        here.waiters.append(got)
        assert holder.asked > 0


async def test_the_line_for_one_server_holds_up_nobody_at_another(mock_clock: MockClock) -> None:
    """Who tried the first server in vain waits for the second; the first one has room for everybody else."""
    async with ground(FIRST, SECOND, places=1) as here:
        tried = frozenset({str(FIRST)})
        here.place(tried)
        waiter = here.waiter(tried)
        assert here.place().server is here.first
        assert waiter.place is None


async def test_a_place_goes_to_the_first_who_can_use_it(mock_clock: MockClock) -> None:
    async with ground(FIRST, SECOND, places=1) as here:
        place, _ = here.place(), here.place()
        picky = here.waiter(frozenset({str(FIRST)}))
        other = here.waiter()
        here.pool.give_back(place)
        assert picky.place is None
        assert other.place is not None
        assert other.place.server is here.first


async def test_leaving_the_line(mock_clock: MockClock) -> None:
    async with ground(places=1) as here:
        place = here.place()
        gone, next_one = here.waiter(), here.waiter()
        here.pool.leave_line(gone)
        assert here.pool.waiting == 1
        here.pool.give_back(place)
        assert gone.place is None
        assert next_one.place is not None


async def test_leaving_the_line_with_a_place_that_came_too_late_passes_it_on(mock_clock: MockClock) -> None:
    async with ground(places=1) as here:
        place = here.place()
        gone, next_one = here.waiter(), here.waiter()
        here.pool.give_back(place)
        assert gone.place is not None
        here.pool.leave_line(gone)
        assert next_one.place is not None
        assert here.first.open == 1


# Recall


async def test_the_longest_idle_holders_are_asked_as_many_as_wait(mock_clock: MockClock) -> None:
    async with ground(places=4) as here:
        mock_clock.jump(100.0)
        now = trio.current_time()
        busy = Holder("busy")
        short = Holder("short", recallable_since=now - RECALL_AFTER / 2)
        long = Holder("long", recallable_since=now - 50.0)
        longest = Holder("longest", recallable_since=now - 60.0)
        for holder in (busy, short, long, longest):
            here.place(holder=holder)
        here.pool.press(now)
        assert [one.recalled for one in (busy, short, long, longest)] == [0, 0, 0, 0]
        here.waiter()
        assert [one.recalled for one in (busy, short, long, longest)] == [0, 0, 0, 1]
        here.waiter()
        here.pool.press(now + RECALL_AFTER)
        assert [one.recalled for one in (busy, short, long, longest)] == [0, 0, 2, 3]


async def test_slow_streams_are_asked_while_others_wait(mock_clock: MockClock) -> None:
    async with ground(places=1) as here:
        streaming = Holder(streaming=True)
        here.place(holder=streaming)
        here.pool.press(trio.current_time())
        assert streaming.recalled == 0
        waiter = here.waiter()
        assert streaming.recalled == 1
        here.pool.leave_line(waiter)
        here.pool.press(trio.current_time())
        assert streaming.recalled == 1


async def test_a_probe_is_not_asked_for_its_place(mock_clock: MockClock) -> None:
    async with ground(places=1) as here:
        probe = here.pool.take_for_probe(here.first)
        assert probe is not None
        waiter = here.waiter()
        here.pool.press(trio.current_time() + 100.0)
        here.pool.give_back(probe)
        assert waiter.place is not None


# Warm connections


async def test_a_warm_connection_goes_to_the_next_session_and_keeps_its_place(mock_clock: MockClock) -> None:
    async with ground(warm=2) as here:
        place = here.place()
        assert here.keep(place)
        assert (here.first.open, len(here.pool.warm)) == (1, 1)
        again = here.place()
        assert again.warm is not None
        assert (here.first.open, len(here.pool.warm)) == (1, 0)
        assert here.keep(again)
        assert here.first.open == 1


async def test_a_fresh_connection_was_asked_for(mock_clock: MockClock) -> None:
    async with ground(warm=2) as here:
        assert here.keep(here.place())
        assert here.place(fresh=True).warm is None
        assert here.first.open == 2


@pytest.mark.parametrize("why", ["down", "lowered", "too many"])
async def test_no_connection_is_kept_that_is_in_the_way(mock_clock: MockClock, why: str) -> None:
    async with ground(places=2, warm=1) as here:
        place, other = here.place(), here.place()
        if why == "down":
            here.first.down = True
        elif why == "lowered":
            here.first.places.change(1)
        else:
            assert here.keep(other)
        assert not here.keep(place)
        assert here.first.open == 1


async def test_the_first_in_line_gets_the_connection_that_is_free(mock_clock: MockClock) -> None:
    async with ground(places=1, warm=1) as here:
        place = here.place()
        first, second = here.waiter(), here.waiter()
        assert here.keep(place)
        assert first.place is not None
        assert first.place.warm is not None
        assert (second.place, here.first.open, here.pool.waiting) == (None, 1, 1)
        here.pool.leave_line(first)  # too late: it goes, and its place to the next one
        assert second.place is not None
        assert second.place.warm is None
        assert first.place.warm.link.sock.fileno() == -1
        here.waiters.remove(first)


@pytest.mark.parametrize(("warm", "fresh"), [(0, False), (1, True)])
async def test_nobody_in_line_gets_one_who_must_not(mock_clock: MockClock, warm: int, fresh: bool) -> None:
    async with ground(places=1, warm=warm) as here:
        place = here.place()
        waiter = here.pool.take(NOBODY, Holder(), fresh=fresh)
        assert isinstance(waiter, Waiter)
        here.waiters.append(waiter)
        assert not here.keep(place)
        assert waiter.place is not None
        assert waiter.place.warm is None


async def test_a_warm_connection_makes_room_for_a_new_one(mock_clock: MockClock) -> None:
    async with ground(places=1, warm=1) as here:
        assert here.keep(here.place())
        place = here.place(fresh=True)
        assert place.warm is None
        assert (here.first.open, len(here.pool.warm)) == (1, 0)


async def test_a_warm_connection_makes_room_for_a_probe(mock_clock: MockClock) -> None:
    async with ground(places=1, warm=1) as here:
        assert here.keep(here.place())
        probe = here.pool.take_for_probe(here.first)
        assert probe is not None
        assert (here.first.open, len(here.pool.warm)) == (1, 0)
        here.pool.give_back(probe)


async def test_a_server_that_goes_down_loses_its_warm_connections(mock_clock: MockClock) -> None:
    async with ground(places=2, warm=2) as here:
        for place in (here.place(), here.place()):
            assert here.keep(place)
        here.pool.failed(here.first, "refused")
        assert (here.first.open, len(here.pool.warm)) == (0, 0)


async def test_warm_connections_age(mock_clock: MockClock) -> None:
    async with ground(warm=1) as here:
        assert here.keep(here.place())
        here.pool.tend(trio.current_time() + 4.9)
        assert here.first.open == 1
        here.pool.tend(trio.current_time() + 5.0)
        assert here.first.open == 0


# Full and down


async def test_full_lowers_the_ceiling_to_what_is_open(mock_clock: MockClock) -> None:
    async with ground(places=16) as here:
        for _ in range(5):
            here.place()
        refused = here.place()
        here.pool.failed(here.first, "full", "421 4.3.2 too many")
        here.pool.give_back(refused)
        assert (here.first.ceiling, here.first.down) == (5, False)
        assert here.journal.one(Event.BACKEND_FULL) == {
            "backend": "exchange",
            "server": "192.0.2.1:25",
            "ceiling": 5,
            "reply": "421 4.3.2 too many",
        }
        here.waiter()


async def test_full_is_down_when_nothing_of_ours_is_open(mock_clock: MockClock) -> None:
    async with ground() as here:
        here.place()
        here.pool.failed(here.first, "full", "421 4.3.2 too many")
        assert (here.first.ceiling, here.first.down) == (2, True)
        assert here.journal.one(Event.BACKEND_DOWN)["reply"] == "421 4.3.2 too many"


async def test_a_lowered_ceiling_is_raised_slowly_and_serves_the_line(mock_clock: MockClock) -> None:
    async with ground(places=4) as here:
        for _ in range(2):
            here.place()
        refused = here.place()
        here.pool.failed(here.first, "full")
        here.pool.give_back(refused)
        waiters = [here.waiter() for _ in range(3)]
        served = [[one.place is not None for one in waiters]]
        for second in range(1, 60):
            here.pool.tend(float(second))
            now = [one.place is not None for one in waiters]
            if now != served[-1]:
                served.append(now)
        assert served == [[False] * 3, [True, False, False], [True, True, False]]
        assert here.first.ceiling == 4
        changes = [(line["before"], line["ceiling"], line["because"]) for line in here.journal.of(Event.BACKEND_PACE)]
        assert changes == [(2, 3, "room"), (3, 4, "room")]


MESSAGE = {"server": str(FIRST), "by": "backend", "backend_reply": "250 OK", "recipients": (), "commit_time": 0.1}


async def test_a_server_that_has_too_much_to_do_gets_half(mock_clock: MockClock) -> None:
    async with ground(places=8) as here:
        for _ in range(8):
            here.place()
        here.pool.tend(1.0)
        here.pool.heard(MESSAGE | {"backend_reply": "452 4.3.1 Insufficient system resources"})
        here.pool.heard(MESSAGE | {"server": "elsewhere:25", "backend_reply": "452 4.3.1 no"})
        here.pool.tend(2.0)
        assert here.first.ceiling == 4
        line = here.journal.one(Event.BACKEND_PACE)
        assert (line["before"], line["ceiling"], line["because"], line["pace"]) == (8, 4, "strained", None)


async def test_its_pace_is_learned_from_the_answers_to_the_final_dot(mock_clock: MockClock) -> None:
    async with ground(places=8) as here:
        here.pool.tend(1.0)
        for number in range(100):
            here.pool.heard(MESSAGE | ({"by": "policy"} if number % 2 else {}))
        here.pool.tend(2.5)
        assert here.first.admission.usual == pytest.approx(0.1)
        assert here.journal.of(Event.BACKEND_PACE) == []


async def test_down_is_told_once_with_its_reason_and_wakes_the_probe(mock_clock: MockClock) -> None:
    async with ground() as here:
        assert not here.first.trouble.is_set()
        here.pool.failed(here.first, "Connection refused")
        here.pool.failed(here.first, "timeout")
        assert here.first.trouble.is_set()
        assert here.journal.one(Event.BACKEND_DOWN) == {
            "backend": "exchange",
            "server": "192.0.2.1:25",
            "reason": "Connection refused",
            "reply": "",
            "retry": FIRST_PAUSE,
        }


async def test_reached_again(mock_clock: MockClock) -> None:
    async with ground(FIRST, SECOND) as here:
        can = Capabilities((("SIZE", "5000"), ("8BITMIME", ""), ("PIPELINING", "")))
        here.pool.failed(here.first, "refused")
        here.first.pause = 60.0
        here.pool.reached(here.first, can, "ESMTP ready")
        assert (here.first.down, here.first.pause) == (False, FIRST_PAUSE)
        assert here.journal.one(Event.BACKEND_UP) == {
            "backend": "exchange",
            "server": "192.0.2.1:25",
            "keywords": ["SIZE", "8BITMIME", "PIPELINING"],
            "banner": "ESMTP ready",
            "tls": None,
        }
        here.pool.reached(here.first, can, "ESMTP ready")
        assert len(here.journal.of(Event.BACKEND_UP)) == 1


async def test_what_is_offered_is_what_all_servers_can(mock_clock: MockClock) -> None:
    async with ground(FIRST, SECOND) as here:
        offered = [here.pool.offered]
        for server, keywords in (
            (here.first, (("SIZE", "5000"), ("8BITMIME", ""), ("DSN", ""))),
            (here.second, (("SIZE", "500"), ("8BITMIME", ""))),
        ):
            here.pool.reached(server, Capabilities(keywords), "")
            offered.append(here.pool.offered)
        assert [one and (one.size, one.has("DSN"), one.has("8BITMIME")) for one in offered] == [
            None,
            (1000, True, True),
            (500, False, True),
        ]


async def test_clients_are_promised_something_as_long_as_one_server_is_not_lost(mock_clock: MockClock) -> None:
    """One session's failure is no reason to turn clients away: only the probes of all servers are."""
    async with ground(FIRST, SECOND) as here:
        can = Capabilities((("SIZE", "500"),))
        promised = [here.pool.promised]
        for server in here.pool.servers:
            here.pool.reached(server, can, "")
            here.pool.failed(server, "refused")
        promised.append(here.pool.promised)
        for server in here.pool.servers:
            server.lost = True
            promised.append(here.pool.promised)
        here.pool.reached(here.first, can, "")
        promised.append(here.pool.promised)
        assert [one is not None for one in promised] == [False, True, True, False, True]


async def test_what_others_have_seen_is_promised_until_a_probe_knows_better(mock_clock: MockClock) -> None:
    async with ground(FIRST, SECOND, places=1) as here:
        here.pool.begin_with({})
        assert (here.pool.promised, here.first.sighting) == (None, None)
        seen = Sighting(Capabilities((("SIZE", "500"), ("DSN", ""))), extended=False, address=(2, ("127.0.0.1", 25)))
        here.pool.begin_with({here.first.name: seen})
        offered = here.pool.offered
        assert offered is not None
        assert (offered.size, offered.has("DSN"), here.pool.promised) == (500, True, offered)
        assert (here.first.sighting, here.second.sighting) == (seen, None)
        # Its first probe need not wait for a place.
        here.place()
        assert here.pool.take_for_probe(here.first) is None
        assert here.first.asked_at == 0.0
        here.pool.reached(here.first, Capabilities((("SIZE", "400"),)), "")
        assert here.pool.offered == Capabilities((("SIZE", "400"), ("PIPELINING", ""), ("CHUNKING", "")))


async def test_addresses_need_no_look_up() -> None:
    assert await resolve(Endpoint("127.0.0.1", 25)) == (socket.AF_INET, ("127.0.0.1", 25))
    assert await resolve(Endpoint("::1", 2525)) == (socket.AF_INET6, ("::1", 2525))


# Several workers


@dataclass(slots=True)
class Two:
    """The pools of two workers that share their ceilings."""

    one: Ground
    other: Ground
    ceilings: Ceilings

    def rung(self, row: int) -> bool:
        """Whether the bell of a worker rang, which is quiet again then."""
        rings = bool(select.select([self.ceilings.bell(row)], [], [], 0)[0])
        quieten(self.ceilings.bell(row))
        return rings


@contextlib.asynccontextmanager
async def two_workers(places: int = 1, warm: int = 0) -> AsyncIterator[Two]:
    """Two pools of the same server, which has so many places for both together."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock)
    clock.jump(1.0)  # Who has waited since 0.0 waits for nothing; no real clock begins there.
    ceilings = Ceilings(2, LockFile())
    ceilings.allow("exchange", str(FIRST), places)

    def ceiling(row: int, server: str) -> Ceiling:
        page = ceilings.page("exchange", server)
        assert page is not None
        return Ceiling(page, row)

    async with (
        ground(places=places, warm=warm, ceiling=partial(ceiling, 0)) as one,
        ground(places=places, warm=warm, ceiling=partial(ceiling, 1)) as other,
    ):
        yield Two(one, other, ceilings)
    ceilings.close()


async def test_a_place_that_another_worker_gave_back_comes_with_the_bell(mock_clock: MockClock) -> None:
    async with two_workers() as both:
        place = both.one.place()
        waiter = both.other.waiter()
        assert not waiter.arrived.is_set()
        assert not both.rung(1)
        both.one.pool.give_back(place)
        assert both.rung(1)
        both.other.pool.hear_bell()
        assert waiter.place is not None
        assert (both.one.first.open, both.other.first.open) == (0, 1)


async def test_who_waits_in_another_worker_is_worth_a_warm_connection(mock_clock: MockClock) -> None:
    async with two_workers(warm=1) as both:
        assert both.one.keep(both.one.place())
        waiter = both.other.waiter()
        assert both.rung(0)
        both.one.pool.hear_bell()
        assert len(both.one.pool.warm) == 0
        both.other.pool.hear_bell()
        assert waiter.place is not None


async def test_who_waits_in_another_worker_keeps_this_one_from_keeping_connections_warm(mock_clock: MockClock) -> None:
    async with two_workers(warm=1) as both:
        place = both.one.place()
        both.other.waiter()
        assert not both.one.keep(place)


async def test_who_waits_in_another_worker_gets_idle_places_back(mock_clock: MockClock) -> None:
    async with two_workers() as both:
        idle = Holder(recallable_since=trio.current_time())
        both.one.place(holder=idle)
        both.other.waiter()
        both.one.pool.hear_bell()
        assert idle.recalled == 0
        mock_clock.jump(RECALL_AFTER)
        both.one.pool.hear_bell()
        assert idle.recalled == 1


async def test_a_bell_without_a_reason_changes_nothing(mock_clock: MockClock) -> None:
    async with two_workers(warm=1) as both:
        assert both.one.keep(both.one.place())
        both.one.pool.hear_bell()
        assert len(both.one.pool.warm) == 1
