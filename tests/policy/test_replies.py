"""Every text that a client may hear from us: there for each occasion, in agreement with itself, short enough."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.policy.replies import TABLE, Occasion, Phrasebook, Reason, Wording, deferred, dropped, rejected
from smtproxy.session.answers import Own
from smtproxy.wire.errors import Fault
from tests.wire.pieces import PROPERTY

_ID = "0123456789abc"
_PHRASES = Phrasebook("mx.example.org", _ID)
_OF_BACKENDS = {Fault.BAD_REPLY, Fault.REPLY_TOO_LONG}
"""Faults of a backend are never said to a client."""
_OCCASIONS: list[Occasion] = [
    one for one in (*Own, *Fault, *Reason) if one is not Own.HELLO and one not in _OF_BACKENDS
]


def test_each_occasion_has_its_words_and_nothing_else_has() -> None:
    assert set(TABLE) == set(_OCCASIONS)


@pytest.mark.parametrize("occasion", _OCCASIONS, ids=str)
def test_code_and_enhanced_code_agree(occasion: Occasion) -> None:
    wording = TABLE[occasion]
    if occasion is Own.BANNER or wording.code // 100 == 3:
        assert wording.enhanced == ""  # RFC 2034 4
    else:
        assert re.fullmatch(r"[245]\.\d{1,3}\.\d{1,3}", wording.enhanced)
        assert wording.enhanced[0] == str(wording.code)[0]


@pytest.mark.parametrize("occasion", _OCCASIONS, ids=str)
def test_a_reply_fits_its_line_and_is_plain_text(occasion: Occasion) -> None:
    reply = _PHRASES.say(occasion, "x" * 1000)
    octets = reply.encode()
    assert len(octets) <= 512  # RFC 5321 4.5.3.1.5
    assert octets.isascii()
    assert octets.endswith(b"\r\n")
    assert octets.count(b"\r\n") == 1
    assert b"{" not in octets


@pytest.mark.parametrize("occasion", _OCCASIONS, ids=str)
def test_a_refusal_ends_with_the_id_under_which_the_log_explains_it(occasion: Occasion) -> None:
    reply = _PHRASES.say(occasion)
    assert reply.encode().endswith(f"[{_ID}]\r\n".encode()) is (reply.code >= 400)


@pytest.mark.parametrize("occasion", _OCCASIONS, ids=str)
def test_nothing_of_us_is_a_final_acceptance_of_mail(occasion: Occasion) -> None:
    assert "queued" not in TABLE[occasion].text.lower()
    assert not TABLE[occasion].enhanced.startswith("2.6")


def test_help_stands_in_front_of_the_reason() -> None:
    phrases = Phrasebook("mx.example.org", _ID, "https://example.org/mail?id={session}")
    reply = phrases.say(Reason.FOREIGN_RECIPIENT)
    first, last = reply.encode().decode().splitlines()
    assert first == f"550-5.7.1 https://example.org/mail?id={_ID}"
    assert last.startswith("550 5.7.1 Relaying denied")
    assert last.endswith(f"[{_ID}]")
    assert phrases.say(Own.RESET) == _PHRASES.say(Own.RESET)


@pytest.mark.parametrize("occasion", _OCCASIONS, ids=str)
def test_soft_bounce_refuses_no_mail_for_good(occasion: Occasion) -> None:
    hard, soft = _PHRASES.say(occasion), Phrasebook("mx.example.org", _ID, soft=True).say(occasion)
    if hard.code < 500 or hard.code in (500, 502, 503, 504):
        assert soft == hard
    else:
        assert soft.code // 100 == 4
        assert soft.encode()[4:5] == b"4"


def test_the_banner_is_our_name() -> None:
    assert _PHRASES.say(Own.BANNER).encode() == b"220 mx.example.org ESMTP\r\n"


@PROPERTY
@given(detail=st.text(max_size=200))
def test_a_detail_can_break_no_reply(detail: str) -> None:
    octets = _PHRASES.say(Own.PARAMETER, detail).encode()
    assert re.fullmatch(rb"555 5\.5\.4 Parameter not offered: [\x21-\x7e]{0,64} \[%s\]\r\n" % _ID.encode(), octets)


def test_every_refusal_has_a_temporary_form() -> None:
    for occasion, wording in TABLE.items():
        form = deferred(wording, connect=False)
        if wording.code < 500:
            assert form == wording
        else:
            assert form.code // 100 == 4, occasion
            assert form.enhanced == "4" + wording.enhanced[1:]
    assert deferred(Wording(550, "5.7.1", "x"), connect=False).code == 450
    assert deferred(Wording(552, "5.3.4", "x"), connect=False).code == 452
    assert deferred(Wording(554, "5.6.0", "x"), connect=False).code == 451


@pytest.mark.parametrize("reason", list(Reason))
def test_in_place_of_a_banner_only_its_own_codes_are_said(reason: Reason) -> None:
    """RFC 5321 3.1 and 3.8, RFC 7504 3: 554, 421 and 521."""
    wording = TABLE[reason]
    assert deferred(wording, connect=True).code == 421
    assert dropped(wording, connect=True).code == (521 if wording.code >= 500 else 421)
    assert rejected(Wording(550, "5.7.1", "x"), connect=True) == Wording(554, "5.7.1", "x")
    assert rejected(wording, connect=False) == wording


def test_a_connection_is_dropped_with_the_code_that_says_so() -> None:
    wording = Wording(550, "5.7.1", "x")
    assert dropped(wording, connect=True) == Wording(521, "5.7.0", "x")
    assert dropped(wording, connect=False) == Wording(421, "4.7.0", "x")


def test_broken_links_and_our_own_faults_bounce_nothing() -> None:
    ours = ("BACKEND", "NO_BACKEND", "NO_PLACE", "UNKNOWN_OUTCOME", "TOO_LATE", "INTERNAL", "DISK")
    for own in Own:
        if own.name.startswith(ours):
            assert TABLE[own].code // 100 == 4, own
