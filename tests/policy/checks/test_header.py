"""Odd headers."""

from dataclasses import replace

import pytest

from smtproxy.policy.checks.header import CHECK, DAY, HeaderOptions, header
from smtproxy.policy.evidence import Unknown
from smtproxy.policy.facts import HEADER, HeaderBlock
from smtproxy.policy.findings import CannotTell, Finding
from smtproxy.policy.replies import Reason
from smtproxy.session.verdicts import Stage
from tests.policy.checks.evidence import seen

GOOD = HeaderBlock(size=1000, from_domains=("example.com",), date_off=-2.0)
EVERYTHING = HeaderOptions(undeclared_8bit=True)


@pytest.mark.parametrize(
    ("option", "reason", "block"),
    [
        ("large", Reason.HEADER_LARGE, replace(GOOD, size=262145)),
        ("no_from", Reason.HEADER_NO_FROM, replace(GOOD, from_fields=0, from_domains=(), from_understood=False)),
        ("several_from", Reason.HEADER_SEVERAL_FROM, replace(GOOD, from_fields=2, from_understood=False)),
        ("unreadable_from", Reason.HEADER_UNREADABLE_FROM, replace(GOOD, from_understood=False)),
        ("several_domains", Reason.HEADER_SEVERAL_DOMAINS, replace(GOOD, from_domains=("a.example", "b.example"))),
        ("bad_date", Reason.HEADER_BAD_DATE, replace(GOOD, date_fields=0, date_off=None)),
        ("bad_date", Reason.HEADER_BAD_DATE, replace(GOOD, date_off=None)),
        ("bad_date", Reason.HEADER_BAD_DATE, replace(GOOD, date_fields=2)),
        ("bad_date", Reason.HEADER_BAD_DATE, replace(GOOD, date_off=DAY + 1)),
        ("bad_date", Reason.HEADER_BAD_DATE, replace(GOOD, date_off=-30 * DAY - 1)),
        ("raw_8bit", Reason.HEADER_8BIT, replace(GOOD, raw_8bit=True)),
        ("undeclared_8bit", Reason.BODY_8BIT, replace(GOOD, body_8bit_undeclared=True)),
    ],
)
def test_each_kind_and_its_option(option: str, reason: Reason, block: HeaderBlock) -> None:
    evidence = seen(Stage.MESSAGE, (HEADER, block))
    found = header(EVERYTHING, evidence)
    assert isinstance(found, Finding)
    assert (found.reason, found.points) == (reason, 1.0)
    assert header(replace(EVERYTHING, **{option: False}), evidence) is None


@pytest.mark.parametrize(
    "block", [GOOD, replace(GOOD, size=262144), replace(GOOD, date_off=DAY), replace(GOOD, date_off=-30 * DAY)]
)
def test_good_headers(block: HeaderBlock) -> None:
    assert header(EVERYTHING, seen(Stage.MESSAGE, (HEADER, block))) is None


def test_several_kinds_count_each() -> None:
    block = replace(GOOD, date_off=None, raw_8bit=True, size=300000)
    found = header(HeaderOptions(max_size=299999), seen(Stage.MESSAGE, (HEADER, block)))
    assert isinstance(found, Finding)
    assert found.points == 3.0
    assert found.saw["kinds"] == ("header_large", "header_bad_date", "header_8bit")
    assert found.detail == "299999"


def test_smtputf8_allows_8bit_headers() -> None:
    block = replace(GOOD, raw_8bit=True)
    assert header(HeaderOptions(), seen(Stage.MESSAGE, (HEADER, block), parameters=(("SMTPUTF8", None),))) is None


def test_what_is_not_known() -> None:
    assert header(HeaderOptions(), seen(Stage.MESSAGE, (HEADER, Unknown("too large")))) == CannotTell(
        "header", "too large"
    )
    assert CHECK.needs == (HEADER,)
