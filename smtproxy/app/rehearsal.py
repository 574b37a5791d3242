"""`smtproxy explain --client ...`: a session that did not happen, judged with live look-ups. The backend hears nothing.

It goes the way of a real session from connect to the final dot, as far as the verdicts let it, with the same policy,
lookups and record; so what is printed is what would have been in the log. What only a dialogue shows (early talk,
errors, TLS) is not there, and no history either.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import trio

from smtproxy.app.assembly import policy, relay_settings
from smtproxy.app.config import Config
from smtproxy.app.config.listeners import Listener
from smtproxy.app.log.json_lines import JsonLines, Stamp
from smtproxy.app.log.silence import SILENCE
from smtproxy.app.lookups import hosting, recipients, sources
from smtproxy.app.recordings import Recording, recordings
from smtproxy.network.gathering import Gathering
from smtproxy.network.inquiry import LARGEST_LOOKED_AT
from smtproxy.network.waiting import Waiting
from smtproxy.policy.recording import outcome
from smtproxy.policy.replies import Phrasebook
from smtproxy.session.dialogue import Dialogue, Hello, MessageFacts
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.events import Judged
from smtproxy.session.networks import address_of
from smtproxy.session.records import Event
from smtproxy.session.verdicts import Refused, Stage, Verdict
from smtproxy.wire.errors import PeerError
from smtproxy.wire.header import HeaderScan
from smtproxy.wire.paths import Path, parse_path

NAME = "rehearsal"
"""What it is called in place of a session id."""
_PATIENCE = 600.0
"""Seconds a verdict may take; the limits end it long before."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The session that is thought of."""

    client: str
    sender: Path
    recipients: tuple[Path, ...]
    hello: str = ""
    message: bytes | None = None
    """With CRLF, dots not doubled; None: it ends before DATA."""


def asked_for(options: Mapping[str, Any], config: Config) -> tuple[Listener, Asked]:
    """Read what the command line says. Raises ValueError, in an administrator's words."""
    name = options["listener"]
    listener = next((one for one in config.listeners if name in (None, one.name)), None)
    if listener is None:
        raise ValueError(f'--listener: there is none called "{name}"')
    try:
        client = str(address_of(options["client"]))
    except ValueError:
        raise ValueError(f'--client: "{options["client"]}" is no address') from None
    sender = _path("--from", options["from"] or "<>")
    to = tuple(_path("--to", one) for one in options["to"])
    message = None if options["message"] is None else _read(options["message"])
    return listener, Asked(client, sender, to, options["hello"] or "", message)


def _path(option: str, text: str) -> Path:
    try:
        found, rest = parse_path(text.encode(errors="surrogateescape"))
    except PeerError:
        shown = text.encode(errors="backslashreplace").decode()
        raise ValueError(f'{option}: "{shown}" is no address') from None
    if rest:
        raise ValueError(f'{option}: "{text}" is more than an address')
    return found


def _read(file: str) -> bytes:
    try:
        with open(file, "rb") as source:  # noqa: PTH123 - as load() does
            octets = source.read(LARGEST_LOOKED_AT)
    except OSError as error:
        raise ValueError(f"--message: {file} cannot be read: {error.strerror}") from None
    return re.sub(rb"\r?\n", b"\r\n", octets)


def rehearse(config: Config, listener: Listener, asked: Asked) -> Recording:
    """Judge it; return what the log would say. Network errors are unknown facts."""
    return trio.run(_rehearsed, config, listener, asked)


async def _rehearsed(config: Config, listener: Listener, asked: Asked) -> Recording:
    judge, journal = policy(config, listener), SILENCE
    phrases = Phrasebook(config.server.hostname, NAME)
    dialogue = Dialogue(NAME, asked.client, 0, trio.current_time())
    async with hosting([judge]), trio.open_nursery() as nursery:
        known = recipients(config, journal, config.server.state)
        await known.start()
        facts = sources(config, [judge], nursery, journal, known.lookup)
        gathering = Gathering(judge, dialogue, phrases, relay_settings(config, listener), facts)
        last = await _played(gathering, dialogue, asked)
        fields = {
            "session": NAME,
            "transaction": f"{NAME}.1",
            "listener": listener.name,
            "client": asked.client,
            "hello": asked.hello,
            "sender": str(asked.sender),
            "recipients": [],
            "outcome": outcome(last)[0],
            "by": outcome(last)[1],
        }
        recorded = gathering.recorded(Event.MESSAGE, fields)
        if "evidence" not in recorded:
            recorded = gathering.recorded(Event.SESSION, fields)
        nursery.cancel_scope.cancel()
    line = JsonLines(Stamp()).render(Event.MESSAGE, "info", recorded)
    return next(recordings(BytesIO(line)))


async def _played(gathering: Gathering, dialogue: Dialogue, asked: Asked) -> Verdict:
    """Go from stage to stage, as far as it goes; return the last verdict."""

    async def ask(stage: Stage) -> Verdict:
        verdict = gathering.judge(stage)
        if verdict is None:
            due, waiting = trio.current_time() + _PATIENCE, Waiting()
            if stage is Stage.MESSAGE and asked.message is not None:
                gathering.has_message(asked.message)
            verdict = gathering.wait(stage, waiting, due)
            while verdict is None:
                await waiting.mail(due)
                event = waiting.take()
                verdict = event.verdict if isinstance(event, Judged) else None
        return verdict

    verdict = await ask(Stage.CONNECT)
    if asked.hello and not isinstance(verdict, Refused):
        dialogue.hello, dialogue.hello_names = Hello("EHLO", asked.hello), 1
        verdict = await ask(Stage.HELLO)
    if isinstance(verdict, Refused):
        return verdict
    dialogue.envelope = Envelope(asked.sender)
    verdict = await ask(Stage.MAIL)
    if isinstance(verdict, Refused):
        return verdict
    accepted = 0
    for path in asked.recipients:
        dialogue.recipient = Recipient(path)
        dialogue.envelope.recipients.append(dialogue.recipient)
        verdict = await ask(Stage.RECIPIENT)
        if isinstance(verdict, Refused):
            dialogue.recipient.reply, dialogue.recipient.by = verdict.reply, verdict.by
        else:
            accepted += 1
    if not accepted or asked.message is None:
        return verdict
    verdict = await ask(Stage.DATA)
    if isinstance(verdict, Refused):
        return verdict
    dialogue.message = _facts_of(asked.message)
    return await ask(Stage.MESSAGE)


def _facts_of(message: bytes) -> MessageFacts:
    scan = HeaderScan(1 << 20)
    scan.feed(message)
    scan.finish()
    bare = message.count(b"\n") != message.count(b"\r\n") or message.count(b"\r") != message.count(b"\r\n")
    return MessageFacts(len(message), bare, dot_line=False, received=scan.received, message_id=scan.message_id)
