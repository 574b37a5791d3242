"""What the relay says by itself: names here, words in the policy."""

from smtproxy.session.answers import Own, Phrases
from smtproxy.wire.errors import Fault
from tests.session.parts import PHRASES


def test_whoever_builds_a_relay_has_words_for_every_occasion() -> None:
    phrases: Phrases = PHRASES
    for occasion in (*Own, *Fault):
        if occasion not in (Fault.BAD_REPLY, Fault.REPLY_TOO_LONG, Own.HELLO):
            assert 200 <= phrases.say(occasion).code < 600, occasion


def test_occasions_have_different_names() -> None:
    names = [occasion.value for occasion in Own]
    assert len(names) == len(set(names))
