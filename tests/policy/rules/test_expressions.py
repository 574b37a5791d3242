"""Expressions: three answers, facts that they need, and an end to all of them."""

import subprocess
import sys

import pytest

from smtproxy.policy.evidence import Evidence, Fact, Known, Unknown
from smtproxy.policy.facts import (
    Dmarc,
    HeaderBlock,
    Listed,
    Listings,
    ReverseName,
    SenderDomain,
    Signature,
    Signatures,
    Spf,
)
from smtproxy.policy.findings import CannotTell
from smtproxy.policy.rules.complaints import ExpressionError
from smtproxy.policy.rules.expressions import Expression
from smtproxy.policy.rules.variables import STAGES, VARIABLES
from smtproxy.session.verdicts import Stage
from tests.policy.rules.evidence import evidence

_TIMEOUT: Fact[object] = Unknown("timeout")
_FAIL: Fact[object] = Known(Spf("fail", "example.net"))
_LISTED: Fact[object] = Known(Listings((Listed("zen", "192.0.2.10", ("127.0.0.2", "127.0.0.4")),)))


def _holds(text: str, seen: Evidence) -> bool | CannotTell:
    return Expression(text, seen.stage).holds(seen, "mx")


@pytest.mark.parametrize(
    "text",
    [
        "true",
        'client == "192.0.2.10" && listener == "mx" && tls != ""',
        'sender_domain == "example.net" && recipient_domain == "example.org"',
        'sender.endsWith("@Example.NET") && size == 1000 && recipients == 1',
        'hello.matches("^client[.]example$")',
        'spf.result == "fail" && known.spf && !known.listed_sender',
        'listed_client.listed.exists(l, l.zone == "zen" && "127.0.0.4" in l.answers)',
        '["example.com", "example.net"].exists(d, d == sender_domain)',
        "sender_domain.exists && sender_domain.exchangers.size() == 2",
        '!("a" in sender_domain.exchangers)',
    ],
)
def test_true(text: str) -> None:
    domain: Fact[object] = Known(SenderDomain(True, exchangers=("mx1.example.net", "mx2.example.net")))
    assert _holds(text, evidence(spf=_FAIL, listed_client=_LISTED, sender_domain=domain)) is True


def test_facts_of_a_message() -> None:
    seen = evidence(
        Stage.MESSAGE,
        dkim=Known(Signatures((Signature("example.net", "s1", "pass"),))),
        dmarc=Known(Dmarc("pass", "example.net", aligned="dkim")),
        header=Known(HeaderBlock(date_off=-7200.0)),
    )
    assert _holds('dkim.found.exists(s, s.result == "pass" && s.domain == dmarc.domain && !s.partial)', seen) is True
    assert _holds("header.date_off < -3600.0", seen) is True
    assert _holds("received > 3 || size < 2000", seen) is False


def test_an_unknown_fact_counts_only_where_the_answer_hangs_on_it() -> None:
    seen = evidence(spf=_TIMEOUT)
    assert _holds('spf.result == "fail"', seen) == CannotTell("spf", "timeout")
    assert _holds('sender == "" && spf.result == "fail"', seen) is False
    assert _holds('spf.result == "fail" && sender == ""', seen) is False
    assert _holds('sender != "" || spf.result == "fail"', seen) is True
    assert _holds('sender != "" && spf.result == "fail"', seen) == CannotTell("spf", "timeout")
    assert _holds('known.spf && spf.result == "fail"', seen) is False
    assert _holds("!known.spf", seen) is True


def test_a_fact_that_nobody_asked_for_is_unknown() -> None:
    assert _holds('spf.result == "fail"', evidence()) == CannotTell("spf", "not_asked")
    assert _holds("sender_domain.exists", evidence()) == CannotTell("sender_domain", "not_asked")
    assert _holds("recipient.exists", evidence()) == CannotTell("recipient", "not_asked")


def test_a_field_without_a_value() -> None:
    seen = evidence(Stage.MESSAGE, header=Known(HeaderBlock(date_off=None)))
    assert _holds("header.date_off > 0.0", seen) == CannotTell("header.date_off", "no_value")


def test_what_goes_wrong_is_not_told() -> None:
    said = _holds("1 / (recipients - 1) > 0", evidence())
    assert said == CannotTell("expression", "INVALID_ARGUMENT: divide by zero")
    assert _holds("reverse_name.names[7] == ''", evidence(reverse_name=Known(ReverseName()))) != CannotTell("", "")


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("true", []),
        ('sender_domain == "x"', []),
        ("sender_domain.exists", ["sender_domain"]),
        ("known . spf || spf\n.result == 'x'", ["spf"]),
        ('"spf.result" == hello // dmarc.result', []),
        ("recipient.over_quota && known.listed_client", ["listed_client", "recipient"]),
    ],
)
def test_the_facts_it_needs(text: str, needs: list[str]) -> None:
    assert [key.name for key in Expression(text, Stage.RECIPIENT).needs] == needs


@pytest.mark.parametrize("stage", STAGES)
def test_every_name_can_be_used_at_its_stages_and_at_no_other(stage: Stage) -> None:
    for name, one in VARIABLES.items():
        text = name if one.kind == "bool" else f"{name} == {name}"
        if stage in one.stages:
            assert (Expression(text, stage).needs == ()) is (one.key is None)
        else:
            with pytest.raises(ExpressionError):
                Expression(text, stage)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("size", "must be true or false"),
        ("[hello].exists(h, true)", "a loop"),
        ('hello.matches("(")', "missing )"),
        ('listed_client.listed.exists(l, l.zone == "" && l.nothing)', 'no field "nothing"'),
        ('listed_client.listed.all(l, l.zone != "" || l.nothing)', 'no field "nothing"'),
        ('sender + sender == ""', "`+` does not go with"),
    ],
)
def test_mistakes(text: str, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression(text, Stage.RECIPIENT)
    assert words in str(caught.value)


def test_a_rule_that_loops_ends() -> None:
    """A million steps are asked for; CEL ends it after 10,000, and says so."""
    names = evidence(reverse_name=Known(ReverseName(("a.example",) * 100)))
    loop = "reverse_name.names.all(a, reverse_name.names.all(b, reverse_name.names.all(c, a == b || b != c)))"
    assert _holds(loop, names) == CannotTell("expression", "INTERNAL: Iteration budget exceeded [INTERNAL]")


def test_the_longest_texts_of_a_peer_meet_the_largest_pattern() -> None:
    """This took 100 ms per 4,000 characters and 900 places before both were bounded; it ends, and is right."""
    assert _holds('hello.matches("^(a?){240}b$")', evidence(hello="a" * 4000)) is False


def test_strange_octets_of_a_peer_are_a_text() -> None:
    assert _holds('hello == "x"', evidence(hello="\x00\xff\x80\u2028")) is False


def test_nobody_loads_the_library_who_has_no_rule() -> None:
    code = "import sys, smtproxy.app.assembly; print('cel_expr_python' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "False\n"


def test_a_process_may_fork_behind_it() -> None:
    """Workers are forked after the configuration was checked: the library has no threads that a fork would lose."""
    code = """
import os
from smtproxy.policy.rules.expressions import Expression
from smtproxy.session.verdicts import Stage
from tests.policy.rules.evidence import evidence
before = Expression('size == 1000', Stage.RECIPIENT)
assert len(os.listdir('/proc/self/task')) == 1
child = os.fork()
if not child:
    after = Expression('size == 1000', Stage.RECIPIENT)
    os._exit(7 if before.holds(evidence(), '') is after.holds(evidence(), '') is True else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), before.holds(evidence(), ''))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "7 True\n"
