"""The plan: what it must never leave out. Its whole text is compared in configurations/good_*.expected."""

from pathlib import Path

import pytest

from smtproxy.app.config import load
from smtproxy.app.config.checks import DUTIES
from smtproxy.app.plan import plan

MINIMAL = """
server.hostname = "mx.example.org"
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
[backends.b]
servers = ["127.0.0.1:25"]
"""


def plan_of(directory: Path, more: str) -> str:
    file = directory / "a.toml"
    file.write_text(MINIMAL + more)
    return plan(load(file))


@pytest.mark.parametrize("name", sorted(DUTIES))
def test_duty_that_is_off_cannot_be_overlooked(name: str, tmp_path: Path) -> None:
    text = plan_of(tmp_path, f"[checks.{name}]\nenabled = false\n")
    (line,) = [line for line in text.splitlines() if "OFF" in line]
    assert line.split()[0] == name
    assert len(line) > 60


def test_limits_show_both_values(tmp_path: Path) -> None:
    assert "command_time       1m (default 5m)" in plan_of(tmp_path, '[bounds]\ncommand_time = "1m"\n')
    assert plan_of(tmp_path, '[bounds]\ncommand_time = "5m"\n').endswith("from their defaults\n  none\n")


def test_backend_without_a_listener_is_named(tmp_path: Path) -> None:
    text = plan_of(tmp_path, '[backends.spare]\nservers = ["10.0.0.10:25"]\n')
    assert "backend spare (no listener uses it)" in text
    assert "backend b\n" in text


def test_sample_backend_is_named(tmp_path: Path) -> None:
    text = plan_of(tmp_path, "").replace("127.0.0.1:25", "")
    assert "SAMPLE" not in text
    (tmp_path / "b.toml").write_text(MINIMAL.replace("127.0.0.1:25", "embedded:exchange"))
    assert f"mail goes nowhere but into {tmp_path}/var/mail" in plan(load(tmp_path / "b.toml"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "dkim, dmarc, header need the whole message"),
        ('[greylist]\naction = "off"\n', "early_talker, hello, reverse_name, spf add to a score, and nothing follows"),
        (
            '[[lists]]\nname = "l"\nzone = "l.test"\ntest_listed = ""\n',
            "dnsbl refuses for good by l, without test",
        ),
    ],
)
def test_what_may_surprise_is_said(more: str, said: str, tmp_path: Path) -> None:
    assert said in plan_of(tmp_path, more).partition("what may surprise\n")[2]


def test_whom_the_kernel_is_to_refuse_is_said(tmp_path: Path) -> None:
    assert "sets of nftables, table inet a\n" in plan_of(tmp_path, '[reputation]\nnft = "inet a"\n')
    assert "nftables" not in plan_of(tmp_path, "")


def test_that_everything_observes_is_said(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text(f'profile = "observe"\n{MINIMAL}')
    assert "no judgement refuses any mail" in plan(load(tmp_path / "b.toml"))
    assert "no judgement refuses any mail" not in plan_of(tmp_path, "")


def test_the_plan_says_whose_bodies_are_slowed_down(tmp_path: Path) -> None:
    assert "octets a second" not in plan_of(tmp_path, "")
    assert "bodies of clients with findings at 600 octets a second" in plan_of(tmp_path, "[tarpit]\npace = 600\n")
    assert "all bodies at 600 octets" in plan_of(tmp_path, '[tarpit]\npace = 600\npace_for = "all"\n')
