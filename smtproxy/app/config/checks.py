"""The tables [checks.NAME]: which check may do what, and its own options.

Judgements have an `action`. Duties have none: they can only be switched off, each by a switch that names the danger.
Must never hold what a check does; that is in `smtproxy.policy.checks`.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from smtproxy.app.config.domains import AddressPattern, Domain
from smtproxy.app.config.tables import LIST, STRICT, member_of, one_of
from smtproxy.app.config.units import Count, Duration, Size
from smtproxy.policy import findings

Action = Annotated[
    findings.Action,
    member_of(findings.Action),
    Field(
        description="off: not asked; observe: logged only; score: its weight counts, see [score]; tarpit: answered "
        "late; defer: 4xx; reject: 5xx; drop: refused and the connection closed."
    ),
]


def number(value: object) -> float:
    """Read a weight. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1000 <= value <= 1000:
        raise ValueError("must be a number from -1000 to 1000")
    return float(value)


OnError = Annotated[
    findings.OnError,
    member_of(findings.OnError),
    Field(description="What follows when the check cannot know: pass as if it had found nothing, or defer with 4xx."),
]

Weight = Annotated[float, BeforeValidator(number), Field(description="What a finding counts with the action score.")]
Early = Annotated[
    bool,
    Field(
        description="Refuse at once what is known before RCPT. Else the refusal is spoken there, so that sender and "
        "recipient are in the log, and recipients can be exempt."
    ),
]
SoftBounce = Annotated[bool, Field(description="Say 4xx where this check would say 5xx.")]


class RecipientDomain(BaseModel):
    """Duty: only recipients in the listener's domains are taken."""

    model_config = STRICT
    enabled: bool = Field(
        default=True,
        description="false makes this an open relay as far as the backend lets it: everybody may send to anybody.",
    )


class Recipients(BaseModel):
    """Duty: only recipients that the sources of [recipients] know are taken. Nothing happens where there is none."""

    model_config = STRICT
    enabled: bool = Field(
        default=True,
        description="false takes mail for unknown recipients whatever the sources say, and the backend bounces it to "
        "senders that are forged as a rule.",
    )


class MessageSize(BaseModel):
    """Duty: no message is larger than the listener's max_message_size."""

    model_config = STRICT
    enabled: bool = Field(
        default=True,
        description="false lets a message be as large as bounds.message_ceiling, whatever the backend can take.",
    )


class BareNewlines(BaseModel):
    """Duty: bodies with a bare CR or LF are treated as the listener's bare_newlines says."""

    model_config = STRICT
    enabled: bool = Field(
        default=True,
        description="false passes bare CR and LF: a backend that takes one for a line end can be made to read a "
        "second, forged message (SMTP smuggling).",
    )


class Loops(BaseModel):
    """Duty: a message that went through too many servers is refused."""

    model_config = STRICT
    enabled: bool = Field(default=True, description="false lets mail loops run until another server ends them.")
    max_received: Annotated[
        Count,
        Field(description="Received header fields a message may have (RFC 5321 6.3; above: 554 5.4.6)."),
    ] = 50


class ProtocolErrors(BaseModel):
    """Duty: a client that makes too many mistakes is slowed down and then hung up on."""

    model_config = STRICT
    enabled: bool = Field(
        default=True,
        description="false lets a client try wrong commands without end and hold its connection with them.",
    )
    soft: Annotated[Count, Field(description="Errors of one session above which each answer is delayed.")] = 10
    hard: Annotated[
        Count, Field(validate_default=True, description="Errors of one session above which it ends with 421.")
    ] = 20
    delay: Annotated[Duration, Field(description="How long an answer is delayed above `soft`.")] = 1.0

    @field_validator("hard", mode="after")
    @classmethod
    def _beyond_soft(cls, value: int, info: ValidationInfo) -> int:
        if value <= info.data.get("soft", 0):
            raise ValueError(f"must be above soft, which is {info.data['soft']}")
        return value


class Judgement(BaseModel):
    """What all judgements have in common."""

    model_config = STRICT
    action: Action = findings.Action.OBSERVE
    on_error: OnError = findings.OnError.PASS
    weight: Weight = 1.0
    early: Early = False
    soft_bounce: SoftBounce = False


class Hello(Judgement):
    """Judgement: the client calls itself by our name, by one that is none or leads nowhere, by another's address."""

    forged: bool = Field(default=True, description="Find our own name, or one of the listener's domains.")
    syntax: bool = Field(default=True, description="Find what is neither a domain nor an address literal.")
    foreign_address: bool = Field(
        default=True, description="Find an address literal that is not the client's, in whatever way it is written."
    )
    changed: bool = Field(default=True, description="Find clients that change their name within a session.")
    unqualified: bool = Field(default=False, description="Find names without a dot. Some honest servers have one.")
    unresolvable: bool = Field(
        default=False,
        description="Find names without an address in the DNS. Many honest servers say a name that only their office "
        'knows, as "exch01.corp.local"; this asks the DNS for each name.',
    )


class ReverseName(Judgement):
    """Judgement: the client's address has no name of its own in the DNS. Private addresses are not looked at."""

    missing: bool = Field(default=True, description="Find addresses without a name (PTR).")
    unconfirmed: bool = Field(default=True, description="Find names that do not lead back to the address.")
    dynamic: bool = Field(
        default=True,
        description="Find names that providers give to whoever is connected: with the address in it, or a word like "
        "dsl or pool. Forgiven if SPF passes, or if the client is a mail server of the sender's domain.",
    )


class SenderDomain(Judgement):
    """Judgement: the domain of MAIL FROM could not be written to. The null sender has none."""

    missing: bool = Field(default=True, description="Find domains that do not exist.")
    null_mx: bool = Field(default=True, description="Find domains that say they take no mail (RFC 7505).")
    no_exchanger: bool = Field(default=True, description="Find domains without MX and without an address.")
    bogus_exchanger: bool = Field(
        default=True,
        description="Find domains whose mail servers all have addresses that nobody can reach: loopback, private, "
        "documentation, multicast ...",
    )


class Dnsbl(Judgement):
    """Judgement: lists of the DNS have the client, its name, or the sender's domain. The lists stand in [[lists]]."""

    threshold: Annotated[
        float,
        BeforeValidator(number),
        Field(description="From this sum of the weights of the lists on something is found."),
    ] = 1.0


class Spf(Judgement):
    """Judgement: the client is none of those from which the sender's domain sends (SPF)."""

    fail: bool = Field(default=True, description="Find what the domain's owner asks to refuse (-all).")
    softfail: bool = Field(default=False, description="Find what the owner only suspects (~all).")
    permerror: bool = Field(default=False, description="Find records that have an error or need too much.")
    hello: bool = Field(default=False, description="Look at the hello name as well, not for the null sender only.")


class OwnSender(Judgement):
    """Judgement: a stranger sends as one of the listener's domains, without proof by SPF or DKIM."""

    envelope: bool = Field(default=True, description="Look at MAIL FROM; SPF alone can prove it there.")
    author: bool = Field(default=True, description="Look at From.")


class NullSender(Judgement):
    """Judgement: a bounce (the null sender) to several recipients, or to an address that never sends."""

    several_recipients: bool = Field(default=True, description="Find the second recipient of a bounce, and all later.")
    never_sends: Annotated[
        tuple[AddressPattern, ...],
        LIST,
        Field(
            description='Addresses that nobody sends from, so that nothing can bounce to them: "info@example.org", '
            '"*.lists.example.org".'
        ),
    ] = ()


class Dkim(Judgement):
    """Judgement: DKIM signatures of which none passes, or that are odd in themselves."""

    broken: bool = Field(
        default=True, description="Find messages whose signatures all fail. Mailing lists break them every day."
    )
    partial: bool = Field(default=False, description="Find those that leave the end of the body unsigned (l=).")
    many: bool = Field(default=True, description="Find more signatures than the ten that are looked at.")


class Dmarc(Judgement):
    """Judgement: mail that fails DMARC, and whose domain in From asks for something to be done about it."""

    reject: bool = Field(default=True, description="Find what the domain asks to refuse (p=reject).")
    quarantine: bool = Field(default=False, description="Find what the domain asks to put aside (p=quarantine).")
    trusted_sealers: Annotated[
        tuple[Domain, ...],
        LIST,
        Field(
            description="Domains whose ARC seal excuses a failure, if it is the newest of a chain that passes and says "
            "that DMARC passed there: your own lists and forwarders."
        ),
    ] = ()


class Header(Judgement):
    """Judgement: a header that no careful program writes. With the action score each kind that is found counts."""

    no_from: bool = Field(default=True, description="Find messages without From.")
    several_from: bool = Field(default=True, description="Find several From fields.")
    unreadable_from: bool = Field(default=True, description="Find a From that readers may take for different ones.")
    several_domains: bool = Field(
        default=True, description="Find a From with addresses in several domains: it is exempt from DMARC."
    )
    bad_date: bool = Field(default=True, description="Find a Date that is missing, unreadable, or far from now.")
    date_ahead: Annotated[Duration, Field(description="How far Date may be ahead of the clock.")] = 86400.0
    date_behind: Annotated[Duration, Field(description="How far it may be behind.")] = 30 * 86400.0
    large: bool = Field(default=True, description="Find headers above `max_size`.")
    max_size: Annotated[Size, Field(description="Octets of a header. Exchange takes 256 KiB by default.")] = 262144
    raw_8bit: bool = Field(default=True, description="Find 8-bit characters in the header without SMTPUTF8.")
    undeclared_8bit: bool = Field(
        default=False, description="Find 8-bit characters in the body of a message that is no MIME."
    )


class EarlyTalker(Judgement):
    """Judgement: the client talks before the banner, or before the reply to EHLO, HELO or DATA."""


class NotSmtp(Judgement):
    """Judgement: the client speaks HTTP (a proxy's CONNECT included), or TLS where nobody offered it."""

    action: Action = findings.Action.DROP


class Blocked(Judgement):
    """Judgement: a person has blocked the client's address or network, or the sender's domain. Whom a person has
    allowed is exempt from this and from all other judgements.
    """

    action: Action = findings.Action.REJECT
    early: Early = True
    at: Annotated[
        Literal["connect", "accept"],
        one_of(["connect", "accept"]),
        Field(
            description="connect: a blocked client is told so in place of the banner. accept: if its action refuses, "
            "its connection is closed at once with a reset and without a word, which costs least; honest senders then "
            "never learn why. A blocked domain is told at MAIL in any case."
        ),
    ] = "connect"


class Reputation(Judgement):
    """Judgement: the client is in the penalty box, for what became of its mail before; see [reputation]."""

    early: Early = True


class Checks(BaseModel):
    """All checks. Each is as its defaults say unless the file says otherwise."""

    model_config = STRICT
    recipient_domain: RecipientDomain = Field(default=RecipientDomain(), description="Which recipients are ours.")
    recipients: Recipients = Field(default=Recipients(), description="Which recipients exist; see [recipients].")
    size: MessageSize = Field(default=MessageSize(), description="How large a message may be.")
    bare_newlines: BareNewlines = Field(default=BareNewlines(), description="Bare CR and LF in bodies.")
    loops: Loops = Field(default=Loops(), description="Mail that goes in circles.")
    protocol_errors: ProtocolErrors = Field(default=ProtocolErrors(), description="Patience with broken clients.")
    early_talker: EarlyTalker = Field(default=EarlyTalker(), description="Clients that do not wait for replies.")
    not_smtp: NotSmtp = Field(default=NotSmtp(), description="Clients that speak another protocol.")
    blocked: Blocked = Field(default=Blocked(), description="Whom a person has blocked.")
    reputation: Reputation = Field(default=Reputation(), description="Who is in the penalty box.")
    hello: Hello = Field(default=Hello(), description="What a client calls itself.")
    reverse_name: ReverseName = Field(default=ReverseName(), description="What the DNS calls the client.")
    sender_domain: SenderDomain = Field(default=SenderDomain(), description="Whether a sender can be answered.")
    dnsbl: Dnsbl = Field(default=Dnsbl(), description="What lists of the DNS say of it.")
    spf: Spf = Field(default=Spf(), description="Whether the client may send for the sender's domain.")
    own_sender: OwnSender = Field(default=OwnSender(), description="Strangers who send as one of our domains.")
    null_sender: NullSender = Field(default=NullSender(), description="Bounces that are none.")
    dkim: Dkim = Field(default=Dkim(), description="Signatures that are worth nothing.")
    dmarc: Dmarc = Field(default=Dmarc(), description="Forged authors.")
    header: Header = Field(default=Header(), description="Odd headers.")


DUTIES: Final = frozenset(name for name, field in Checks.model_fields.items() if "enabled" in dict(field.default))
"""Names of the checks that cannot be weakened, only switched off."""
