"""The registry of checks: one file each, one line here. Their order is the order in which findings are folded."""

from smtproxy.policy.checks import (
    bare_newlines,
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
    reverse_name,
    sender_domain,
    size,
    spf,
)
from smtproxy.policy.findings import CheckSpec

CHECKS: tuple[CheckSpec, ...] = (
    recipient_domain.CHECK,
    recipients.CHECK,
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
    spf.CHECK,
    own_sender.CHECK,
    null_sender.CHECK,
    dkim.CHECK,
    dmarc.CHECK,
    header.CHECK,
)
