"""The registry of checks: one file each, one line here. Their order is the order in which findings are folded."""

from smtproxy.policy.checks import (
    bare_newlines,
    dnsbl,
    early_talker,
    hello,
    loops,
    not_smtp,
    protocol_errors,
    recipient_domain,
    reverse_name,
    sender_domain,
    size,
)
from smtproxy.policy.findings import CheckSpec

CHECKS: tuple[CheckSpec, ...] = (
    recipient_domain.CHECK,
    size.CHECK,
    bare_newlines.CHECK,
    loops.CHECK,
    protocol_errors.CHECK,
    early_talker.CHECK,
    not_smtp.CHECK,
    hello.CHECK,
    reverse_name.CHECK,
    sender_domain.CHECK,
    dnsbl.CHECK,
)
