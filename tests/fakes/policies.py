"""The policy of a laboratory: the checks that exist, as they are by default."""

from smtproxy.policy.checks import (
    bare_newlines,
    early_talker,
    hello,
    loops,
    not_smtp,
    protocol_errors,
    recipient_domain,
    size,
)
from smtproxy.policy.findings import Action
from smtproxy.policy.judge import Check, Policy
from smtproxy.session.settings import RelaySettings
from smtproxy.wire.newlines import NewlineMode


def default_policy(settings: RelaySettings, domains: tuple[str, ...] = ("example.org",)) -> Policy:
    """Return the checks as they are by default."""
    named = hello.HelloOptions(frozenset({settings.hostname}))
    return Policy(
        (
            Check(recipient_domain.CHECK, recipient_domain.RecipientDomainOptions(frozenset(domains))),
            Check(size.CHECK, size.SizeOptions(settings.max_message_size)),
            Check(bare_newlines.CHECK, bare_newlines.BareNewlinesOptions(settings.newlines or NewlineMode.NORMALISE)),
            Check(loops.CHECK, loops.LoopsOptions()),
            Check(protocol_errors.CHECK, protocol_errors.ProtocolErrorsOptions()),
            Check(early_talker.CHECK, early_talker.EarlyTalkerOptions(), Action.OBSERVE),
            Check(not_smtp.CHECK, not_smtp.NotSmtpOptions(), Action.DROP),
            Check(hello.check(named), named, Action.OBSERVE),
        )
    )
