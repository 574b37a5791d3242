"""The table [tarpit]: how long the action `tarpit` delays, and how many sessions at once. Who is one client is the
matter of [quotas]; which check delays at all is that of [checks].
"""

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field

from smtproxy.app.config.tables import STRICT
from smtproxy.app.config.units import Count, Duration, show_seconds
from smtproxy.session.tarpit import TarpitSettings

_DEFAULT: Final = TarpitSettings()
_LONGEST: Final = 60.0
"""RFC 5321 4.5.3.2.4: a client waits two minutes for the reply to DATA, and two checks may delay the same reply."""


def _not_too_long(value: float) -> float:
    if value > _LONGEST:
        raise ValueError(f"must not be above {show_seconds(_LONGEST)}: an honest client must still be there afterwards")
    return value


Delay = Annotated[Duration, AfterValidator(_not_too_long)]
"""A delay of one answer, in seconds."""


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
