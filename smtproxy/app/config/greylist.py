"""The table [greylist]: who is suspicious and unknown is asked to come again. From which sum on, [score] says."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from smtproxy.app.config.tables import STRICT, one_of
from smtproxy.app.config.units import Duration, long_time
from smtproxy.policy.greylist import Windows

_DEFAULT: Final = Windows()
LongTime = Annotated[float, BeforeValidator(long_time)]


class Greylist(BaseModel):
    """Suspicious clients that nobody knows hear 450 once, and are let through from then on, with all mail of theirs.

    It needs [score] greylist, and checks with `action = "score"` that add up to it. Whoever has a good record is never
    asked to come again. What is kept outlives a restart where the store does ([store]).
    """

    model_config = STRICT
    action: Annotated[
        Literal["off", "observe", "defer"],
        one_of(["off", "observe", "defer"]),
        Field(
            description="observe: the log says who would have been asked to come again; findings that are observed "
            "count there, too. The default is the profile's."
        ),
    ] = "defer"
    wait: Annotated[
        Duration, Field(description="Who comes again sooner is asked once more. Servers wait 5 to 30 minutes by habit.")
    ] = _DEFAULT.wait
    retry_within: Annotated[Duration, Field(description="Who comes again later begins anew.")] = _DEFAULT.retry_within
    passes_for: Annotated[
        LongTime,
        Field(
            description="How long who came again is let through, from its last use on: its proven domain (SPF), else "
            "the organisation of its confirmed reverse name, else its network (/24, /64)."
        ),
    ] = _DEFAULT.passes_for

    @model_validator(mode="after")
    def _in_order(self) -> Any:  # noqa: ANN401 - pydantic wants the instance
        if not self.wait < self.retry_within <= self.passes_for:
            raise ValueError("wait must be below retry_within, and retry_within not above passes_for")
        return self

    @property
    def windows(self) -> Windows:
        """The times of it."""
        return Windows(self.wait, self.retry_within, self.passes_for)
