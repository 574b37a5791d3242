"""SPF, header, DKIM, ARC and DMARC in one session, from the DNS to the reply and the Authentication-Results field."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from smtproxy.lookups import arc, dkim, dmarc, header, spf
from smtproxy.network.dns.answers import Status
from smtproxy.network.gathering import Gathering, Sources
from smtproxy.network.waiting import Waiting
from smtproxy.policy.checks import dmarc as dmarc_check
from smtproxy.policy.checks import own_sender
from smtproxy.policy.checks import spf as spf_check
from smtproxy.policy.findings import Action, OnError
from smtproxy.policy.judge import Check, Policy
from smtproxy.policy.replies import Phrasebook
from smtproxy.policy.results import results_field
from smtproxy.session.dialogue import Dialogue, Hello
from smtproxy.session.envelope import Envelope, Recipient
from smtproxy.session.events import Judged
from smtproxy.session.settings import RelaySettings
from smtproxy.session.verdicts import Accepted, Refused, Stage
from smtproxy.wire.paths import Path
from tests.fakes.journal import FakeJournal
from tests.lookups.signing import MESSAGE, keys, sealed, signed
from tests.lookups.zones import Records, Zone

ZONE: Records = {
    **keys("example.com", "evil.github.io", "list.example"),
    ("example.com", "TXT"): ["v=spf1 ip4:192.0.2.0/24 -all"],
    ("list.example", "TXT"): ["v=spf1 ip4:198.51.100.0/24 -all"],
    ("_dmarc.example.com", "TXT"): ["v=DMARC1; p=reject"],
    ("_dmarc.github.io", "TXT"): ["v=DMARC1; p=reject"],
}
LIST = "198.51.100.7"


@asynccontextmanager
async def session(
    client: str, sender: Path, *, records: Records = ZONE, on_error: OnError = OnError.PASS
) -> AsyncIterator[tuple[Gathering, Waiting]]:
    """Come to DATA."""
    trusting = dmarc_check.DmarcOptions(trusted_sealers=("list.example",))
    ours = own_sender.OwnSenderOptions(domains=frozenset({"example.org"}))
    policy = Policy(
        (
            Check(spf_check.CHECK, spf_check.SpfOptions(), Action.OBSERVE),
            Check(own_sender.CHECK, ours, Action.REJECT, on_error),
            Check(dmarc_check.CHECK, trusting, Action.REJECT, on_error),
        )
    )
    dialogue = Dialogue("s", client, hello=Hello("EHLO", "mail.example.net"))
    async with spf.hosting(), trio.open_nursery() as nursery:
        dns = Zone(records)
        lookups = (*spf.lookups(spf.Results(), trio.current_time), *(one.LOOKUP for one in (header, dkim, arc, dmarc)))
        sources = Sources(
            {one.key.name: one for one in lookups},
            nursery,
            dns,
            lambda: dns,
            FakeJournal(),
            lambda: 1_795_600_000.0,
            results=partial(results_field, authserv_id="mx.example.org"),
        )
        settings = RelaySettings("mx.example.org", authserv_id="mx.example.org")
        gathering = Gathering(policy, dialogue, Phrasebook("mx.example.org", "s"), settings, sources)
        waiting = Waiting()
        for stage in (Stage.CONNECT, Stage.HELLO):
            assert gathering.judge(stage) is not None
        dialogue.envelope = Envelope(sender)
        assert gathering.judge(Stage.MAIL) is not None
        dialogue.recipient = Recipient(Path("ann", "example.org"))
        dialogue.envelope.recipients.append(dialogue.recipient)
        await verdict(gathering, waiting, Stage.RECIPIENT)
        await verdict(gathering, waiting, Stage.DATA)
        yield gathering, waiting
        nursery.cancel_scope.cancel()


async def verdict(gathering: Gathering, waiting: Waiting, stage: Stage) -> Accepted | Refused:
    at_once = gathering.judge(stage)
    if at_once is not None:
        return at_once
    gathering.wait(stage, waiting, trio.current_time() + 3600)
    await waiting.mail(trio.current_time() + 3600)
    event = waiting.take()
    assert isinstance(event, Judged)
    return event.verdict


async def about(message: bytes, client: str, sender: str, **more: object) -> Accepted | Refused:
    """Return the verdict about a message."""
    local, _, domain = sender.rpartition("@")

    async def read() -> bytes:
        await trio.lowlevel.checkpoint()
        return message

    async with session(client, Path(local, domain), **more) as (gathering, waiting):  # type: ignore[arg-type]
        assert gathering.judge(Stage.MESSAGE) is None
        gathering.message = read
        gathering.wait(Stage.MESSAGE, waiting, trio.current_time() + 3600)
        await waiting.mail(trio.current_time() + 3600)
        event = waiting.take()
        assert isinstance(event, Judged)
        return event.verdict


def field(verdict: Accepted | Refused) -> str:
    assert isinstance(verdict, Accepted)
    return verdict.header.decode().replace("\r\n\t", " ")


async def test_honest_mail_and_what_is_said_of_it() -> None:
    said = field(await about(signed(), "192.0.2.10", "joe@example.com"))
    assert said == (
        "Authentication-Results: mx.example.org; spf=pass smtp.mailfrom=joe@example.com;"
        " dkim=pass header.d=example.com header.s=s1 header.a=rsa-sha256;"
        " dmarc=pass header.from=example.com policy.dmarc=reject\r\n"
    )


async def test_forged_mail() -> None:
    found = await about(MESSAGE, "203.0.113.9", "x@evil.example")
    assert isinstance(found, Refused)
    assert found.reply.text.startswith("5.7.26 DMARC of example.com asks to refuse")


async def test_a_suffix_signed_by_its_customer() -> None:
    message = MESSAGE.replace(b"joe@example.com", b"joe@github.io")
    found = await about(signed(message, "evil.github.io"), "203.0.113.9", "x@evil.github.io")
    assert isinstance(found, Refused)
    assert found.reply.text.startswith("5.7.26 DMARC of github.io asks to refuse")


async def test_a_list_that_is_trusted() -> None:
    """It changes the body; its seal says that DMARC passed when it got the message."""
    changed = signed().replace(b"Hello", b"[list] Hello")
    by_list = sealed(changed, "list.example", "dmarc=pass header.from=example.com; arc=none")
    said = field(await about(by_list, LIST, "bounces@list.example"))
    assert "arc=pass header.d=list.example" in said
    assert "dmarc=fail header.from=example.com" in said
    failed = sealed(changed, "list.example", "dmarc=fail header.from=example.com; arc=none")
    assert isinstance(await about(failed, LIST, "bounces@list.example"), Refused)


async def test_a_stranger_who_writes_as_one_of_us() -> None:
    message = MESSAGE.replace(b"joe@example.com", b"boss@example.org")
    found = await about(message, LIST, "bounces@list.example")
    assert isinstance(found, Refused)
    assert (found.by, found.reply.code) == ("own_sender", 550)


@pytest.mark.parametrize("on_error", list(OnError))
async def test_dead_name_servers_lose_no_mail(on_error: OnError) -> None:
    dead = {**ZONE, ("s1._domainkey.example.com", "TXT"): Status.TIMEOUT, ("_dmarc.example.com", "TXT"): Status.TIMEOUT}
    found = await about(signed(), "203.0.113.9", "x@evil.example", records=dead, on_error=on_error)
    if on_error is OnError.PASS:
        assert isinstance(found, Accepted)
    else:
        assert isinstance(found, Refused)
        assert found.reply.code == 451
