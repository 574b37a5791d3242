"""What can be wrong with the octets of a peer, as a closed list, and the one exception that says so.

Every function and class of this floor raises PeerError or nothing, whatever octets it is given. What is answered is not
decided here: the texts live with the policy, keyed by Fault. A detail must never carry the peer's octets, it goes to a
log as it is.
"""

from enum import Enum

from smtproxy.wire.members import hashed_by_identity


@hashed_by_identity
class Fault(Enum):
    """The rule that a peer broke; the value is its name in the log."""

    LINE_TOO_LONG = "line_too_long"
    """A command line longer than the limit; it was swallowed whole. RFC 5321 4.5.3.1.4"""
    LINE_ENDLESS = "line_endless"
    """A command line so long that its end is not awaited: hang up."""
    EMPTY_COMMAND = "empty_command"
    """A line of nothing or of blanks."""
    BAD_OCTETS = "bad_octets"
    """NUL, control characters, telnet codes, invalid UTF-8, or 8-bit octets in a verb."""
    UNKNOWN_COMMAND_SYNTAX = "unknown_command_syntax"
    """The first word cannot be a verb."""
    BAD_MAIL_SYNTAX = "bad_mail_syntax"
    """MAIL without "FROM:". RFC 5321 4.1.1.2"""
    BAD_RCPT_SYNTAX = "bad_rcpt_syntax"
    """RCPT without "TO:". RFC 5321 4.1.1.3"""
    BAD_PATH = "bad_path"
    """What should be a path is none. RFC 5321 4.1.2"""
    PATH_TOO_LONG = "path_too_long"
    """A path, local part or domain above its limit. RFC 5321 4.5.3.1"""
    NEEDS_SMTPUTF8 = "needs_smtputf8"
    """Non-ASCII in a path without the SMTPUTF8 parameter; raised by callers, this floor only tells. RFC 6531 3.4"""
    BAD_PARAMETER = "bad_parameter"
    """A MAIL or RCPT parameter that is no keyword or has a value it cannot have."""
    DUPLICATE_PARAMETER = "duplicate_parameter"
    """A MAIL or RCPT parameter given twice."""
    NULL_RECIPIENT = "null_recipient"
    """RCPT TO:<>, which names nobody."""
    BAD_CHUNK = "bad_chunk"
    """BDAT without a size that can be read: where its octets end is not known. RFC 3030 2"""
    BAD_REPLY = "bad_reply"
    """From a backend: octets that are no SMTP reply. RFC 5321 4.2"""
    REPLY_TOO_LONG = "reply_too_long"
    """From a backend: a reply above the limits of ReplyReader."""


class PeerError(Exception):
    """The other side broke the grammar. `fault` says which rule, `detail` says more, in our own words."""

    def __init__(self, fault: Fault, detail: str = "") -> None:
        super().__init__(fault, detail)
        self.fault = fault
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.fault.value}: {self.detail}" if self.detail else self.fault.value
