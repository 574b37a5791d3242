"""Commands of the client: read, looked up in the rules table, parsed, and handed to the judgement.

Nothing is forwarded here but a whole group, and only what the policy accepted is in a group.
"""

from collections.abc import Callable, Mapping

from smtproxy.session import chunks
from smtproxy.session.answers import Own
from smtproxy.session.conversation import Conversation
from smtproxy.session.dialogue import Hello
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.rules import RULES, Act, Phase, Rule
from smtproxy.session.settings import ClientTls
from smtproxy.session.slots import Slot
from smtproxy.session.transaction import Ending, Transaction, outcome_of
from smtproxy.session.verdicts import Stage
from smtproxy.wire.commands import Command, PathCommand, parse_command, parse_mail, parse_rcpt
from smtproxy.wire.ehlo import unsupported
from smtproxy.wire.errors import Fault, PeerError
from smtproxy.wire.paths import domain_key
from smtproxy.wire.replies import Reply

_TLS_HELLO = b"\x16\x03"
"""How a TLS client begins (RFC 8446 5.1): it took us for a port without STARTTLS, and may never end its line."""


def step(c: Conversation) -> bool:
    """Read and begin one command, or send the group that is complete; return whether there may be more to do."""
    if c.slot is not None or c.backend.failure is not None:
        _group_done(c)
    command = c.held
    if command is not None:
        c.held = None
    elif not len(c.lines) or len(c.group) >= c.settings.limits.group:
        return _send_group(c) if c.group else _nothing_to_read(c)
    else:
        if c.lines.begins(_TLS_HELLO):
            if c.group:
                return _send_group(c)
            c.lines.take()  # whatever the policy says of it: no line of it is a command
            c.error(c.answers.open(""), c.phrases.say(Own.UNKNOWN_COMMAND), foreign="TLS")
            return True
        line = None
        try:
            line = c.lines.next()
            if line is None:
                return _send_group(c) if c.group else _nothing_to_read(c)
            command = parse_command(line)
        except PeerError as error:
            _malformed(c, error, garbled_chunk=chunks.looks_like(c.lines.swallowed if line is None else line))
            return True
    rule = RULES.get(command.verb)
    if c.group and (rule is None or rule.barrier):
        c.held = command
        return _send_group(c)
    _begin(c, command, rule)
    return True


def _group_done(c: Conversation) -> None:
    """Settle what the courier left open: it failed, or the backend itself answered MAIL (`open` is not "recipient")."""
    failure = c.backend.failure
    if failure is not None:
        for slot in c.answers.pending():
            c.settle(slot, failure.reply, failure.by)
        c.courier.forget_failure()
    mail = c.slot
    if c.phase is Phase.MAIL and mail is not None:
        c.slot = None
        if mail.answer is not None and mail.answer.kind != 2:
            c.courier.abandon()
            c.end_transaction(Ending(outcome_of(mail.answer), mail.by, mail.answer))
            c.phase = Phase.READY


def _send_group(c: Conversation) -> bool:
    group, c.group = c.group, []
    c.courier.group(group)
    return True


def _nothing_to_read(c: Conversation) -> bool:
    if c.draining and c.transaction is None:
        c.say_goodbye(Own.SHUTDOWN, "shutdown")
    return False


def _malformed(c: Conversation, error: PeerError, *, garbled_chunk: bool) -> None:
    c.dialogue.commands += 1
    c.wait_for_client()
    if garbled_chunk:
        c.answers.open("BDAT")
        chunks.unframed(c, error.detail)
    elif error.fault is Fault.LINE_ENDLESS:
        c.say_goodbye(Own.TOO_MANY_COMMANDS, "endless_line")
    else:
        c.error(c.answers.open(""), c.phrases.say(error.fault, error.detail))


def _begin(c: Conversation, command: Command, rule: Rule | None) -> None:
    """Open a slot for a command and act on it by the rules table."""
    dialogue, limits = c.dialogue, c.settings.limits
    dialogue.commands += 1
    c.wait_for_client()
    if dialogue.commands - dialogue.chunks > limits.commands:
        c.say_goodbye(Own.TOO_MANY_COMMANDS, "commands")
        return
    if dialogue.now >= c.session_due:
        c.say_goodbye(Own.SESSION_TIMEOUT, "timeout")
        return
    if c.draining and c.transaction is None and rule is not None and rule.act is Act.MAIL:
        c.say_goodbye(Own.SHUTDOWN, "shutdown")
        return
    slot = c.answers.open(command.verb)
    if rule is None:
        if chunks.looks_like(command.verb.encode()):
            chunks.unframed(c, "unknown spelling")
        else:
            c.error(slot, c.phrases.say(Own.UNKNOWN_COMMAND))
        return
    if c.phase not in rule.phases:
        reply = c.phrases.say(rule.misplaced[c.phase])
        if rule.act is Act.DATA and len(c.lines):
            refuse_data(c, slot, reply, "protocol")
        elif rule.act is Act.CHUNK:
            chunks.misplaced(c, slot, command, reply)
        else:
            c.error(slot, reply)
        return
    if rule.junk:
        dialogue.junk += 1
    if rule.act is Act.SAY or rule.act is Act.RESET:
        _answer(c, slot, rule)
    else:
        _ACTS[rule.act](c, slot, command)


def _answer(c: Conversation, slot: Slot, rule: Rule) -> None:
    """A command that the backend never hears of: answered by us, an error where it is one or is said too often."""
    if rule.act is Act.RESET:
        c.forget_transaction()
    c.reply(slot, rule.says, error=rule.error or (rule.junk and c.dialogue.junk > c.settings.limits.junk_commands))


def _foreign(c: Conversation, slot: Slot, _command: Command) -> None:
    c.error(slot, c.phrases.say(Own.UNKNOWN_COMMAND), foreign="HTTP")


def _quit(c: Conversation, slot: Slot, _command: Command) -> None:
    c.reply(slot, Own.GOODBYE)
    c.finish("quit", "client")


def _tls(c: Conversation, slot: Slot, command: Command) -> None:
    """STARTTLS. What was said before it is forgotten, what was sent behind it in clear text is never obeyed.

    RFC 3207 4.2; CVE-2011-0411: octets behind STARTTLS in the same packet were read as if TLS had protected them.
    """
    if c.settings.client_tls is ClientTls.OFF:
        c.reply(slot, Own.NOT_IMPLEMENTED, error=True)
    elif c.dialogue.tls is not None:
        c.reply(slot, Own.TLS_TWICE, error=True)
    elif c.phase is not Phase.READY:
        c.reply(slot, Own.HELLO_FIRST if c.phase is Phase.START else Own.TLS_LATE, error=True)
    elif command.argument:
        c.reply(slot, Own.TLS_ARGUMENT, error=True)
    elif len(c.lines):
        c.reply(slot, Own.TLS_INJECTED)
        c.finish("tls_injected", "proxy")
    else:
        c.reply(slot, Own.TLS_READY)
        c.flush()
        c.start_tls()


def _hello(c: Conversation, slot: Slot, command: Command) -> None:
    if c.dialogue.hello is not None:
        c.dialogue.junk += 1
        if c.dialogue.junk > c.settings.limits.junk_commands:
            # Six octets that are answered by two hundred: 64 KB of them made a megabyte of answers.
            c.error(slot, c.phrases.say(Own.HELLO_AGAIN))
            return
    c.forget_transaction()
    c.dialogue.talked(Stage.HELLO, early=bool(len(c.lines)))
    before, said = c.dialogue.hello, Hello(command.verb, command.argument.decode("latin-1"))
    if before is None:
        c.dialogue.hello_names = 1
    elif domain_key(before.name) != domain_key(said.name):
        c.dialogue.hello_names += 1
    c.dialogue.hello = said
    c.slot = slot
    c.ask(Stage.HELLO)


def _mail(c: Conversation, slot: Slot, command: Command) -> None:
    parsed = _parsed(c, command, utf8=None)
    if isinstance(parsed, Reply):
        c.error(slot, parsed)
        return
    dialogue = c.dialogue
    dialogue.transactions += 1
    dialogue.envelope = Envelope(parsed.path, parsed.parameters)
    sizes = [value for keyword, value in parsed.parameters if keyword == "SIZE" and value is not None]
    dialogue.declared_size = int(sizes[0]) if sizes else None
    name = f"{dialogue.session}.{dialogue.transactions}"
    c.transaction = Transaction(name, dialogue.envelope, dialogue.now)
    if parsed.routed:
        c.transaction.changes.append("source_route_dropped")
    c.courier.begin(name)
    c.slot = slot
    c.ask(Stage.MAIL)


def _parsed(c: Conversation, command: Command, *, utf8: bool | None) -> PathCommand | Reply:
    """Parse MAIL or RCPT; return what is wrong with it as a reply. `utf8` None: its own parameters say it."""
    try:
        parsed = parse_mail(command.argument) if command.verb == "MAIL" else parse_rcpt(command.argument)
        bad = unsupported(command.verb, parsed.parameters, c.offered) if parsed.parameters and c.offered else None
    except PeerError as error:
        return c.phrases.say(error.fault, error.detail)
    if bad is not None:
        return c.phrases.say(Own.PARAMETER, bad)
    if utf8 is None:
        utf8 = any(keyword == "SMTPUTF8" for keyword, _ in parsed.parameters)
    if parsed.path.utf8 and not utf8:
        return c.phrases.say(Fault.NEEDS_SMTPUTF8)
    return parsed


def _recipient(c: Conversation, slot: Slot, command: Command) -> None:
    envelope, dialogue, transaction = c.dialogue.envelope, c.dialogue, c.transaction
    if envelope is None or transaction is None:
        c.crashed()
        return
    dialogue.recipients += 1
    parsed = _parsed(c, command, utf8=envelope.utf8)
    if isinstance(parsed, Reply):
        c.error(slot, parsed)
        return
    if len(envelope.recipients) >= c.settings.max_recipients:
        # RFC 5321 4.5.3.1.10: 452, so that the sender comes back with the others.
        dialogue.recipients_over += 1
        over = dialogue.recipients_over > c.settings.limits.recipient_overshoot
        c.reply(slot, Own.TOO_MANY_RECIPIENTS, error=over)
        return
    if parsed.routed and "source_route_dropped" not in transaction.changes:
        transaction.changes.append("source_route_dropped")
    slot.recipient = dialogue.recipient = Recipient(parsed.path, parsed.parameters)
    envelope.recipients.append(slot.recipient)
    c.slot = slot
    c.ask(Stage.RECIPIENT)


def _data(c: Conversation, slot: Slot, _command: Command) -> None:
    envelope = c.dialogue.envelope
    if envelope is None or not envelope.accepted:
        refuse_data(c, slot, c.phrases.say(Own.NO_RECIPIENTS), "protocol")
        return
    if envelope.binary:
        refuse_data(c, slot, c.phrases.say(Own.BINARY_BY_DATA), "protocol")  # RFC 3030 3
        return
    c.dialogue.talked(Stage.DATA, early=bool(len(c.lines)))
    c.slot = slot
    c.ask(Stage.DATA)


def refuse_data(c: Conversation, slot: Slot, reply: Reply, by: str) -> None:
    """Refuse DATA. Octets already behind it are a body, sent ahead without our 354: they are never read as commands.

    RFC 2920 3.1: a client waits for the reply to DATA. One that does not (or an HTTP client posting to port 25)
    would have its text executed line by line.
    """
    if len(c.lines):
        c.settle(slot, c.phrases.say(Own.EARLY_BODY), "protocol")
        c.finish("early_body", "proxy")
        return
    c.settle(slot, reply, by)


_ACTS: Mapping[Act, Callable[[Conversation, Slot, Command], None]] = {
    Act.HELLO: _hello,
    Act.TLS: _tls,
    Act.MAIL: _mail,
    Act.RECIPIENT: _recipient,
    Act.DATA: _data,
    Act.CHUNK: chunks.announce,
    Act.QUIT: _quit,
    Act.FOREIGN: _foreign,
}
"""What a command does that is more than an answer of ours."""
