"""The ledger: who came back after we said 4xx, when, from where, and what then; and nobody is called lost too early."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from smtproxy.app.cli import NOT_SO, main
from smtproxy.app.ledger import RETRY_WITHIN, Account, Ledger, ledger, report
from smtproxy.app.recordings import Recording
from smtproxy.policy.evidence import Evidence, Known
from smtproxy.policy.facts import GREYLIST, Greylist
from smtproxy.policy.recording import Recorded
from smtproxy.session.dialogue import Dialogue
from smtproxy.session.verdicts import Stage
from tests.app.logs import config, line, log

BEGAN = 1.7e9
GREYLISTED, TAKEN = "450 4.7.1 not yet", "250 2.1.5 OK"


def mail(
    after: float,
    reply: str | None = GREYLISTED,
    by: str = "greylist",
    *,
    client: str = "192.0.2.7",
    sender: str = "a@example.net",
    to: str = "u@example.org",
    key: str = "",
    session: str = "",
    **more: Any,  # noqa: ANN401
) -> Recording:
    """A message line, so many seconds after the first one; `key`: as greylisting knows its sender."""
    fields: Mapping[str, Any] = {
        "time": datetime.fromtimestamp(BEGAN + after, UTC).isoformat(),
        "event": "message",
        "session": session or f"s{after}",
        "client": client,
        "sender": sender,
        "recipients": [{"to": to, "reply": reply, "by": by}],
        "outcome": "deferred",
        "by": by,
        **more,
    }
    facts = {GREYLIST.name: Known(Greylist(key))} if key else {}
    evidence = Evidence(Stage.RECIPIENT, Dialogue("s", client), facts)
    return Recording(fields, (Recorded(evidence, "450", by),) if key else ())


def delivered(after: float, **more: Any) -> Recording:  # noqa: ANN401
    return mail(after, TAKEN, "backend", **{"outcome": "delivered", **more})


def account(*past: Recording, check: str = "greylist") -> Account:
    return ledger(past).accounts.get(check, Account())


def test_who_came_back_is_delivered() -> None:
    one = account(mail(0), mail(60), delivered(300))
    assert (one.deferred, dict(one.back), dict(one.then)) == (1, {"same address": 1}, {"delivered": 1})
    assert (one.waits, one.delays, one.open, one.lost.total()) == ([60.0], [300.0], 0, 0)


@pytest.mark.parametrize(
    ("client", "key", "where"),
    [
        ("192.0.2.7", "", "same address"),
        ("192.0.2.8", "", "same network"),
        ("198.51.100.1", "example.net", "same organisation"),
        ("198.51.100.1", "", "elsewhere"),
        ("unknown", "", "elsewhere"),
    ],
)
def test_from_where(client: str, key: str, where: str) -> None:
    assert dict(account(mail(0, key=key), delivered(300, client=client, key=key)).back) == {where: 1}


def test_a_sender_is_known_again_by_what_does_not_differ() -> None:
    one = account(mail(0, sender="n-1@example.net"), delivered(300, sender="n-2@example.net"))
    assert one.then["delivered"] == 1
    one = account(mail(0, sender="a@example.net"), delivered(300, sender="b@example.net"))
    assert (one.then["delivered"], one.open) == (0, 1)
    one = account(mail(0, to="u@example.org"), delivered(300, to="v@example.org"))
    assert (one.then["delivered"], one.open) == (0, 1)


def test_bounces_are_their_senders_own() -> None:
    one = account(mail(0, sender=""), delivered(300, sender="", client="198.51.100.1"))
    assert one.open == 1
    assert account(mail(0, sender=""), delivered(300, sender="")).then["delivered"] == 1


def test_who_has_time_left_is_not_lost() -> None:
    one = account(mail(0, key="example.net"), delivered(RETRY_WITHIN, sender="x@example.com"))
    assert (one.open, one.lost.total()) == (1, 0)
    one = account(mail(0, key="example.net"), delivered(RETRY_WITHIN + 1, sender="x@example.com"))
    assert (one.open, dict(one.lost)) == (0, {"example.net": 1})


def test_who_comes_after_that_is_another_mail() -> None:
    one = account(mail(0), delivered(RETRY_WITHIN + 1))
    assert (one.then["delivered"], dict(one.lost)) == (0, {"192.0.2.0/24": 1})
    one = account(mail(0), mail(RETRY_WITHIN + 1))
    assert (one.deferred, one.lost.total(), one.open) == (2, 1, 1)


def test_what_is_refused_in_the_end_was_not_lost() -> None:
    one = account(mail(0), mail(300, "550 5.1.1 no", "recipients", outcome="rejected"))
    assert (dict(one.then), one.delays) == ({"refused": 1}, [])


def test_what_the_backend_defers_is_its_own_matter() -> None:
    assert ledger([mail(0, "450 4.2.2 full", "backend")]).accounts == {}
    assert ledger([mail(0, TAKEN, "backend", outcome="deferred")]).accounts == {}
    assert ledger([mail(0, None, "client", outcome="aborted")]).accounts == {}


def test_what_we_defer_for_a_message_is_for_each_of_its_recipients() -> None:
    line_ = mail(0, outcome="deferred").line
    recipients = [{"to": f"{name}@example.org", "reply": TAKEN, "by": "backend"} for name in "uv"]
    past = Recording({**line_, "recipients": recipients, "by": "rule:big"}, ())
    assert account(past, check="rule:big").deferred == 2


def test_the_check_that_deferred_first_has_the_account() -> None:
    made = ledger([mail(0), mail(300, by="dnsbl"), delivered(600)])
    assert set(made.accounts) == {"greylist"}
    assert made.accounts["greylist"].delays == [600.0]


def test_whoever_says_it_again_in_the_same_session_has_not_come_back() -> None:
    one = account(mail(0, session="s"), mail(5, session="s"))
    assert (one.deferred, one.back.total(), one.open) == (1, 0, 1)


def test_other_lines_are_passed_over() -> None:
    other = {**mail(0).line, "event": "session"}
    assert ledger([Recording(other, ()), Recording({**mail(0).line, "time": "?"}, ())]).lines == 0


def test_memory_is_bounded() -> None:
    made = Ledger(most=2)
    for number, name in enumerate("abc"):
        made.note(mail(number, sender=f"{name}@example.net"))
    made.note(delivered(300, sender="a@example.net"))
    made.note(delivered(300, sender="c@example.net"))
    made.close()
    one = made.accounts["greylist"]
    assert (one.deferred, one.then["delivered"], one.open, made.forgotten) == (3, 1, 1, 1)
    assert list(report(made))[-1] == "\n1 mails were not followed: more than 2 were waited for at once"


def test_the_report() -> None:
    past = [mail(0), mail(1, sender="b@example.net"), delivered(301), delivered(RETRY_WITHIN + 9, sender="c@d.test")]
    assert list(report(ledger(past))) == [
        "4 message lines; mails that smtproxy itself deferred, by who deferred them",
        "\ngreylist: 2 deferred",
        "  came back        1 (50 %): 1 from same address",
        "  after            301s (median)",
        "  then             1 delivered, after 301s (median), 0 refused",
        "  not back yet     0, within 2d",
        "  never came back  1: 192.0.2.0/24 (1)",
    ]
    assert list(report(ledger([delivered(0)])))[1:] == ["  none was"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(log(line(config(tmp_path), 1)).getvalue())
    assert main(["ledger", "--log", str(file)]) == 0
    assert capsys.readouterr().out.startswith("1 message lines")
    assert main(["ledger", "--json", "--log", str(file)]) == 0
    assert orjson.loads(capsys.readouterr().out) == {}
    file.write_bytes(b"")
    assert main(["ledger", "--log", str(file)]) == NOT_SO
    assert "the log is empty" in capsys.readouterr().err


def test_for_machines() -> None:
    plain = account(mail(0, key="example.net"), delivered(300, key="example.net")).plain()
    assert plain == {
        "deferred": 1,
        "back": {"same address": 1},
        "then": {"delivered": 1},
        "median_wait": 300.0,
        "median_delay": 300.0,
        "open": 0,
        "lost": 0,
        "lost_senders": {},
    }
