"""The protocol of the sample backend: which command is allowed when, and its normal answer. RFC 5321, 1870, 2920, 3030,
3461, 6152, 6531.

It keeps the state of one connection (hello, transaction, body) and knows nothing of scripts, timers and sockets: it
must never send, and changes state only through the turns that the dialogue settles.
"""

from smtproxy.sample.body import Chunk, DataBody
from smtproxy.sample.profile import Profile, UnknownRecipients
from smtproxy.sample.record import BackendRecord, Connection, Delivery, Recipient
from smtproxy.sample.script import Point
from smtproxy.sample.syntax import Address, BadSyntax, line_notes, parse_address, parse_chunk, split_command
from smtproxy.sample.transaction import Transaction, judge
from smtproxy.sample.turn import Turn

# RFC 2920 3.1; a line that is no command is not in it.
_ENDS_GROUP = frozenset({"EHLO", "HELO", "DATA", "VRFY", "EXPN", "TURN", "QUIT", "NOOP", "STARTTLS", "AUTH"})

# Parameter -> keyword that allows it: RFC 1870, 6152 (3030), 3461, 6531, 4954.
_MAIL_PARAMETERS = {
    "SIZE": "SIZE",
    "BODY": "8BITMIME",
    "RET": "DSN",
    "ENVID": "DSN",
    "SMTPUTF8": "SMTPUTF8",
    "AUTH": "AUTH",
}
_RCPT_PARAMETERS = {"NOTIFY": "DSN", "ORCPT": "DSN"}


class Conversation:
    """The server's side of one connection."""

    def __init__(self, profile: Profile, record: BackendRecord, connection: Connection, date: str) -> None:
        self.profile = profile
        self.texts = profile.texts
        self.connection = connection
        self.hello = ""
        self.transaction: Transaction | None = None
        self.transactions = 0
        """MAIL commands so far."""
        self.body: DataBody | Chunk | None = None
        """What the next octets belong to; None: commands."""
        self.secured = False
        """STARTTLS was answered with 220: what comes is under TLS. RFC 3207"""
        self.upgrades = False
        """The handshake is due, behind the reply that was just given."""
        self._record = record
        self._date = date
        self._errors = 0
        self._keywords = profile.keywords
        self._handlers = {
            "EHLO": self._hello,
            "HELO": self._hello,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "BDAT": self._bdat,
            "RSET": self._rset,
            "NOOP": self._noop,
            "QUIT": self._quit,
            "STARTTLS": self._starttls,
        }
        self._answers = {
            "VRFY": self.texts.vrfy,
            "HELP": self.texts.help,
            "AUTH": self.texts.auth,
        }

    def greeting(self) -> Turn:
        """The banner."""
        return Turn(Point.GREETING, self.fill(self.texts.greeting), ends_group=True)

    def timed_out(self) -> Turn:
        """The client said nothing for too long."""
        return Turn(Point.OTHER, self.fill(self.texts.idle), closes=True)

    def line_too_long(self) -> Turn:
        """A line without an end."""
        self.note("line too long")
        return Turn(Point.OTHER, self.fill(self.texts.line_too_long), closes=True)

    def command(self, line: bytes) -> Turn | None:
        """A command line without its end; None: the answer comes with the chunk."""
        if self._record.keep:
            self.connection.commands.append(line)
        for note in line_notes(line):
            self.note(note)
        verb, argument = split_command(line)
        if not verb:
            self.note("a line that is no command")
        handler = self._handlers.get(verb)
        if handler is not None:
            turn = handler(verb, argument.rstrip(b" \t"))
        elif (text := self._answers.get(verb)) is not None:
            turn = Turn(Point.OTHER, self.fill(text, address=argument.decode("ascii", "replace")))
        else:
            turn = self._error(Point.OTHER, self.texts.unknown_verb)
        if turn is not None:
            turn.ends_group = verb in _ENDS_GROUP
        return turn

    def body_ended(self, body: DataBody | Chunk) -> Turn:
        """The body that was being read is complete."""
        self.body = None
        transaction = self.transaction or Transaction()
        if isinstance(body, Chunk):
            return self._chunk_ended(body, transaction)
        self.connection.terminators += 1
        self.transaction = None
        transaction.octets = body.octets
        return self._final(transaction, self._delivery(transaction, body.wire, body.message))

    def abandon(self) -> None:
        """The transaction ends without an end of its message: RSET, EHLO, or the connection is gone."""
        transaction, self.transaction = self.transaction, None
        body, self.body = self.body, None
        if transaction is None or not transaction.via:
            return
        if isinstance(body, DataBody):
            transaction.octets = body.octets
            delivery = self._delivery(transaction, body.wire, body.message)
        else:
            content = bytes(transaction.content)
            if body is not None:
                content += body.content
                transaction.octets += body.received
            delivery = self._delivery(transaction, content, content)
        self._record.abort(delivery)

    def note(self, violation: str) -> None:
        """The client did what no correct client does."""
        if len(self.connection.violations) < 1000:  # a flood of nonsense must not fill the memory
            self.connection.violations.append(violation)

    def note_talk(self, turn: Turn) -> None:
        """The client spoke on before it had the answer of this turn (RFC 5321 4.3.1, RFC 2920 3.1)."""
        if turn.ends_group:
            self.note(f"talk before the reply to {turn.point}")
        elif not (self.hello.startswith("EHLO") and "PIPELINING" in self._keywords):
            self.note(f"pipelined behind {turn.point} without PIPELINING")

    def fill(self, text: str, **fields: object) -> str:
        """A reply text with its fields."""
        if "{" not in text:
            return text
        return text.format(
            **{"hostname": self.profile.hostname, "client": self.connection.client, "date": self._date} | fields
        )

    def _error(self, point: Point, text: str) -> Turn:
        """A protocol error: too many end the connection."""
        self._errors += 1
        if self.profile.max_errors is not None and self._errors > self.profile.max_errors:
            return Turn(point, self.fill(self.texts.too_many_errors), closes=True)
        return Turn(point, self.fill(text))

    def _hello(self, verb: str, argument: bytes) -> Turn | None:
        if verb == "EHLO" and self.profile.ehlo is None:
            return self._error(Point.EHLO, self.texts.unknown_verb)
        lines = [self.fill(self.texts.hello)]
        if verb == "EHLO":
            lines += (f"250 {line}" for line in self.profile.ehlo or () if not (self.secured and line == "STARTTLS"))

        def taken() -> None:
            self.abandon()
            self.hello = f"{verb} {argument.decode('utf-8', 'replace')}".rstrip()

        return Turn(Point(verb.lower()), "\n".join(lines), taken)

    def _mail(self, _verb: str, argument: bytes) -> Turn | None:
        self.transactions += 1
        if not self.hello:
            return self._error(Point.MAIL, self.texts.hello_first)
        if self.transaction is not None:
            return self._error(Point.MAIL, self.texts.second_mail)
        try:
            address = self._address(argument, "FROM:", _MAIL_PARAMETERS)
        except BadSyntax:
            return self._error(Point.MAIL, self.texts.bad_sender)
        if address is None:
            return self._error(Point.MAIL, self.texts.bad_parameter)
        values = {name.upper(): value for name, _, value in (p.partition("=") for p in address.parameters)}
        size = values.get("SIZE", "0")
        if not size.isdecimal():
            return self._error(Point.MAIL, self.texts.bad_argument)
        if int(size[:20]) > self.profile.max_size:
            return Turn(Point.MAIL, self.fill(self.texts.too_large))
        utf8, binary = "SMTPUTF8" in values, values.get("BODY", "").upper() == "BINARYMIME"
        self._note_utf8(address.address, allowed=utf8)
        transaction = Transaction(address.address, address.parameters, utf8=utf8, binary=binary)

        def taken() -> None:
            self.transaction = transaction

        return Turn(Point.MAIL, self.fill(self.texts.mail, address=address.address), taken)

    def _rcpt(self, _verb: str, argument: bytes) -> Turn | None:
        transaction = self.transaction
        if transaction is None:
            return self._error(Point.RCPT, self.texts.mail_first if self.hello else self.texts.hello_first)
        if transaction.via:
            return self._error(Point.RCPT, self.texts.mixed)
        try:
            address = self._address(argument, "TO:", _RCPT_PARAMETERS)
        except BadSyntax:
            return self._error(Point.RCPT, self.texts.bad_recipient)
        if address is None:
            return self._error(Point.RCPT, self.texts.bad_parameter)
        if not address.address:
            return self._error(Point.RCPT, self.texts.bad_recipient)
        self._note_utf8(address.address, allowed=transaction.utf8)
        if len(transaction.recipients) >= self.profile.max_recipients:
            return Turn(Point.RCPT, self.fill(self.texts.too_many_recipients))
        known = self.profile.known_recipients
        unknown = known is not None and address.address.lower() not in known
        if unknown and self.profile.unknown_recipients is UnknownRecipients.EDGE:
            return Turn(Point.RCPT, self.fill(self.texts.unknown_recipient, address=address.address))

        def taken() -> None:
            transaction.recipients.append(Recipient(address.address, address.parameters))
            transaction.unknown |= unknown

        return Turn(Point.RCPT, self.fill(self.texts.rcpt, address=address.address), taken)

    def _data(self, _verb: str, argument: bytes) -> Turn | None:
        turn = Turn(Point.DATA, self.fill(self.texts.data), self._begin_data, good=b"3")
        refusal = self.texts.bad_argument if argument else self._content_refusal("DATA")
        if refusal is not None:
            # A script may still say 354: then a body follows, whatever the state (a backend that is out of step).
            turn.text, turn.closes = (error := self._error(Point.DATA, refusal)).text, error.closes
        return turn

    def _begin_data(self) -> None:
        if self.transaction is None:
            self.transaction = Transaction()
        self.transaction.via = "DATA"
        self.body = DataBody(self.profile.end_of_data, self.profile.max_size)

    def _content_refusal(self, via: str) -> str | None:
        """Why no content may begin (or go on) now."""
        transaction = self.transaction
        if transaction is None:
            return self.texts.mail_first if self.hello else self.texts.hello_first
        if transaction.failed or transaction.via not in {"", via} or (transaction.binary and via == "DATA"):
            return self.texts.mixed
        return None if transaction.recipients else self.texts.rcpt_first

    def _bdat(self, _verb: str, argument: bytes) -> Turn | None:
        if not ("CHUNKING" in self._keywords and self.hello.startswith("EHLO")):
            self.note("BDAT without CHUNKING")
            return self._error(Point.OTHER, self.texts.unknown_verb)
        try:
            size, last = parse_chunk(argument)
        except BadSyntax:
            return self._error(Point.CHUNK, self.texts.bad_argument)
        refusal = self._content_refusal("BDAT")
        keep = True
        if refusal is None and self.transaction is not None:
            self.transaction.via = "BDAT"
            keep = len(self.transaction.content) + size <= self.profile.max_size
        self.body = Chunk(size, last, refusal, keep)
        return None

    def _chunk_ended(self, chunk: Chunk, transaction: Transaction) -> Turn:
        if chunk.last:
            self.connection.terminators += 1
            self.transaction = None
        if chunk.refusal is not None:
            turn = self._error(Point.FINAL if chunk.last else Point.CHUNK, chunk.refusal)
            if chunk.last and transaction.via:
                turn.delivery = self._delivery(transaction, bytes(transaction.content), bytes(transaction.content))
                self._judge(turn, turn.delivery)
            return turn
        transaction.content += chunk.content
        transaction.octets += chunk.size
        if chunk.last:
            content = bytes(transaction.content)
            return self._final(transaction, self._delivery(transaction, content, content))

        def missed() -> None:
            transaction.failed = True

        return Turn(Point.CHUNK, self.fill(self.texts.chunk, octets=chunk.size), missed=missed)

    def _final(self, transaction: Transaction, delivery: Delivery) -> Turn:
        """The end of a message: what the server thinks of it."""
        text, message_id = judge(self.profile, transaction, delivery)
        turn = Turn(
            Point.FINAL,
            self.fill(
                text,
                message_id=message_id,
                internal_id=delivery.internal_id,
                octets=delivery.octets,
                address=transaction.sender,
            ),
            delivery=delivery,
        )
        self._judge(turn, delivery)
        return turn

    def _judge(self, turn: Turn, delivery: Delivery) -> None:
        turn.taken = lambda: self._record.accept(delivery)
        turn.missed = lambda: self._record.refuse(delivery)

    def _rset(self, _verb: str, argument: bytes) -> Turn | None:
        if argument:
            return self._error(Point.RSET, self.texts.bad_argument)
        return Turn(Point.RSET, self.fill(self.texts.rset), self.abandon)

    def _starttls(self, _verb: str, argument: bytes) -> Turn | None:
        if self.secured or argument:
            return self._error(Point.STARTTLS, self.texts.bad_argument if argument else self.texts.second_starttls)

        def taken() -> None:
            self.abandon()
            self.hello = ""
            self.secured = self.upgrades = True

        return Turn(Point.STARTTLS, self.fill(self.texts.starttls), taken)

    def _noop(self, _verb: str, _argument: bytes) -> Turn | None:
        return Turn(Point.NOOP, self.fill(self.texts.noop))

    def _quit(self, _verb: str, argument: bytes) -> Turn | None:
        if argument:
            return self._error(Point.QUIT, self.texts.bad_argument)
        return Turn(Point.QUIT, self.fill(self.texts.quit), closes=True)

    def _address(self, argument: bytes, keyword: str, allowed: dict[str, str]) -> Address | None:
        """The parsed argument; None: a parameter that was not offered (RFC 5321 4.1.1.11). BadSyntax."""
        address = parse_address(argument, keyword)
        for note in address.notes:
            self.note(note)
        offered = self._keywords if self.hello.startswith("EHLO") else frozenset[str]()
        for parameter in address.parameters:
            name, _, value = parameter.partition("=")
            needed = allowed.get(name.upper(), "")
            if name.upper() == "BODY" and value.upper() == "BINARYMIME":
                needed = "BINARYMIME"
            if needed not in offered:
                self.note(f"parameter {name} was not offered")
                return None
        return address

    def _note_utf8(self, address: str, *, allowed: bool) -> None:
        if not address.isascii() and not allowed:
            self.note("UTF-8 address without SMTPUTF8")

    def _delivery(self, transaction: Transaction, wire: bytes, body: bytes) -> Delivery:
        return Delivery(
            connection=self.connection.number,
            client=self.connection.client,
            hello=self.hello,
            sender=transaction.sender,
            parameters=transaction.parameters,
            recipients=tuple(transaction.recipients),
            via=transaction.via,
            wire=wire,
            body=body,
            octets=transaction.octets,
            internal_id=self._record.next_internal_id(),
        )
