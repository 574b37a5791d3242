"""TLS as this proxy speaks it: certificates, contexts for both sides, and what a handshake has agreed on.

A context is made once for each listener and backend; the handshake itself is driven by `link.py` and `driver.py`, and
for probes by `probe.py`.
"""

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from smtproxy.network.link import Link
from smtproxy.session.dialogue import Tls
from smtproxy.session.settings import BackendTls


class CertificateError(Exception):
    """A certificate or its key cannot be used; the text says which file and why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its chain, and its key, as files in PEM."""

    chain: Path
    key: Path
    names: tuple[str, ...]
    """The DNS names it is for, in lower case; the first label may be a star."""
    not_after: float
    """When it ends, in seconds since 1970."""


def read_certificate(chain: Path, key: Path) -> Certificate:
    """Read a certificate and see that the key is its own. Raises CertificateError."""
    for path in (chain, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise CertificateError(f"{path}: {error.strerror}") from None
    try:
        leaf = x509.load_pem_x509_certificates(chain.read_bytes())[0]
    except (ValueError, IndexError):
        raise CertificateError(f"{chain}: there is no certificate in PEM in it") from None
    made = Certificate(chain, key, _names(leaf), leaf.not_valid_after_utc.timestamp())
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), made)
    return made


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    """RFC 6125 6.4.4: the common name counts only where there are no other names."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        found = []
    if not found:
        found = [str(one.value) for one in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return tuple(name.lower() for name in found)


def _load(context: ssl.SSLContext, certificate: Certificate) -> None:
    try:
        # An empty passphrase: without one OpenSSL would ask for it on the terminal.
        context.load_cert_chain(certificate.chain, certificate.key, password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError(f"{certificate.key}: it is not the key of {certificate.chain}") from None
        raise CertificateError(
            f"{certificate.key}: no private key in PEM without a passphrase that OpenSSL would use ({error.reason})"
        ) from None


class Version(Enum):
    """The oldest version of TLS that is spoken."""

    TLS_1_0 = "1.0"
    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"


_VERSIONS = {
    Version.TLS_1_0: ssl.TLSVersion.MINIMUM_SUPPORTED,  # Python warns of the name, and OpenSSL 3 has nothing older
    Version.TLS_1_2: ssl.TLSVersion.TLSv1_2,
    Version.TLS_1_3: ssl.TLSVersion.TLSv1_3,
}


def server_context(certificates: Iterable[Certificate], oldest: Version, ciphers: str = "") -> ssl.SSLContext:
    """Return the context for clients: the certificate that names what they ask for (SNI), else the first one.

    `ciphers` is OpenSSL's cipher list for TLS 1.2 and older, empty: the library's own. Raises CertificateError.
    """
    made = []
    for certificate in certificates:
        context = _context(ssl.PROTOCOL_TLS_SERVER, oldest, ciphers)
        _load(context, certificate)
        made.append((certificate.names, context))

    def choose(sock: ssl.SSLObject | ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> None:
        chosen = None if name is None else _named(name.lower(), made)
        if chosen is not None:
            sock.context = chosen

    first = made[0][1]
    if len(made) > 1:
        first.sni_callback = choose
    return first


def _named(name: str, contexts: Iterable[tuple[tuple[str, ...], ssl.SSLContext]]) -> ssl.SSLContext | None:
    wild = "*." + name.partition(".")[2]
    for wanted in (name, wild):
        for names, context in contexts:
            if wanted in names:
                return context
    return None


def client_context(authorities: Path | None, *, verify: bool, oldest: Version) -> ssl.SSLContext:
    """Return the context for a backend. `verify`: its certificate must be of `authorities` (None: the system's) and
    name the server; without it TLS keeps out only those who listen, as opportunistic TLS always does (RFC 7435).

    Raises CertificateError.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, oldest)
    # A certificate of the file is trusted itself, be it the server's own: that is how one of Exchange's own making is
    # pinned.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        if authorities is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(authorities)
    except ssl.SSLError:
        raise CertificateError(f"{authorities}: there is no certificate in PEM in it") from None
    except OSError as error:
        raise CertificateError(f"{authorities}: {error.strerror}") from None
    return context


@dataclass(frozen=True, slots=True)
class ServerTls:
    """How connections to the servers of a backend are protected."""

    security: BackendTls
    context: ssl.SSLContext | None = None
    """Needed for all but clear text."""
    name: str = ""
    """Whom the certificate must name, and whom we ask for (SNI); empty: the host we connect to."""

    def start(self, link: Link, host: str) -> None:
        """Go on under TLS with a server that is ready for it. Raises OSError."""
        if self.context is None:
            raise OSError("no TLS is set up")
        link.start_tls(self.context, self.name or host)


CLEAR_TEXT = ServerTls(BackendTls.OFF)


def _context(protocol: int, oldest: Version, ciphers: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = _VERSIONS[oldest]
    # A renegotiation in mid-session would make a read wait for a write; and it was an attack (CVE-2009-3555).
    context.options |= ssl.OP_NO_RENEGOTIATION
    if oldest is Version.TLS_1_0 and not ciphers:
        ciphers = "DEFAULT:@SECLEVEL=0"  # TLS 1.0 and 1.1 need SHA-1 signatures, which OpenSSL 3 has at level 0 only.
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def check_ciphers(ciphers: str) -> None:
    """See that OpenSSL knows one of them at least. Raises ValueError."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(ciphers)
    except ssl.SSLError:
        raise ValueError(f'OpenSSL knows no cipher of "{ciphers}"') from None


def agreed(sock: ssl.SSLSocket | None) -> Tls:
    """Return what a finished handshake has agreed on."""
    version, cipher = (None, None) if sock is None else (sock.version(), sock.cipher())
    return Tls(version or "", "" if cipher is None else cipher[0])


def trouble(error: OSError) -> str:
    """Return in few words why a handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (getattr(error, "reason", None) or "the connection ended").lower().replace("_", " ")
    return error.strerror or str(error)
