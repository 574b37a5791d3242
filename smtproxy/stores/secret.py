"""The secret under which names are kept where privacy is wanted: a file of its own, that nobody else may read.

Must never be kept in the database, which is what it protects.
"""

import os
from pathlib import Path

SIZE = 32
"""Octets of a new one."""
_SHORTEST, _LONGEST = 16, 64
"""Octets of one that may be used: fewer could be guessed, and BLAKE2 takes no more."""


def secret_in(path: Path) -> bytes:
    """Read the secret, or make one. Raises OSError; ValueError with what is wrong with it."""
    try:
        secret = read_secret(path)
    except FileNotFoundError:
        return _made(path)
    return secret


def read_secret(path: Path) -> bytes:
    """Read the secret. Raises OSError; ValueError with what is wrong with it."""
    secret = path.read_bytes().strip()
    if not _SHORTEST <= len(secret) <= _LONGEST:
        raise ValueError(f"must have from {_SHORTEST} to {_LONGEST} octets, and has {len(secret)}")
    return secret


def _made(path: Path) -> bytes:
    secret = os.urandom(SIZE // 2).hex().encode()
    # Whole or not at all: half a secret would be one that nobody has.
    half = path.with_name(f"{path.name}.new")
    half.unlink(missing_ok=True)
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, secret)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    half.replace(path)
    return secret
