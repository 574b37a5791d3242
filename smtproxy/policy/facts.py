"""The facts that lookups learn and checks read: their names, scopes and shapes. One table, `FACTS`.

Shapes are plain on purpose (text, numbers, truth, tuples, and data classes of these): a fact stands in the `message`
line as it is, and is made again from there (`restore`), so that a decision can be computed again. Whoever changes a
shape raises `VERSION`. No fact holds content of a message, a secret, or a query name with a key in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from smtproxy.wire.members import hashed_by_identity
from smtproxy.wire.values import value

T = TypeVar("T")

VERSION = 1
"""Of the shapes below, and of the record they stand in."""


@hashed_by_identity
class Scope(Enum):
    """What a fact is about, and by that how long it is one."""

    SESSION = "session"
    """The client's connection."""
    HELLO = "hello"
    """What the client calls itself, until it says another name."""
    TRANSACTION = "transaction"
    """The sender."""
    RECIPIENT = "recipient"
    """One recipient."""
    MESSAGE = "message"
    """The message as a whole: it must be held, not streamed."""


@dataclass(frozen=True, slots=True)
class Key(Generic[T]):
    """The name of a fact, with what it is about and its shape."""

    name: str
    scope: Scope
    shape: type[T]
    meaning: str = field(compare=False, default="")


@value
class ReverseName:
    """The names of an address in the DNS. RFC 1035 3.5, RFC 8601 2.7.3 (iprev)"""

    names: tuple[str, ...] = ()
    """As PTR has them, in lower case without a final dot; empty: it has none."""
    confirmed: str = ""
    """The first of them that leads back to the address; empty: none does."""


@value
class HelloName:
    """What the name in EHLO or HELO leads to; never asked for an address literal."""

    addresses: tuple[str, ...] = ()
    """Of A and AAAA; empty: it has none."""
    exists: bool = True
    """False: NXDOMAIN."""


@value
class SenderDomain:
    """What the DNS says of the domain of MAIL FROM. RFC 5321 5.1, RFC 7505"""

    exists: bool
    """False: NXDOMAIN."""
    null_mx: bool = False
    """It says that it takes no mail. RFC 7505"""
    exchangers: tuple[str, ...] = ()
    """Of MX, the best ones first; empty: the domain itself (implicit MX) if it has addresses."""
    addresses: tuple[str, ...] = ()
    """Of the first exchangers, or of the domain itself."""
    client_is_exchanger: bool = False
    """The client's address is among them."""


@value
class Listed:
    """One answer of a list of the DNS. RFC 5782"""

    zone: str
    """The name of the list in the configuration: its query zone may hold a secret."""
    subject: str
    """The address or domain that is listed."""
    answers: tuple[str, ...]
    """As "127.0.0.2"."""


@value
class Listings:
    """What the lists say of one subject."""

    listed: tuple[Listed, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()
    """Lists that could not say, each with the reason."""


@value
class Spf:
    """The result of SPF for one identity. RFC 7208 2.6"""

    result: str
    """none | neutral | pass | fail | softfail | temperror | permerror"""
    domain: str = ""
    """The domain that was checked, in lower case."""
    explanation: str = ""
    """What the domain's own exp= says of a fail; untrusted text. RFC 7208 6.2"""


@value
class Signature:
    """One DKIM signature and what became of it. RFC 6376"""

    domain: str
    """d=, in lower case."""
    selector: str
    result: str
    """pass | fail | temperror | permerror. One that does not cover From (`h=`) is permerror, whatever it says."""
    reason: str = ""
    partial: bool = False
    """l= leaves the end of the body unsigned."""
    testing: bool = False
    """t=y of its key."""
    algorithm: str = ""
    """As "rsa-sha256"."""


@value
class Signatures:
    """The DKIM signatures of a message, as many as were looked at."""

    found: tuple[Signature, ...] = ()
    more: int = 0
    """Those beyond the bound, not looked at."""


@value
class Arc:
    """The ARC chain of a message. RFC 8617"""

    result: str
    """none | pass | fail"""
    sealers: tuple[str, ...] = ()
    """d= of the seals, the newest first; only a chain that passes has any."""
    dmarc: str = ""
    """The DMARC result that the newest sealer's ARC-Authentication-Results claim: worth what the sealer is worth."""


@value
class Dmarc:
    """The result of DMARC. RFC 9989, RFC 7489"""

    result: str
    """none | pass | fail | temperror | permerror"""
    domain: str = ""
    """Of From."""
    policy: str = ""
    """What the domain's owner asks for here: none | quarantine | reject; empty: no record."""
    record_domain: str = ""
    """Where the record stood."""
    aligned: str = ""
    """spf | dkim, the one that passed in alignment; empty: neither."""


@value
class HeaderBlock:
    """What the header block of a message looks like. RFC 5322 3.6"""

    size: int = 0
    """Octets, its final empty line not counted."""
    from_fields: int = 1
    from_domains: tuple[str, ...] = ()
    """The domains of all addresses in From, in the form of `domain_key`."""
    from_understood: bool = True
    """False: From could not be parsed."""
    date_fields: int = 1
    date_off: float | None = None
    """Seconds that Date is ahead of the clock (negative: behind it); None: there is none that could be parsed."""
    raw_8bit: bool = False
    """Octets above 127 in the header block."""
    body_8bit_undeclared: bool = False
    """Octets above 127 in a body of a message without MIME-Version, or BODY=8BITMIME not said."""


@value
class RecipientEntry:
    """What the sources of recipients say of an address."""

    exists: bool
    source: str = ""
    """Name of the source that decided; empty: no source is responsible for this domain."""
    age: float | None = None
    """Seconds since the source's data was whole and fresh; None: asked just now."""
    requires_authentication: bool = False
    """Only for senders of the organisation: msExchRequireAuthToSendTo, RESOLVER.RST.AuthRequired."""
    over_quota: bool = False
    size_limit: int | None = None
    """Octets of the largest message it takes."""
    allowed_senders: tuple[str, ...] = ()
    """Who alone may send to it (authOrig, dLMemSubmitPerms), in lower case; empty: anybody."""
    denied_senders: tuple[str, ...] = ()
    policy: str = ""
    """Name of the [[policy]] block that the entry asks for; empty: by its address."""


@value
class Greylist:
    """What is remembered of a sender that may have to come again."""

    key: str
    """Who it is: a domain that SPF proves, the organisation of the client's confirmed name, or the client's network."""
    waited: float | None = None
    """Seconds since it was first told to come again, as this sender and to this domain; None: it was not, or too long
    ago."""
    spared: str = ""
    """Why it need not: passed | good_record | retries_badly; empty: nobody knows it."""


@value
class ExceededLimit:
    """A limit that has nothing left for now."""

    name: str
    wait: float
    """Seconds until it lets one through again, to a tenth."""
    excess: int = 1
    """Units above it, the one that is asked for included. More than 1 only where it is charged beyond its burst."""


@value
class Exceeded:
    """Which limits are exceeded, of those that stand where it was asked. None: all that apply let it through."""

    limits: tuple[ExceededLimit, ...] = ()


@value
class Reputation:
    """What was learned of a client or of a proven domain, and what a person has set. Counts fade as time goes by."""

    known_good: bool = False
    """Mail of its network, or of this domain, was delivered three times within a month or so."""
    known_bad: bool = False
    """It is blocked, or in the penalty box, or bad enough for it."""
    age: float | None = None
    """Seconds since it was seen first; none: just now. Who stays away for 90 days is new, who never had mail delivered
    after two."""
    delivered: float = 0.0
    """Mails delivered; half of them are left after 60 days. Of all below, after a day."""
    refused: float = 0.0
    """Mails, or sessions without one, that a check refused for good."""
    unknown_recipients: float = 0.0
    harvests: float = 0.0
    """Mails with five unknown recipients or more."""
    early_talks: float = 0.0
    """Sessions in which it talked before a reply."""
    badness: float = 0.0
    """What these four come to."""
    blocked: str = ""
    """The address, network or domain that a person has blocked; empty: none."""
    allowed: str = ""
    """The one that a person has allowed; empty: none."""
    set_by: str = ""
    """The person who has blocked or allowed it."""
    reason: str = ""
    """Why, in that person's words."""
    until: str = ""
    """When that ends."""
    penalty: str = ""
    """For what the client is in the penalty box; empty: it is not."""
    penalty_until: str = ""
    """When that ends."""


REVERSE_NAME = Key("reverse_name", Scope.SESSION, ReverseName, "names of the client's address")
LISTED_CLIENT = Key("listed_client", Scope.SESSION, Listings, "lists that have the client's address")
LISTED_REVERSE_NAME = Key("listed_reverse_name", Scope.SESSION, Listings, "lists that have its confirmed name")
REPUTATION = Key("reputation", Scope.SESSION, Reputation, "what was learned of the client, and what a person has set")
HELLO_NAME = Key("hello_name", Scope.HELLO, HelloName, "addresses of the name in EHLO or HELO")
LISTED_HELLO = Key("listed_hello", Scope.HELLO, Listings, "lists that have that name")
SPF_HELLO = Key("spf_hello", Scope.HELLO, Spf, "SPF of that name")
SENDER_DOMAIN = Key("sender_domain", Scope.TRANSACTION, SenderDomain, "what the DNS says of the sender's domain")
LISTED_SENDER = Key("listed_sender", Scope.TRANSACTION, Listings, "lists that have the sender's domain")
SENDER_REPUTATION = Key(
    "sender_reputation", Scope.TRANSACTION, Reputation, "the same of the sender's domain, which need not be proven"
)
SPF = Key("spf", Scope.TRANSACTION, Spf, "SPF of MAIL FROM (of the hello name for the null path)")
RECIPIENT = Key("recipient", Scope.RECIPIENT, RecipientEntry, "what the sources of recipients say")
GREYLIST = Key("greylist", Scope.RECIPIENT, Greylist, "whether the sender has come again before")
HEADER = Key("header", Scope.MESSAGE, HeaderBlock, "what the header block looks like")
DKIM = Key("dkim", Scope.MESSAGE, Signatures, "DKIM signatures")
ARC = Key("arc", Scope.MESSAGE, Arc, "the ARC chain")
DMARC = Key("dmarc", Scope.MESSAGE, Dmarc, "DMARC of the domain in From")
LIMITS_SESSION = Key("limits_session", Scope.SESSION, Exceeded, "exceeded limits of connections")
LIMITS_TRANSACTION = Key("limits_transaction", Scope.TRANSACTION, Exceeded, "exceeded limits that are asked at MAIL")
LIMITS_RECIPIENT = Key("limits_recipient", Scope.RECIPIENT, Exceeded, "exceeded limits that are asked at RCPT")
LIMITS = frozenset({LIMITS_SESSION, LIMITS_TRANSACTION, LIMITS_RECIPIENT})

FACTS: Mapping[str, Key[Any]] = {
    key.name: key
    for key in (
        REPUTATION,
        REVERSE_NAME,
        LISTED_CLIENT,
        LISTED_REVERSE_NAME,
        HELLO_NAME,
        LISTED_HELLO,
        SPF_HELLO,
        SENDER_REPUTATION,
        SENDER_DOMAIN,
        LISTED_SENDER,
        SPF,
        RECIPIENT,
        GREYLIST,
        HEADER,
        DKIM,
        ARC,
        DMARC,
        LIMITS_SESSION,
        LIMITS_TRANSACTION,
        LIMITS_RECIPIENT,
    )
}
"""Every fact there is, by name."""


def brief(fact: object) -> object:
    """Return the plain form of a fact, without what is as it is by default: most of it is, in most lines."""
    if isinstance(fact, tuple):
        return [brief(one) for one in fact]
    defaults = _defaults(type(fact))  # type: ignore[arg-type] # mypy does not know that types have a hash
    if not defaults:
        return fact
    plain: dict[str, object] = {}
    for name, default in defaults:
        said = getattr(fact, name)
        if said is not default and (said != default or type(said) is not type(default)):
            plain[name] = brief(said) if isinstance(said, tuple) else said
    return plain


@cache
def _defaults(shape: type[Any]) -> tuple[tuple[str, object], ...]:
    """Return the fields of a data class; of what is none, nothing."""
    return tuple((one.name, one.default) for one in fields(shape)) if is_dataclass(shape) else ()


@cache
def _adapter(key: Key[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(key.shape)


def restore(key: Key[T], plain: object) -> T:
    """Make the value of a fact from its plain form in the log. Raises ValueError: it is not of this shape."""
    adapter: TypeAdapter[T] = _adapter(key)
    return adapter.validate_python(plain)
