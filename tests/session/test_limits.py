"""The table of limits: each has its origin, and none is below what the RFC promises to peers."""

from dataclasses import fields

import pytest

from smtproxy.session.limits import LIMITS, Limits


def test_each_limit_says_where_it_comes_from() -> None:
    for limit in fields(Limits):
        assert len(limit.metadata["origin"]) > 15, limit.name
        assert isinstance(limit.default, int | float), limit.name
        assert limit.default > 0, limit.name


@pytest.mark.parametrize(
    ("name", "minutes"),
    [
        ("command_time", 5),
        ("greeting_time", 5),
        ("mail_time", 5),
        ("recipient_time", 5),
        ("data_time", 2),
        ("transfer_time", 3),
        ("end_of_data_time", 10),
    ],
)
def test_waits_are_as_long_as_rfc_5321_asks(name: str, minutes: int) -> None:
    assert getattr(LIMITS, name) >= 60 * minutes


def test_a_command_may_be_as_long_as_the_rfc_says() -> None:
    assert LIMITS.command_line >= 512
    assert LIMITS.endless_line > LIMITS.command_line


def test_the_memory_of_one_body_is_a_part_of_that_of_all() -> None:
    assert LIMITS.body_memory < LIMITS.body_memory_total < LIMITS.body_disk_total
