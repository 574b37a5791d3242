"""Patterns of addresses and domains, as exemptions and overrides name them. Compared in the form that is sent.

`user@example.org`, `postmaster@*`, `*@example.org`, `example.org` (the same), `*.example.org` (its subdomains, not
itself), `<>` (the null path), `*`. Local parts are compared without regard to case: whoever exempts Postmaster means
postmaster.
"""

from collections.abc import Iterable

from smtproxy.wire.paths import Path, domain_key

ANY = "*"
NULL = "<>"


def normal(pattern: str) -> str:
    """Return a pattern in the form in which it is compared. Raises ValueError: it is none."""
    text = pattern.strip()
    if text in (ANY, NULL):
        return text
    local, at, domain = text.rpartition("@")
    if at and not local:
        raise ValueError(f'"{pattern}" has nothing in front of the @; write "*@{domain}" for all of a domain')
    suffix = domain.removeprefix("*.")
    if not suffix or any(one in text for one in " <>,;") or ("*" in suffix and suffix != ANY):
        raise ValueError(
            f'"{pattern}" is no address or domain: write user@example.org, postmaster@*, example.org or *.example.org'
        )
    key = domain if suffix == ANY else domain[: len(domain) - len(suffix)] + domain_key(suffix)
    return f"{local.casefold()}@{key}" if at and local != ANY else key


class Patterns:
    """A set of patterns, looked up in a few steps however many there are."""

    __slots__ = ("_known",)

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """Take patterns; raises ValueError for one that is none."""
        self._known = frozenset(map(normal, patterns))

    def __bool__(self) -> bool:
        return bool(self._known)

    def find(self, path: Path) -> str:
        """Return the pattern that a path matches; empty: none."""
        if path.is_null:
            return NULL if NULL in self._known else ""
        domain, local = path.domain_key, path.mailbox_local.casefold()
        for place in _places(domain):
            for pattern in (f"{local}@{place}", place):
                if pattern in self._known:
                    return pattern
        return ""

    def find_domain(self, domain: str) -> str:
        """Return the pattern that a domain matches, in the form of `domain_key`; empty: none."""
        return next((place for place in _places(domain) if place in self._known), "")


def _places(domain: str) -> list[str]:
    """Return what may stand behind the @ of a pattern that means this domain, the closest first."""
    labels = domain.split(".") if domain else []
    return [domain, *("*." + ".".join(labels[cut:]) for cut in range(1, len(labels))), ANY]
