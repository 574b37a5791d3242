"""Signs messages for the tests of DKIM, ARC and DMARC, by dkimpy itself, with keys made for each run."""

import base64
from functools import cache

import dkim
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from nacl.encoding import Base64Encoder
from nacl.signing import SigningKey

MESSAGE = (
    b"From: Joe <joe@example.com>\r\nTo: ann@example.org\r\nSubject: hello\r\n"
    b"Date: Tue, 24 Nov 2026 16:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\nHello  Ann \r\n\r\nJoe\r\n\r\n\r\n"
)


def rsa_key(bits: int = 1024) -> tuple[bytes, str]:
    """Return a private key as PEM, and the record of its public key."""
    return _rsa_key(bits)


@cache
def _rsa_key(bits: int) -> tuple[bytes, str]:
    key = rsa.generate_private_key(65537, bits)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return private, "v=DKIM1; k=rsa; p=" + base64.b64encode(public).decode()


@cache
def ed25519_key() -> tuple[bytes, str]:
    """Return a private key and the record of its public key."""
    key = SigningKey(bytes(32))
    return key.encode(Base64Encoder), "v=DKIM1; k=ed25519; p=" + key.verify_key.encode(Base64Encoder).decode()


def signed(
    message: bytes = MESSAGE,
    domain: str = "example.com",
    *,
    selector: str = "s1",
    ed25519: bool = False,
    length: bool = False,
    identity: str | None = None,
    canonicalize: tuple[bytes, bytes] = (b"relaxed", b"relaxed"),
    bits: int = 1024,
) -> bytes:
    """Return the message with a signature in front."""
    private = ed25519_key()[0] if ed25519 else rsa_key(bits)[0]
    signature: bytes = dkim.sign(
        message,
        selector.encode(),
        domain.encode(),
        private,
        identity=identity.encode() if identity else None,
        signature_algorithm=b"ed25519-sha256" if ed25519 else b"rsa-sha256",
        canonicalize=canonicalize,
        length=length,
        include_headers=[b"from", b"to", b"subject", b"date"],
    )
    return signature + message


def sealed(message: bytes, domain: str, results: str) -> bytes:
    """Return the message with an ARC set in front, which claims these results."""
    message = f"Authentication-Results: {domain}; {results}\r\n".encode() + message
    lines = dkim.arc_sign(message, b"s1", domain.encode(), rsa_key()[0], domain.encode())
    return b"".join(lines) + message


def keys(*domains: str, record: str = "") -> dict[tuple[str, str], list[str]]:
    """Return a zone with the key of selector s1 of these domains."""
    return {(f"s1._domainkey.{domain}", "TXT"): [record or rsa_key()[1]] for domain in domains}
