"""Errors: one line each, in the form that editors know."""

from smtproxy.app.config.errors import ConfigError, ConfigErrors

FIRST = ConfigError("a.toml", 3, "server.workers", "must be 1")
SECOND = ConfigError("a.toml", 20, "log.format", "must be a word")


def test_form() -> None:
    assert str(FIRST) == "a.toml:3: server.workers: must be 1"


def test_list() -> None:
    errors = ConfigErrors([FIRST, SECOND])
    assert errors.errors == (FIRST, SECOND)
    assert str(errors) == f"{FIRST}\n{SECOND}"


def test_order_is_that_of_the_lines() -> None:
    assert sorted([SECOND, FIRST]) == [FIRST, SECOND]
