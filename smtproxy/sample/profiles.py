"""The servers that the sample backend can play, as literals.

Sources: Microsoft's documentation and published transcripts (Exchange), vendors' documents and transcripts (Domino,
hMailServer), Postfix's own replies. The lists are what such a server prints, in its order; the sample backend refuses
STARTTLS and AUTH even where they are listed. Nothing here may be read by the proxy to recognise a product.
"""

from dataclasses import replace

from smtproxy.sample.profile import Profile, Texts, vulnerable

EXCHANGE_2016 = Profile(
    ehlo=(
        "SIZE 37748736",
        "PIPELINING",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "STARTTLS",
        "X-ANONYMOUSTLS",
        "AUTH NTLM",
        "X-EXPS GSSAPI NTLM",
        "8BITMIME",
        "BINARYMIME",
        "CHUNKING",
        "XRDST",
    ),
)

EXCHANGE = replace(EXCHANGE_2016, ehlo=(*(EXCHANGE_2016.ehlo or ())[:-1], "SMTPUTF8", "XRDST"))
"""Exchange 2019, the Front End on port 25."""

EXCHANGE_SERIAL = replace(EXCHANGE, ehlo=tuple(line for line in EXCHANGE.ehlo or () if line != "PIPELINING"))
"""The same with PipeliningEnabled off."""

EXCHANGE_2003 = Profile(
    ehlo=(
        "TURN",
        "ATRN",
        "SIZE",
        "ETRN",
        "PIPELINING",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "8bitmime",
        "BINARYMIME",
        "CHUNKING",
        "VRFY",
        "X-EXPS GSSAPI NTLM LOGIN",
        "X-EXPS=LOGIN",
        "AUTH GSSAPI NTLM LOGIN",
        "AUTH=LOGIN",
        "X-LINK2STATE",
        "XEXCH50",
        "OK",
    ),
    texts=Texts(
        greeting="220 {hostname} Microsoft ESMTP MAIL Service, Version: 6.0.3790.4675 ready at {date}",
        final="250 2.6.0 {message_id} Queued mail for delivery",
        unknown_recipient="550 5.1.1 User unknown",
    ),
)

DOMINO = Profile(
    ehlo=("SIZE", "PIPELINING"),
    texts=Texts(
        greeting="220 {hostname} ESMTP Service (Lotus Domino Release 8.5.1) ready at {date}",
        hello="250 {hostname} Hello [{client}], pleased to meet you",
        mail="250 {address}... Sender OK",
        rcpt="250 {address}... Recipient OK",
        data='354 Enter message, end with "." on a line by itself',
        final="250 Message accepted for delivery",
        rset="250 Reset state",
        noop="250 OK",
        quit="221 {hostname} SMTP Service closing transmission channel",
        vrfy="252 Cannot verify user",
        help="214 Enter one of the following commands: HELO EHLO MAIL RCPT DATA RSET NOOP QUIT",
        unknown_verb="500 Syntax error, command unrecognized",
        starttls="500 Syntax error, command unrecognized",
        auth="500 Syntax error, command unrecognized",
        line_too_long="500 Line too long",
        bad_argument="501 Syntax error in parameters or arguments",
        bad_sender="501 Syntax error in parameters or arguments",
        bad_recipient="501 Syntax error in parameters or arguments",
        bad_parameter="555 Parameter not recognized",
        hello_first="503 Issue EHLO or HELO first",
        mail_first="503 Issue MAIL first",
        rcpt_first="503 Issue RCPT first",
        second_mail="503 Sender already specified",
        unknown_recipient="550 User not listed in Domino Directory",
        too_many_recipients="452 Too many recipients",
        too_large="552 Message exceeds maximum size",
        loop="554 Too many hops",
        no_storage="452 Insufficient system storage",
        too_many_errors="421 Too many errors",
        too_many_connections="421 Too many connections",
        idle="421 Connection timed out",
    ),
)

HMAILSERVER = Profile(
    ehlo=("SIZE 20480000", "STARTTLS", "AUTH LOGIN", "HELP"),
    max_size=20_480_000,
    refuses_bare_newlines=True,
    texts=Texts(
        greeting="220 {hostname} ESMTP",
        hello="250 {hostname}",
        mail="250 OK",
        rcpt="250 OK",
        data="354 OK, send.",
        final="250 Queued (0.123 seconds)",
        rset="250 OK",
        noop="250 OK",
        quit="221 goodbye",
        vrfy="502 VRFY disallowed.",
        help="211 DATA HELO EHLO MAIL NOOP QUIT RCPT RSET SAML TURN VRFY",
        unknown_verb="500 Command not recognized.",
        starttls="454 TLS not available",
        auth="504 Authentication mechanism not supported.",
        line_too_long="500 Line too long.",
        bad_argument="501 Syntax error.",
        bad_sender="550 The address is not valid.",
        bad_recipient="550 The address is not valid.",
        bad_parameter="550 Unsupported ESMTP extension",
        hello_first="502 Use HELO/EHLO first",
        mail_first="503 must have sender first.",
        rcpt_first="503 Must have sender and recipient first.",
        second_mail="503 Issue a reset if you want to start over",
        unknown_recipient="550 Unknown user",
        too_many_recipients="550 Too many recipients",
        too_large="552 Message size exceeds fixed maximum message size.",
        loop="554 Too many hops",
        bare_newline="554 Rejected - Message containing bare LF's.",
        no_storage="451 Please try again later.",
        too_many_errors="421 Too many invalid commands. Bye!",
        too_many_connections="421 Too many connections",
        idle="421 Connection timeout.",
    ),
)

POSTFIX = Profile(
    ehlo=(
        "PIPELINING",
        "SIZE 10240000",
        "VRFY",
        "ETRN",
        "STARTTLS",
        "ENHANCEDSTATUSCODES",
        "8BITMIME",
        "DSN",
        "SMTPUTF8",
        "CHUNKING",
    ),
    max_size=10_240_000,
    max_recipients=1000,
    max_hops=50,
    max_errors=20,
    max_per_source=50,
    texts=Texts(
        greeting="220 {hostname} ESMTP Postfix",
        hello="250 {hostname}",
        mail="250 2.1.0 Ok",
        rcpt="250 2.1.5 Ok",
        data="354 End data with <CR><LF>.<CR><LF>",
        chunk="250 2.0.0 Ok: {octets} bytes",
        final="250 2.0.0 Ok: queued as {internal_id:X}",
        rset="250 2.0.0 Ok",
        noop="250 2.0.0 Ok",
        quit="221 2.0.0 Bye",
        vrfy="252 2.0.0 {address}",
        help="500 5.5.2 Error: command not recognized",
        unknown_verb="500 5.5.2 Error: command not recognized",
        starttls="454 4.7.0 TLS not available due to local problem",
        auth="503 5.5.1 Error: authentication not enabled",
        line_too_long="500 5.5.2 Error: line too long",
        bad_argument="501 5.5.4 Syntax: wrong argument",
        bad_sender="501 5.1.7 Bad sender address syntax",
        bad_recipient="501 5.1.3 Bad recipient address syntax",
        bad_parameter="555 5.5.4 Unsupported option",
        hello_first="503 5.5.1 Error: send HELO/EHLO first",
        mail_first="503 5.5.1 Error: need MAIL command",
        rcpt_first="554 5.5.1 Error: no valid recipients",
        second_mail="503 5.5.1 Error: nested MAIL command",
        mixed="503 5.5.1 Error: DATA after BDAT",
        unknown_recipient="550 5.1.1 Recipient address rejected: User unknown in local recipient table",
        too_many_recipients="452 4.5.3 Error: too many recipients",
        too_large="552 5.3.4 Message size exceeds fixed limit",
        loop="554 5.4.0 Error: too many hops",
        bare_newline="550 5.5.2 Error: bare <LF> received",
        no_storage="452 4.3.1 Insufficient system storage",
        too_many_errors="421 4.7.0 {hostname} Error: too many errors",
        too_many_connections="421 4.7.0 {hostname} Error: too many connections from {client}",
        idle="421 4.4.2 {hostname} Error: timeout exceeded",
    ),
)

HELO_ONLY = replace(EXCHANGE, ehlo=None)
"""A server of before 1995: EHLO is an unknown command."""

SMUGGLED_LF_LF = vulnerable(EXCHANGE, b"\n.\n")
SMUGGLED_LF_CRLF = vulnerable(EXCHANGE, b"\n.\r\n")
SMUGGLED_CRLF_LF = vulnerable(EXCHANGE, b"\r\n.\n")
SMUGGLED_CR_CR = vulnerable(EXCHANGE, b"\r.\r")
SMUGGLED_ALL = vulnerable(EXCHANGE, b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n")
# NOT: CRLF.CR, the beginning of the right end: its LF would be left over behind each honest message.

PROFILES: dict[str, Profile] = {
    "exchange": EXCHANGE,
    "exchange-2016": EXCHANGE_2016,
    "exchange-serial": EXCHANGE_SERIAL,
    "exchange-2003": EXCHANGE_2003,
    "domino": DOMINO,
    "hmailserver": HMAILSERVER,
    "postfix": POSTFIX,
    "helo-only": HELO_ONLY,
    "smuggled-lf-lf": SMUGGLED_LF_LF,
    "smuggled-lf-crlf": SMUGGLED_LF_CRLF,
    "smuggled-crlf-lf": SMUGGLED_CRLF_LF,
    "smuggled-cr-cr": SMUGGLED_CR_CR,
    "smuggled-all": SMUGGLED_ALL,
}


def embedded(name: str) -> Profile:
    """The profile for use without a test around it: its banner says that mail goes nowhere. KeyError: no such name."""
    profile = PROFILES[name]
    greeting = "220 {hostname} smtproxy sample backend: mail is kept in files and goes nowhere, ready at {date}"
    return replace(profile, texts=replace(profile.texts, greeting=greeting))
