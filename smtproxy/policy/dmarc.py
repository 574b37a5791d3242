"""DMARC as a pure function: does SPF or DKIM speak for the domain in From, and what does its owner ask for? RFC 9989

Policies are found by RFC 9989's tree walk. Identifiers are aligned (relaxed mode) if they have the same organisational
domain, and what that is two rules say: the tree walk, and the public suffix list of RFC 7489. Here

* alignment never crosses a public suffix, private section included, whatever the tree walk says: `github.io` publishes
  a record, and by the walk alone it and all its customers were one organisation. The walk trusts that each suffix says
  `psd=y`; hardly one does.
* below the suffix the walk counts where an owner has said something by it (`psd=`); else the list decides, so that mail
  which was aligned under RFC 7489 still is.

A From with several domains is exempt (RFC 9989): permerror here, so that it can be seen and is not taken for mail of a
domain without a policy.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from smtproxy.policy.facts import Dmarc, Signatures, Spf

MOST_LABELS: Final = 8
"""Names that a tree walk asks for. RFC 9989 4.10"""

Organisation: TypeAlias = Callable[[str], str | None]
"""The organisational domain by the public suffix list; None: the domain is a public suffix itself."""

_POLICIES: Final = frozenset({"none", "quarantine", "reject"})
_VERSION: Final = re.compile(r"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_TAG: Final = re.compile(r"[ \t]*([A-Za-z]+)[ \t]*=[ \t]*([^;]*)")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s,]+")


@dataclass(frozen=True, slots=True)
class Record:
    """What is published at `_dmarc.` a domain. RFC 9989 4.7"""

    policy: str = ""
    """p=; empty: there is none that could be followed."""
    subdomains: str = ""
    """sp=; empty: as `policy`."""
    missing: str = ""
    """np=, for subdomains that do not exist; empty: as `subdomains`."""
    strict_dkim: bool = False
    strict_spf: bool = False
    suffix: bool | None = None
    """psd=: y, n, or not said (u)."""
    testing: bool = False
    """t=y, or pct=0 of RFC 7489: the policy is not to be applied."""


def read(texts: Sequence[str]) -> Record | None:
    """Read the TXT records of one name; None: no record of DMARC, or several. RFC 9989 4.10"""
    own = [text for text in texts if _VERSION.match(text)]
    if len(own) != 1:
        return None
    tags: dict[str, str] = {}
    for part in own[0].split(";")[1:]:
        tag = _TAG.fullmatch(part)
        if tag is not None:
            tags.setdefault(tag[1].lower(), tag[2].strip().lower())
    policies = [tags.get("p", ""), *(tags[name] for name in ("sp", "np") if name in tags)]
    if not all(policy in _POLICIES for policy in policies):
        # RFC 9989 4.10.1: who wants reports is taken to watch for now; else the record is not followed.
        policy = "none" if _URI.match(tags.get("rua", "")) else ""
        tags = {**tags, "p": policy, "sp": "", "np": ""}
    return Record(
        policy=tags["p"],
        subdomains=tags.get("sp", ""),
        missing=tags.get("np", ""),
        strict_dkim=tags.get("adkim") == "s",
        strict_spf=tags.get("aspf") == "s",
        suffix={"y": True, "n": False}.get(tags.get("psd", "u")),
        testing=tags.get("t") == "y" or tags.get("pct") == "0",
    )


def walk(domain: str) -> tuple[str, ...]:
    """Return the domains whose records are asked for, the domain itself first. RFC 9989 4.10"""
    labels = domain.split(".")
    rest = range(max(1, len(labels) - (MOST_LABELS - 1)), len(labels))
    return (domain, *(".".join(labels[at:]) for at in rest))


Records: TypeAlias = Mapping[str, Record | None]
"""By domain, for all that a walk names."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What a tree walk finds."""

    organisation: str
    """The domain itself if there are no records."""
    explicit: bool
    """A record says so by psd=."""
    record_domain: str
    """Whose record holds for the domain where the walk began; empty: nobody's."""


def _place(domain: str, records: Records) -> _Place:
    highest = ""
    below = domain
    for name in walk(domain):
        record = records.get(name)
        if record is not None:
            if record.suffix is False:
                return _Place(name, explicit=True, record_domain=name)
            if record.suffix and name != domain:
                # RFC 9989 4.10.2: the organisation is one label below, and its own record, if any, comes first.
                return _Place(below, explicit=True, record_domain=below if records.get(below) else name)
            highest = name
        below = name
    return _Place(highest or domain, explicit=False, record_domain=highest)


def evaluate(
    author: str,
    records: Records,
    organisation: Organisation,
    *,
    exists: bool,
    spf: Spf | None,
    signatures: Signatures,
) -> Dmarc:
    """Return the result for the domain in From. `exists`: it is in the DNS. `spf`: None if it is not known.

    `records` are those of the walks from it and from all `candidates`.
    """
    if not any(records.values()):
        return Dmarc("none", author)
    own = records.get(author)
    place = _place(author, records)
    record_domain = author if own is not None else place.record_domain
    record = records.get(record_domain)
    if record is None or not record.policy:
        return Dmarc("none", author)
    policy = _policy(record, own=record_domain == author, exists=exists)

    def result(name: str, aligned: str = "") -> Dmarc:
        return Dmarc(name, author, policy, record_domain, aligned)

    def aligned(domain: str, *, strict: bool) -> bool:
        return domain == author or (
            not strict and same_organisation(author, domain, organisation) and _together(place, domain, records)
        )

    speaking = [one for one in signatures.found if aligned(one.domain, strict=record.strict_dkim)]
    by_spf = spf is not None and aligned(spf.domain, strict=record.strict_spf)
    if any(one.result == "pass" for one in speaking):
        return result("pass", "dkim")
    if spf is not None and by_spf and spf.result == "pass":
        return result("pass", "spf")
    # RFC 9989 5.3.5: who could not be asked may have passed. But only those who would count, or a stranger's signature
    # without a name server would shield a forged From.
    if any(one.result == "temperror" for one in speaking) or (spf is not None and by_spf and spf.result == "temperror"):
        return result("temperror")
    return result("fail")


def _policy(record: Record, *, own: bool, exists: bool) -> str:
    if record.testing:
        return "none"
    if own:
        return record.policy
    if not exists and record.missing:
        return record.missing
    return record.subdomains or record.policy


def same_organisation(one: str, other: str, organisation: Organisation) -> bool:
    """Return whether two domains belong together by the public suffix list: neither is a suffix itself."""
    first = organisation(one)
    return first is not None and first == organisation(other)


def _together(author: _Place, domain: str, records: Records) -> bool:
    other = _place(domain, records)
    return author.organisation == other.organisation or not (author.explicit or other.explicit)


def candidates(author: str, organisation: Organisation, spf: Spf | None, signatures: Signatures) -> tuple[str, ...]:
    """Return the domains whose walks decide about alignment: those of the author's organisation that are not it."""
    domains = [one.domain for one in signatures.found if one.result in ("pass", "temperror")]
    if spf is not None and spf.result in ("pass", "temperror"):
        domains.append(spf.domain)
    return tuple(
        dict.fromkeys(one for one in domains if one != author and same_organisation(author, one, organisation))
    )
