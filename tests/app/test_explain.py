"""Explain: findings, facts, who decided, and the ways in."""

from pathlib import Path
from typing import Any

from smtproxy.app.explain import explain
from smtproxy.app.recordings import recordings
from smtproxy.policy.evidence import Fact, Known
from smtproxy.policy.facts import Reputation
from tests.app.logs import TEXT, config, line, log


def _text(tmp_path: Path, text: str = TEXT, **case: Any) -> str:  # noqa: ANN401 - as `line` takes it
    made = config(tmp_path)
    (found,) = recordings(log(line(made, 1, **case)))
    return "\n".join(explain(found, config(tmp_path, text)))


def test_a_refusal_is_explained(tmp_path: Path) -> None:
    text = _text(tmp_path, spf="fail")
    assert "transaction s1.1 at " in text
    assert "  spf                result fail, domain example.net\n" in text
    assert "recipient <b@example.org>: 550 by rule:spf\n" in text
    assert "  rule:spf           found rule, action reject\n" in text
    assert '  would have been let in by any one of\n    then = "observe" in rule spf\n' in text


def test_a_block_says_who_has_set_it_and_when_it_ends(tmp_path: Path) -> None:
    blocked = Reputation(blocked="192.0.2.0/24", set_by="anna", reason="a bad lot", until="2026-01-01T00:00:00Z")
    known: dict[str, Fact[Any]] = {"reputation": Known(blocked), "sender_reputation": Known(Reputation())}
    text = _text(tmp_path, known=known)
    assert (
        "recipient <b@example.org>: 550 by blocked\n  192.0.2.0/24 is blocked by anna (a bad lot) until 2026-" in text
    )
    assert "T00:00:00Z; `smtproxy reputation forgive 192.0.2.0/24` lifts that\n" in text
    assert 'checks.blocked.action = "observe"\n' in text
    assert "the fact reputation: neither blocked nor in the penalty box\n" in text


def test_a_penalty_says_what_for_and_when_it_ends(tmp_path: Path) -> None:
    boxed = Reputation(penalty="40 refused", penalty_until="2026-01-01T00:00:00Z")
    text = _text(tmp_path, known={"reputation": Known(boxed), "sender_reputation": Known(Reputation())})
    assert "450 by reputation\n  the client is in the penalty box until 2026-01-01T00:00:00Z, for 40 refused; " in text
    assert "`smtproxy reputation forgive 192.0.2.10` lifts that\n" in text


def test_who_is_allowed_is_exempt_and_it_says_by_what(tmp_path: Path) -> None:
    both = Reputation(blocked="192.0.2.10", allowed="192.0.2.0/24", set_by="anna")
    text = _text(tmp_path, known={"reputation": Known(both), "sender_reputation": Known(Reputation())}, spf="fail")
    assert "recipient <b@example.org>: accepted\n" in text
    assert "applied observe (exempt: allowed 192.0.2.0/24)" in text


def test_what_was_unknown_says_why(tmp_path: Path) -> None:
    text = _text(tmp_path, spf="")
    assert "  spf                unknown: timeout\n" in text
    assert "action reject; applied defer (unknown); fact spf, unknown timeout" in text


def test_a_duty_says_that_nothing_lifts_it(tmp_path: Path) -> None:
    assert "recipient_domain is a duty: no exemption and no action lifts it" in _text(tmp_path, to="elsewhere.example")


def test_another_configuration_is_no_explanation_of_the_old_decision(tmp_path: Path) -> None:
    text = _text(tmp_path, TEXT.replace('"reject"', '"observe"'), spf="fail")
    assert "  by this configuration it would be: accepted\n" in text


def test_without_a_configuration_the_record_is_shown(tmp_path: Path) -> None:
    (found,) = recordings(log(line(config(tmp_path), 1, spf="fail")))
    text = "\n".join(explain(found, None))
    assert "550 by rule:spf" in text
    assert "let in" not in text


def test_who_is_asked_to_come_again_need_do_nothing(tmp_path: Path) -> None:
    text = TEXT.replace('greylist.action = "off"', "score.greylist = 1").replace(
        'hello.action = "reject"', 'hello.action = "score"'
    )
    made = config(tmp_path, text)
    (found,) = recordings(log(line(made, 1, hello="mx.example.org", greylist="example.net")))
    said = "\n".join(explain(found, made))
    assert "recipient <b@example.org>: 450 by greylist\n" in said
    assert "  greylist           found greylisted, action defer; sum 1.0, key example.net" in said
    assert "  nothing has to be done: example.net is let through, for all its mail, once it comes again\n" in said
    assert "  2m or more after its first attempt, and within 2d\n" in said
    ways = said.partition("let in by any one of\n")[2]
    assert '    greylist.action = "observe"\n' in ways
    assert "    the fact greylist: came again before\n" in ways
