"""Single changes: each is tried by judging again, and leaves nothing changed."""

from pathlib import Path

import pytest

from smtproxy.app.config import Config
from smtproxy.app.recordings import recordings
from smtproxy.app.single_changes import changes, lets_in
from tests.app.logs import TEXT, config, line, log


def _ways_in(made: Config, **case: str) -> set[str]:
    (found,) = recordings(log(line(made, 1, **case)))  # type: ignore[arg-type]
    first = found.decisions[0]
    before = repr(made)
    ways = {one.words for one in changes(first.evidence, made) if lets_in(one, "mx", first, made)}
    assert repr(made) == before
    return ways


@pytest.mark.parametrize(
    ("case", "ways"),
    [
        (
            {"spf": "fail"},
            {
                'then = "observe" in rule spf',
                '[[exemptions]] with clients = ["192.0.2.10"]',
                '[[exemptions]] with recipients = ["b@example.org"]',
                "the fact spf: pass",
            },
        ),
        (
            {"hello": "mx.example.org"},
            {
                'checks.hello.action = "observe"',
                '[[exemptions]] with clients = ["192.0.2.10"]',
                '[[exemptions]] with recipients = ["b@example.org"]',
                '[[exemptions]] with senders = ["example.net"]',
            },
        ),
        (
            {"spf": ""},
            {
                'then = "observe" in rule spf',
                'on_error = "pass" in rule spf',
                '[[exemptions]] with clients = ["192.0.2.10"]',
                '[[exemptions]] with recipients = ["b@example.org"]',
                "the fact spf: pass",
            },
        ),
        ({"to": "elsewhere.example"}, set()),
    ],
)
def test_what_would_have_let_it_in(case: dict[str, str], ways: set[str], tmp_path: Path) -> None:
    assert _ways_in(config(tmp_path), **case) == ways


def test_a_block_that_speaks_of_a_check_is_changed_with_it(tmp_path: Path) -> None:
    block = '[[policy]]\nname = "x"\nrecipients = ["example.org"]\nchecks.hello.action = "reject"\n'
    made = config(tmp_path, TEXT.replace('hello.action = "reject"', 'hello.action = "observe"') + block)
    assert 'checks.hello.action = "observe"' in _ways_in(made, hello="mx.example.org")
