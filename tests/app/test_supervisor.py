"""The supervisor as an administrator meets it: workers that die, reloads that succeed and fail, systemd."""

import os
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from smtproxy.app.supervisor import FAILED
from tests.end_to_end.programs.process import ROOT, answers, descendants, free_port, wait_until
from tests.end_to_end.programs.smtproxy import Plan, Settings, Smtproxy
from tests.fakes.certificates import NAME, issue, trusting

TWO: Settings = {"workers": 2}


def _plan(*binds: str, server: Settings | None = None, hostname: str = "mx.example.org") -> Plan:
    listener = {"bind": list(binds)} if binds else {}
    return Plan(["embedded:exchange"], listener=listener, server={**(server or {}), "hostname": hostname})


def _client(port: int) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", port, timeout=20)


# Workers


def _descriptors(pid: int) -> int:
    """How many descriptors a process has."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_a_worker_that_is_killed_is_replaced_and_takes_only_its_own_sessions(tmp_path: Path) -> None:
    with Smtproxy(tmp_path, _plan(server=TWO)) as proxy:
        victim = proxy.workers[0]
        before = _descriptors(victim)
        clients = [_client(proxy.port) for _ in range(20)]
        while _descriptors(victim) == before or _descriptors(victim) - before == len(clients):
            clients.append(_client(proxy.port))  # until both have some
        os.kill(victim, signal.SIGKILL)
        (line,) = proxy.wait_lines("worker_died", 1)
        assert (line["pid"], line["status"], line["error"], line["retry"]) == (victim, -9, "SIGKILL", 0.0)
        proxy.wait_lines("worker_started", 3)
        assert victim not in proxy.workers
        alive = 0
        for client in clients:
            try:
                alive += client.noop()[0] == 250
            except smtplib.SMTPServerDisconnected:
                continue
            finally:
                client.close()
        assert 0 < alive < len(clients)
        with _client(proxy.port) as client:
            assert client.noop()[0] == 250
        assert proxy.terminate() == 0
        assert [one["reason"] for one in proxy.lines("stopped")] == ["drained"]


HURRIED = """
import sys

from smtproxy.app import cli, supervisor
supervisor.HANGS_AFTER = 3.0
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_worker_that_hangs_is_killed_and_replaced(tmp_path: Path) -> None:
    with Smtproxy(tmp_path, _plan(server=TWO), command=[sys.executable, "-c", HURRIED, "run", "-c"]) as proxy:
        hung, well = proxy.workers
        os.kill(hung, signal.SIGSTOP)
        (line,) = proxy.wait_lines("worker_died", 1)
        assert (line["pid"], line["status"], line["error"]) == (hung, -9, "no sign of life for 3 s")
        proxy.wait_lines("worker_started", 3)
        assert well in proxy.workers
        with _client(proxy.port) as client:
            assert client.noop()[0] == 250
        assert proxy.terminate() == 0


def test_a_supervisor_that_was_stopped_itself_blames_nobody(tmp_path: Path) -> None:
    """As when a machine is suspended: nobody has given a sign of life, and all are well."""
    with Smtproxy(tmp_path, _plan(server=TWO), command=[sys.executable, "-c", HURRIED, "run", "-c"]) as proxy:
        started = time.monotonic()
        for pid in (proxy.pid, *proxy.workers):
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: time.monotonic() - started > 4.0, 20, "time stands still")
        for pid in (proxy.pid, *proxy.workers):
            os.kill(pid, signal.SIGCONT)
        assert proxy.terminate() == 0
        assert proxy.lines("worker_died") == []


def test_the_clients_in_the_queue_wait_for_the_next_worker(tmp_path: Path) -> None:
    """The only worker dies; who connects meanwhile is not reset, but served by the one that takes its place."""
    with Smtproxy(tmp_path, _plan()) as proxy:
        (victim,) = proxy.workers
        os.kill(victim, signal.SIGSTOP)
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as waiting:
            os.kill(victim, signal.SIGKILL)
            assert waiting.recv(100).startswith(b"220 ")
        assert len(proxy.lines("worker_started")) == 2


def test_workers_without_a_supervisor_drain(tmp_path: Path) -> None:
    with Smtproxy(tmp_path, _plan(server=TWO)) as proxy:
        workers = proxy.workers
        with _client(proxy.port) as client:
            os.kill(proxy.pid, signal.SIGKILL)
            assert client.getreply()[0] == 421
        wait_until(lambda: not any(map(_runs, workers)), 20, "workers without a supervisor go on")


def _runs(pid: int) -> bool:
    """Whether a process is there and has not ended; nobody may have buried it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_signals_to_the_whole_group_are_the_supervisors_matter(tmp_path: Path) -> None:
    """Ctrl-C and systemd reach all processes; a worker must not take for two what was one."""
    with Smtproxy(tmp_path, _plan(server=TWO)) as proxy, _client(proxy.port) as client:
        client.ehlo("busy.example")
        assert client.mail("me@example.net")[0] == 250
        for pid in (*proxy.workers, proxy.pid):
            os.kill(pid, signal.SIGTERM)
        proxy.wait_lines("draining", 2)
        assert client.rcpt("you@example.org")[0] == 250
        assert client.data("Subject: x\r\n\r\nx\r\n")[0] == 250
        client.close()
        assert proxy.child.wait_end(20) == 0


def test_every_line_of_the_log_is_whole(tmp_path: Path) -> None:
    """Four workers write to one file at the same time. Smtproxy.lines reads each line as JSON."""
    with Smtproxy(tmp_path, _plan(server={"workers": 4})) as proxy:
        for _ in range(200):
            _client(proxy.port).close()
        assert len(proxy.wait_lines("session", 200)) >= 200
        assert proxy.terminate() == 0


# Reload


def test_a_reload_is_for_new_sessions_and_lets_old_ones_go_on(tmp_path: Path) -> None:
    port = free_port()
    with Smtproxy(tmp_path, _plan(f"127.0.0.1:{port}")) as proxy:
        old = _client(port)
        (before,) = proxy.workers
        proxy.reload(_plan(f"127.0.0.1:{port}", hostname="new.example.org"))
        assert proxy.wait_lines("reloaded", 1)[0]["needs_restart"] == []
        wait_until(lambda: answers(port, b"220 new.example.org"), 20, "the new configuration is not used")
        assert b"mx.example.org" in old.ehlo("old.example")[1]
        old.sendmail("me@example.net", ["you@example.org"], "Subject: x\r\n\r\nx\r\n")
        assert proxy.lines("worker_ended") == []
        old.quit()
        assert proxy.wait_lines("worker_ended", 1)[0]["pid"] == before
        assert proxy.terminate() == 0


def test_a_reload_opens_and_closes_listeners(tmp_path: Path) -> None:
    stays, goes, comes = free_port(), free_port(), free_port()
    with Smtproxy(tmp_path, _plan(f"127.0.0.1:{stays}", f"127.0.0.1:{goes}")) as proxy:
        proxy.reload(_plan(f"127.0.0.1:{comes}", f"127.0.0.1:{stays}"))
        proxy.wait_lines("reloaded", 1)
        assert {str(line["address"]) for line in proxy.wait_lines("listening", 4)[2:]} == {
            f"127.0.0.1:{comes}",
            f"127.0.0.1:{stays}",
        }
        assert answers(comes, b"220")
        assert answers(stays, b"220")
        proxy.wait_lines("worker_ended", 1)
        assert not answers(goes, b"220")


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
    except ConnectionRefusedError:
        return True
    return False


def test_nobody_listens_where_the_configuration_does_not(tmp_path: Path) -> None:
    """The new workers are forked while the supervisor still holds the address that goes: they listened on there."""
    stays, goes = free_port(), free_port()
    both, one = (f"127.0.0.1:{stays}", f"127.0.0.1:{goes}"), (f"127.0.0.1:{stays}",)
    with Smtproxy(tmp_path, _plan(*both, server=TWO)) as proxy:
        proxy.reload(_plan(*one, server=TWO))
        proxy.wait_lines("worker_ended", 2)
        assert _refused(goes)
        proxy.reload(_plan(*both, server=TWO))
        proxy.wait_lines("reloaded", 2)
        assert answers(goes, b"220")
        assert proxy.lines("reload_failed") == []


def test_a_worker_of_the_old_generation_does_not_listen_for_the_new_one(tmp_path: Path) -> None:
    """One that takes another's place while a reload is under way is forked with the new addresses open."""
    stays, comes = free_port(), free_port()
    before = _plan(f"127.0.0.1:{stays}")
    with Smtproxy(tmp_path, before) as proxy, socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        (victim,) = proxy.workers
        proxy.reload(replace(_plan(f"127.0.0.1:{comes}"), servers=[f"127.0.0.1:{silent.getsockname()[1]}"]))
        with silent.accept()[0]:  # The new worker probes, and is not ready.
            os.kill(victim, signal.SIGKILL)
            proxy.wait_lines("worker_started", 3)
            client = _client(stays)
        proxy.wait_lines("reloaded", 1)
        proxy.reload(before)
        proxy.wait_lines("reloaded", 2)
        proxy.wait_lines("worker_ended", 1)
        assert client.noop()[0] == 250
        assert _refused(comes)
        client.close()


def test_who_waits_in_the_queue_while_the_server_reloads_is_served(tmp_path: Path) -> None:
    port = free_port()
    with Smtproxy(tmp_path, _plan(f"127.0.0.1:{port}")) as proxy:
        (before,) = proxy.workers
        os.kill(before, signal.SIGSTOP)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as waiting:
            proxy.reload(_plan(f"127.0.0.1:{port}", hostname="new.example.org"))
            assert waiting.recv(100).startswith(b"220 new.example.org")
        os.kill(before, signal.SIGCONT)


@pytest.mark.parametrize("wrong", ["mistakes", "address in use"])
def test_a_reload_that_fails_changes_nothing_and_says_why(tmp_path: Path, wrong: str) -> None:
    with Smtproxy(tmp_path, _plan()) as proxy, socket.create_server(("127.0.0.1", 0)) as taken:
        if wrong == "mistakes":
            proxy.reload("[server]\nworkers = 0\n[backends.b]\nservers = []\n")
            errors = [str(line["error"]) for line in proxy.wait_lines("reload_failed", 3)]
            assert f"{proxy.configuration}:2: server.workers: must be a number" in errors[1]
            assert len(errors) == 3
        else:
            proxy.reload(_plan(f"127.0.0.1:{taken.getsockname()[1]}"))
            (line,) = proxy.wait_lines("reload_failed", 1)
            assert "Address already in use" in str(line["error"])
        assert line_levels(proxy) == {"error"}
        with _client(proxy.port) as client:
            assert b"mx.example.org" in client.ehlo("new.example")[1]
        # And the next one may succeed.
        proxy.reload(_plan(hostname="new.example.org"))
        proxy.wait_lines("reloaded", 1)
        assert proxy.terminate() == 0


BROKEN = """
import sys

from smtproxy.app import cli, supervisor


def broken(*_):
    raise RuntimeError("a fault of ours")


supervisor.load = broken
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_fault_of_ours_ends_no_service(tmp_path: Path) -> None:
    with Smtproxy(tmp_path, _plan(), command=[sys.executable, "-c", BROKEN, "run", "-c"]) as proxy:
        proxy.reload(_plan())
        assert proxy.wait_lines("reload_failed", 1)[0]["error"] == "RuntimeError: a fault of ours"
        with _client(proxy.port) as client:
            assert client.noop()[0] == 250
        assert proxy.terminate() == 0


def line_levels(proxy: Smtproxy) -> set[str]:
    return {str(line["level"]) for line in proxy.lines("reload_failed")}


@dataclass(frozen=True)
class Secured:
    """What a client knows after STARTTLS."""

    serial_number: object
    session: ssl.SSLSession | None
    resumed: bool | None


def _starttls(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Secured:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        for said in (b"", b"EHLO client.example\r\n", b"STARTTLS\r\n"):
            plain.send(said)
            assert plain.recv(1000).startswith(b"2")
        with context.wrap_socket(plain, server_hostname=NAME, session=session) as client:
            client.send(b"EHLO client.example\r\n")
            assert client.recv(1000).startswith(b"250")  # The ticket has come in front of it.
            certificate = client.getpeercert()
            assert certificate is not None
            return Secured(certificate["serialNumber"], client.session, client.session_reused)


def _with_tls(directory: Path, server: Settings | None = None) -> Plan:
    tls = {"certificate": str(directory / f"{NAME}.pem"), "key": str(directory / f"{NAME}.key")}
    return Plan(["embedded:exchange"], listener={"tls": tls}, server=server or {})


def test_a_renewed_certificate_is_shown_after_a_reload(tmp_path: Path) -> None:
    issue(tmp_path)
    plan, port = _with_tls(tmp_path), free_port()
    plan = replace(plan, listener={**plan.listener, "bind": [f"127.0.0.1:{port}"]})
    with Smtproxy(tmp_path, plan) as proxy:
        before = _starttls(port, trusting()).serial_number
        issue(tmp_path)
        assert _starttls(port, trusting()).serial_number == before
        proxy.reload(plan)
        proxy.wait_lines("worker_ended", 1)
        after = _starttls(port, trusting()).serial_number
        assert after != before
        # Renewed by half: a reload that finds it keeps what it has, and so does a worker that takes another's place.
        chain, _ = issue(tmp_path, "other.example.org")
        shutil.copy(chain, tmp_path / f"{NAME}.pem")
        proxy.reload(plan)
        assert "is not the key of" in str(proxy.wait_lines("reload_failed", 1)[0]["error"])
        os.kill(proxy.workers[-1], signal.SIGKILL)
        proxy.wait_lines("worker_started", 3)
        assert _starttls(port, trusting()).serial_number == after
        assert proxy.terminate() == 0


def test_a_client_resumes_its_tls_session_with_another_worker(tmp_path: Path) -> None:
    """They share the key of the tickets: the handshake is half of what a small message costs."""
    issue(tmp_path)
    with Smtproxy(tmp_path, _with_tls(tmp_path, TWO)) as proxy:
        one, other = proxy.workers
        context = trusting()
        os.kill(other, signal.SIGSTOP)
        first = _starttls(proxy.port, context)
        os.kill(one, signal.SIGSTOP)
        os.kill(other, signal.SIGCONT)
        second = _starttls(proxy.port, context, first.session)
        os.kill(one, signal.SIGCONT)
        assert (first.resumed, second.resumed) == (False, True)


def test_what_needs_a_restart_is_named(tmp_path: Path) -> None:
    with Smtproxy(tmp_path, _plan()) as proxy:
        proxy.reload(_plan(server={**TWO, "state": str(tmp_path)}))
        assert proxy.wait_lines("reloaded", 1)[0]["needs_restart"] == ["server.workers", "store"]
        assert len(proxy.lines("worker_started")) == 2


def test_reloads_that_come_in_a_crowd_are_done_one_after_the_other(tmp_path: Path) -> None:
    with Smtproxy(tmp_path, _plan(server=TWO)) as proxy:
        for _ in range(20):
            os.kill(proxy.pid, signal.SIGHUP)
        proxy.reload(_plan(server=TWO, hostname="last.example.org"))
        wait_until(lambda: answers(proxy.port, b"220 last.example.org"), 20, "the last configuration is not used")
        assert proxy.terminate() == 0
        assert proxy.lines("worker_died") == []


CROWDED = """
import sys

from smtproxy.app import cli, shared
shared.ROWS = shared.FEWEST_ROWS = 2
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_reload_for_which_there_is_no_room_ends_the_oldest_sessions_and_waits(tmp_path: Path) -> None:
    plan = _plan(f"127.0.0.1:{free_port()}")
    with Smtproxy(tmp_path, plan, command=[sys.executable, "-c", CROWDED, "run", "-c"]) as proxy:
        oldest = _client(proxy.port)
        oldest.ehlo("old.example")
        assert oldest.mail("me@example.net")[0] == 250
        proxy.reload(plan)
        proxy.wait_lines("reloaded", 1)
        newer = _client(proxy.port)
        proxy.reload(replace(plan, server={"hostname": "new.example.org"}))
        assert proxy.wait_lines("reload_waits", 1)[0]["workers"] == 1
        proxy.wait_lines("draining", 1)
        # It is served as long as it has a transaction, and the present configuration goes on.
        assert answers(proxy.port, b"220 mx.example.org")
        assert oldest.rcpt("you@example.org")[0] == 250
        assert oldest.data("Subject: x\r\n\r\nx\r\n")[0] == 250
        assert len(proxy.lines("reloaded")) == 1
        assert oldest.getreply()[0] == 421
        oldest.close()
        proxy.wait_lines("reloaded", 2)
        assert answers(proxy.port, b"220 new.example.org")
        assert newer.noop()[0] == 250
        newer.close()
        assert (len(proxy.lines("reload_waits")), proxy.lines("reload_failed")) == (1, [])


# systemd


@contextmanager
def _systemd(directory: Path, monkeypatch: pytest.MonkeyPatch, watchdog: float) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(directory / "notify"))
        systemd.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(directory / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", str(round(watchdog * 1e6)))
        yield systemd


def _told(systemd: socket.socket, word: str) -> None:
    while not systemd.recv(4096).decode().startswith(word):
        pass


def test_systemd_is_told_of_start_reload_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        _systemd(tmp_path, monkeypatch, 600.0) as systemd,
        Smtproxy(tmp_path / "proxy", _plan(server=TWO)) as proxy,
    ):
        _told(systemd, "READY=1")
        proxy.reload(_plan(server=TWO))
        _told(systemd, "RELOADING=1\nMONOTONIC_USEC=")
        _told(systemd, "READY=1")
        proxy.reload("this is no configuration")
        _told(systemd, "RELOADING=1")
        _told(systemd, "READY=1")
        os.kill(proxy.pid, signal.SIGTERM)
        _told(systemd, "STOPPING=1")
        assert proxy.child.wait_end(20) == 0


def test_the_watchdog_is_fed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        _systemd(tmp_path, monkeypatch, 1.0) as systemd,
        Smtproxy(tmp_path / "proxy", _plan(server=TWO)) as proxy,
    ):
        _told(systemd, "READY=1")  # a slow start is fed before it is ready
        _told(systemd, "WATCHDOG=1")
        _told(systemd, "WATCHDOG=1")
        os.kill(proxy.pid, signal.SIGSTOP)
        try:
            systemd.settimeout(1.0)
            with pytest.raises(TimeoutError):  # What was fed before the stop; then there is silence.
                _told(systemd, "READY=1")
        finally:
            os.kill(proxy.pid, signal.SIGCONT)
        systemd.settimeout(20)
        _told(systemd, "WATCHDOG=1")


# Start


def test_a_start_in_which_a_worker_dies_fails(tmp_path: Path) -> None:
    """Whoever starts us has to see it: a loop of restarts would hide it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        file = tmp_path / "config.toml"
        file.write_text(Plan([f"127.0.0.1:{silent.getsockname()[1]}"], server=TWO).text())
        command = [sys.executable, "-m", "smtproxy.app.cli", "run", "-c", str(file)]
        with (
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as proxy,
            silent.accept()[0],  # It is being probed, so a worker is there, and not ready.
        ):
            os.kill(descendants(proxy.pid)[1], signal.SIGKILL)
            output, _ = proxy.communicate(timeout=20)
    assert proxy.returncode == FAILED
    assert b'"event":"worker_died"' in output
    assert b'"event":"listening"' not in output


# What is remembered


def _writers(proxy: Smtproxy, file: Path) -> list[int]:
    """The workers that have a file open."""
    found = []
    for worker in proxy.workers:
        with suppress(FileNotFoundError):  # it is gone
            for one in Path(f"/proc/{worker}/fd").iterdir():
                with suppress(FileNotFoundError):  # it was closed while we looked at others
                    found += [worker] * (str(one.readlink()) == str(file))
    return sorted(set(found))


def test_one_worker_writes_the_store_and_when_it_dies_another_one_does(tmp_path: Path) -> None:
    file = tmp_path / "state" / "store.sqlite"
    file.parent.mkdir()
    with Smtproxy(tmp_path, _plan(server={**TWO, "state": str(file.parent)})) as proxy:
        wait_until(lambda: len(_writers(proxy, file)) == 1, 20, "somebody writes")
        (first,) = _writers(proxy, file)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: len(set(_writers(proxy, file)) - {first}) == 1, 20, "somebody else writes")
        assert proxy.lines("store_down") == proxy.lines("store_reset") == []
    assert file.exists()
