"""Two proxies behind HAProxy with one store, as they lie in deploy/: true addresses, and what kill -9 costs."""

from pathlib import Path

import pytest

from tests.end_to_end.balanced import BALANCER, run
from tests.end_to_end.programs.process import HOST

pytestmark = pytest.mark.end_to_end

MESSAGES = 300


def test_a_proxy_and_the_store_are_killed_and_no_mail_is_lost(directory: Path) -> None:
    report = run(directory / "balanced", MESSAGES)
    assert report.quiet.clean, report.quiet
    assert sum(report.shares.values()) == MESSAGES
    assert min(report.shares.values()) > MESSAGES / 10
    assert report.clients == {(HOST, BALANCER)}
    # Each of the four limits that hold by default is one; a busy sender is not asked for again and again.
    assert report.operations < 5
    assert report.account.violations() == []
    assert report.trouble == []
    assert not report.events & {"crash", "worker_died", "backend_down", "log_lost"}
    assert report.endings["proxy-b"] <= {"quit", "closed"}
