"""Every bound of a session in one table, each with its origin. Nothing that grows may be missing here.

Times are seconds, sizes octets. The configuration section `[bounds]` sets any of them by name. What an administrator
meets first (message size, recipients, lease, commit_by) is a setting of the listener or backend instead.
"""

from dataclasses import dataclass, field


def _limit(default: float, origin: str) -> float:
    return field(default=default, metadata={"origin": origin})


def _count(default: int, origin: str) -> int:
    return field(default=default, metadata={"origin": origin})


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one session. `origin` in the metadata of each field says where the number comes from."""

    # The client
    command_time: float = _limit(300, "RFC 5321 4.5.3.2.7: a server waits at least 5 minutes for a command")
    body_time: float = _limit(180, "RFC 5321 4.5.3.2.5: 3 minutes for a block of the body, here also its head start")
    body_rate: int = _count(500, "octets per second beyond body_time; Postfix smtpd_min_data_rate = 500")
    session_time: float = _limit(
        3600, "absolute; Exchange's ConnectionTimeout is 10 minutes, pools keep sessions longer"
    )
    crowded_rate: int = _count(4096, "octets per second a streamed body must reach while others wait for its place")
    send_time: float = _limit(300, "a client that takes no replies for 5 minutes; Postfix smtpd_timeout = 300s")
    proxy_header: int = _count(4096, "octets of a PROXY protocol header, certificate names included; its text: 536")
    proxy_header_time: float = _limit(5, "wait for that header, which a balancer sends at once; its text: at least 3 s")
    clients: int = _count(
        100000, "clients whose connections are counted; 10 MB with 4 workers. Beyond, new ones are let in uncounted"
    )
    sessions: int = _count(10000, "sessions of a worker; beyond them clients wait in the kernel's queue")
    tls_time: float = _limit(60, "a handshake is two round trips; Postfix smtpd_starttls_timeout = 300s")
    command_line: int = _count(4096, "RFC 5321 4.5.3.1.4 asks for 512 and more with extensions; Exchange takes 4 KiB")
    endless_line: int = _count(65536, "octets swallowed of one line before the session is closed; 16 command lines")
    commands: int = _count(10000, "commands a session; Exim takes 1000 mails a connection, ten commands each")
    junk_commands: int = _count(100, "NOOP, RSET, EHLO ... between mails before each counts as error; Postfix: 100")
    recipient_overshoot: int = _count(1000, "RCPT above max_recipients before each counts as error; Postfix: 1000")
    group: int = _count(100, "commands forwarded in one write; RFC 2920 3.1: the replies must fit the TCP window")

    group_octets: int = _count(16384, "octets of one such write; what a small socket buffer takes at once")

    # The body
    body_memory: int = _count(1048576, "octets of a body kept in memory, then streamed (auto) or in a file (hold)")
    body_memory_total: int = _count(268435456, "the same for all sessions of all workers together")
    body_disk_total: int = _count(10737418240, "octets of held bodies on disk, of all sessions of all workers")
    message_ceiling: int = _count(1073741824, "largest body where the check `size` is switched off")
    chunk: int = _count(65536, "octets of a streamed body in one BDAT, as each costs a round trip")
    chunk_end: int = _count(4096, "octets that leave with the commit of a body by BDAT: a small one in one write")
    header: int = _count(262144, "octets searched for Message-ID and Received; Exchange MaxHeaderSize = 256 KB")

    # The backend
    connect_time: float = _limit(10, "TCP connect; Postfix smtp_connect_timeout is 30 s, but here a client waits")
    place_time: float = _limit(30, "wait for a place below max_connections; leaves most of the client's 5 minutes")
    greeting_time: float = _limit(300, "RFC 5321 4.5.3.2.1: 5 minutes")
    hello_time: float = _limit(300, "RFC 5321 names none; as for MAIL. Postfix smtp_helo_timeout = 300s")
    mail_time: float = _limit(300, "RFC 5321 4.5.3.2.2: 5 minutes")
    recipient_time: float = _limit(300, "RFC 5321 4.5.3.2.3: 5 minutes")
    data_time: float = _limit(120, "RFC 5321 4.5.3.2.4: 2 minutes")
    transfer_time: float = _limit(180, "RFC 5321 4.5.3.2.5: 3 minutes for a block of the body towards the backend")
    end_of_data_time: float = _limit(600, "RFC 5321 4.5.3.2.6: 10 minutes, never less (the contract)")

    # Judging
    lookup_time: float = _limit(10, "wait for facts before a verdict at RCPT; a tenth of what RFC 7208 4.6.4 gives SPF")
    scan_time: float = _limit(60, "the same for a message; senders give up on the final reply long before 10 minutes")

    # The log
    logged_recipients: int = _count(50, "recipients listed in a `message` line; the others are counted")
    logged_findings: int = _count(50, "findings listed in a line; the others are dropped, the deciding one is `by`")


LIMITS = Limits()
