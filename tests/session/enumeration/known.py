"""What is known to be wrong and not mended yet. The list must shrink: an entry that does not strike any more fails."""

from tests.session.enumeration.faults import Fault
from tests.session.enumeration.steps import Step

KNOWN: frozenset[tuple[Step, Fault, str]] = frozenset(
    {
        # A reply too many arrives together with those to a group. Which of them answers what cannot be told; the
        # connection is closed and the envelope replayed, so no mail is harmed, but the client has heard the stray one.
        *((step, Fault.STALE_BEFORE, "paired") for step in (Step.MAIL, Step.RCPT_1, Step.RCPT_2)),
        *((step, Fault.STALE_BEHIND, "paired") for step in (Step.MAIL, Step.RCPT_1)),
        (Step.MAIL, Fault.STALE_BAD_BEHIND, "paired"),
    }
)
"""Step, fault, judge."""
