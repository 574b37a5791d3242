"""Certificates for tests, made in the run: an authority, and what it vouches for, as files and as contexts."""

import functools
import ssl
import warnings
from pathlib import Path

import trustme

NAME = "mx.example.org"


@functools.cache
def authority() -> trustme.CA:
    """The authority of this run."""
    return trustme.CA()


def issue(directory: Path, *names: str, stem: str = "") -> tuple[Path, Path]:
    """Write a certificate for these names, and its key; -> both files."""
    names = names or (NAME,)
    made = authority().issue_cert(*names)
    stem = stem or names[0].replace("*", "any")
    chain, key = directory / f"{stem}.pem", directory / f"{stem}.key"
    chain.write_bytes(b"".join(one.bytes() for one in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    return chain, key


def trusting(newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """The context of a client that knows the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    if newest is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of old versions; they are the test.
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = newest
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context
