"""What the header block looks like."""

import pytest

from smtproxy.lookups.header import LOOKUP, SMALL, look
from smtproxy.network.inquiry import NotAtHand
from smtproxy.policy.evidence import Known, Unknown
from smtproxy.policy.facts import HeaderBlock
from tests.lookups.zones import Session, Zone

NOW = 1795536000.0
GOOD = b"From: a@b.example\r\nDate: Tue, 24 Nov 2026 16:01:00 +0000\r\n"


@pytest.mark.parametrize(
    ("message", "facts"),
    [
        (GOOD + b"\r\nbody", HeaderBlock(size=len(GOOD), from_domains=("b.example",), date_off=60.0)),
        (b"\r\nbody", HeaderBlock(from_fields=0, from_understood=False, date_fields=0)),
        (
            b"From: a@b.example\nFrom: c@d.example\nDate: x\nDate: y\n\n",
            HeaderBlock(
                size=52, from_fields=2, from_domains=("b.example", "d.example"), from_understood=False, date_fields=2
            ),
        ),
        (
            GOOD + b"Subject: \xff\r\n\r\nbody",
            HeaderBlock(size=len(GOOD) + 12, from_domains=("b.example",), date_off=60.0, raw_8bit=True),
        ),
        (
            GOOD + b"\r\nb\xc3\xb6dy",
            HeaderBlock(size=len(GOOD), from_domains=("b.example",), date_off=60.0, body_8bit_undeclared=True),
        ),
        (
            GOOD + b"MIME-version: 1.0\r\n\r\nb\xc3\xb6dy",
            HeaderBlock(size=len(GOOD) + 19, from_domains=("b.example",), date_off=60.0),
        ),
    ],
)
def test_look(message: bytes, facts: HeaderBlock) -> None:
    assert look(message, NOW) == facts


@pytest.mark.parametrize(
    ("message", "domains"),
    [
        (b"X: y\n\nz\r\nFrom: a@b.example\r\n\r\nFrom: no@c.example\r\n", ("b.example",)),
        (b"X: y\r\rz\r\nFROM : a@b.example", ("b.example",)),
        (b"\nz\r\nFrom: a@b.example\r\n\r\n", ("b.example",)),
        (b"From: a@b.example\n\r\nz\r\nFrom: c@d.example\r\n\r\n", ("b.example", "d.example")),
        (b"From: a@b.example\r\n\r\nz\n\r\nFrom: no@c.example\r\n\r\n", ("b.example",)),
        (b"From: a@b.example\n\nz\nFrom: no@c.example\n\n", ("b.example",)),
        (b"\r\nz\r\nFrom: no@c.example\r\n\r\n", ()),
    ],
)
def test_an_author_behind_an_empty_line_of_bare_newlines(message: bytes, domains: tuple[str, ...]) -> None:
    """By BDAT they go through, and who takes nothing but CRLF for a newline shows an author that DMARC never saw."""
    assert look(message, NOW).from_domains == domains


async def test_lookup_waits_for_the_message() -> None:
    session = Session(Zone({}), now=NOW, body=GOOD + b"\r\nbody", quick=True)
    with pytest.raises(NotAtHand):
        await LOOKUP.find(session)
    session.quick = False
    assert await LOOKUP.find(session) == Known(look(GOOD + b"\r\nbody", NOW))
    session.body = None
    assert await LOOKUP.find(session) == Unknown("too large")


async def test_a_large_message_is_looked_at_in_a_thread() -> None:
    message = GOOD + b"X: " + b"y" * SMALL + b"\r\n\r\n"
    assert await LOOKUP.find(Session(Zone({}), now=NOW, body=message)) == Known(look(message, NOW))
