"""The goals with what was measured beside them.

A goal that has a peer must never count as met unless that peer ran in the same run.
"""

from dataclasses import dataclass

from bench import scenarios as s
from bench.peers import AUTO, COLD, HAPROXY, HOLD, POSTFIX, STREAM, TWO
from bench.results import Results, typical
from bench.scenarios import Sizes


@dataclass(frozen=True, slots=True)
class Goal:
    """A bar that the measured value must not exceed. `due`: `--check` fails when it is not met."""

    what: str
    bar: float
    measured: float | None
    due: bool = False

    @property
    def met(self) -> bool:
        """False also when nothing was measured."""
        return self.measured is not None and self.measured <= self.bar

    def __str__(self) -> str:
        found = "not measured" if self.measured is None else f"{self.measured:.2f}"
        state = "met" if self.met else "NOT MET"
        return f"{state}: {self.what}: {found}, bar {self.bar:.3g}{' (due)' if self.due else ''}"


def goals(results: Results, sizes: Sizes) -> list[Goal]:
    """Compare the medians with the bars. Those of the idle clients hold for the largest number that was measured."""
    most = max(sizes.idle)
    answered = typical(results.values(f"{s.IDLE_ANSWERED} {most}", AUTO))
    connections = results.values(s.REFUSED_CONNECTIONS, AUTO)
    cpu = typical(results.ratios(s.CPU_NEW, AUTO, POSTFIX))
    return [
        Goal("CPU per message / Postfix, new connections", 1.2, cpu, due=True),
        Goal("backend connections of refused sessions", 0, max(connections) if connections else None, due=True),
        Goal("the same, nothing kept warm", 1.0, typical(results.ratios(s.CPU_NEW, COLD, POSTFIX))),
        Goal("the same, with warm connections", 0.9, cpu),
        Goal("CPU per message / Postfix, TLS", 1.0, typical(results.ratios(s.CPU_TLS, AUTO, POSTFIX))),
        Goal("messages/s of one worker / two", 1 / 1.7, typical(results.ratios(s.CROWD_RATE, AUTO, TWO))),
        Goal("CPU ms per MB, stream", 3, typical(results.values(s.CPU_BODY, STREAM))),
        Goal("CPU ms per MB, hold", 4, typical(results.values(s.CPU_BODY, HOLD))),
        Goal("KiB an idle client", 8, typical(results.values(f"{s.IDLE_KIB} {most}", AUTO))),
        Goal("idle clients not answered", 0, None if answered is None else most - answered),
        Goal("KiB an idle client with TLS", 24, typical(results.values(s.IDLE_TLS_KIB, AUTO))),
        Goal("CPU refused / delivered", 0.5, typical(results.ratios(s.CPU_REFUSED, AUTO, AUTO, s.CPU_DELIVERED))),
        Goal("p50 of one session / haproxy", 1.5, typical(results.ratios(s.P50, AUTO, HAPROXY))),
    ]
