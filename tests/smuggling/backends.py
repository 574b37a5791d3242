"""Backends that end a message where they should not, fed with what left the relay.

Each octet stream is fed once to each kind. The strict backend is one of them: it must see exactly one end, at the last
octet; so must all others, or there would be a second message, or one that never ends.
"""

from itertools import product

from smtproxy.sample.body import DataBody
from smtproxy.sample.profile import Profile, vulnerable
from smtproxy.sample.profiles import EXCHANGE

STRICT = b"\r\n.\r\n"
_NEWLINES = {"CRLF": b"\r\n", "LF": b"\n", "CR": b"\r"}
_LAX = {
    f"{first}.{second}": _NEWLINES[first] + b"." + _NEWLINES[second]
    for first, second in product(_NEWLINES, repeat=2)
    if (first, second) != ("CRLF", "CRLF")
}

KINDS: dict[str, tuple[bytes, ...]] = {
    "strict": (STRICT,),
    **{name: (STRICT, sequence) for name, sequence in _LAX.items()},
    "all": (STRICT, *_LAX.values()),
}
"""Name -> what ends a message there."""

_LEFT_OVER = {"LF.CR": b"\n", "CRLF.CR": b"\n", "all": b"\n"}
"""A server that takes the beginning of the right end for one has the LF of each left over, as an empty command line."""


def profile(kind: str) -> Profile:
    """The sample backend of this kind."""
    return vulnerable(EXCHANGE, *KINDS[kind][1:])


class Backends:
    """All kinds, and what was fed to them."""

    def __init__(self) -> None:
        self.fed = 0
        """Pairs of octet stream and kind."""
        self._known: dict[tuple[bytes, bool], str] = {}

    def complaint(self, body: bytes, *, ended: bool) -> str:
        """What is wrong with a body as sent behind a 354, its terminator included if `ended`; "" if nothing is."""
        known = self._known.get((body, ended))
        if known is None:
            known = self._known[body, ended] = next(filter(None, (self._feed(kind, body, ended) for kind in KINDS)), "")
        return known

    def _feed(self, kind: str, octets: bytes, ended: bool) -> str:
        self.fed += 1
        body = DataBody(KINDS[kind], limit=1 << 20)
        rest = body.feed(octets)
        if not ended:
            return f"{kind}: a message was ended that the relay never ended: {octets!r}" if body.ended else ""
        if not body.ended:
            return f"{kind}: the message does not end: {octets!r}"
        if octets[len(octets) - rest :] != _LEFT_OVER.get(kind, b""):
            return f"{kind}: a second message: {octets[len(octets) - rest :]!r} of {octets!r}"
        return ""
