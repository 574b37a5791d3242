"""Whether a backend takes mail for anybody, where no source of recipients stands in front of it: then it will bounce.

Asked once by a random recipient, at start and by `check`. It must never change what is accepted: it warns.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import trio

from smtproxy.app.assembly import pool, server_tls
from smtproxy.app.config import Config
from smtproxy.app.log.silence import SILENCE
from smtproxy.app.lookups import callouts
from smtproxy.lookups.recipients.callout import record_accepts_all
from smtproxy.network.callout import CalloutError, Callouts, random_recipient
from smtproxy.network.pool import Pool
from smtproxy.network.probe import probe
from smtproxy.network.tls import CertificateError
from smtproxy.session.records import Journal
from smtproxy.wire.replies import Reply

MOST_DOMAINS = 5
"""Domains of a backend that are asked about: servers differ by domain, hardly by more of them."""
PATIENCE = 15.0
"""Seconds for all: Exchange lets those who ask for unknown recipients wait for 5 s."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a random recipient."""

    backend: str
    domain: str
    reply: Reply | None
    """To RCPT; None: nobody could be asked."""
    trouble: str = ""

    @property
    def accepts_all(self) -> bool:
        """Whether anybody is taken."""
        return self.reply is not None and self.reply.kind == 2


def unguarded(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the domains whose recipients nobody checks, by the backend that gets their mail."""
    found: dict[str, dict[str, None]] = {}
    for listener in config.listeners:
        if config.backends[listener.backend].is_embedded:
            continue
        for domain in listener.domains:
            covered = config.checks.recipients.enabled and any(
                not one.domains or domain in one.domains for one in config.recipients.sources
            )
            if domain != "*" and not covered and domain not in config.recipients.catch_all:
                found.setdefault(listener.backend, {})[domain] = None
    return {backend: tuple(domains)[:MOST_DOMAINS] for backend, domains in found.items()}


async def warn_of_accepting(config: Config, pools: Mapping[str, Pool], journal: Journal) -> None:
    """Log a warning for each domain in which a backend takes anybody."""
    for backend, domains in unguarded(config).items():
        for one in await _tried(backend, domains, callouts(config, pools[backend], journal, 1)):
            if one.reply is not None and one.accepts_all:
                record_accepts_all(journal, backend, one.domain, one.reply)


def try_backends(config: Config) -> list[Tried]:
    """Ask all backends now, from a process that serves nobody."""
    return trio.run(_try_backends, config) if unguarded(config) else []


async def _try_backends(config: Config) -> list[Tried]:
    found: list[Tried] = []
    for backend, domains in unguarded(config).items():
        try:
            made = pool(config, backend, {}, SILENCE, server_tls(config.backends[backend]))
        except CertificateError as error:
            found += [Tried(backend, domain, None, str(error)) for domain in domains]
            continue
        with trio.move_on_after(PATIENCE):
            for server in made.servers:  # names are looked up by probes
                await probe(made, server, config.server.hostname, config.bounds)
        found += await _tried(backend, domains, callouts(config, made, SILENCE, 1))
    return found


async def _tried(backend: str, domains: tuple[str, ...], asking: Callouts) -> list[Tried]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asking.run)
        try:
            replies = await asking.ask([random_recipient(domain) for domain in domains], trio.current_time() + PATIENCE)
            found = [Tried(backend, domain, reply) for domain, reply in zip(domains, replies, strict=True)]
        except CalloutError as error:
            found = [Tried(backend, domain, None, str(error)) for domain in domains]
        nursery.cancel_scope.cancel()
    return found


def said(tried: Tried) -> tuple[str, str]:
    """Say for people what came of it."""
    reply = tried.reply
    if reply is None:
        words = f"could not be asked whether it takes anybody in {tried.domain}: {tried.trouble}"
    elif tried.accepts_all:
        words = (
            f'TAKES ANYBODY in {tried.domain} ("{reply.code} {reply.text}" for a random recipient): what it cannot '
            "deliver it will bounce, to senders that are forged as a rule; give it [[recipients.sources]]"
        )
    else:
        words = f'refuses unknown recipients in {tried.domain} ("{reply.code} {reply.text}" for a random one)'
    return f"backend {tried.backend}", words
