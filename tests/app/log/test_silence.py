"""The journal that keeps nothing."""

from smtproxy.app.log.silence import SILENCE
from smtproxy.session.records import Event


def test_nothing_is_said() -> None:
    SILENCE.record(Event.BACKEND_ACCEPTS_ALL, {"backend": "b"})
