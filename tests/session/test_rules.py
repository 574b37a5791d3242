"""The rules table: complete, and with the barriers of RFC 2920 in it."""

import pytest

from smtproxy.session.answers import Own
from smtproxy.session.rules import RULES, Act, Phase

_COMMANDS = {Phase.START, Phase.READY, Phase.MAIL, Phase.CHUNKS, Phase.REFUSED}


def test_each_verb_has_an_answer_in_each_phase_in_which_commands_are_read() -> None:
    for verb, rule in RULES.items():
        assert rule.phases | set(rule.misplaced) == _COMMANDS, verb
        assert not rule.phases & set(rule.misplaced), verb


@pytest.mark.parametrize("verb", ["EHLO", "HELO", "MAIL", "DATA", "RSET", "QUIT", "STARTTLS", "BDAT"])
def test_a_group_ends_before_these(verb: str) -> None:
    assert RULES[verb].barrier


def test_recipients_make_a_group() -> None:
    assert not RULES["RCPT"].barrier


@pytest.mark.parametrize("verb", ["EXPN", "ETRN", "TURN"])
def test_what_is_not_offered_is_502_and_an_error(verb: str) -> None:
    assert RULES[verb].says is Own.NOT_IMPLEMENTED
    assert RULES[verb].error


@pytest.mark.parametrize("verb", ["NOOP", "VRFY", "HELP", "RSET"])
def test_commands_without_use_are_counted(verb: str) -> None:
    assert RULES[verb].junk
    assert not RULES[verb].error


def test_the_verbs_of_another_protocol() -> None:
    foreign = {verb for verb, rule in RULES.items() if rule.act is Act.FOREIGN}
    assert foreign >= {"GET", "POST", "CONNECT"}
    assert all(RULES[verb].barrier for verb in foreign)
