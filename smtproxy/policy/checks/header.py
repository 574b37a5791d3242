"""Judgement: a header that no careful program writes. RFC 5322 3.6

Each kind is rare among honest mail and common among spam, so it is a sign among others: with the action `score` each
kind that is found counts once.
"""

from dataclasses import dataclass

from smtproxy.policy.evidence import Evidence, Unknown
from smtproxy.policy.facts import HEADER, HeaderBlock
from smtproxy.policy.findings import CannotTell, CheckSpec, Finding, Outcome
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class HeaderOptions:
    """What it finds, and its bounds."""

    no_from: bool = True
    several_from: bool = True
    unreadable_from: bool = True
    several_domains: bool = True
    """From has addresses in several domains."""
    bad_date: bool = True
    date_ahead: float = DAY
    """Seconds that Date may be ahead of the clock."""
    date_behind: float = 30 * DAY
    """Seconds that it may be behind: queues keep mail for five days. RFC 5321 4.5.4.1"""
    large: bool = True
    max_size: int = 262144
    """Octets. Exchange's MaxHeaderSize for mail from outside is 256 KiB."""
    raw_8bit: bool = True
    """Octets above 127 in the header of a message without SMTPUTF8. RFC 5322 2.2, RFC 6532"""
    undeclared_8bit: bool = False
    """Such octets in the body of a message that is no MIME. RFC 6152"""


def header(options: HeaderOptions, evidence: Evidence) -> Outcome:
    """Find odd headers."""
    fact = evidence.get(HEADER)
    if isinstance(fact, Unknown):
        return CannotTell(HEADER.name, fact.reason)
    envelope = evidence.dialogue.envelope
    kinds = _kinds(options, fact.value, utf8=envelope is not None and envelope.utf8)
    if not kinds:
        return None
    saw = {"kinds": tuple(kind.value for kind in kinds), "size": fact.value.size, "date_off": fact.value.date_off}
    return Finding(kinds[0], saw, str(options.max_size), points=float(len(kinds)))


def _kinds(options: HeaderOptions, block: HeaderBlock, *, utf8: bool) -> list[Reason]:
    off = block.date_off
    bad_date = block.date_fields != 1 or off is None or not -options.date_behind <= off <= options.date_ahead
    one_from = block.from_fields == 1
    table = (
        (Reason.HEADER_LARGE, options.large and block.size > options.max_size),
        (Reason.HEADER_NO_FROM, options.no_from and block.from_fields == 0),
        (Reason.HEADER_SEVERAL_FROM, options.several_from and block.from_fields > 1),
        (Reason.HEADER_UNREADABLE_FROM, options.unreadable_from and one_from and not block.from_understood),
        (Reason.HEADER_SEVERAL_DOMAINS, options.several_domains and one_from and len(block.from_domains) > 1),
        (Reason.HEADER_BAD_DATE, options.bad_date and bad_date),
        (Reason.HEADER_8BIT, options.raw_8bit and block.raw_8bit and not utf8),
        (Reason.BODY_8BIT, options.undeclared_8bit and block.body_8bit_undeclared),
    )
    return [reason for reason, found in table if found]


CHECK = CheckSpec("header", frozenset({Stage.MESSAGE}), HeaderOptions, header, needs=(HEADER,))
