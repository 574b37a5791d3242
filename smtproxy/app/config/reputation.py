"""The table [reputation]: when a client goes to the penalty box, and for how long. What follows is the matter of
[checks.reputation]; what persons block and allow is kept in the store and changed by `smtproxy reputation`.
"""

import re
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.tables import STRICT
from smtproxy.app.config.units import Duration, show_seconds
from smtproxy.policy.reputation import ReputationSettings

_DEFAULT: Final = ReputationSettings()
_MOST: Final = 100_000
_TABLE: Final = re.compile(r"(?:inet|ip|ip6|netdev) [A-Za-z][A-Za-z0-9_]{0,62}", re.ASCII)


def _threshold(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= _MOST:
        raise ValueError(f"must be a number from 1 to {_MOST}")
    return float(value)


class Reputation(BaseModel):
    """Clients whose mail was refused again and again, and none ever taken, go to the penalty box for a while."""

    model_config = STRICT
    learn: bool = Field(default=True, description="false: nobody goes to the penalty box; it is counted all the same.")
    threshold: Annotated[
        float,
        BeforeValidator(_threshold),
        Field(
            description="From this badness on: 1 for each mail refused for good by a check, for each unknown recipient "
            "and for each session in which it talked early, 5 more for five unknown recipients of one mail; half of it "
            "is forgiven in a day. A client that ever had a mail delivered never goes there."
        ),
    ] = _DEFAULT.threshold
    penalty: Annotated[Duration, Field(description="How long, the first time; then twice as long each time.")] = (
        _DEFAULT.penalty
    )
    longest_penalty: Annotated[Duration, Field(validate_default=True, description="How long at most.")] = (
        _DEFAULT.longest
    )

    nft: Annotated[
        str,
        Field(
            description='Family and name of a table of nftables, as in "inet smtproxy_blocked": addresses in the '
            "penalty box, and addresses and networks that persons have blocked, are put into its sets blocked4 and "
            "blocked6, so that the kernel can refuse them; as far as [checks.reputation] and [checks.blocked] refuse. "
            "Needs CAP_NET_ADMIN: see docs/operations.md. Empty: the kernel refuses nobody."
        ),
    ] = ""

    @field_validator("nft", mode="after")
    @classmethod
    def _table(cls, value: str, info: ValidationInfo) -> str:
        if value and _TABLE.fullmatch(value) is None:
            raise ValueError('must be family and name of a table, as in "inet smtproxy_blocked"')
        if value and survey_of(info).privacy:
            raise ValueError("cannot be with store.privacy, by which addresses are kept as hashes only")
        return value

    @field_validator("longest_penalty", mode="after")
    @classmethod
    def _not_below(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("penalty", 0.0):
            raise ValueError(f"must not be below penalty, which is {show_seconds(info.data['penalty'])}")
        return value

    @property
    def settings(self) -> ReputationSettings | None:
        """What the policy is told; None: nobody goes to the penalty box."""
        return ReputationSettings(self.threshold, self.penalty, self.longest_penalty) if self.learn else None
