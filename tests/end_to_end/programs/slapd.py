"""A private slapd that looks like Active Directory with Exchange's schema, on a port of its own.

It must never touch the slapd of the machine, its configuration or its data.
"""

import os
import signal
import socket
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from tests.end_to_end.programs.process import HOST, Child, ProgramError, find_program, free_port

BASE = "dc=example,dc=org"
USER, PASSWORD = f"cn=reader,{BASE}", "read-only-password"
ROOT_PASSWORD = "writes-everything"

_CONFIGURATION = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.7000.102.51044 NAME 'msExchRequireAuthToSendTo'
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.2.137 NAME 'delivContLength' SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.2.129 NAME 'authOrig' EQUALITY distinguishedNameMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )
attributetype ( 1.2.840.113556.1.2.120 NAME 'uSNChanged' EQUALITY integerMatch ORDERING integerOrderingMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.2 NAME 'objectGUID' EQUALITY octetStringMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.1 NAME 'dsServiceName' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.3 NAME 'highestCommittedUSN' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.4 NAME 'configurationNamingContext' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15
  SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.5 NAME 'msExchAcceptedDomainName' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15
  SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.6 NAME 'msExchAcceptedDomainFlags' SYNTAX 1.3.6.1.4.1.1466.115.121.1.27
  SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'exchangeUser' SUP inetOrgPerson STRUCTURAL
  MAY ( proxyAddresses $ userAccountControl $ msExchRequireAuthToSendTo $ delivContLength $ authOrig $ uSNChanged $
  objectGUID ) )
objectclass ( 1.2.840.113556.1.5.10 NAME 'msExchAcceptedDomain' SUP top STRUCTURAL
  MUST cn MAY ( msExchAcceptedDomainName $ msExchAcceptedDomainFlags ) )
{root_dse}
pidfile {directory}/slapd.pid
moduleload back_mdb
sizelimit size.soft=500 size.hard=500 size.pr=1000 size.prtotal=unlimited
database mdb
suffix "{base}"
rootdn "cn=root,{base}"
rootpw {root}
directory {directory}/data
maxsize 268435456
index objectClass,proxyAddresses,mail eq
access to attrs=userPassword by anonymous auth
access to * by dn.exact="{user}" read by anonymous auth
"""


class Slapd:
    """A running slapd; use it in a `with` statement. Like Active Directory it gives pages of at most 1000 entries."""

    def __init__(
        self,
        directory: Path,
        records: Iterable[str],
        tls: tuple[Path, Path] | None = None,
        root_dse: Mapping[str, str] | None = None,
    ) -> None:
        """Load records of LDIF below `BASE`, whose top is made here, and start it; `tls`: certificate and key.

        `root_dse`: what it says of itself, as Active Directory does.
        """
        add, serve = find_program("slapadd", "slapd"), find_program("slapd", "slapd")
        (directory / "data").mkdir(parents=True)
        self.port = free_port()
        self._directory = directory
        configuration = directory / "slapd.conf"
        self._says = directory / "root-dse.ldif"
        self.says(root_dse or {})
        root = "" if root_dse is None else f"rootDSE {self._says}"
        text = _CONFIGURATION.format(directory=directory, base=BASE, user=USER, root=ROOT_PASSWORD, root_dse=root)
        if tls is not None:
            text = f"TLSCertificateFile {tls[0]}\nTLSCertificateKeyFile {tls[1]}\n{text}"
        configuration.write_text(text)
        top = f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: example\n"
        reader = f"dn: {USER}\nobjectClass: person\ncn: reader\nsn: reader\nuserPassword: {PASSWORD}\n"
        data = directory / "data.ldif"
        data.write_text("\n".join([top, reader, *records]))
        command = [add, "-q", "-f", str(configuration), "-l", str(data)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ProgramError(f"slapadd: {done.stderr}")
        self._command = [serve, "-d", "0", "-f", str(configuration), "-h", f"ldap://{HOST}:{self.port}/"]
        self.start()

    def says(self, root_dse: Mapping[str, str]) -> None:
        """Say this of itself from the next start on."""
        self._says.write_text("dn:\n" + "".join(f"{name}: {value}\n" for name, value in root_dse.items()))

    def change(self, records: str) -> None:
        """Apply LDIF with changes, while it runs."""
        program = find_program("ldapmodify", "ldap-utils")
        command = [program, "-x", "-H", f"ldap://{HOST}:{self.port}/", "-D", f"cn=root,{BASE}", "-w", ROOT_PASSWORD]
        done = subprocess.run(command, input=records, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ProgramError(f"ldapmodify: {done.stderr}")

    def freeze(self) -> None:
        """Let it take connections and say nothing, until it is thawed."""
        os.kill(self._child.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self._child.pid, signal.SIGCONT)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._child = Child("slapd", self._command, self._directory)
        self._child.wait_ready(lambda: _listens(self.port))

    def stop(self) -> None:
        """Stop it."""
        self._child.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
