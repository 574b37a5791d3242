"""The one table: metrics downwards, servers across, medians with the spread of the rounds in brackets.

It must never print a value that was not measured in this run: a dash stands there, or the word `missing`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bench import scenarios as s
from bench.peers import AUTO, COLD, DIRECT, HAPROXY, HOLD, POSTFIX, STREAM, TWO
from bench.recipients_load import FOREIGN, GOOD
from bench.results import Results, typical
from bench.scenarios import Sizes

COLUMNS = (DIRECT, POSTFIX, HAPROXY, AUTO, TWO, COLD, STREAM, HOLD)


@dataclass(frozen=True, slots=True)
class Row:
    """A metric, or its ratio to that of `base` (a server) or to `base_metric` of the same server."""

    label: str
    metric: str
    digits: int
    base: str | None = None
    base_metric: str | None = None

    def values(self, results: Results, peer: str) -> list[float]:
        """Return the values of all rounds."""
        if self.base_metric:
            return results.ratios(self.metric, peer, peer, self.base_metric)
        return results.ratios(self.metric, peer, self.base) if self.base else results.values(self.metric, peer)


def rows(sizes: Sizes) -> list[Row]:
    """Return the rows of the table for these loads."""
    table = [
        Row("messages/s, 4 KiB, 20 sessions, new connection each", s.RATE, 0),
        Row("the same / direct", s.RATE, 2, DIRECT),
        Row("CPU ms a message, 4 KiB, 20 sessions, new connection each", s.CPU_NEW, 2),
        Row("the same / Postfix", s.CPU_NEW, 2, POSTFIX),
        Row("CPU ms a message, 4 KiB, 20 sessions, same connection", s.CPU_SAME, 2),
        Row("the same / Postfix", s.CPU_SAME, 2, POSTFIX),
        Row("CPU ms a message, 4 KiB, 20 sessions, TLS, new connection each", s.CPU_TLS, 2),
        Row("the same / Postfix", s.CPU_TLS, 2, POSTFIX),
        Row("CPU ms a message, the same with session tickets", s.CPU_RESUMED, 2),
        Row("the same / Postfix", s.CPU_RESUMED, 2, POSTFIX),
        Row("one session with one 4 KiB message, p50 ms", s.P50, 2),
        Row("the same / haproxy", s.P50, 2, HAPROXY),
        Row("one session with one 4 KiB message, p99 ms", s.P99, 2),
        Row(f"messages/s on all cores, {GOOD} recipients accepted, {FOREIGN} refused", s.CROWD_RATE, 0),
        Row("the same / one worker", s.CROWD_RATE, 2, AUTO),
        Row("CPU ms of such a message", s.CPU_CROWD, 2),
        Row("CPU of load and sink meanwhile / that of the proxy", s.CROWD_LOAD, 2),
        Row("CPU ms per MB, 10 MiB bodies, 4 sessions", s.CPU_BODY, 2),
        Row("the same / Postfix", s.CPU_BODY, 2, POSTFIX),
        Row("CPU ms of a delivered session, one at a time", s.CPU_DELIVERED, 2),
        Row("CPU ms of a session refused at RCPT", s.CPU_REFUSED, 2),
        Row("refused / delivered", s.CPU_REFUSED, 2, None, s.CPU_DELIVERED),
        Row(f"backend connections of {sizes.sessions * 3} refused sessions", s.REFUSED_CONNECTIONS, 0),
        Row("connections with EHLO and QUIT alone meanwhile (probes)", s.REFUSED_PROBES, 0),
    ]
    for clients in sizes.idle:
        table += [
            Row(f"KiB an idle client, {clients:,} clients", f"{s.IDLE_KIB} {clients}", 1),
            Row(f"idle clients answered, of {clients:,}", f"{s.IDLE_ANSWERED} {clients}", 0),
            Row(f"CPU s in 3 quiet seconds, {clients:,} clients", f"{s.IDLE_CPU} {clients}", 2),
        ]
    table += [
        Row(f"KiB an idle client with TLS, {sizes.tls_idle:,} clients", s.IDLE_TLS_KIB, 1),
        Row(f"idle clients with TLS answered, of {sizes.tls_idle:,}", s.IDLE_TLS_ANSWERED, 0),
    ]
    return table


def cell(values: Sequence[float], digits: int) -> str:
    """Median, and lowest to highest where there was more than one round."""
    middle = typical(list(values))
    if middle is None:
        return "-"
    if len(values) == 1 or max(values) == min(values):
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} [{min(values):.{digits}f}-{max(values):.{digits}f}]"


def grid(results: Results, missing: dict[str, str], sizes: Sizes) -> list[list[str]]:
    """Return the cells of the table, the head first."""
    lines = [["", *COLUMNS]]
    for row in rows(sizes):
        cells = ["missing" if peer in missing else cell(row.values(results, peer), row.digits) for peer in COLUMNS]
        lines.append([row.label, *cells])
    return lines


def markdown(lines: list[list[str]]) -> str:
    """Return the table in Markdown, padded so that it can be read as plain text as well."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines]
    rule = ["-" * width for width in widths]
    return "".join("| " + " | ".join(line) + " |\n" for line in (padded[0], rule, *padded[1:]))
