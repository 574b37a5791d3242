"""The closed list of log events: each with its level and its fields, each field with its meaning."""

from smtproxy.session.records import FIELDS, LEVELS, Event


def test_each_event_has_a_level_and_fields() -> None:
    assert set(LEVELS) == set(FIELDS) == set(Event)
    assert set(LEVELS.values()) == {"info", "warning", "error"}


def test_each_field_says_what_it_means() -> None:
    for event, fields in FIELDS.items():
        assert fields, event
        for name, meaning in fields.items():
            assert name.isidentifier(), (event, name)
            assert len(meaning) > 4, (event, name)
            assert name not in {"time", "event", "level"}, (event, name)


def test_the_canonical_lines_can_be_joined() -> None:
    for event in (Event.SESSION, Event.COMMIT, Event.MESSAGE):
        assert "session" in FIELDS[event]
    for event in (Event.COMMIT, Event.MESSAGE):
        assert "transaction" in FIELDS[event]


def test_trouble_is_no_information() -> None:
    for event in (Event.CRASH, Event.BACKEND_DOWN, Event.BACKEND_MISCONFIGURED, Event.LOG_LOST):
        assert LEVELS[event] == "error"
