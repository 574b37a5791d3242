"""Filters of answers, in postscreen's language."""

import pytest

from smtproxy.lookups.answer_filter import EVERY_ANSWER, answer_filter


@pytest.mark.parametrize(
    ("text", "taken", "left"),
    [
        ("127.0.0.2", ["127.0.0.2"], ["127.0.0.3", "127.0.0.22", "127.0.2.2"]),
        ("127.0.0.[2..11]", ["127.0.0.2", "127.0.0.11"], ["127.0.0.1", "127.0.0.12"]),
        ("127.0.[0;2..3].[4;6..8]", ["127.0.0.4", "127.0.3.7"], ["127.0.1.4", "127.0.0.5"]),
        ("127.[0..255].0.2", ["127.9.0.2", "127.255.0.2"], ["127.0.1.2"]),
        (EVERY_ANSWER.text, ["127.0.0.2", "127.9.8.7"], ["128.0.0.2"]),
    ],
)
def test_filters(text: str, taken: list[str], left: list[str]) -> None:
    made = answer_filter(text)
    assert str(made) == text
    assert all(made.takes(answer) for answer in taken)
    assert not any(made.takes(answer) for answer in left)


def test_every_answer_is_as_it_is_written() -> None:
    assert answer_filter(EVERY_ANSWER.text) == EVERY_ANSWER


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0",
        "127.0.0.2.3",
        "127.0.0.x",
        "127.0.0.256",
        "127.0.0.[9..2]",
        "127.0.0.[]",
        "127.0.0.[2..]",
        "[1..2]",
    ],
)
def test_no_filters(text: str) -> None:
    with pytest.raises(ValueError, match="as in"):
        answer_filter(text)
