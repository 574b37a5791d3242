"""The steps of a session at which a fault may strike: every point where the relay stops, looks or writes.

A step is named from outside, by what the relay waits for and what the peers have said.
"""

from enum import Enum


class Kind(Enum):
    """What the relay is doing at a step: it decides which faults can strike there, and how."""

    CLIENT = "waits for the client"
    VERDICT = "waits for a verdict"
    REPLY = "waits for a reply of the backend"
    LOOK = "looks before it writes"
    WRITE = "writes, and the peer takes it slowly"
    OPENING = "asks for a connection"
    HANDSHAKE = "shakes hands with the backend"
    CLIENT_HANDSHAKE = "shakes hands with the client"


class Step(Enum):
    """A point of the dialogue: its kind and its name."""

    BEFORE_EHLO = (Kind.CLIENT, "before EHLO")
    BEFORE_STARTTLS = (Kind.CLIENT, "before STARTTLS")
    BEFORE_MAIL = (Kind.CLIENT, "before MAIL")
    BEFORE_RCPT_1 = (Kind.CLIENT, "before the first RCPT")
    BEFORE_RCPT_2 = (Kind.CLIENT, "before the second RCPT")
    BEFORE_DATA = (Kind.CLIENT, "before DATA")
    BEFORE_BODY = (Kind.CLIENT, "before the body")
    IN_BODY = (Kind.CLIENT, "in mid-body")
    BEFORE_DOT = (Kind.CLIENT, "before the dot")
    BETWEEN = (Kind.CLIENT, "between two transactions")
    BEFORE_QUIT = (Kind.CLIENT, "before QUIT")

    JUDGING_CONNECT = (Kind.VERDICT, "verdict before the banner")
    JUDGING_HELLO = (Kind.VERDICT, "verdict about EHLO")
    JUDGING_MAIL = (Kind.VERDICT, "verdict about MAIL")
    JUDGING_RCPT_1 = (Kind.VERDICT, "verdict about the first RCPT")
    JUDGING_RCPT_2 = (Kind.VERDICT, "verdict about the second RCPT")
    JUDGING_DATA = (Kind.VERDICT, "verdict about DATA")
    JUDGING_MESSAGE = (Kind.VERDICT, "verdict about the message, the dot being read")

    CLIENT_HANDSHAKE = (Kind.CLIENT_HANDSHAKE, "handshake with the client")

    OPENING = (Kind.OPENING, "asking for a connection")

    GREETING = (Kind.REPLY, "greeting")
    EHLO = (Kind.REPLY, "reply to EHLO")
    STARTTLS = (Kind.REPLY, "reply to STARTTLS")
    HANDSHAKE = (Kind.HANDSHAKE, "handshake with the backend")
    EHLO_AGAIN = (Kind.REPLY, "reply to EHLO under TLS")
    MAIL = (Kind.REPLY, "reply to MAIL")
    RCPT_1 = (Kind.REPLY, "reply to the first RCPT")
    RCPT_2 = (Kind.REPLY, "reply to the second RCPT")
    DATA = (Kind.REPLY, "reply to DATA")
    CHUNK = (Kind.REPLY, "reply to a chunk that is not the last one")
    DOT = (Kind.REPLY, "reply to the dot, right after the commit")

    LOOK_GROUP = (Kind.LOOK, "look before the first group behind the opening")
    LOOK_GROUP_AGAIN = (Kind.LOOK, "look before the next group")
    LOOK_DATA = (Kind.LOOK, "look before DATA")
    LOOK_BODY = (Kind.LOOK, "look before octets of the body")
    LOOK_COMMIT = (Kind.LOOK, "look right before the commit")

    WRITE_BANNER = (Kind.WRITE, "writing the banner")
    WRITE_READY = (Kind.WRITE, "writing 220 to STARTTLS")
    WRITE_HELLO = (Kind.WRITE, "writing EHLO to the backend")
    WRITE_STARTTLS = (Kind.WRITE, "writing STARTTLS to the backend")
    WRITE_GROUP = (Kind.WRITE, "writing MAIL and RCPT to the backend")
    WRITE_ANSWER = (Kind.WRITE, "writing the answer to RCPT")
    WRITE_DATA = (Kind.WRITE, "writing DATA to the backend")
    WRITE_GO_AHEAD = (Kind.WRITE, "writing 354 to the client")
    WRITE_BODY = (Kind.WRITE, "writing octets of the body to the backend")
    WRITE_KEPT = (Kind.WRITE, "writing the kept file to the backend")
    WRITE_TERMINATOR = (Kind.WRITE, "writing the terminator")
    WRITE_FINAL = (Kind.WRITE, "writing the final reply to the client")

    @property
    def kind(self) -> Kind:
        """What the relay is doing there."""
        return self.value[0]

    def __str__(self) -> str:
        return self.value[1]
