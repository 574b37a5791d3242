"""What nft is told, what it makes of it in a network of its own, and how it fails."""

import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest
import trio

from smtproxy.network.nftables import Element, NftError, load, replacing
from tests.end_to_end.programs.nftables import network

TABLE = "inet smtproxy_blocked"
RULES = Path(__file__).parents[2] / "deploy" / "nftables" / "blocked.nft"
CLIENT = """
import socket
listening = socket.create_server(("127.0.0.1", 2525))
first = socket.create_connection(("127.0.0.1", 2525), 10, ("127.0.0.2", 0))
served, _ = listening.accept()
print("open", flush=True)
input()
served.sendall(b"250 OK")
print(first.recv(9).decode())
for source in ("127.0.0.2", "127.0.0.3"):
    try:
        socket.create_connection(("127.0.0.1", 2525), 10, (source, 0))
        print("in")
    except ConnectionRefusedError:
        print("refused")
"""


def _element(text: str, seconds: int = 900) -> Element:
    return Element(ip_network(text), seconds)


def _program(directory: Path, text: str) -> str:
    file = directory / "program"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def test_the_sets_are_replaced_by_version() -> None:
    elements = [_element("192.0.2.1/32"), _element("2001:db8::/64", 5), _element("198.51.100.0/24", 60)]
    assert replacing("inet t", elements).splitlines() == [
        "flush set inet t blocked4",
        "flush set inet t blocked6",
        "add element inet t blocked4 { 192.0.2.1/32 timeout 900s, 198.51.100.0/24 timeout 60s }",
        "add element inet t blocked6 { 2001:db8::/64 timeout 5s }",
    ]


def test_nobody_leaves_them_empty() -> None:
    assert replacing("inet t", []) == "flush set inet t blocked4\nflush set inet t blocked6\n"


def test_the_kernel_takes_what_nft_is_told_and_forgets_what_was_before(tmp_path: Path) -> None:
    with network(tmp_path) as made:
        made.run(made.real, "-f", str(RULES))
        trio.run(load, replacing(TABLE, [_element("192.0.2.1/32", 9000), _element("2001:db8::/64")]), made.nft)
        trio.run(load, replacing(TABLE, [_element("192.0.2.0/24", 7200), _element("2001:db8::/64")]), made.nft)
        ruleset = made.run(made.real, "list", "ruleset")
    assert "192.0.2.0/24 timeout 2h" in ruleset
    assert "2001:db8::/64 timeout 15m" in ruleset
    assert "192.0.2.1" not in ruleset


def test_new_connections_are_refused_and_those_that_exist_go_on(tmp_path: Path) -> None:
    with network(tmp_path) as made:
        made.run(made.real, "-f", str(RULES))
        client = subprocess.Popen(
            [*made.inside, sys.executable, "-c", CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert client.stdout is not None
            assert client.stdout.readline() == "open\n"
            trio.run(load, replacing(TABLE, [_element("127.0.0.2/32")]), made.nft)
            said, _ = client.communicate("\n", 60)
        finally:
            client.kill()
            client.wait(60)
        counted = made.run(made.real, "list", "counters")
    assert said.splitlines() == ["250 OK", "refused", "in"]
    assert "packets 1 " in counted


def test_a_table_that_is_not_there_is_said_in_words_of_nft(tmp_path: Path) -> None:
    with network(tmp_path) as made, pytest.raises(NftError, match="No such file or directory"):
        trio.run(load, replacing(TABLE, []), made.nft)


def test_a_program_that_is_missing_or_fails_without_a_word(tmp_path: Path) -> None:
    with pytest.raises(NftError, match="none: No such file or directory"):
        trio.run(load, "", str(tmp_path / "none"))
    with pytest.raises(NftError, match="exit status 3"):
        trio.run(load, "", _program(tmp_path, "exit 3"))


def test_of_what_it_says_the_first_line_is_told_and_not_all_of_a_long_one(tmp_path: Path) -> None:
    with pytest.raises(NftError) as failed:
        trio.run(load, "", _program(tmp_path, "printf '%0300d\\nmore' 7 >&2; exit 1"))
    assert str(failed.value) == "0" * 200


async def test_a_program_that_hangs_is_ended_though_it_ignores_sigterm(tmp_path: Path) -> None:
    program = _program(tmp_path, "trap '' TERM; exec tail -f /dev/null")
    begun = trio.current_time()
    with trio.move_on_after(0.2) as scope:
        await load("", program)
    assert scope.cancelled_caught
    assert trio.current_time() - begun < 4  # trio itself would wait for five seconds before it kills
