"""The table [tarpit]: how long the action `tarpit` delays, how fast bodies are taken, and how many sessions at once.

Who is one client is the matter of [quotas]; which check delays at all is that of [checks].
"""

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo

from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.tables import STRICT, member_of
from smtproxy.app.config.units import Count, Duration, show_seconds
from smtproxy.session.tarpit import PaceFor, TarpitSettings

_DEFAULT: Final = TarpitSettings()
_LONGEST: Final = 60.0
"""RFC 5321 4.5.3.2.4: a client waits two minutes for the reply to DATA, and two checks may delay the same reply."""


def _not_too_long(value: float) -> float:
    if value > _LONGEST:
        raise ValueError(f"must not be above {show_seconds(_LONGEST)}: an honest client must still be there afterwards")
    return value


Delay = Annotated[Duration, AfterValidator(_not_too_long)]
"""A delay of one answer, in seconds."""


def _fast_enough(value: int, info: ValidationInfo) -> int:
    least = survey_of(info).limits.body_rate if value else 0
    if value < least:
        raise ValueError(
            f"must be 0 (off) or at least {least} octets per second: whoever is slower than that is hung up on "
            "(bounds.body_rate)"
        )
    return value


class Tarpit(BaseModel):
    """Sessions that are delayed; each process counts its own. Above a bound the answer comes at once, and is logged."""

    model_config = STRICT
    delay: Annotated[Delay, Field(description="How much later the action tarpit answers.")] = _DEFAULT.delay
    max_per_client: Annotated[
        Count,
        Field(description="Sessions of one client (as [quotas] tells clients apart) delayed at once, in each process."),
    ] = _DEFAULT.max_per_client
    max_total: Annotated[Count, Field(description="Sessions of all clients delayed at once, in each process.")] = (
        _DEFAULT.max_total
    )
    stutter: Annotated[
        bool,
        Field(
            description="A refusal that is delayed is said an octet a second meanwhile, as spamd does: whoever hears "
            "something waits longer than who hears nothing. Never the answer to what is accepted."
        ),
    ] = _DEFAULT.stutter
    pace: Annotated[
        int,
        Field(
            ge=0,
            description="Octets per second that are read of a body (DATA, BDAT); its session counts as delayed "
            "meanwhile. Only as long as half of commit_by and of bounds.session_time allow, and not of a body that "
            "streams. 0: as fast as it comes.",
        ),
        AfterValidator(_fast_enough),
    ] = _DEFAULT.pace
    pace_for: Annotated[
        PaceFor,
        member_of(PaceFor),
        Field(
            description="Whose bodies. findings: of clients of whom something was found in this transaction that adds "
            "to the sum (score) or delays (tarpit); all: of all."
        ),
    ] = _DEFAULT.pace_for
