"""Facts: their table, and the way into a log line and back."""

from dataclasses import fields, is_dataclass

import orjson
import pytest

from smtproxy.app.log.values import Allowance, bounded
from smtproxy.policy.facts import (
    DKIM,
    FACTS,
    LISTED_CLIENT,
    Key,
    Listed,
    Listings,
    Signature,
    Signatures,
    brief,
    restore,
)


def test_each_fact_has_a_name_of_its_own_and_says_what_it_means() -> None:
    for name, key in FACTS.items():
        assert key.name == name
        assert name.isidentifier()
        assert key.meaning
        assert is_dataclass(key.shape)
        assert fields(key.shape)


@pytest.mark.parametrize(
    ("key", "made"),
    [
        (LISTED_CLIENT, Listings((Listed("zen", "192.0.2.1", ("127.0.0.2",)),), (("other", "timeout"),))),
        (DKIM, Signatures((Signature("example.org", "s1", "pass"),), 2)),
    ],
)
def test_a_fact_comes_back_from_the_log_as_it_was(key: Key[object], made: object) -> None:
    plain = orjson.loads(orjson.dumps(bounded(made, Allowance(10000))))
    assert restore(key, plain) == made
    assert restore(key, orjson.loads(orjson.dumps(brief(made)))) == made


def test_what_is_as_usual_is_left_out() -> None:
    assert brief(Listings()) == {}
    assert brief(Signatures((Signature("d.example", "s", "pass"),))) == {
        "found": [{"domain": "d.example", "selector": "s", "result": "pass"}]
    }


def test_what_is_of_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match="more"):
        restore(DKIM, {"found": [], "more": "several"})
