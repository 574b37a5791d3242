"""What lies in `deploy/` is what systemd, nftables and haproxy take, and fits the program. Nothing is started."""

import configparser
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from smtproxy.app.cli import main
from smtproxy.app.config.model import Server
from smtproxy.session.commit import END_OF_DATA
from tests.end_to_end.programs.nftables import own
from tests.end_to_end.programs.process import find_program

DEPLOY = Path(__file__).parents[1] / "deploy"
PYTHON = "/opt/smtproxy/.venv/bin/python"
MOST_EXPOSED = 20
"""Tenths of what `systemd-analyze security` calls exposure: 0 to 2 is its best class."""


def _unit(name: str) -> configparser.ConfigParser:
    """Read a unit. A key that stands there twice keeps the last value."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign] # systemd's names have capitals
    unit.read(DEPLOY / "systemd" / name)
    return unit


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """The units, as they would be with smtproxy installed: systemd looks whether the program is there."""
    installed = []
    for source in sorted((DEPLOY / "systemd").glob("smtproxy.s[eo]*")):
        file = tmp_path / source.name
        file.write_text(source.read_text().replace(PYTHON, sys.executable))
        installed.append(str(file))
    return installed


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = find_program("systemd-analyze", "systemd")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_systemd_has_nothing_to_say_against_the_units(units: list[str]) -> None:
    assert [Path(unit).name for unit in units] == ["smtproxy.service", "smtproxy.socket"]
    said = _analyze("verify", "--man=no", *units)
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


def test_systemd_finds_mistakes(units: list[str]) -> None:
    Path(units[0]).write_text(Path(units[0]).read_text().replace("KillMode=mixed", "KillMode=mixd"))
    assert "kill mode" in _analyze("verify", "--man=no", *units).stderr


def test_the_service_is_in_systemds_best_class(units: list[str]) -> None:
    said = _analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", units[0])
    assert said.returncode == 0, said.stdout


def test_the_service_is_started_as_the_program_wants_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    unit = (DEPLOY / "systemd" / "smtproxy.service").read_text()
    commands = [shlex.split(line) for line in re.findall("^Exec(?:Start|Reload)=(.*)$", unit, re.MULTILINE)]
    assert [command[:4] for command in commands[:2]] == [[PYTHON, "-m", "smtproxy", verb] for verb in ("run", "check")]
    assert commands[2:] == [["/bin/kill", "-HUP", "$MAINPID"]]
    missing = str(tmp_path / "none.toml")
    for command in commands[:2]:
        assert main([missing if part.endswith(".toml") else part for part in command[3:]]) == 2
        assert missing in capsys.readouterr().err


def test_the_drop_in_for_nft_is_what_systemd_takes_once_its_lines_are_wanted(units: list[str]) -> None:
    text = (DEPLOY / "systemd" / "nft.conf").read_text()
    assert not re.search("^[^#]", text, re.MULTILINE)
    drop_in = Path(units[0] + ".d") / "nft.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(re.sub(r"^#(?=[\[A-Z])", "", text, flags=re.MULTILINE))
    said = _analyze("verify", "--man=no", units[0])
    assert (said.returncode, said.stdout + said.stderr) == (0, "")
    drop_in.write_text(drop_in.read_text().replace("BoundingSet", "BoundingSets"))
    assert "CapabilityBoundingSets" in _analyze("verify", "--man=no", units[0]).stderr


def test_the_service_waits_for_the_longest_drain() -> None:
    stop = float(_unit("smtproxy.service")["Service"]["TimeoutStopSec"])
    assert stop >= Server.model_fields["drain_timeout"].default + END_OF_DATA


def test_the_socket_is_one_that_the_service_takes() -> None:
    unit = (DEPLOY / "systemd" / "smtproxy.socket").read_text()
    assert re.findall("^ListenStream=(.*)$", unit, re.MULTILINE) == ["0.0.0.0:25", "[::]:25"]
    assert _unit("smtproxy.socket")["Socket"]["BindIPv6Only"] == "ipv6-only"
    assert _unit("smtproxy.socket")["Socket"].get("Accept", "no") == "no"


RULES = sorted((DEPLOY / "nftables").glob("*.nft"))


def _check(file: Path) -> subprocess.CompletedProcess[str]:
    """Let nft check rules in a network of its own, which any user may have where the system allows it."""
    nft = find_program("nft", "nftables")
    command = [*own(), nft, "-c", "-f", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "Operation not permitted" in checked.stderr:
        pytest.skip("this system lets nobody look at packet filters: no user namespaces, and not root")
    return checked


@pytest.mark.parametrize("rules", RULES, ids=lambda file: file.stem)
def test_nftables_takes_the_rules(rules: Path) -> None:
    checked = _check(rules)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_nftables_finds_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "wrong.nft"
    file.write_text(RULES[-1].read_text().replace("dport 25", "dport smtpp"))
    assert "smtpp" in _check(file).stderr


BALANCED = DEPLOY / "balanced"


def test_the_configuration_of_balanced_proxies_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--offline", "-c", str(BALANCED / "config.toml")]) == 0
    plan = capsys.readouterr().out
    assert "PROXY protocol     demanded from 172.30.25.2/32" in plan
    assert "kept               on 172.30.25.3:6379" in plan


def _check_haproxy(file: Path) -> subprocess.CompletedProcess[str]:
    command = [find_program("haproxy", "haproxy"), "-c", "-f", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_haproxy_takes_its_configuration() -> None:
    checked = _check_haproxy(BALANCED / "haproxy.cfg")
    assert (checked.returncode, "WARNING" in checked.stderr) == (0, False), checked.stderr


def test_haproxy_finds_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text((BALANCED / "haproxy.cfg").read_text().replace("leastconn", "leastcon"))
    assert "leastcon" in _check_haproxy(file).stderr


def test_no_balancer_gives_up_before_the_proxy() -> None:
    """Who cuts a session that waits for the answer to a final dot makes a duplicate."""
    text = (BALANCED / "haproxy.cfg").read_text()
    minutes = [
        int(number)
        for number in re.findall(r"^ *(?:timeout (?:client|server)|hard-stop-after) (\d+)m$", text, re.MULTILINE)
    ]
    assert len(minutes) == 3
    assert min(minutes) * 60 > END_OF_DATA
    grace = [
        int(number) for number in re.findall(r"stop_grace_period: (\d+)m", (BALANCED / "compose.yaml").read_text())
    ]
    assert len(grace) == 2
    assert min(grace) * 60 >= Server.model_fields["drain_timeout"].default + END_OF_DATA


def test_the_parts_of_the_balanced_example_fit_together() -> None:
    compose, haproxy, config, valkey = (
        (BALANCED / name).read_text() for name in ("compose.yaml", "haproxy.cfg", "config.toml", "valkey.conf")
    )
    names = re.findall(
        r"^  ([a-z-]+):(?: &proxy)?$", compose.partition("services:")[2].partition("\nnetworks:")[0], re.MULTILINE
    )
    addresses = dict(zip(names, re.findall(r"ipv4_address: (\S+)", compose), strict=True))
    assert re.findall(r"server (proxy-[ab]) (\S+):2525", haproxy) == [
        (name, addresses[name]) for name in ("proxy-a", "proxy-b")
    ]
    assert f'proxy_protocol = ["{addresses["balancer"]}"]' in config
    assert f'servers = ["{addresses["store"]}:6379"]' in config
    assert f"requirepass {(BALANCED / 'valkey.password').read_text().strip()}\n" in valkey
    mounted = re.findall(r"- \./(\S+?):", compose)
    assert {name for name in mounted if not (BALANCED / name).is_file()} == set()


def test_the_image_runs_the_program_as_it_is() -> None:
    dockerfile = (BALANCED / "Dockerfile").read_text()
    (command,) = re.findall(r'^CMD \["run", "-c", "(.*)"\]$', dockerfile, re.MULTILINE)
    assert f"./config.toml:{command}:ro" in (BALANCED / "compose.yaml").read_text()
    assert 'ENTRYPOINT ["python", "-m", "smtproxy"]' in dockerfile


def test_there_are_the_rules_that_the_manual_names() -> None:
    manual = (DEPLOY.parent / "docs" / "operations.md").read_text()
    named = set(re.findall(r"deploy/[a-z]+/[A-Za-z.]+[a-z]", manual))
    assert named == {str(path.relative_to(DEPLOY.parent)) for path in DEPLOY.rglob("*") if path.is_file()}
