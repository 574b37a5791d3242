"""A part of the enumeration against living backends: what a lax backend says has its effect on the relay here.

In the enumeration octets are recorded first and fed to lax backends afterwards. Here the sample backend itself, in each
of its lax forms, is what the relay talks to, in the laboratory, with trace header and default limits.
"""

import random

import pytest

from smtproxy.session.settings import BodyMode, RelaySettings
from smtproxy.wire.newlines import NewlineMode
from tests.fakes.laboratory import Laboratory
from tests.smuggling.backends import KINDS, profile
from tests.smuggling.reference import expected
from tests.smuggling.strings import MIDDLE, START, Place, strings

GREETING = b"EHLO client.example\r\n"
ENVELOPE = b"MAIL FROM:<a@client.example>\r\nRCPT TO:<user@example.org>\r\nDATA\r\n"
ATTACKS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\r\n\n.\r\n",
    b"\r\r\n.\r\r\n",
]
REAL_ENDS = [b"\r\n.\r\n", b"\r\r\n.\r\n", b"\n\r\n.\r\n", b".\r\n.\r\n"]
# Seven octets and more are beyond what the short enumeration does.
SAMPLED = [bytes(random.Random(number).choices(b"\r\n.a", k=number % 5 + 5)) for number in range(15)]
STRINGS = [*strings(1), *ATTACKS, *REAL_ENDS, *SAMPLED]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("setting", NewlineMode)
@pytest.mark.parametrize("mode", BodyMode)
def test_living_backends_see_what_the_client_was_told(kind: str, setting: NewlineMode, mode: BodyMode) -> None:
    for place in (MIDDLE, START):
        for string in STRINGS:
            check(kind, setting, mode, place, string)


def check(kind: str, setting: NewlineMode, mode: BodyMode, place: Place, string: bytes) -> None:
    lab = Laboratory(RelaySettings("mx.example.org", newlines=setting, body=mode), profile=profile(kind))
    lab.start()
    lab.send(GREETING)
    lab.send(ENVELOPE)
    begun = len(lab.codes)
    talk = place.talk(string)
    lab.send(talk)
    wanted = expected([talk], setting)
    what = (kind, setting, mode, place.name, string)
    assert lab.codes[begun:] == wanted.codes, what
    assert lab.finished is wanted.closed, what
    bodies = [text.removesuffix(b".\r\n") for text in wanted.accepted]
    got = [delivery.wire for delivery in lab.record.accepted]
    assert len(got) == len(bodies), what
    for wire, body in zip(got, bodies, strict=True):
        assert wire.startswith(b"Received: from client.example ([192.0.2.10])\r\n"), what
        assert wire.split(b"\r\n", 3)[3] == body, what
    assert lab.record.refused == [], what
    assert [message["outcome"] for message in lab.messages] == [
        "delivered" if code == 250 else "rejected" for code in outcomes(wanted.codes)
    ], what


def outcomes(codes: list[int]) -> list[int]:
    """The codes that answer final dots: the first one, and the ones behind each 354."""
    dots = [0, *(at + 1 for at, code in enumerate(codes) if code == 354)]
    return [codes[at] for at in dots]
