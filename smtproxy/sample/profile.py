"""What kind of server the sample backend plays: its words, its EHLO list and its limits, as data.

The defaults are those of Exchange 2016/2019 on port 25, taken from Microsoft's documentation and published transcripts;
the profiles themselves are in `profiles.py`. Texts that differ between versions are plausible, not certain: a client
may rely on codes alone. A profile never holds behaviour that a `Script` can express.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class UnknownRecipients(StrEnum):
    """When a recipient that does not exist is refused."""

    ACCEPT_ALL = "fe-accept-all"
    """Never: the bounce comes later. The default of Exchange on port 25."""
    RECIPIENT_FILTER = "fe-recipient-filter"
    """At the end of the message, for all recipients, if one of them is unknown."""
    EDGE = "edge"
    """At RCPT."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Reply texts: code, blank, text; a newline begins the next line of a multi-line reply.

    Fields in braces: hostname, client, date, address, message_id, internal_id, octets.
    """

    greeting: str = "220 {hostname} Microsoft ESMTP MAIL Service ready at {date}"
    hello: str = "250 {hostname} Hello [{client}]"
    mail: str = "250 2.1.0 Sender OK"
    rcpt: str = "250 2.1.5 Recipient OK"
    data: str = "354 Start mail input; end with <CRLF>.<CRLF>"
    chunk: str = "250 2.6.0 CHUNK received OK, {octets} octets"
    final: str = "250 2.6.0 {message_id} [InternalId={internal_id}, Hostname={hostname}] Queued mail for delivery"
    rset: str = "250 2.0.0 Resetting"
    noop: str = "250 2.0.0 OK"
    quit: str = "221 2.0.0 Service closing transmission channel"
    vrfy: str = "252 2.1.5 Cannot VRFY user"
    help: str = (
        "214-This server supports the following commands:\n214 HELO EHLO RCPT DATA MAIL QUIT HELP RSET VRFY NOOP"
    )
    starttls: str = "454 4.7.0 TLS not available"
    """With a 220 the server speaks TLS; whoever runs it needs a certificate then."""
    second_starttls: str = "503 5.5.1 Already under TLS"
    auth: str = "504 5.7.4 Unrecognized authentication type"
    unknown_verb: str = "500 5.3.3 Unrecognized command"
    line_too_long: str = "500 5.5.2 Line too long"
    bad_argument: str = "501 5.5.4 Invalid arguments"
    bad_sender: str = "550 5.1.7 Invalid address"
    bad_recipient: str = "501 5.1.3 Invalid address"
    bad_parameter: str = "501 5.5.4 Unrecognized parameter"
    hello_first: str = "503 5.5.2 Send hello first"
    mail_first: str = "503 5.5.2 Need mail command"
    rcpt_first: str = "503 5.5.2 Need rcpt command"
    second_mail: str = "503 5.5.2 Sender already specified"
    mixed: str = "503 5.5.1 DATA and BDAT may not be mixed"
    unknown_recipient: str = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"
    too_many_recipients: str = "452 4.5.3 Too many recipients"
    too_large: str = "552 5.3.4 Message size exceeds fixed maximum message size"
    loop: str = "554 5.4.6 Hop count exceeded - possible mail loop"
    bare_newline: str = "550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds"
    no_storage: str = "452 4.3.1 Insufficient system resources"
    too_many_errors: str = "421 4.7.0 Too many errors on this connection, closing transmission channel"
    too_many_connections: str = (
        "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel"
    )
    idle: str = "421 4.4.1 Connection timed out"


EXCHANGE_TEXTS = Texts()


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of server."""

    ehlo: tuple[str, ...] | None
    """Lines behind the greeting line of the EHLO answer, in the order of the wire; None: EHLO is not known.

    They are more than words: PIPELINING, SIZE, DSN, 8BITMIME, SMTPUTF8, CHUNKING and BINARYMIME work, or are noted as
    violations by the client, exactly as this list says.
    """
    texts: Texts = EXCHANGE_TEXTS
    hostname: str = "mx1.example.org"
    blank: bytes = b" "
    """Between code and text of the last line; MDaemon was published without one."""
    line_end: bytes = b"\r\n"
    """Of replies."""
    end_of_data: tuple[bytes, ...] = (b"\r\n.\r\n",)
    """Octets that end a message, each NEWLINE `.` NEWLINE. More than CRLF.CRLF plays a server open to smuggling; it
    then also takes the dots off that follow those newlines."""
    known_recipients: frozenset[str] | None = None
    """Lower-case addresses that exist; None: all do."""
    unknown_recipients: UnknownRecipients = UnknownRecipients.ACCEPT_ALL
    refuses_bare_newlines: bool = False
    """Exchange: BareLinefeedRejectionEnabled, false by default."""
    max_size: int = 37_748_736
    """Octets of a message; Exchange MaxMessageSize 36 MB. Announced only if `ehlo` says so."""
    max_recipients: int = 200
    """Exchange MaxRecipientsPerMessage."""
    max_hops: int = 30
    """Received fields; Exchange MaxHopCount."""
    max_errors: int | None = 5
    """Protocol errors until 421; Exchange MaxProtocolErrors. None: no limit."""
    max_per_source: int | None = 20
    """Connections from one address at a time; Exchange MaxInboundConnectionPerSource. None: no limit."""
    idle_timeout: float = 300.0
    """Seconds without an octet until 421; Exchange ConnectionInactivityTimeout."""
    tarpit: float = 0.0
    """Seconds that 4xx and 5xx replies are held, with the good ones before them. Exchange: 5; here 0 so that tests that
    do not look for it stay fast."""

    @property
    def keywords(self) -> frozenset[str]:
        """The EHLO keywords without arguments, upper case."""
        return frozenset(line.replace("=", " ").split(" ")[0].upper() for line in self.ehlo or ())


def vulnerable(profile: Profile, *sequences: bytes) -> Profile:
    """The same server, but these octets end a message too: LF.LF, LF.CRLF, CRLF.LF, CR.CR or others like them."""
    return replace(profile, end_of_data=(b"\r\n.\r\n", *sequences))


def encode(text: str, profile: Profile) -> bytes:
    """A reply on the wire, from a filled text of `Texts` ("250-" in front of a line is the same as "250 ")."""
    first, *others = text.split("\n")
    code = first[:3]
    lines = [first[4:], *(line[4:] if line[:3] == code else line for line in others)]
    head = b"".join(f"{code}-{line}".encode() + profile.line_end for line in lines[:-1])
    return head + code.encode() + profile.blank + lines[-1].encode() + profile.line_end
