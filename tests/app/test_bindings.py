"""Listening sockets: opened, kept over a reload, handed over by systemd."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtproxy.app.bindings import Arrangement, BindError, Bindings
from smtproxy.app.config import Config, load
from tests.end_to_end.programs.process import free_port


def configuration(directory: Path, *binds: str) -> Config:
    listeners = "".join(
        f'[[listeners]]\nname = "n{number}"\nbind = ["{bind}"]\nbackend = "b"\ndomains = ["example.org"]\n'
        for number, bind in enumerate(binds)
    )
    file = directory / "config.toml"
    file.write_text(f'{listeners}[backends.b]\nservers = ["192.0.2.1:25"]\n')
    return load(file)


@pytest.fixture
def bindings() -> Iterator[Bindings]:
    made = Bindings()
    yield made
    made.discard()
    made.close()


def sockets(arrangement: Arrangement) -> list[socket.socket]:
    return [sock for _, sock in arrangement]


def test_each_address_gets_a_socket_with_the_place_of_its_listener(tmp_path: Path, bindings: Bindings) -> None:
    arrangement = bindings.arrange(configuration(tmp_path, "127.0.0.1:0", "[::1]:0", "127.0.0.1:0"))
    assert [place for place, _ in arrangement] == [0, 1, 2]
    assert len({sock.getsockname()[1] for sock in sockets(arrangement)}) == 3


def test_a_reload_keeps_what_stays_opens_what_is_new_and_closes_what_goes(tmp_path: Path, bindings: Bindings) -> None:
    stays, goes, comes = (f"127.0.0.1:{free_port()}" for _ in range(3))
    before = bindings.arrange(configuration(tmp_path, stays, goes))
    bindings.settle(before)
    after = bindings.arrange(configuration(tmp_path, comes, stays))
    assert sockets(after)[1] is sockets(before)[0]
    assert sockets(before)[1].fileno() >= 0  # Not before the new one holds.
    bindings.settle(after)
    assert sockets(before)[1].fileno() == -1
    assert all(sock.fileno() >= 0 for sock in sockets(after))


def test_ports_that_the_system_chose_are_kept_too(tmp_path: Path, bindings: Bindings) -> None:
    config = configuration(tmp_path, "127.0.0.1:0", "127.0.0.1:0")
    before = bindings.arrange(config)
    bindings.settle(before)
    assert sockets(bindings.arrange(config)) == sockets(before)


def test_an_arrangement_that_fails_leaves_nothing_behind(tmp_path: Path, bindings: Bindings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        fine, bad = f"127.0.0.1:{free_port()}", f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BindError, match=f"listener n1: {bad}: Address already in use"):
            bindings.arrange(configuration(tmp_path, fine, bad))
    assert sockets(bindings.arrange(configuration(tmp_path, fine)))


def test_an_arrangement_may_be_discarded(tmp_path: Path, bindings: Bindings) -> None:
    before = bindings.arrange(configuration(tmp_path, "127.0.0.1:0"))
    bindings.settle(before)
    after = bindings.arrange(configuration(tmp_path, "127.0.0.1:0", f"127.0.0.1:{free_port()}"))
    bindings.discard()
    assert [sock.fileno() >= 0 for sock in sockets(after)] == [True, False]


def passed(host: str = "127.0.0.1", *, dual: bool = False) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family, dualstack_ipv6=dual)


def test_sockets_of_systemd_are_used_for_their_addresses(tmp_path: Path) -> None:
    with passed() as one, passed("::1") as other:
        bindings = Bindings([one, other])
        config = configuration(
            tmp_path, f"[::1]:{other.getsockname()[1]}", f"127.0.0.1:{one.getsockname()[1]}", "127.0.0.1:0"
        )
        arrangement = bindings.arrange(config)
        assert sockets(arrangement)[:2] == [other, one]
        assert not one.getblocking()
        bindings.settle(arrangement)
        # A reload may let one of them go.
        later = bindings.arrange(configuration(tmp_path, f"127.0.0.1:{one.getsockname()[1]}"))
        assert sockets(later) == [one]
        bindings.settle(later)
        bindings.close()


def test_a_socket_of_systemd_that_is_not_configured_is_an_error(tmp_path: Path) -> None:
    with passed() as one:
        bindings = Bindings([one])
        with pytest.raises(BindError) as wrong:
            bindings.arrange(configuration(tmp_path, "127.0.0.1:0"))
        port = one.getsockname()[1]
        assert str(wrong.value) == f"systemd passed 127.0.0.1:{port}, but the configured addresses are 127.0.0.1:0"


def test_a_socket_for_both_families_would_disguise_clients() -> None:
    with passed("::", dual=True) as one, pytest.raises(BindError, match="BindIPv6Only=ipv6-only"):
        Bindings([one])


def test_sockets_of_other_kinds_are_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, pytest.raises(BindError, match="no TCP socket"):
        Bindings([datagram])
    with socket.socket() as idle, pytest.raises(BindError, match="does not listen"):
        Bindings([idle])
