"""Keys: texts with a version in front, short enough for a slot, and without names of people where privacy is wanted.

Must never make one key of two different lists of parts, of one purpose and one length: what a client says is a part of
keys, and he would choose it so that he meets somebody else's entry.
"""

from hashlib import blake2b

VERSION = "1"
LONGEST_KEY = 96
"""Octets. An IPv6 network, a purpose and most addresses of mail fit; a hash stands for the rest of what does not."""
LONGEST_TEXT = 64
"""Octets."""
HASHED = "~"
"""In front of a name that is not said."""
_HASH = 10
"""Octets of a hash: nobody finds two that are the same among 2 ** 40."""


def compose(purpose: str, *parts: str) -> str:
    """Return the key for a purpose and what it is about: "1/limit/NAME/192.0.2.7"."""
    *inner, last = parts
    # A slash within the last part cannot be taken for the end of another one.
    safe = [part.replace("%", "%25").replace("/", "%2F") for part in inner]
    return "/".join([VERSION, purpose, *safe, last])


def private(part: str, secret: bytes | None) -> str:
    """Return a part that names a client, an address or a domain as it may be stored: a keyed hash; None: as it is."""
    if secret is None:
        return part
    return HASHED + blake2b(_octets(part), digest_size=_HASH, key=secret).hexdigest()


def fitted(text: str, longest: int = LONGEST_KEY) -> bytes:
    """Return a text in at most so many octets; the end of a longer one is a hash of all of it."""
    octets = _octets(text)
    if len(octets) <= longest:
        return octets
    end = b"~" + blake2b(octets, digest_size=_HASH).hexdigest().encode()
    # No half character at the seam.
    return octets[: longest - len(end)].decode(errors="ignore").encode() + end


def _octets(text: str) -> bytes:
    return text.encode(errors="backslashreplace")
