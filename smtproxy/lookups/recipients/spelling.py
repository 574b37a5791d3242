"""How addresses of recipients are compared: one form for what a source lists and for what a client says.

Exchange ignores case everywhere and knows no tags; other servers differ (RFC 5321 2.4), so both are settings.
"""

import contextlib
from dataclasses import dataclass

from smtproxy.wire.errors import PeerError
from smtproxy.wire.paths import Path, domain_key, parse_path


@dataclass(frozen=True, slots=True)
class Address:
    """An address in the form in which it is compared."""

    local: str
    """As a mailbox name, without quotes; in lower case unless case counts."""
    domain: str
    """In the form of `domain_key`."""

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def path(self) -> Path | None:
        """The address as it is said in RCPT, quoted where it must be; None: it cannot be said."""
        escaped = self.local.replace("\\", "\\\\").replace('"', '\\"')
        for local in (self.local, f'"{escaped}"'):
            with contextlib.suppress(PeerError, UnicodeError):
                path, rest = parse_path(f"<{local}@{self.domain}>".encode())
                if not rest and path.mailbox_local == self.local and path.domain_key == self.domain:
                    return path
        return None


@dataclass(frozen=True, slots=True)
class Spelling:
    """The settings."""

    case_sensitive: bool = False
    """Whether the case of local parts counts."""
    delimiter: str = ""
    """Characters that begin a tag, each of them, as in "user+tag"; empty: there are no tags."""

    def of(self, path: Path) -> Address:
        """Return the form of a path, its tag included."""
        return Address(self.local(path.mailbox_local), path.domain_key)

    def local(self, mailbox: str) -> str:
        """Return the form of a local part without quotes."""
        return mailbox if self.case_sensitive else mailbox.lower()

    def forms(self, address: Address) -> tuple[Address, ...]:
        """Return an address, and then the one without its tag: whoever is listed whole goes first."""
        for place, character in enumerate(address.local):
            if place and character in self.delimiter:
                return address, Address(address.local[:place], address.domain)
        return (address,)

    def read(self, text: str) -> Address | None:
        """Read an address that a source lists; None: it is none, or one that no client can say."""
        try:
            path, rest = parse_path(text.strip().encode())
        except (PeerError, UnicodeError):
            return None
        return None if rest or not path.domain else self.of(path)


def domain_of(text: str) -> str:
    """Return the domain of an address that was written down, in the form of `domain_key`; empty: it has none."""
    return domain_key(text.rpartition("@")[2]) if "@" in text else ""
