"""The settings of a relay: what DESIGN says is the default, is."""

from smtproxy.session.settings import BodyMode, OpenMode, RelaySettings
from smtproxy.wire.newlines import NewlineMode


def test_the_defaults_are_those_of_the_design() -> None:
    made = RelaySettings("mx.example.org")
    assert made.body is BodyMode.AUTO
    assert made.newlines is NewlineMode.NORMALISE
    assert made.open is OpenMode.RECIPIENT
    assert made.trace_header
    assert (made.commit_by, made.lease) == (300.0, 10.0)
    assert (made.max_message_size, made.max_recipients) == (50 * 1024 * 1024, 1000)


def test_the_words_of_the_configuration_are_the_values() -> None:
    assert [mode.value for mode in BodyMode] == ["auto", "hold", "stream"]
    assert [mode.value for mode in OpenMode] == ["recipient", "mail", "connect"]
