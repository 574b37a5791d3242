"""Whom the kernel is to refuse: clients in the penalty box and those whom a person has blocked, in sets of nftables.

An extra beside the sessions: what is not in the sets is refused by the checks as ever. The sets are replaced as a whole
by what the store has, by whichever worker looks first, one at a time; so nothing that is forgiven, allowed or lost
stays in them, and a firewall that was loaded anew is filled again.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

import trio

from smtproxy.app.assembly import DEFAULT_EXEMPTIONS
from smtproxy.app.config import Config
from smtproxy.app.config.addresses import Address
from smtproxy.network.boundary import Surviving
from smtproxy.network.nftables import Element, NftError, load, replacing
from smtproxy.network.record_lock import RecordLock
from smtproxy.policy.findings import Action
from smtproxy.policy.reputation import BALANCED, ENTRY, PENALTY, entry_of
from smtproxy.session.networks import Network, Networks
from smtproxy.session.records import Event, Journal
from smtproxy.stores.at_hand import AtHand

LOOK: Final = 0.5
"""Seconds between two looks whether something has changed: so long may what a person says take."""
PACE: Final = 10.0
"""Seconds between two times for what was learned: each goes through the whole store (18 ms and more
of 100,000 entries, three times), and starts a program."""
RETRY: Final = 10.0
"""Seconds after a failure."""
REFRESH: Final = 300.0
"""Seconds after which the sets are filled anyhow: somebody may have emptied them."""
DEADLINE: Final = 5.0
"""Seconds that nft may take."""
MOST: Final = 4096
"""Elements: those that stay longest, persons' before learned ones."""
_AT_A_TIME: Final = 256
"""Elements between two turns of the sessions: some 5 ms."""
OCTETS: Final = 24
_NOTHING, _SOON, _NOW = 0.0, 1.0, 2.0
_REFUSES: Final = frozenset({Action.DEFER, Action.REJECT, Action.DROP})


class Pending:
    """What all workers share: how urgent it is, when it was tried last, whether that failed, and whose turn it is."""

    __slots__ = ("_page", "turn")

    def __init__(self, page: memoryview, turn: RecordLock) -> None:
        """`page`: OCTETS octets, zeros at first, that all workers share."""
        self._page = page.cast("d")
        self.turn = turn

    def want(self, *, now: bool) -> None:
        """Have the sets filled, now or soon."""
        self._page[0] = max(self._page[0], _NOW if now else _SOON)

    def is_due(self, now: float) -> bool:
        """Whether it is time to fill them."""
        wanted, tried, failing = self._page
        passed = abs(now - tried)  # a clock that is put back must not stop it
        if failing:
            return passed >= RETRY
        return wanted == _NOW or passed >= (PACE if wanted else REFRESH)

    def begin(self, now: float) -> None:
        """Whatever changes from here on is the matter of the next time."""
        self._page[0], self._page[1] = _NOTHING, now

    def end(self, *, failed: bool) -> None:
        """It is done, or to be tried again."""
        self._page[2] = float(failed)
        if failed:
            self.want(now=True)

    @property
    def failing(self) -> bool:
        """Whether it failed the last time."""
        return bool(self._page[2])


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """Which sets, and who is in them."""

    table: str
    """Family and name."""
    penalties: bool
    """Clients in the penalty box."""
    blocks: bool
    """Whom a person has blocked."""
    spared: tuple[Network, ...] = ()
    """Never in a set, nor any network that has one of their addresses."""
    names: tuple[str, ...] = ()
    """Hosts whose addresses are spared, too."""


def kernel_settings(config: Config) -> KernelSettings | None:
    """Return who is to be refused by the kernel; None: nobody.

    It knows no actions, exemptions and policies: so nobody is who would not be refused by the checks, and nobody for
    whom something else is configured.
    """
    if not config.reputation.nft:
        return None
    checks = config.checks
    hosts = [one.host for backend in config.backends.values() for one in backend.servers if isinstance(one, Address)]
    addresses = {host: address for host in hosts if (address := _network(host)) is not None}
    spared: list[Network] = [
        *DEFAULT_EXEMPTIONS[0].match.clients,
        *addresses.values(),
        *config.quotas.exempt,
        *(one for listener in config.listeners for one in listener.proxy_protocol),
        *(one for block in config.exemptions for one in block.clients),
        *(one for block in config.policy for one in block.clients),
    ]
    return KernelSettings(
        config.reputation.nft,
        checks.reputation.action in _REFUSES,
        checks.blocked.action in _REFUSES,
        tuple(spared),
        tuple(dict.fromkeys(host for host in hosts if host not in addresses)),
    )


class KernelBlocks:
    """The sets, as one worker fills them."""

    def __init__(
        self,
        settings: KernelSettings,
        kept: AtHand,
        pending: Pending,
        journal: Journal,
        clock: Callable[[], float],
        load: Callable[[str], Awaitable[None]] = load,
    ) -> None:
        """`clock`: seconds since 1970; `load` gives an input to nft, see network/nftables.py."""
        self._settings = settings
        self._kept = kept
        self._pending = pending
        self._journal = journal
        self._clock = clock
        self._load = load
        self._named: dict[str, tuple[Network, ...]] = {}
        """The addresses of hosts, as they were last known."""

    def learned(self) -> None:
        """A client has gone to the penalty box."""
        self._pending.want(now=False)

    def said(self) -> None:
        """A person has set or lifted something."""
        self._pending.want(now=True)

    async def run(self, *, first: bool) -> None:
        """Fill the sets whenever something has changed; `first`: at once, whatever another generation has done."""
        if first:
            self.said()
        while True:
            with Surviving(self._journal, "nft"):
                await self._look()
            await trio.sleep(LOOK)

    async def _look(self) -> None:
        pending = self._pending
        if not pending.is_due(self._clock()) or not pending.turn.take():
            return
        try:
            if pending.is_due(self._clock()):  # another worker may have done it since
                await self._fill()
        finally:
            pending.turn.give()

    async def _fill(self) -> None:
        pending, failed = self._pending, True
        pending.begin(self._clock())
        try:
            await self._find_hosts()
            with trio.fail_after(DEADLINE):
                await self._load(replacing(self._settings.table, await self.elements()))
            failed = False
        except (NftError, trio.TooSlowError) as error:
            if not pending.failing:
                reason = str(error) if isinstance(error, NftError) else f"no end within {DEADLINE:g} s"
                self._journal.record(Event.NFT_FAILED, {"table": self._settings.table, "reason": reason})
        finally:
            pending.end(failed=failed)

    async def _find_hosts(self) -> None:
        """Look up the hosts that are given by name; one that cannot be found keeps its addresses."""
        for host in self._settings.names:
            with trio.move_on_after(DEADLINE):
                try:
                    found = await trio.socket.getaddrinfo(host, None)
                except OSError:
                    continue
                self._named[host] = tuple(dict.fromkeys(ip_network(str(one[4][0]).partition("%")[0]) for one in found))

    async def elements(self) -> list[Element]:
        """Return what is to be in the sets now: no two of them overlap.

        Of two that do the larger network stays, even where it ends sooner: until the sets are filled again, the checks
        refuse what was in the other. Sessions have their turns meanwhile: what they change is for the next time.
        """
        settings, entries = self._settings, self._kept.scan(ENTRY)
        await trio.lowlevel.checkpoint()
        by_word: dict[str, list[tuple[str, float]]] = {"block": [], "allow": []}
        for name, one in entries:
            by_word.setdefault(entry_of(one.text).word, []).append((name, one.expires))
        learned: list[tuple[str, float]] = []
        if settings.penalties:
            balanced = {name for name, _ in self._kept.scan(BALANCED)}
            await trio.lowlevel.checkpoint()
            learned = [(name, one.expires) for name, one in self._kept.scan(PENALTY) if name not in balanced]
        blocked = by_word["block"] if settings.blocks else []
        allowed = [network for name, _ in by_word["allow"] if (network := _network(name)) is not None]
        spared = Networks(
            *map(str, (*settings.spared, *allowed, *(one for found in self._named.values() for one in found)))
        )
        now, found = self._clock(), []
        for at, (name, expires) in enumerate([*_longest(blocked), *_longest(learned)], 1):
            if at % _AT_A_TIME == 0:
                await trio.lowlevel.checkpoint()
            network = _network(name)
            if network is not None and not spared.overlap(network):
                found.append(Element(network, max(round(expires - now), 1)))
            if len(found) == MOST:
                break
        return list(_apart(found))

    async def of(self, key: str) -> str:
        """Say, for people, whether the kernel refuses an address or a network; empty: it does not."""
        network = _network(key)
        if network is None or not any(_holds(one.network, network) for one in await self.elements()):
            return ""
        return f"refused by the kernel, too: {self._where()}"

    async def words(self) -> str:
        """Say, for people, how many the kernel refuses."""
        return f"{len(await self.elements())} addresses and networks refused by the kernel, too: {self._where()}"

    def _where(self) -> str:
        failing = ", which cannot be filled now: see nft_failed in the log" if self._pending.failing else ""
        return f"table {self._settings.table} of nftables{failing}"


def _network(name: str) -> Network | None:
    """Read the name under which something is kept; None: it is no address and no network."""
    try:
        return ip_network(name) if "/" in name else ip_network(ip_address(name))
    except ValueError:
        return None


def _longest(found: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    return sorted(found, key=lambda one: one[1], reverse=True)


def _apart(elements: Iterable[Element]) -> Iterator[Element]:
    """Leave out what is in a larger one."""
    last: Network | None = None
    for one in sorted(elements, key=lambda one: (one.network.version, one.network)):
        if last is None or not _holds(last, one.network):
            last = one.network
            yield one


def _holds(larger: Network, network: Network) -> bool:
    return (
        larger.version == network.version
        and larger.network_address <= network.network_address  # type: ignore[operator] # of the same version
        and network.broadcast_address <= larger.broadcast_address  # type: ignore[operator]
    )
