"""Whom the kernel refuses, through real processes and the real nft, in a network of its own."""

import os
from pathlib import Path

import pytest

from smtproxy.app.cli import main
from tests.end_to_end.programs.nftables import Network, network
from tests.end_to_end.programs.process import HOST, ROOT, wait_until
from tests.end_to_end.programs.smtproxy import Plan, Smtproxy
from tests.end_to_end.unknown_recipients import CountingServer

pytestmark = pytest.mark.end_to_end

RULES = ROOT / "deploy" / "nftables" / "blocked.nft"


def _wait(made: Network, text: str, *, there: bool) -> None:
    """Wait until something is in the sets, or is not."""
    wait_until(lambda: (text in made.run(made.real, "list", "ruleset")) is there, 20, f"{text} is there: {not there}")


def test_the_sets_follow_what_persons_say_and_are_filled_at_the_start(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = directory / "nft-state"
    state.mkdir()
    with network(directory) as made, CountingServer() as backend:
        made.run(made.real, "-f", str(RULES))
        monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
        more = '[reputation]\nnft = "inet smtproxy_blocked"\n'
        plan = Plan([f"{HOST}:{backend.port}"], server={"state": str(state), "workers": 2}, more=more)
        with Smtproxy(directory / "nft-first", plan) as proxy:
            asked = ["-c", str(proxy.configuration)]
            for key in ("192.0.2.0/24", "198.51.100.0/24", "127.0.0.0/24", "2001:db8::/64"):
                assert main(["reputation", "block", key, "--for", "1d", *asked]) == 0
            for text in ("192.0.2.0/24 timeout", "198.51.100.0/24 timeout", "2001:db8::/64 timeout"):
                _wait(made, text, there=True)
            assert "127.0.0" not in made.run(made.real, "list", "ruleset")
            capsys.readouterr()
            assert main(["reputation", "show", "192.0.2.7", *asked]) == 0
            assert "refused by the kernel, too: table inet smtproxy_blocked" in capsys.readouterr().out
            assert main(["reputation", "allow", "192.0.2.7", *asked]) == 0
            _wait(made, "192.0.2.0/24", there=False)
            assert main(["reputation", "forgive", "2001:db8::/64", *asked]) == 0
            _wait(made, "2001:db8::/64", there=False)
            assert main(["reputation", "forgive", "192.0.2.7", *asked]) == 0
            _wait(made, "192.0.2.0/24", there=True)
            assert proxy.terminate() == 0
            assert proxy.lines("nft_failed") == proxy.lines("crash") == []
        made.run(made.real, "-f", str(RULES))
        _wait(made, "192.0.2.0/24", there=False)
        with Smtproxy(directory / "nft-again", plan):
            _wait(made, "192.0.2.0/24", there=True)


def test_without_the_table_mail_goes_on_and_it_is_said_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with network(directory), CountingServer() as backend:
        monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
        more = '[reputation]\nnft = "inet smtproxy_blocked"\n'
        plan = Plan([f"{HOST}:{backend.port}"], server={"workers": 2}, more=more)
        with Smtproxy(directory / "nft-missing", plan) as proxy:
            (line,) = proxy.wait_lines("nft_failed", 1)
            assert "No such file or directory" in str(line["reason"])
            assert proxy.terminate() == 0
            assert len(proxy.lines("nft_failed")) == 1
