"""Objects and their changes. The source that follows is in test_ldap."""

from dataclasses import replace

import pytest

from smtproxy.lookups.recipients.changes import Changes, Mark
from smtproxy.lookups.recipients.directory import Reading
from smtproxy.lookups.recipients.exchange import Item
from smtproxy.lookups.recipients.following import Following, LostError
from smtproxy.lookups.recipients.spelling import Spelling

MARK = Mark("ldap://dc1", "dsa", 7)
ANNA, BERT = (Item(f"cn={name}", {"mail": [f"{name}@example.org"]}) for name in ("anna", "bert"))


class Stage:
    def __init__(self) -> None:
        self.marks: list[Mark] = []
        self.answers: list[Changes | None] = []
        self.following = Following(self.changes, Spelling())

    async def changes(self, mark: Mark) -> Changes | None:
        self.marks.append(mark)
        return self.answers.pop(0)


async def test_from_mark_to_mark() -> None:
    stage = Stage()
    await stage.following.begin(Reading([ANNA], MARK))
    stage.answers = [
        Changes([BERT], [BERT], replace(MARK, usn=8)),
        Changes([BERT], [BERT], replace(MARK, usn=9)),
        Changes([], [ANNA], MARK),
    ]
    after = [await stage.following.entries() for _ in range(3)]
    assert [None if one is None else sorted(one.by_address) for one in after] == [
        ["anna@example.org", "bert@example.org"],
        None,
        ["bert@example.org"],
    ]
    assert [mark.usn for mark in stage.marks] == [7, 8, 9]


async def test_one_without_a_mark_is_not_followed() -> None:
    stage = Stage()
    await stage.following.begin(Reading([ANNA]))
    assert not stage.following.active
    assert await stage.following.entries() is None
    assert stage.marks == []


async def test_who_cannot_say_is_left() -> None:
    stage = Stage()
    await stage.following.begin(Reading([ANNA], MARK))
    assert stage.following.active
    stage.answers = [None]
    with pytest.raises(LostError):
        await stage.following.entries()
    assert not stage.following.active
