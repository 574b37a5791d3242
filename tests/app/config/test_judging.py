"""[score], [[exemptions]], [[policy]] and [governor]. Mistakes are in tests/app/configurations."""

from smtproxy.app.config.checks import Checks
from smtproxy.app.config.judging import PolicyBlock, overridden
from smtproxy.policy.findings import Action, OnError


def test_a_block_changes_what_it_says_and_nothing_else() -> None:
    base = Checks.model_validate({"hello": {"action": "reject", "on_error": "defer", "weight": 3}})
    block = PolicyBlock.model_validate(
        {"name": "sales", "recipients": ["sales@example.org"], "checks": {"hello": {"action": "observe"}}}
    )
    made = overridden(base, block.checks)
    assert (made.hello.action, made.hello.on_error, made.hello.weight) == (Action.OBSERVE, OnError.DEFER, 3.0)
    assert made.early_talker == base.early_talker
    assert base.hello.action is Action.REJECT
