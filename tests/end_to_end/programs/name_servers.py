"""Real name servers on loopback: nsd with zones of a test, and unbound in front of it, which remembers.

They must listen on loopback only, and unbound must ask nobody but nsd.
"""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import dns.exception
import dns.message
import dns.query

from tests.end_to_end.programs.process import HOST, Child, find_program, free_port

_NSD = """\
server:
  ip-address: {host}
  port: {port}
  username: ""
  zonesdir: "{directory}"
  pidfile: "{directory}/nsd.pid"
  database: ""
  xfrdfile: ""
  zonelistfile: ""
  server-count: 1
  rrl-ratelimit: 0
remote-control:
  control-enable: no
"""
_ZONE = """\
zone:
  name: "{name}"
  zonefile: "{name}.zone"
"""
_HEAD = "$ORIGIN {name}.\n$TTL 300\n@ SOA ns host 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"
_UNBOUND = """\
server:
  interface: {host}
  port: {port}
  directory: "{directory}"
  pidfile: "{directory}/unbound.pid"
  username: ""
  chroot: ""
  do-daemonize: no
  use-syslog: no
  num-threads: 1
  module-config: "iterator"
  do-not-query-localhost: no
  local-zone: "test." nodefault
  local-zone: "100.51.198.in-addr.arpa." nodefault
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: {host}@{upstream}
"""


class _NameServer:
    """A running name server; use it in a `with` statement."""

    child: Child
    port: int

    def _wait(self, name: str) -> None:
        self.child.wait_ready(lambda: _answers(self.port, name))

    @property
    def address(self) -> str:
        """As configurations have it."""
        return f"{HOST}:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop()


class Nsd(_NameServer):
    """An authoritative server."""

    def __init__(self, directory: Path, zones: Mapping[str, str]) -> None:
        """Serve these zones: their names, and the lines of each besides SOA and NS."""
        program = find_program("nsd", "nsd")
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        text = _NSD.format(host=HOST, port=self.port, directory=directory)
        for name, lines in zones.items():
            text += _ZONE.format(name=name)
            (directory / f"{name}.zone").write_text(_HEAD.format(name=name) + lines)
        configuration = directory / "nsd.conf"
        configuration.write_text(text)
        self.child = Child("nsd", [program, "-d", "-c", str(configuration)], directory)
        self._wait(next(iter(zones)))


class Unbound(_NameServer):
    """A resolver that asks one server, and remembers."""

    def __init__(self, directory: Path, upstream: Nsd, name: str) -> None:
        """Ask `upstream`, which has a zone of this name."""
        program = find_program("unbound", "unbound")
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        configuration = directory / "unbound.conf"
        configuration.write_text(
            _UNBOUND.format(host=HOST, port=self.port, directory=directory, upstream=upstream.port)
        )
        self.child = Child("unbound", [program, "-d", "-c", str(configuration)], directory)
        self._wait(name)


def _answers(port: int, name: str) -> bool:
    try:
        reply = dns.query.udp(dns.message.make_query(name, "SOA"), HOST, timeout=0.5, port=port)
    except (OSError, dns.exception.DNSException, socket.gaierror):
        return False
    return bool(reply.answer)
