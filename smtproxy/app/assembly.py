"""From a configuration to the parts that run: settings, policies, pools. The one place that knows both sides.

The registry of checks is joined with the configuration's tables here: a check's options come from its own table, and
from the listener where they are the listener's matter.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from smtproxy.app.config import Config
from smtproxy.app.config.backends import Backend
from smtproxy.app.config.checks import Checks, Judgement
from smtproxy.app.config.judging import overridden
from smtproxy.app.config.listeners import Listener
from smtproxy.app.config.rules import Rule
from smtproxy.lookups.listings import KEYS, Subject
from smtproxy.network.ceiling import Ceiling
from smtproxy.network.pool import Pool
from smtproxy.network.sockets import Endpoint
from smtproxy.network.tls import CLEAR_TEXT, ServerTls, client_context, server_context
from smtproxy.network.warm import WarmConnections
from smtproxy.policy.checks import (
    bare_newlines,
    blocked,
    dkim,
    dmarc,
    dnsbl,
    early_talker,
    header,
    hello,
    loops,
    not_smtp,
    null_sender,
    own_sender,
    protocol_errors,
    recipient_domain,
    recipients,
    reputation,
    reverse_name,
    sender_domain,
    size,
    spf,
)
from smtproxy.policy.exemptions import Exemption, Match
from smtproxy.policy.findings import Action, CheckSpec
from smtproxy.policy.greylist import Greylisting
from smtproxy.policy.judge import Check, Override, Policy, Thresholds
from smtproxy.policy.overload import Overload, OverloadSettings
from smtproxy.policy.patterns import Patterns
from smtproxy.policy.quotas import QuotaSettings
from smtproxy.policy.rate_limits import Of, RateLimit, rate_limit_check
from smtproxy.policy.replies import Wording
from smtproxy.policy.rules.check import RuleOptions, rule_check
from smtproxy.policy.rules.expressions import Expression
from smtproxy.session.networks import Grouping
from smtproxy.session.records import Journal
from smtproxy.session.settings import BackendTls, BodyMode, ClientTls, RelaySettings
from smtproxy.session.tarpit import Tarpit, TarpitSettings
from smtproxy.session.verdicts import Stage
from smtproxy.wire.paths import domain_key


def relay_settings(config: Config, listener: Listener) -> RelaySettings:
    """Return what the sessions of a listener are to know."""
    backend, checks = config.backends[listener.backend], config.checks
    return RelaySettings(
        hostname=config.server.hostname,
        listener=listener.name,
        backend=listener.backend,
        body=listener.body,
        newlines=listener.bare_newlines if checks.bare_newlines.enabled else None,
        max_message_size=listener.max_message_size if checks.size.enabled else config.bounds.message_ceiling,
        max_recipients=listener.max_recipients,
        commit_by=listener.commit_by,
        open=backend.open,
        lease=backend.lease,
        chunking=backend.chunking,
        trace_header=backend.trace_header,
        client_tls=ClientTls(listener.tls_mode) if listener.tls else ClientTls.OFF,
        banner_delay=0.0 if checks.early_talker.action is Action.OFF else listener.banner_delay,
        authserv_id=config.server.hostname if listener.authentication_results else "",
        contact=config.server.contact,
        soft_bounce=config.soft_bounce,
        limits=replace(config.bounds),
    )


def tls(listener: Listener) -> ssl.SSLContext | None:
    """Return how a listener speaks TLS; None: not at all. Raises CertificateError: a file has changed since."""
    if not listener.tls:
        return None
    return server_context([pair.read for pair in listener.tls], listener.tls_oldest, listener.tls_ciphers)


def policy(config: Config, listener: Listener) -> Policy:
    """Return the checks of a listener, in the order in which their findings are folded."""
    score = config.score
    # Made once: two overrides in which a rule is the same one do not differ by it, so their recipients share a message.
    rules = (*(_rule(one, listener) for one in config.rules), *_limits(config))
    return Policy(
        (*_checks(config, listener, config.checks), *rules),
        config.tarpit.delay,
        exemptions=_exemptions(config),
        overrides=tuple(
            Override(
                block.name,
                Match(block.clients, Patterns(block.senders), Patterns(block.recipients), proven=False),
                (*_checks(config, listener, overridden(config.checks, block.checks)), *rules),
            )
            for block in config.policy
        ),
        thresholds=Thresholds(score.tarpit or None, score.defer or None, score.reject or None),
        greylisting=_greylisting(config),
        soft_bounce=config.soft_bounce,
    )


def _greylisting(config: Config) -> Greylisting | None:
    table, least = config.greylist, config.score.greylist
    if table.action == "off" or not least:
        return None
    return Greylisting(least, table.windows, observe=table.action == "observe")


def _checks(config: Config, listener: Listener, checks: Checks) -> tuple[Check, ...]:
    settings = relay_settings(config, listener)
    ours = frozenset({domain_key(config.server.hostname), *(one for one in listener.domains if one != "*")})
    duties: list[tuple[bool, Check]] = [
        (
            checks.recipient_domain.enabled,
            Check(
                recipient_domain.CHECK,
                recipient_domain.RecipientDomainOptions(
                    frozenset(listener.domains), frozenset(listener.allow_routing_local_parts)
                ),
            ),
        ),
        (
            checks.recipients.enabled and bool(config.recipients.sources),
            Check(
                recipients.CHECK,
                recipients.RecipientsOptions(config.recipients.on_error, config.recipients.accept_postmaster),
            ),
        ),
        (checks.size.enabled, Check(size.CHECK, size.SizeOptions(settings.max_message_size))),
        (
            checks.bare_newlines.enabled,
            Check(bare_newlines.CHECK, bare_newlines.BareNewlinesOptions(listener.bare_newlines)),
        ),
        (checks.loops.enabled, Check(loops.CHECK, loops.LoopsOptions(checks.loops.max_received))),
        (checks.protocol_errors.enabled, Check(protocol_errors.CHECK, _patience(config, checks))),
    ]
    said = hello.HelloOptions(ours, *_own(checks.hello))
    named = reverse_name.ReverseNameOptions(*_own(checks.reverse_name))
    listed = dnsbl.DnsblOptions(
        checks.dnsbl.threshold,
        {one.name: one.weight for one in config.lists},
        frozenset(key for one in config.lists for subject in one.subjects for key in [KEYS[Subject(subject)]]),
    )
    judgements = (
        _judgement(early_talker.CHECK, early_talker.EarlyTalkerOptions(), checks.early_talker),
        _judgement(not_smtp.CHECK, not_smtp.NotSmtpOptions(), checks.not_smtp),
        _judgement(blocked.CHECK, blocked.BlockedOptions(*_own(checks.blocked)), checks.blocked),
        _judgement(reputation.CHECK, reputation.ReputationOptions(), checks.reputation),
        _judgement(hello.check(said), said, checks.hello),
        _judgement(reverse_name.check(named), named, checks.reverse_name),
        _judgement(
            sender_domain.CHECK, sender_domain.SenderDomainOptions(*_own(checks.sender_domain)), checks.sender_domain
        ),
        _judgement(dnsbl.check(listed), listed, checks.dnsbl),
        *_authentication(listener, checks),
    )
    return (*(check for enabled, check in duties if enabled), *judgements)


def _own(table: Judgement) -> tuple[Any, ...]:
    """Return what a table has besides what all judgements have, in its order, which is that of the check's options."""
    return tuple(value for name, value in table if name not in Judgement.model_fields)


def _authentication(listener: Listener, checks: Checks) -> tuple[Check, ...]:
    """Return the checks of sender and header."""
    by_spf = spf.SpfOptions(*_own(checks.spf))
    own, named = checks.own_sender, frozenset(one for one in listener.domains if one != "*")
    whole = listener.body is not BodyMode.STREAM
    named_as_us = own_sender.OwnSenderOptions(own.envelope, own.author and whole, named)
    by_dmarc = dmarc.DmarcOptions(*_own(checks.dmarc))
    of_sender = (
        _judgement(spf.check(by_spf), by_spf, checks.spf),
        _judgement(own_sender.check(named_as_us), named_as_us, checks.own_sender),
        _judgement(null_sender.CHECK, null_sender.NullSenderOptions(*_own(checks.null_sender)), checks.null_sender),
    )
    if not whole:  # what has left cannot be looked at: `check` says so
        return of_sender
    return (
        *of_sender,
        _judgement(dkim.CHECK, dkim.DkimOptions(*_own(checks.dkim)), checks.dkim),
        _judgement(dmarc.check(by_dmarc), by_dmarc, checks.dmarc),
        _judgement(header.CHECK, header.HeaderOptions(*_own(checks.header)), checks.header),
    )


def _judgement(spec: CheckSpec, options: object, table: Judgement) -> Check:
    return Check(
        spec,
        options,
        table.action,
        table.on_error,
        weight=table.weight,
        early=table.early,
        soft_bounce=table.soft_bounce,
    )


_THIS_MACHINE = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
DEFAULT_EXEMPTIONS = (
    Exemption(Match(_THIS_MACHINE)),
    Exemption(Match(recipients=Patterns(("postmaster@*", "abuse@*"))), frozenset(), lists=True),
)
"""RFC 5321 4.5.1, RFC 2142: whoever was refused by mistake must reach these two, to say so."""

ALLOWED = Exemption(Match(allowed=True))
"""Whom a person has allowed: from every judgement, and never from a duty."""


def _exemptions(config: Config) -> tuple[Exemption, ...]:
    return (
        *(DEFAULT_EXEMPTIONS if config.default_exemptions else ()),
        ALLOWED,
        *(
            Exemption(
                Match(block.clients, Patterns(block.senders), Patterns(block.recipients)),
                frozenset(block.checks) if block.checks else None,
            )
            for block in config.exemptions
        ),
    )


def _rule(rule: Rule, listener: Listener) -> Check:
    """Return a rule's check. Compiled anew for each listener and process: 0.2 ms."""
    stage = Stage(rule.stage)
    when = Expression(rule.when, stage)
    options = RuleOptions(when, Wording(rule.code, rule.enhanced, rule.text), listener.name)
    return Check(
        rule_check(rule.name, stage, when),
        options,
        rule.then,
        rule.on_error,
        weight=rule.weight,
        early=rule.early,
        soft_bounce=rule.soft_bounce,
    )


def rate_limits(config: Config) -> tuple[RateLimit, ...]:
    """Return the limits that are counted."""
    return tuple(one.limit(_one_client(config)) for one in config.limits if one.action is not Action.OFF)


def _limits(config: Config) -> tuple[Check, ...]:
    """Return the checks of the limits; those of connections speak at once, as nothing more is to be learned of them."""
    actions = {one.name: one.action for one in config.limits}
    return tuple(
        Check(rate_limit_check(one), one, actions[one.name], early=one.of is Of.CONNECTIONS)
        for one in rate_limits(config)
    )


def _patience(config: Config, checks: Checks) -> protocol_errors.ProtocolErrorsOptions:
    errors = checks.protocol_errors
    return protocol_errors.ProtocolErrorsOptions(errors.soft, errors.hard, errors.delay, config.overload.errors)


def quotas(config: Config) -> QuotaSettings:
    """Return how many connections a client may have, at all listeners together."""
    table = config.quotas
    return QuotaSettings(
        table.connections,
        table.connections_per_minute,
        _one_client(config),
        table.exempt,
        config.bounds.clients,
    )


def overload(config: Config, most: int) -> Overload | None:
    """Return the overload of a process that may have so many sessions; None: nobody is turned away for it."""
    settings = OverloadSettings(**dict(config.overload))
    return Overload(settings, most) if settings.enabled else None


def tarpit(config: Config) -> Tarpit:
    """Return the counters of delayed sessions, for all listeners of a process."""
    table = config.tarpit
    return Tarpit(
        TarpitSettings(
            table.delay,
            table.max_per_client,
            table.max_total,
            _one_client(config),
            table.stutter,
            table.pace,
            table.pace_for,
        )
    )


def _one_client(config: Config) -> Grouping:
    return Grouping(config.quotas.ipv4_prefix, config.quotas.ipv6_prefix)


def pool(
    config: Config,
    name: str,
    embedded: Mapping[str, Endpoint],
    journal: Journal,
    tls: ServerTls = CLEAR_TEXT,
    ceiling: Callable[[str], Ceiling] | None = None,
) -> Pool:
    """Return the pool of a backend; `embedded` says where the sample servers listen.

    `ceiling` finds the ceiling that all workers share, by the server's name.
    """
    backend: Backend = config.backends[name]
    servers = [
        embedded[name] if backend.is_embedded else Endpoint(getattr(one, "host", ""), getattr(one, "port", 0))
        for one in backend.servers
    ]
    sizes = [
        relay_settings(config, listener).max_message_size for listener in config.listeners if listener.backend == name
    ]
    warm = WarmConnections(backend.idle.connections, backend.idle.seconds)
    made = Pool(name, servers, backend.max_connections, max(sizes, default=0), journal, warm, tls, ceiling)
    made.adapt(backend.min_connections)
    made.reserve(backend.reserved_share)
    made.share(backend.weights)
    made.withheld = backend.chunking.withholds
    return made


def server_tls(backend: Backend) -> ServerTls:
    """Return how a backend's servers are spoken to. Raises CertificateError: a file has changed since."""
    if backend.tls is BackendTls.OFF:
        return CLEAR_TEXT
    verify = backend.tls is BackendTls.VERIFY
    return ServerTls(
        backend.tls, client_context(backend.tls_ca, verify=verify, oldest=backend.tls_oldest), backend.tls_name
    )
