"""The closed list of log events, their fields and levels, for every floor.

A record leaves the sans-IO floors as a `Record` effect and the others by a `Journal`. An event or a field that is not
in this list must not be written: `docs/log-fields.md` is generated from it, and tests compare each line with it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol


class Event(StrEnum):
    """The name of a log line: its field `event`."""

    __hash__ = str.__hash__  # Enum hashes the name, in Python

    SESSION = "session"
    COMMIT = "commit"
    MESSAGE = "message"
    STARTING = "starting"
    LISTENING = "listening"
    RELOADED = "reloaded"
    RELOAD_FAILED = "reload_failed"
    RELOAD_WAITS = "reload_waits"
    WORKER_STARTED = "worker_started"
    WORKER_ENDED = "worker_ended"
    WORKER_DIED = "worker_died"
    DRAINING = "draining"
    STOPPED = "stopped"
    BACKEND_UP = "backend_up"
    BACKEND_DOWN = "backend_down"
    BACKEND_FULL = "backend_full"
    BACKEND_CLEAR = "backend_clear"
    BACKEND_ACCEPTS_ALL = "backend_accepts_all"
    BACKEND_PACE = "backend_pace"
    BACKEND_MISCONFIGURED = "backend_misconfigured"
    RECIPIENTS_LOADED = "recipients_loaded"
    RECIPIENTS_FAILED = "recipients_failed"
    RECIPIENTS_STALE = "recipients_stale"
    RECIPIENTS_DOMAINS = "recipients_domains"
    SAMPLE_BACKEND = "sample_backend"
    DNS_DOWN = "dns_down"
    DNS_UP = "dns_up"
    STORE_DOWN = "store_down"
    STORE_UP = "store_up"
    STORE_RESET = "store_reset"
    LIST_OFF = "list_off"
    LIST_ON = "list_on"
    ACCEPT_PAUSED = "accept_paused"
    ACCEPT_RESUMED = "accept_resumed"
    OVERLOAD = "overload"
    CHECK_DEMOTED = "check_demoted"
    CHECK_RESTORED = "check_restored"
    PENALTY = "penalty"
    NFT_FAILED = "nft_failed"
    CRASH = "crash"
    LOG_LOST = "log_lost"


LEVELS: Mapping[Event, str] = {
    Event.SESSION: "info",
    Event.COMMIT: "info",
    Event.MESSAGE: "info",
    Event.STARTING: "info",
    Event.LISTENING: "info",
    Event.RELOADED: "info",
    Event.RELOAD_FAILED: "error",
    Event.RELOAD_WAITS: "warning",
    Event.WORKER_STARTED: "info",
    Event.WORKER_ENDED: "info",
    Event.WORKER_DIED: "error",
    Event.DRAINING: "info",
    Event.STOPPED: "info",
    Event.BACKEND_UP: "info",
    Event.BACKEND_DOWN: "error",
    Event.BACKEND_FULL: "warning",
    Event.BACKEND_CLEAR: "warning",
    Event.BACKEND_ACCEPTS_ALL: "warning",
    Event.BACKEND_PACE: "info",
    Event.BACKEND_MISCONFIGURED: "error",
    Event.RECIPIENTS_LOADED: "info",
    Event.RECIPIENTS_FAILED: "error",
    Event.RECIPIENTS_STALE: "error",
    Event.RECIPIENTS_DOMAINS: "warning",
    Event.SAMPLE_BACKEND: "warning",
    Event.DNS_DOWN: "error",
    Event.DNS_UP: "info",
    Event.STORE_DOWN: "error",
    Event.STORE_UP: "info",
    Event.STORE_RESET: "error",
    Event.LIST_OFF: "error",
    Event.LIST_ON: "info",
    Event.ACCEPT_PAUSED: "error",
    Event.ACCEPT_RESUMED: "info",
    Event.OVERLOAD: "warning",
    Event.CHECK_DEMOTED: "error",
    Event.CHECK_RESTORED: "info",
    Event.PENALTY: "warning",
    Event.NFT_FAILED: "error",
    Event.CRASH: "error",
    Event.LOG_LOST: "error",
}

_IDS = {
    "session": "id of the connection; each refusal of ours ends with it",
    "transaction": "id of the mail transaction: session id, dot, number of the transaction in the session",
}

_PROXY = "address of the balancer, where the client came through one (PROXY protocol)"

FIELDS: Mapping[Event, Mapping[str, str]] = {
    Event.SESSION: {
        "session": _IDS["session"],
        "listener": "name of the listener",
        "client": "address of the client; null if its balancer did not say it (`ended`: proxy_header)",
        "port": "port of the client",
        "proxy": _PROXY,
        "hello": "what the client called itself in its last EHLO or HELO",
        "hello_verb": "EHLO or HELO",
        "tls": "version of TLS the client spoke last; null: clear text",
        "cipher": "its cipher, as OpenSSL names it",
        "tls_failed": "why the handshake with the client failed",
        "commands": "commands read",
        "errors": "protocol errors: unknown, malformed or misplaced commands, and junk above its limit",
        "transactions": "mail transactions begun (a MAIL that was understood)",
        "delivered": "transactions the backend accepted",
        "recipients": "RCPT commands answered",
        "refused": "commands answered with 4xx or 5xx",
        "octets_in": "octets read from the client",
        "octets_out": "octets written to the client",
        "backend_connections": "connections to the backend opened for this session",
        "evidence": "as in `message`, of a refusal before the first transaction",
        "findings": "findings of the stages before a transaction, as in `message`",
        "duration": "seconds from accept to end",
        "waited": "seconds spent per kind of wait: client, backend, verdict, delay, pace, tls",
        "delays_left_out": "delays that were left out, by the bound of [tarpit] that was reached; missing: none was",
        "ended": "how it ended: quit, closed, reset, timeout, refused, errors, tls_failed, proxy_header, shutdown, ...",
        "by": "who ended it: client, proxy, or the name of a check",
        "reply": "the last reply the client was sent",
        "origins": "number of replies sent by origin: backend, protocol, or the name of a check",
    },
    Event.COMMIT: {
        "session": _IDS["session"],
        "transaction": _IDS["transaction"],
        "server": "backend server the message is committed to",
        "size": "octets of the message as the client sent it, as in `message`",
        "sender": "envelope sender",
        "recipients": "number of recipients the backend accepted",
        "message_id": "Message-ID header field, if one was found",
        "queued": "true when the line could not be written at once: only then may it be lost by kill -9",
    },
    Event.MESSAGE: {
        "session": _IDS["session"],
        "transaction": _IDS["transaction"],
        "listener": "name of the listener",
        "client": "address of the client",
        "proxy": _PROXY,
        "hello": "what the client called itself",
        "sender": "envelope sender, empty for the null path",
        "parameters": "parameters of MAIL as forwarded",
        "recipients": "first recipients, each with `to`, `reply` (what the client heard) and `by` (whose reply it was)",
        "recipients_total": "RCPT commands of this transaction",
        "recipients_accepted": "recipients the backend accepted",
        "size": "octets of the message as the client sent it between DATA and the final dot, or in its chunks",
        "message_id": "Message-ID header field, if one was found in the first header block",
        "received": "number of Received header fields",
        "body": "how the body travelled: auto, hold, stream",
        "framing": "BDAT; or converted: `BDAT to DATA` (dots are doubled), `DATA to BDAT` (they are not any more); "
        "missing: DATA on both sides",
        "findings": "each finding: check, stage, reason, action, and what the check saw",
        "evidence": "what each verdict was based on, so that it can be judged again: version, client, hello, sender, "
        "facts (known, or unknown with a reason), decisions",
        "changes": "what was changed: trace_header, authentication_results, "
        "authentication_results_removed, newlines_normalised, final_newline_added, source_route_dropped",
        "outcome": "delivered | rejected | deferred | dropped | aborted | unknown",
        "by": "who decided: backend, client, protocol, or the name of a check",
        "reply": "the reply the client got to the final dot, or to the command that ended the transaction",
        "server": "backend server that was used last",
        "server_tls": "version of TLS spoken with it; missing: clear text",
        "backend_reply": "the backend's own reply to the final dot, or the one that ended the transaction",
        "internal_id": "Exchange's InternalId from its final reply: join key to the message tracking log",
        "internal_host": "Exchange's Hostname from its final reply: second half of that key",
        "client_heard": "false when the backend accepted and the client was gone before it could be told",
        "replays": "how often the envelope was given to another backend connection",
        "duration": "seconds from MAIL to the outcome",
        "answer_time": "seconds from the client's final dot to our reply",
        "commit_time": "of these, the seconds from the final dot to the backend to its reply, or to giving it up",
    },
    Event.STARTING: {
        "version": "version of smtproxy",
        "configuration": "path of the configuration",
        "pid": "process id of the supervisor: the one that signals are sent to",
        "hostname": "name in banner, EHLO answer and trace headers",
        "workers": "number of processes that serve sessions",
    },
    Event.LISTENING: {
        "listener": "name of the listener",
        "address": "bound address with its real port",
    },
    Event.RELOADED: {
        "configuration": "path of the configuration that holds for new sessions from now on",
        "needs_restart": "settings that were changed and will hold after a restart only",
    },
    Event.RELOAD_FAILED: {
        "configuration": "path of the configuration; the one that was loaded before goes on",
        "error": "what is wrong with it, as `check` says it: file:line: path: message",
    },
    Event.RELOAD_WAITS: {
        "configuration": "path of the configuration that will be read when the workers of the oldest one have ended",
        "workers": "number of these workers; their sessions are asked to end, as when the server stops",
    },
    Event.WORKER_STARTED: {
        "pid": "process id of the worker",
    },
    Event.WORKER_ENDED: {
        "pid": "process id of a worker that was told to end and has ended: its sessions are over",
    },
    Event.WORKER_DIED: {
        "pid": "process id of a worker that ended unasked, with its sessions; 0: it could not be started",
        "status": "its exit status; negative: the signal that killed it",
        "error": "name of that signal, why it was killed, or why no process could be started",
        "retry": "seconds until another one takes its place; not there while the server stops",
    },
    Event.DRAINING: {
        "pid": "process id of the worker",
        "sessions": "sessions still running",
        "timeout": "seconds they may take",
    },
    Event.STOPPED: {
        "sessions": "sessions that were cut off",
        "reason": "drained, or cut off",
    },
    Event.BACKEND_UP: {
        "backend": "name of the backend",
        "server": "its server",
        "keywords": "EHLO keywords it offers",
        "banner": "its greeting",
        "tls": "version of TLS spoken with it; null: clear text",
    },
    Event.BACKEND_DOWN: {
        "backend": "name of the backend",
        "server": "its server",
        "reason": "what happened: refused, timeout, greeting, ...",
        "reply": "the server's own reply, if it gave one",
        "retry": "seconds until the next probe",
    },
    Event.BACKEND_CLEAR: {
        "backend": "name of the backend",
        "server": "its server: mail goes to it in clear text until a probe has more luck (tls = opportunistic)",
        "reason": "why there is no TLS with it",
    },
    Event.BACKEND_ACCEPTS_ALL: {
        "backend": "name of the backend: it takes mail for a random recipient, and bounces it, if it knows its users",
        "domain": "where it does so",
        "reply": "its reply to RCPT",
        "source": "name of the source of recipients that asked, and says nothing there; empty: no source covers it",
    },
    Event.BACKEND_PACE: {
        "backend": "name of the backend",
        "server": "its server",
        "ceiling": "connections that may be held from now on",
        "before": "those that might be held before",
        "because": "strained: it said that it has too much to do; trial: whether as much mail gets through with fewer, "
        "or more with more; back: it does not; room: nobody needs it, slowly up again",
        "pace": "seconds that it usually takes to answer the final dot; null: not known yet",
    },
    Event.BACKEND_FULL: {
        "backend": "name of the backend",
        "server": "its server",
        "ceiling": "connections to be held at most from now on",
        "reply": "the server's own reply",
    },
    Event.BACKEND_MISCONFIGURED: {
        "backend": "name of the backend",
        "server": "its server",
        "session": _IDS["session"],
        "transaction": _IDS["transaction"],
        "command": "what the server was answering: greeting, EHLO, MAIL, RCPT, DATA ...",
        "reply": "its reply, which blames our dialogue and so is kept from the client",
    },
    Event.RECIPIENTS_LOADED: {
        "source": "name of the source of recipients",
        "kind": "its kind: file or ldap",
        "entries": "number of addresses; 0 of a directory that is only asked, and answers again",
        "skipped": "number of lines or values that are no address",
        "examples": "the first of these",
        "age": "seconds since the file was written, or since the directory was read",
    },
    Event.RECIPIENTS_FAILED: {
        "source": "name of the source of recipients",
        "kind": "its kind",
        "reason": "why it could not be read; what was read before goes on",
        "entries": "number of addresses that go on; null: there are none, and recipients cannot be checked",
        "age": "their age in seconds",
    },
    Event.RECIPIENTS_STALE: {
        "source": "name of the source of recipients",
        "age": "seconds since its data was read for the last time, which is above its max_age",
        "reason": "why it could not be read since",
    },
    Event.RECIPIENTS_DOMAINS: {
        "source": "name of the source of recipients: a directory whose accepted domains are not those of the listeners",
        "not_ours": "domains that the directory accepts, and no listener has",
        "not_accepted": "domains of a listener that the directory does not accept: nobody is called missing there",
    },
    Event.SAMPLE_BACKEND: {
        "backend": "name of the backend",
        "directory": "where the mail is stored",
        "warning": "that mail goes nowhere",
        "try": "a command that sends a test mail",
    },
    Event.DNS_DOWN: {
        "servers": "the name servers: none of them answers, so nobody is asked until one does; facts are unknown",
        "reason": "what happened to the last of them: timeout, unreachable",
    },
    Event.DNS_UP: {
        "servers": "the name servers that answer again",
        "down": "seconds for which none did",
    },
    Event.STORE_DOWN: {
        "store": "its kind: sqlite or valkey",
        "where": "its file or its servers; until it is back, each machine remembers in its memory alone",
        "reason": "what is wrong with it",
    },
    Event.STORE_UP: {
        "store": "its kind",
        "where": "its file or its servers, which can be used again",
        "down": "seconds for which it could not",
    },
    Event.STORE_RESET: {
        "store": "its kind",
        "where": "its file, which was begun anew with what is in memory",
        "moved_to": "where the file is now that could not be read",
        "reason": "what is wrong with that one",
    },
    Event.LIST_OFF: {
        "list": "name of the list in the configuration; nothing it says counts until it is well again",
        "reason": "what is wrong with it: an error answer, a test point that answers what it must not, no answer",
    },
    Event.LIST_ON: {
        "list": "name of the list, whose test points answer as they must again",
        "off": "seconds for which it was switched off",
    },
    Event.ACCEPT_PAUSED: {
        "listener": "name of the listener",
        "reason": "why no connection can be accepted: usually no file descriptor is left",
    },
    Event.ACCEPT_RESUMED: {
        "listener": "name of the listener",
        "paused": "seconds for which nothing was accepted",
    },
    Event.OVERLOAD: {
        "pid": "process id of the worker that has too much to do, or not any more",
        "state": "calm; stressed: strangers are turned away above `room`, and get less time; full: nobody is accepted",
        "before": "the state before",
        "because": "what showed it: sessions, lag, memory, descriptors",
        "sessions": "sessions of this worker",
        "room": "number of sessions up to which strangers are let in",
        "lag": "seconds by which the event loop came late",
        "memory": "memory of all workers, if they are like this one, as a share of what they may have; null: not known",
        "descriptors": "file descriptors that are free; null: not known",
        "turned_away": "strangers that heard 421 since the line before",
    },
    Event.CHECK_DEMOTED: {
        "check": "its name; it says 4xx now where it would say 5xx, as it refuses far more than it used to",
        "refused": "networks of clients it would have refused lately",
        "judged": "networks of clients it judged in that time",
        "good": "of those refused, senders that have had mail delivered before",
        "usual": "share it used to refuse; null: not known yet",
    },
    Event.CHECK_RESTORED: {
        "check": "its name; it is believed again",
        "refused": "networks of clients it would have refused lately",
        "judged": "networks of clients it judged in that time",
        "good": "of those refused, senders that have had mail delivered before",
        "usual": "share it used to refuse",
    },
    Event.PENALTY: {
        "client": "address, or /64 of IPv6, that goes to the penalty box; `smtproxy reputation forgive` lets it out",
        "reason": "what it has done: counts that fade, so they are those of the last day or so",
        "seconds": "how long it stays there",
        "session": _IDS["session"],
    },
    Event.NFT_FAILED: {
        "table": "family and name of the table of nftables whose sets cannot be filled; said once until they can",
        "reason": "what nft says, or that it took too long",
    },
    Event.CRASH: {
        "session": _IDS["session"],
        "where": "part of the program",
        "error": "type and text of the exception",
        "traceback": "where it came from: please report it",
    },
    Event.LOG_LOST: {
        "lost": "number of lines lost since the last such line, by event",
    },
}
"""Event -> field -> meaning. `time`, `event` and `level` stand in front of every line and are not listed."""


class Journal(Protocol):
    """Where records go. An implementation never blocks and never raises."""

    def record(self, event: Event, fields: Mapping[str, object]) -> None:
        """Write one line."""
