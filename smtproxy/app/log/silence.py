"""The journal of commands that serve nobody: it keeps nothing, as what is wrong stands in their answers."""

from collections.abc import Mapping

from smtproxy.session.records import Event


class Silence:
    """A journal without a log."""

    def record(self, event: Event, fields: Mapping[str, object]) -> None:
        """Forget it."""


SILENCE = Silence()
