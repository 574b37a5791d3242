"""Logs for the tests of `explain` and `replay`: decisions of a real policy, written as the log writes them."""

import io
from pathlib import Path as File
from typing import Any

from smtproxy.app.assembly import policy
from smtproxy.app.config import Config, load
from smtproxy.app.log.json_lines import JsonLines, Stamp
from smtproxy.policy.evidence import Evidence, Fact, Known, Unknown
from smtproxy.policy.facts import Greylist, Reputation, Spf
from smtproxy.policy.recording import Docket
from smtproxy.policy.replies import Phrasebook
from smtproxy.session.dialogue import Dialogue, Hello, MessageFacts
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.verdicts import Stage
from smtproxy.wire.paths import Path

TEXT = """
limits = []
server.hostname = "mx.example.org"
greylist.action = "off"
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
[backends.b]
servers = ["127.0.0.1:25"]
[checks]
reverse_name.action = "off"
dnsbl.action = "off"
sender_domain.action = "off"
spf.action = "off"
own_sender.action = "off"
null_sender.action = "off"
header.action = "off"
dkim.action = "off"
dmarc.action = "off"
hello.action = "reject"
[[rules]]
name = "spf"
when = 'spf.result == "fail"'
then = "reject"
on_error = "defer"
[[rules]]
name = "big"
stage = "message"
when = 'size > 500'
then = "defer"
"""


def config(directory: File, text: str = TEXT) -> Config:
    file = directory / "a.toml"
    file.write_text(text)
    return load(file)


def line(
    made: Config,
    number: int,
    *,
    hello: str = "client.example",
    domain: str = "example.net",
    spf: str = "pass",
    to: str = "example.org",
    size: int = 100,
    greylist: str = "",
    known: dict[str, Fact[Any]] | None = None,
) -> bytes:
    """One `message` line: a mail from `domain` to a recipient, judged by the configuration; `spf`: "" is unknown.

    `greylist`: the key of a stranger; "": nobody asked. `known`: the reputations, None: nothing is to be said.
    """
    judge, phrases = policy(made, made.listeners[0]), Phrasebook("mx.example.org", f"s{number}")
    recipient, docket = Recipient(Path("b", to)), Docket()
    dialogue = Dialogue(
        f"s{number}",
        "192.0.2.10",
        hello=Hello("EHLO", hello),
        envelope=Envelope(Path("a", domain), recipients=[recipient]),
        recipient=recipient,
    )
    nobody: dict[str, Fact[Any]] = {"reputation": Known(Reputation()), "sender_reputation": Known(Reputation())}
    facts = {"spf": Known(Spf(spf, domain)) if spf else Unknown("timeout"), **(known or nobody)}
    if greylist:
        facts["greylist"] = Known(Greylist(greylist))
    asked = Evidence(Stage.RECIPIENT, dialogue, facts)
    docket.note(asked, judge.judge(asked, phrases))
    dialogue.message = MessageFacts(size, bare_newlines=False, dot_line=False, received=1, message_id=None)
    asked = Evidence(Stage.MESSAGE, dialogue, facts, recipient.path)
    docket.note(asked, judge.judge(asked, phrases))
    fields = {
        "session": f"s{number}",
        "transaction": f"s{number}.1",
        "listener": "mx",
        "message_id": f"<m{number}@{domain}>",
        "evidence": docket.record(dialogue),
    }
    return JsonLines(Stamp()).render("message", "info", fields)


def log(*lines: bytes) -> io.BytesIO:
    return io.BytesIO(b"".join(lines))
