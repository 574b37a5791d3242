"""The load with many recipients: it sends what it says, and gives no figures when any reply was another one."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import recipients_load
from bench.recipients_load import FOREIGN, GOOD
from tests.end_to_end.programs.process import HOST, ProgramError
from tests.end_to_end.programs.smtp_sink import SmtpSink
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def route() -> Iterator[tuple[Smtproxy, SmtpSink]]:
    """A proxy, and the sink behind it."""
    with tempfile.TemporaryDirectory(prefix="smtproxy-test-") as name:
        directory = Path(name)
        with (
            SmtpSink(directory / "sink") as sink,
            Smtproxy(directory / "proxy", Plan([f"{HOST}:{sink.port}"])) as proxy,
        ):
            yield proxy, sink


def test_each_message_has_its_recipients(route: tuple[Smtproxy, SmtpSink]) -> None:
    proxy, _ = route
    sent = recipients_load.run_apart(proxy.port, 6, 2)
    assert sent.cpu > 0
    assert sent.seconds > 0
    lines = proxy.wait_lines("message", 6)
    assert [(line["outcome"], line["recipients_accepted"]) for line in lines] == [("delivered", GOOD)] * 6
    sessions = proxy.wait_lines("session", 2)
    assert sum(int(str(line["refused"])) for line in sessions) >= 6 * FOREIGN


def test_another_reply_is_no_figure(route: tuple[Smtproxy, SmtpSink]) -> None:
    """The sink itself takes recipients of every domain."""
    _, sink = route
    with pytest.raises(ProgramError, match="were to come"):
        recipients_load.run_apart(sink.port, 2, 1)
