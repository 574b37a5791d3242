"""From the configuration to what is asked outside: the resolver's settings, and the lookups."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from smtproxy.app.assembly import rate_limits
from smtproxy.app.config import Config
from smtproxy.app.config.lists import AUTO, DnsListTable
from smtproxy.lookups import hello_name, reputation, reverse_name, sender_domain
from smtproxy.lookups.answer_filter import EVERY_ANSWER
from smtproxy.lookups.fuse import ADDRESSES, DOMAINS, Points
from smtproxy.lookups.listings import DnsList, Subject, listings
from smtproxy.lookups.recent import Recent, recent
from smtproxy.lookups.recipients.callout import CalloutSource
from smtproxy.lookups.recipients.combined import Recipients, Scope
from smtproxy.lookups.recipients.directory import LdapDirectory
from smtproxy.lookups.recipients.file import FileSource
from smtproxy.lookups.recipients.ldap import LdapSource
from smtproxy.lookups.recipients.learned import LearnedSource
from smtproxy.lookups.recipients.source import Source
from smtproxy.network.callout import Callouts
from smtproxy.network.dns.resolver import AtHand, BudgetedResolver, CachingResolver, DnsSettings
from smtproxy.network.dns.servers import system_servers
from smtproxy.network.gathering import Sources
from smtproxy.network.inquiry import AnyLookup, Inquiry
from smtproxy.network.pool import Pool
from smtproxy.network.sockets import Endpoint
from smtproxy.policy.acquaintances import Acquaintances
from smtproxy.policy.governor import Governor, GovernorSettings
from smtproxy.policy.greylist import GreylistMemory
from smtproxy.policy.judge import Policy
from smtproxy.policy.remembering import Forgetful
from smtproxy.policy.reputation import Reputations
from smtproxy.policy.results import results_field
from smtproxy.session.memory import Memory
from smtproxy.session.records import Journal
from smtproxy.stores.at_hand import AtHand as AtHandOfStore
from smtproxy.stores.store import Store

if TYPE_CHECKING:
    from smtproxy.lookups.greylist import Greylisted
    from smtproxy.lookups.rate_limits import RateLimits


def dns_settings(config: Config) -> DnsSettings:
    """Return how the DNS is asked. Reads resolv.conf where the configuration names no server."""
    table = config.dns
    return DnsSettings(
        tuple(Endpoint(one.host, one.port) for one in table.servers) or system_servers(),
        table.timeout,
        table.attempt,
        table.concurrent,
        table.per_lookup,
        table.cache_entries,
        table.cache_memory,
        table.longest_ttl,
        table.longest_negative_ttl,
    )


def asks(policies: Sequence[Policy]) -> bool:
    """Whether any session may need facts."""
    return any(policy.wanted("") for policy in policies)


def hosting(policies: Sequence[Policy]) -> AbstractAsyncContextManager[None]:
    """Return what must surround everything that may start a lookup: a host for SPF's evaluator, which is asyncio's.

    Its modules are loaded only where something is looked up at all.
    """
    if not asks(policies):
        return nullcontext()
    from smtproxy.lookups import spf  # noqa: PLC0415 - it patches asyncio, and costs memory

    return spf.hosting()


def recipients(config: Config, journal: Journal, state: Path | None, pools: Mapping[str, Pool] = {}) -> Recipients:
    """Return the sources of recipients of a process. They know nothing before they were started.

    `state`: the directory for what survives a restart; None: they neither read nor write it. `pools`: of the backends,
    for call-outs; without them no backend is asked.
    """
    table = config.recipients
    domains = {domain for listener in config.listeners for domain in listener.domains}
    ours = None if "*" in domains else frozenset(domains)
    scope = Scope(ours, frozenset(table.catch_all))
    made: list[Source] = []
    for one in table.sources:
        if one.kind == "file":
            made.append(FileSource(one.settings, table.spelling, journal, _now))
        elif one.kind == "learned":
            made.append(LearnedSource(one.settings, table.spelling, _now))
        elif one.kind == "callout":
            pool = pools.get(one.backend)
            asking = None if pool is None else callouts(config, pool, journal, one.connections)
            made.append(CalloutSource(one.settings, journal, _now, asking))
        else:
            settings = one.settings(state, ours)
            made.append(LdapSource(settings, table.spelling, journal, _now, LdapDirectory(one.directory)))
    return Recipients(made, table.spelling, scope)


def callouts(config: Config, pool: Pool, journal: Journal, connections: int) -> Callouts:
    """Return the connections for call-outs to a backend."""
    return Callouts(pool, config.server.hostname, config.bounds, journal, connections)


def _now() -> float:
    return time.time_ns() / 1e9


def sources(
    config: Config,
    policies: Sequence[Policy],
    nursery: trio.Nursery,
    journal: Journal,
    *more: AnyLookup,
    heard: Callable[[Mapping[str, object]], None] | None = None,
    workers: int = 1,
    remembering: AtHandOfStore | None = None,
    limits: "RateLimits | None" = None,
) -> Sources:
    """Return where the sessions of a worker get their facts from; `more`: lookups that have a state of their own.

    `heard` is told the fields of each `message` line; the workers share what memory there is for messages;
    `remembering` keeps what is learned of senders, None: nothing does; `limits` are taken from, None: what is judged
    here counts for nobody.
    """
    resolver = CachingResolver(dns_settings(config), nursery, journal)
    offset = time.time_ns() / 1e9 - trio.current_time()
    table = config.governor
    governor = Governor(GovernorSettings(table.window, float(table.factor), table.refusals, table.good))
    kept = remembering or Forgetful()
    acquaintances, reputations = Acquaintances(kept), Reputations(kept, config.reputation.settings)
    found: tuple[AnyLookup, ...] = ()
    greylist = None
    if asks(policies):
        greylist = _greylist(config, remembering, acquaintances)
        known = (*reputation.lookups(reputations), greylist.lookup)
        counted = () if limits is None else limits.lookups
        found = (*_lookups(config, resolver, nursery, journal), *known, *counted, *more)
    return Sources(
        {one.key.name: one for one in found},
        nursery,
        AtHand(resolver),
        partial(BudgetedResolver, resolver, config.dns.per_lookup),
        journal,
        lambda: trio.current_time() + offset,
        heard=heard,
        memory=Memory(config.bounds.body_memory_total // workers),
        results=partial(results_field, authserv_id=config.server.hostname),
        charge=None if limits is None else limits.charge,
        governor=governor if table.enabled else None,
        acquaintances=acquaintances,
        reputations=reputations,
        greylist=None if greylist is None else greylist.memory,
    )


def _greylist(config: Config, remembering: AtHandOfStore | None, known: Acquaintances) -> "Greylisted":
    from smtproxy.lookups.greylist import Forgetful, Greylisted  # noqa: PLC0415 - it reads the public suffix list

    shelf = remembering or Forgetful()
    return Greylisted(GreylistMemory(shelf, config.greylist.windows), shelf, known.good)


def counting(config: Config, store: Store, secret: bytes | None) -> "RateLimits | None":
    """Return the limits of a worker, counted in its store; None: there are none."""
    from smtproxy.lookups.rate_limits import RateLimits  # noqa: PLC0415 - it reads the public suffix list

    limits = rate_limits(config)
    return RateLimits(limits, store, secret) if limits else None


def _lookups(config: Config, resolver: CachingResolver, nursery: trio.Nursery, journal: Journal) -> list[AnyLookup]:
    from smtproxy.lookups import arc, dkim, dmarc, header, spf  # noqa: PLC0415 - as above

    clock = trio.current_time
    return [
        recent(reverse_name.LOOKUP, attrgetter("client"), clock),
        recent(hello_name.LOOKUP, attrgetter("client", "hello"), clock),
        recent(sender_domain.LOOKUP, _sending, clock),
        *listings(tuple(map(dns_list, config.lists)), resolver, nursery, journal),
        *spf.lookups(spf.Results(), clock),
        header.LOOKUP,
        dkim.LOOKUP,
        arc.LOOKUP,
        dmarc.remembering(Recent(clock)),
    ]


def _sending(inquiry: Inquiry) -> tuple[str, str]:
    return inquiry.client, "" if inquiry.sender is None else inquiry.sender.domain_key


def dns_list(table: DnsListTable) -> DnsList:
    """Return a list as it is asked. Test points of a table are for the kind of subject that they are."""
    auto = (table.test_listed, table.test_unlisted) == (AUTO, AUTO)
    return DnsList(
        table.name,
        table.zone,
        frozenset(map(Subject, table.subjects)),
        table.answers or (EVERY_ANSWER,),
        ADDRESSES if auto else _points(table, ADDRESSES),
        DOMAINS if auto else _points(table, DOMAINS),
    )


def _points(table: DnsListTable, usual: Points) -> Points:
    def one(written: str, auto: str) -> str:
        is_domain = any(map(str.isalpha, written)) and ":" not in written
        return auto if written == AUTO or (written and is_domain is not usual.domains) else written

    return Points(one(table.test_listed, usual.listed), one(table.test_unlisted, usual.unlisted), usual.domains)
