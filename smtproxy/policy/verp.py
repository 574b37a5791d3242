"""Senders as they are compared over several attempts: what differs from message to message is taken out.

Mailing lists and mailers put the recipient, a number or a signature into MAIL FROM (VERP, BATV, SRS), and a retry may
carry another one. Two addresses that become the same here are taken for one sender. Must never be used where an address
decides who gets mail.
"""

import re
from typing import Final

from smtproxy.wire.paths import Path

_SIGNED: Final = re.compile(r"prvs=(?:[0-9a-z]{6,12}=(?P<behind>.+)|(?P<front>[^=/]+)/[0-9a-z]{6,12})")
"""BATV: prvs=TAG=local, and the older prvs=local/TAG."""
_REWRITTEN: Final = re.compile(r"srs[01][=+-].*=(?P<domain>[^=]+)=(?P<local>[^=]+)")
"""SRS0=hash=day=domain=local, and what SRS1 makes of it: the hash and the day change, domain and local do not."""
_BOUNCES: Final = re.compile(r"(?P<list>.*?(?:bounces?|return|owner|request))[-+._=](?=.*=).*")
"""LIST-bounces-user=domain, as mailing lists write the recipient; LIST-return-number-user=domain."""
_RECIPIENT: Final = re.compile(r"(?P<list>[^-+._=]*)[-+._].*=.*|.*=.*")
"""Anything else with "=" in it: a recipient, from the first separator on."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}")
_TOKEN: Final = re.compile(r"(?=[a-z]*\d[a-z]*\d)[0-9a-z]{8,}|(?=[a-f]*\d)[0-9a-f]{6,}|\d+")
"""A run of letters and digits, one of hexadecimal digits, or a number."""
_RUN: Final = re.compile(r"#(?:[-+._=]*#)+")
_DOMAIN_LABELS: Final = 2
"""Labels at the end of a domain that are somebody's name: two of them with other numbers are two senders."""
_LONGEST: Final = 256
"""Characters that are looked at; RFC 5321 4.5.3.1.1 has 64 for a local part."""


def reduced(sender: Path) -> str:
    """Return a sender without what may be another one in its next attempt; "<>" for the null path."""
    if sender.is_null:
        return "<>"
    labels = sender.domain_key.split(".")
    hosts = [_TOKEN.sub("#", label) for label in labels[:-_DOMAIN_LABELS]]
    domain = ".".join([*hosts, *labels[-_DOMAIN_LABELS:]])
    return f"{_local(sender.mailbox_local.lower()[:_LONGEST])}@{domain}"


def _local(text: str) -> str:
    signed = _SIGNED.fullmatch(text)
    if signed is not None:
        text = signed["behind"] or signed["front"]
    rewritten = _REWRITTEN.fullmatch(text)
    if rewritten is not None:
        text = f"{rewritten['local']} {rewritten['domain']}"
    elif "=" in text:
        of_list = _BOUNCES.fullmatch(text) or _RECIPIENT.fullmatch(text)
        text = (of_list["list"] if of_list is not None else "") or "="
    front, plus, _ = text.partition("+")
    text = front if plus and front else text
    return _RUN.sub("#", _TOKEN.sub("#", _UUID.sub("#", text)))
