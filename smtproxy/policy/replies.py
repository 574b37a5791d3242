"""Every text a client may hear from us, in one table, with its code and enhanced status code (RFC 3463, RFC 5248).

Rules of wording: a refusal says what the sender's administrator can act on, and ends with the session id, under which
the log explains it. Greeting, EHLO answer and 3xx carry no enhanced code (RFC 2034 4). Nothing a peer sent is repeated
unless it is short and printable. The last line holds the reason: some clients show only that one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from smtproxy.session.answers import Own
from smtproxy.wire.errors import Fault
from smtproxy.wire.members import hashed_by_identity
from smtproxy.wire.replies import Reply


@hashed_by_identity
class Reason(Enum):
    """Why a check found something; its value is what the log calls it."""

    FOREIGN_RECIPIENT = "foreign_recipient"
    ROUTED_LOCAL_PART = "routed_local_part"
    UNKNOWN_RECIPIENT = "unknown_recipient"
    RECIPIENT_OVER_QUOTA = "recipient_over_quota"
    RECIPIENT_RESTRICTED = "recipient_restricted"
    RECIPIENT_NEEDS_AUTHENTICATION = "recipient_needs_authentication"
    RECIPIENT_SIZE = "recipient_size"
    DECLARED_TOO_LARGE = "declared_too_large"
    TOO_LARGE = "too_large"
    BARE_NEWLINES = "bare_newlines"
    NEWLINES_AT_DOTS = "newlines_at_dots"
    MAIL_LOOP = "mail_loop"
    ERRORS_SOFT = "errors_soft"
    ERRORS_HARD = "errors_hard"
    EARLY_TALKER = "early_talker"
    NOT_SMTP = "not_smtp"
    HELLO_FORGED = "hello_forged"
    HELLO_SYNTAX = "hello_syntax"
    HELLO_FOREIGN_ADDRESS = "hello_foreign_address"
    HELLO_CHANGED = "hello_changed"
    HELLO_UNQUALIFIED = "hello_unqualified"
    HELLO_UNRESOLVABLE = "hello_unresolvable"
    NO_REVERSE_NAME = "no_reverse_name"
    REVERSE_NAME_UNCONFIRMED = "reverse_name_unconfirmed"
    REVERSE_NAME_DYNAMIC = "reverse_name_dynamic"
    SENDER_DOMAIN_MISSING = "sender_domain_missing"
    SENDER_NULL_MX = "sender_null_mx"
    SENDER_NO_EXCHANGER = "sender_no_exchanger"
    SENDER_BOGUS_EXCHANGER = "sender_bogus_exchanger"
    LISTED = "listed"
    SPF_FAIL = "spf_fail"
    SPF_SOFTFAIL = "spf_softfail"
    SPF_PERMERROR = "spf_permerror"
    OWN_SENDER = "own_sender"
    OWN_AUTHOR = "own_author"
    NULL_SENDER_RECIPIENTS = "null_sender_recipients"
    NULL_SENDER_NEVER_SENT = "null_sender_never_sent"
    DKIM_BROKEN = "dkim_broken"
    DKIM_PARTIAL = "dkim_partial"
    DKIM_MANY = "dkim_many"
    DMARC_REJECT = "dmarc_reject"
    DMARC_QUARANTINE = "dmarc_quarantine"
    HEADER_LARGE = "header_large"
    HEADER_NO_FROM = "header_no_from"
    HEADER_SEVERAL_FROM = "header_several_from"
    HEADER_UNREADABLE_FROM = "header_unreadable_from"
    HEADER_SEVERAL_DOMAINS = "header_several_domains"
    HEADER_BAD_DATE = "header_bad_date"
    HEADER_8BIT = "header_8bit"
    BODY_8BIT = "body_8bit"
    BLOCKED = "blocked"
    PENALTY = "penalty"
    RULE = "rule"
    LIMIT_EXCEEDED = "limit_exceeded"
    CHECK_CRASHED = "check_crashed"
    CANNOT_CHECK = "cannot_check"
    SCORE_REACHED = "score_reached"
    GREYLISTED = "greylisted"
    OTHER_POLICY = "other_policy"


@dataclass(frozen=True, slots=True)
class Wording:
    """One reply. `{}` in the text is the place of a detail."""

    code: int
    enhanced: str
    """Empty for greeting, hello and 3xx."""
    text: str


Occasion: TypeAlias = Own | Fault | Reason

TABLE: Mapping[Occasion, Wording] = {
    # The dialogue goes on
    Own.BANNER: Wording(220, "", "{} ESMTP"),
    Own.MAIL_OK: Wording(250, "2.1.0", "Sender OK"),
    Own.START_BODY: Wording(354, "", "Start mail input; end with <CRLF>.<CRLF>"),
    Own.CHUNK_TAKEN: Wording(250, "2.0.0", "{} octets so far"),
    Own.RESET: Wording(250, "2.0.0", "Reset"),
    Own.NOTHING: Wording(250, "2.0.0", "OK"),
    Own.GOODBYE: Wording(221, "2.0.0", "Closing connection"),
    Own.CANNOT_VERIFY: Wording(252, "2.5.2", "Cannot verify; send the mail and it will be tried"),  # RFC 5321 3.5.3
    Own.HELP: Wording(214, "2.0.0", "RFC 5321 has the commands; postmaster has the rest"),
    # Protocol errors
    Own.NOT_IMPLEMENTED: Wording(502, "5.5.1", "Command not offered here"),
    Own.UNKNOWN_COMMAND: Wording(500, "5.5.1", "Command not recognized"),
    Own.HELLO_FIRST: Wording(503, "5.5.1", "Send EHLO or HELO first"),
    Own.MAIL_FIRST: Wording(503, "5.5.1", "Send MAIL first"),
    Own.HELLO_AGAIN: Wording(503, "5.5.1", "We have met; too many greetings"),
    Own.TLS_READY: Wording(220, "2.0.0", "Ready to start TLS"),
    Own.TLS_LATE: Wording(503, "5.5.1", "STARTTLS comes before MAIL; RSET first"),
    Own.TLS_TWICE: Wording(503, "5.5.1", "TLS is on already"),
    Own.TLS_ARGUMENT: Wording(501, "5.5.4", "STARTTLS takes no parameters"),
    Own.TLS_INJECTED: Wording(554, "5.5.0", "SMTP protocol synchronization: text sent behind STARTTLS"),
    Own.MAIL_TWICE: Wording(503, "5.5.1", "Sender already given; RSET starts anew"),
    Own.MESSAGE_BEGUN: Wording(503, "5.5.1", "Message has begun by BDAT; end it with LAST, or RSET"),
    Own.BINARY_BY_DATA: Wording(503, "5.5.1", "BODY=BINARYMIME cannot be sent by DATA; use BDAT"),
    Own.PARAMETER: Wording(555, "5.5.4", "Parameter not offered: {}"),
    Own.NO_RECIPIENTS: Wording(554, "5.5.1", "No valid recipients"),
    Own.EARLY_BODY: Wording(554, "5.5.0", "SMTP protocol synchronization: text sent before the reply to DATA"),
    Fault.LINE_TOO_LONG: Wording(500, "5.5.2", "Line too long"),
    Fault.LINE_ENDLESS: Wording(500, "5.5.2", "Line without end"),
    Fault.EMPTY_COMMAND: Wording(500, "5.5.2", "Empty command"),
    Fault.BAD_OCTETS: Wording(501, "5.5.2", "Command with octets that are no text"),  # RFC 5321 4.1.2
    Fault.UNKNOWN_COMMAND_SYNTAX: Wording(500, "5.5.2", "Command not recognized"),
    Fault.BAD_MAIL_SYNTAX: Wording(501, "5.5.4", "Syntax: MAIL FROM:<address>"),
    Fault.BAD_RCPT_SYNTAX: Wording(501, "5.5.4", "Syntax: RCPT TO:<address>"),
    Fault.BAD_PATH: Wording(501, "5.1.3", "Address not understood"),
    Fault.PATH_TOO_LONG: Wording(501, "5.1.3", "Address too long"),
    Fault.NEEDS_SMTPUTF8: Wording(553, "5.6.7", "Address needs SMTPUTF8"),  # RFC 6531 3.5
    Fault.BAD_PARAMETER: Wording(501, "5.5.4", "Parameter not understood"),
    Fault.DUPLICATE_PARAMETER: Wording(501, "5.5.4", "Parameter given twice"),
    Fault.BAD_CHUNK: Wording(501, "5.5.4", "Syntax: BDAT size [LAST]; closing, as the octets behind it have no end"),
    Fault.NULL_RECIPIENT: Wording(501, "5.1.3", "No recipient given"),
    # Bounds
    Own.TOO_MANY_CONNECTIONS: Wording(
        421, "4.7.0", "Too many connections from your address; close some and come again"
    ),
    Own.CONNECTS_TOO_OFTEN: Wording(421, "4.7.0", "Too many connections a minute from your address; come again later"),
    Own.TOO_MANY_RECIPIENTS: Wording(452, "4.5.3", "Too many recipients; send the others in another transaction"),
    Own.TOO_MANY_COMMANDS: Wording(421, "4.7.0", "Too much for one session; come again"),
    Own.COMMAND_TIMEOUT: Wording(421, "4.4.2", "Timeout waiting for a command"),
    Own.BODY_TIMEOUT: Wording(421, "4.4.2", "Message comes too slowly"),
    Own.BODY_CROWDED: Wording(451, "4.4.2", "Message comes too slowly while others wait; try again later"),
    Own.SESSION_TIMEOUT: Wording(421, "4.4.2", "Session lasts too long; come again"),
    Own.SHUTDOWN: Wording(421, "4.3.2", "Service is restarting; try again in a moment"),
    Own.OVERLOADED: Wording(421, "4.3.2", "Too busy for new clients; try again in a few minutes"),
    Own.TOO_MUCH_BODY: Wording(421, "4.3.1", "Refused message does not end; closing"),
    Own.BODY_SPOILT: Wording(554, "5.6.0", "Message breaks a limit of this server"),
    Own.DISK_FULL: Wording(452, "4.3.1", "Insufficient system storage; try again later"),
    # The backend
    Own.NO_BACKEND: Wording(451, "4.3.2", "Mail server not reachable; try again later"),
    Own.NO_BACKEND_YET: Wording(421, "4.3.2", "Mail server not reachable; try again later"),
    Own.NO_PLACE: Wording(451, "4.3.2", "Mail server is busy; try again in a minute"),
    Own.BACKEND_LOST: Wording(451, "4.3.2", "Mail server closed its connection; try again later"),
    Own.BACKEND_SILENT: Wording(451, "4.4.2", "Mail server does not answer; try again later"),
    Own.BACKEND_NONSENSE: Wording(451, "4.3.0", "Mail server answered out of turn; try again later"),
    Own.BACKEND_MISCONFIGURED: Wording(451, "4.3.5", "Mail system is misconfigured; try again later"),
    Own.BACKEND_CANNOT: Wording(
        451, "4.3.2", "No mail server with the needed extensions is reachable; try again later"
    ),
    Own.BACKEND_CHANGED: Wording(451, "4.3.2", "Mail server changed its mind about this mail; try again later"),
    Own.TOO_LATE: Wording(451, "4.4.5", "Message could not be passed on in time; try again later"),
    Own.UNKNOWN_OUTCOME: Wording(451, "4.4.2", "Mail server did not confirm the message; try again later"),
    Own.INTERNAL: Wording(421, "4.3.0", "Internal error; try again later"),
    # Checks
    Reason.FOREIGN_RECIPIENT: Wording(550, "5.7.1", "Relaying denied: this server takes no mail for that domain"),
    Reason.ROUTED_LOCAL_PART: Wording(550, "5.7.1", "Relaying denied: address asks for routing to another domain"),
    Reason.UNKNOWN_RECIPIENT: Wording(550, "5.1.1", "No such mailbox here; check the address for mistakes"),
    Reason.RECIPIENT_OVER_QUOTA: Wording(452, "4.2.2", "Mailbox is full; try again later"),
    Reason.RECIPIENT_RESTRICTED: Wording(550, "5.7.1", "Mailbox takes no mail from this sender"),
    Reason.RECIPIENT_NEEDS_AUTHENTICATION: Wording(
        550, "5.7.1", "Mailbox takes mail from authenticated senders of its organisation only"
    ),
    Reason.RECIPIENT_SIZE: Wording(552, "5.3.4", "Message size exceeds the limit of this mailbox, {} octets"),
    Reason.DECLARED_TOO_LARGE: Wording(552, "5.3.4", "Message size exceeds the limit of {} octets"),
    Reason.TOO_LARGE: Wording(552, "5.3.4", "Message size exceeds the limit of {} octets"),
    Reason.BARE_NEWLINES: Wording(554, "5.6.0", "Message has bare CR or LF; lines end with CR LF (RFC 5321 2.3.8)"),
    Reason.NEWLINES_AT_DOTS: Wording(554, "5.6.0", "Message has a bare CR or LF beside a line of dots"),
    Reason.MAIL_LOOP: Wording(554, "5.4.6", "Too many hops: more than {} Received fields; mail loop"),
    Reason.ERRORS_SOFT: Wording(421, "4.7.0", "Too many errors"),
    Reason.ERRORS_HARD: Wording(421, "4.7.0", "Too many errors; closing"),
    Reason.EARLY_TALKER: Wording(554, "5.5.0", "SMTP protocol synchronization: you talk before our reply"),
    Reason.NOT_SMTP: Wording(500, "5.5.1", "This is SMTP, not {}"),
    Reason.HELLO_FORGED: Wording(550, "5.7.1", "EHLO name is ours, not yours"),
    Reason.HELLO_SYNTAX: Wording(550, "5.5.2", "EHLO name is neither a domain nor an address literal"),
    Reason.HELLO_FOREIGN_ADDRESS: Wording(550, "5.7.1", "EHLO says an address that is not yours; say your host's name"),
    Reason.HELLO_CHANGED: Wording(550, "5.7.1", "EHLO name changes within the session; say one name"),
    Reason.HELLO_UNQUALIFIED: Wording(550, "5.5.2", "EHLO name is not fully qualified; say one as in host.example.org"),
    Reason.HELLO_UNRESOLVABLE: Wording(550, "5.7.1", "EHLO name {} has no address in the DNS; say one that has"),
    # RFC 7372 3.3
    Reason.NO_REVERSE_NAME: Wording(550, "5.7.25", "Your address {} has no name in the DNS; give it one (PTR)"),
    Reason.REVERSE_NAME_UNCONFIRMED: Wording(
        550, "5.7.25", "The name of your address {} does not lead back to it; make PTR and A agree"
    ),
    Reason.REVERSE_NAME_DYNAMIC: Wording(
        550, "5.7.25", "Your host {} has the name of a dial-up line; send by your provider's server, or publish SPF"
    ),
    Reason.SENDER_DOMAIN_MISSING: Wording(550, "5.1.8", "Sender's domain {} does not exist"),
    Reason.SENDER_NULL_MX: Wording(550, "5.7.27", "Sender's domain {} takes no mail (null MX)"),  # RFC 7505 4.2
    Reason.SENDER_NO_EXCHANGER: Wording(550, "5.1.8", "Sender's domain {} has no mail server: no MX, no address"),
    Reason.SENDER_BOGUS_EXCHANGER: Wording(
        550, "5.1.8", "Mail servers of sender's domain {} have addresses that nobody can reach"
    ),
    Reason.LISTED: Wording(550, "5.7.1", "Listed by {}; ask that list to remove the entry"),
    # RFC 7372 3.2
    Reason.SPF_FAIL: Wording(
        550, "5.7.23", "SPF of {} does not allow your address; add it to the record, or send through its servers"
    ),
    Reason.SPF_SOFTFAIL: Wording(
        550, "5.7.23", "SPF of {} does not expect your address (softfail); add it to the record"
    ),
    Reason.SPF_PERMERROR: Wording(550, "5.7.24", "SPF record of {} cannot be used; it has an error or needs too much"),
    Reason.OWN_SENDER: Wording(
        550, "5.7.1", "MAIL FROM is in {}, which is ours, and its SPF does not allow your address; send as yourself"
    ),
    Reason.OWN_AUTHOR: Wording(
        550, "5.7.1", "From is in {}, which is ours, and neither SPF nor DKIM proves it; use a From of your own"
    ),
    Reason.NULL_SENDER_RECIPIENTS: Wording(
        550, "5.5.3", "A bounce has one recipient (RFC 5321 4.5.5); send to each by itself"
    ),
    Reason.NULL_SENDER_NEVER_SENT: Wording(550, "5.7.1", "This address sends no mail, so nothing can bounce to it"),
    Reason.DKIM_BROKEN: Wording(
        550, "5.7.20", "No DKIM signature passes (that of {} among them); check key, body hash and what changes mail"
    ),
    Reason.DKIM_PARTIAL: Wording(550, "5.7.21", "DKIM signature of {} covers a part of the body only; sign without l="),
    Reason.DKIM_MANY: Wording(550, "5.7.1", "Message has more than {} DKIM signatures"),
    Reason.DMARC_REJECT: Wording(
        550, "5.7.26", "DMARC of {} asks to refuse mail that neither SPF nor DKIM of that domain proves"
    ),
    Reason.DMARC_QUARANTINE: Wording(
        550, "5.7.26", "DMARC of {} asks to quarantine mail that neither SPF nor DKIM of that domain proves"
    ),
    Reason.HEADER_LARGE: Wording(552, "5.3.4", "Header is larger than {} octets"),
    Reason.HEADER_NO_FROM: Wording(554, "5.6.0", "Message has no From field (RFC 5322 3.6)"),
    Reason.HEADER_SEVERAL_FROM: Wording(554, "5.6.0", "Message has more than one From field (RFC 5322 3.6)"),
    Reason.HEADER_UNREADABLE_FROM: Wording(554, "5.6.0", "From field cannot be read as RFC 5322 3.6.2 has it"),
    Reason.HEADER_SEVERAL_DOMAINS: Wording(554, "5.6.0", "From field has addresses in several domains"),
    Reason.HEADER_BAD_DATE: Wording(554, "5.6.0", "Date field is missing, unreadable, or far from now"),
    Reason.HEADER_8BIT: Wording(554, "5.6.7", "Header has 8-bit characters; encode them (RFC 2047), or use SMTPUTF8"),
    Reason.BODY_8BIT: Wording(554, "5.6.0", "Body has 8-bit characters without MIME-Version (RFC 2045 4)"),
    Reason.BLOCKED: Wording(550, "5.7.1", "Blocked here by hand: {}; postmaster of this site can lift that"),
    Reason.PENALTY: Wording(550, "5.7.0", "Too much mail of {} was refused lately, and none taken; come again later"),
    Reason.RULE: Wording(550, "5.7.1", "Refused by local policy"),
    Reason.LIMIT_EXCEEDED: Wording(450, "4.7.0", "Too much in a short time; try again later"),
    Reason.CHECK_CRASHED: Wording(451, "4.3.0", "Mail cannot be checked now; try again later"),
    Reason.SCORE_REACHED: Wording(550, "5.7.1", "Mail refused: too much about it is suspicious"),
    Reason.GREYLISTED: Wording(450, "4.7.1", "Not known here yet; mail is taken when it comes again in {} seconds"),
    # RFC 5321 4.5.3.1.10: the sender comes again with those that are left. One reply to the body is for all recipients.
    Reason.OTHER_POLICY: Wording(452, "4.5.3", "Other rules for this recipient; send it in another transaction"),
    Reason.CANNOT_CHECK: Wording(451, "4.4.3", "Mail cannot be checked now; try again later"),
}

_TEMPORARY: Mapping[int, int] = {550: 450, 552: 452, 555: 455, 521: 421}
"""The 4xx that says "not now" where the 5xx says "never". RFC 5321 4.2.3"""
_ABOUT_COMMANDS = frozenset({500, 502, 503, 504})
"""What is wrong with a command, not with mail: nobody bounces mail for it, and a client that tries an extension must
hear that there is none."""

_UNSAFE = re.compile(r"[^\x21-\x7e]+")
_LONGEST_DETAIL = 64


def deferred(wording: Wording, *, connect: bool) -> Wording:
    """Return the temporary form of a refusal; in place of a banner it is a 421. RFC 5321 3.8"""
    if wording.code < 500 and not connect:
        return wording
    code = 421 if connect else _TEMPORARY.get(wording.code, 451)
    return Wording(code, "4" + wording.enhanced[1:], wording.text)


def rejected(wording: Wording, *, connect: bool) -> Wording:
    """Return a refusal as it stands; in place of a banner it is a 554. RFC 5321 3.1"""
    return Wording(554, wording.enhanced, wording.text) if connect and wording.code > 500 else wording


def dropped(wording: Wording, *, connect: bool) -> Wording:
    """Return the form in which a connection is closed: 421; what is for good is 521 in place of a banner (RFC 7504)."""
    if connect and wording.code >= 500:
        return Wording(521, "5.7.0", wording.text)
    return Wording(421, "4.7.0", wording.text)


class Phrasebook:
    """Words for one session: the table, with the name of this server and the id of the session."""

    __slots__ = ("_contact", "_hostname", "_session", "_soft")

    def __init__(self, hostname: str, session: str, contact: str = "", *, soft: bool = False) -> None:
        """Speak as `hostname` in session `session`.

        `contact`: where a sender finds help; {session} in it becomes the id. `soft`: refuse no mail for good.
        """
        self._hostname = hostname
        self._session = session
        self._contact = contact
        self._soft = soft

    def say(self, occasion: Own | Fault | Reason, detail: str = "") -> Reply:
        """Return the reply for an occasion."""
        if occasion is Own.BANNER:
            return Reply(220, ((self._hostname + " ESMTP").encode(),))
        fixed = _FIXED.get(occasion)
        return fixed if fixed is not None else self.phrase(TABLE[occasion], detail)

    def phrase(self, wording: Wording, detail: str = "") -> Reply:
        """Return a reply with these words, a detail made safe, and the session id where something is refused.

        The reason is in the last line: some clients show no other one (BACKENDS section 5, Domino).
        """
        if self._soft and wording.code >= 500 and wording.code not in _ABOUT_COMMANDS:
            wording = deferred(wording, connect=False)
        text = wording.text
        if "{}" in text:
            text = text.replace("{}", _UNSAFE.sub("?", detail)[:_LONGEST_DETAIL])
        if wording.enhanced:
            text = f"{wording.enhanced} {text}"
        if wording.code >= 400:
            text = f"{text} [{self._session}]"
            if self._contact:
                help_ = f"{wording.enhanced} {self._contact.replace('{session}', self._session)}"
                return Reply(wording.code, (help_.encode(), text.encode()))
        return Reply(wording.code, (text.encode(),))


_FIXED: Mapping[Occasion, Reply] = {
    occasion: Reply(wording.code, (f"{wording.enhanced} {wording.text}".strip().encode(),))
    for occasion, wording in TABLE.items()
    if wording.code < 400 and "{}" not in wording.text
}
"""Replies that are the same in every session."""
