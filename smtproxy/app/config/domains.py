"""Names of domains in the configuration, made comparable in the same way as those of a recipient.

Must never compare names on its own terms: `smtproxy.wire.paths.domain_key` decides what is equal.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator

from smtproxy.policy.patterns import normal
from smtproxy.wire.paths import domain_key

ANY: Final = "*"
"""The list of domains that says "anything" on purpose."""

LONGEST_NAME: Final = 253
"""Octets of a host name. RFC 1035 2.3.4: 255 on the wire, two of them are no text."""

# A label: RFC 1123 2.1, and the underscore that some internal domains have. RFC 1035 2.3.4: 63 octets.
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)


def checked_domain(value: str) -> str:
    """Return the name as it is compared: lower case, A-labels, no trailing dot. Raises ValueError."""
    if value.startswith("[") or "@" in value:
        raise ValueError(f'"{value}" is no domain: write a name like "example.org"')
    if "*" in value:
        raise ValueError(f'"{value}": there are no patterns; list each domain, or write ["*"] for anything')
    key = domain_key(value)
    labels = key.split(".")
    if len(key) > LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f'"{value}" is no domain name')
    if _DIGITS.fullmatch(labels[-1]):
        raise ValueError(f'"{value}" is no domain: its last part is a number')
    return key


def checked_domains(values: Sequence[str]) -> tuple[str, ...]:
    """Check that no domain is there twice, and that "*" stands alone. Raises ValueError with what is wrong."""
    if ANY in values and len(values) > 1:
        raise ValueError('"*" means anything and stands alone: ["*"]')
    for position, value in enumerate(values):
        if value in values[:position]:
            raise ValueError(f'"{value}" is there twice (compared as a recipient\'s domain is)')
    return tuple(values)


def _pattern(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError('must be a string like "example.org"')  # noqa: TRY004 - pydantic collects ValueErrors
    return normal(value)


AddressPattern = Annotated[str, BeforeValidator(_pattern)]
"""Addresses or domains, as `smtproxy.policy.patterns` compares them."""

Domain = Annotated[str, AfterValidator(checked_domain)]
"""One domain."""


def _read_domain(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError('must be a string like "example.org"')  # noqa: TRY004 - pydantic collects ValueErrors
    return value if value == ANY else checked_domain(value)


OwnDomain = Annotated[str, BeforeValidator(_read_domain)]
"""A domain of ours, or "*"."""
