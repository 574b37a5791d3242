"""The proxy is reloaded, ended or killed under load: no acknowledged mail is lost, and the log explains each copy."""

from collections import Counter
from pathlib import Path

import pytest

from tests.end_to_end import disturbances
from tests.end_to_end.disturbances import DISTURBANCES, Account, doubts
from tests.end_to_end.programs.smtproxy import Line
from tests.end_to_end.retrying import Ledger

pytestmark = pytest.mark.end_to_end

MESSAGES = 300


@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_nothing_is_lost(tmp_path: Path, disturbance: str) -> None:
    account = disturbances.run(tmp_path, disturbance, MESSAGES)
    assert account.violations() == [], str(account)
    assert len(account.stored) == MESSAGES
    if disturbance == "SIGHUP":
        # Nobody notices: no client has to try again, and nothing is stored twice.
        assert not account.ledger.deferred
        assert sum(account.stored.values()) == MESSAGES
    if disturbance == "SIGTERM":
        assert account.reasons["commit without message"] == 0


def test_violations_are_found() -> None:
    sent = frozenset({"<1>", "<2>", "<3>", "<4>", "<5>"})
    ledger = Ledger(acknowledged={"<1>", "<2>", "<3>"}, refused=["<4> 550"])
    account = Account(
        "none", sent, ledger, Counter({"<1>": 2, "<2>": 3, "<9>": 1}), Counter({"<1>": 1, "<2>": 1}), {}, 0, 1.0
    )
    assert account.violations() == [
        "never acknowledged: 2: <4>, <5>",
        "acknowledged and not stored: 1: <3>",
        "refused for good: 1: <4> 550",
        "more copies than the log explains: 1: <2>",
    ]


def _message(name: str, outcome: str = "delivered", *, heard: bool = True, number: int = 1) -> Line:
    return {
        "event": "message",
        "session": name,
        "transaction": f"{name}.{number}",
        "message_id": f"<{name}.{number}>",
        "outcome": outcome,
        "client_heard": heard,
    }


def test_what_the_log_has_a_reason_for() -> None:
    over: list[Line] = [{"event": "session", "session": name} for name in "bcd"]
    found, reasons = doubts(
        [
            {"event": "commit", "transaction": "a.1", "message_id": "<a.1>"},
            {"event": "commit", "transaction": "b.1", "message_id": "<b.1>"},
            _message("b", heard=False),
            _message("c", "unknown"),
            _message("d"),
            _message("e"),
            _message("e", number=2),
            *over,
        ]
    )
    assert found == {"<a.1>": 1, "<b.1>": 1, "<c.1>": 1, "<e.2>": 1}
    assert reasons == {
        "unknown": 1,
        "client_heard = false": 1,
        "commit without message": 1,
        "last message of a session that was killed": 1,
    }
