"""The table [overload]: when a worker has too much to do, and what strangers get less of then. Must never hold what
would cost a client with a good record anything: they lose nothing but time.
"""

from typing import Annotated, Final

from pydantic import BaseModel, Field

from smtproxy.app.config.tables import STRICT
from smtproxy.app.config.units import Count, Duration
from smtproxy.policy.overload import OverloadSettings

_DEFAULT: Final = OverloadSettings()


class Overload(BaseModel):
    """A worker that has too much to do turns strangers away (421 4.3.2), who come again, and keeps its room for clients
    that have had mail delivered before. Each worker judges for itself; bounds.sessions says how many sessions it has.
    """

    model_config = STRICT
    enabled: Annotated[
        bool, Field(description="false: clients wait in the kernel's queue when all sessions are in use, good or not.")
    ] = _DEFAULT.enabled
    kept: Annotated[
        float,
        Field(ge=0, le=0.9, description="Share of the sessions that strangers do not get."),
    ] = _DEFAULT.kept
    lag: Annotated[
        Duration,
        Field(
            description="So much later than due, three times in a row, is overload; five times as much stops accepting."
        ),
    ] = _DEFAULT.lag
    memory: Annotated[
        float,
        Field(
            gt=0,
            lt=1,
            description="Share of the memory that all workers may have (of the control group, or of the machine) that "
            "is overload; half way from there to all of it stops accepting.",
        ),
    ] = _DEFAULT.memory
    command_time: Annotated[
        Duration, Field(description="In place of bounds.command_time, for strangers during an overload.")
    ] = _DEFAULT.command_time
    errors: Annotated[
        Count, Field(description="In place of checks.protocol_errors.hard, for strangers during an overload.")
    ] = _DEFAULT.errors
    calm_after: Annotated[
        Duration, Field(description="How long there must be no reason any more until it is over.")
    ] = _DEFAULT.calm_after
