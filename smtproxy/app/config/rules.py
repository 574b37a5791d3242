"""The tables [[rules]]: what no check covers, as an expression in CEL, and what follows where it is true.

Each rule is a check of its own, called "rule:NAME" in the log. Must never hold what an expression may say; that is in
`smtproxy.policy.rules`.
"""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from smtproxy.app.config.backends import checked_name
from smtproxy.app.config.checks import Action, Early, OnError, SoftBounce, Weight
from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.tables import STRICT, one_of
from smtproxy.policy import findings
from smtproxy.policy.rules.check import PREFIX
from smtproxy.policy.rules.expressions import Expression
from smtproxy.policy.rules.variables import STAGES
from smtproxy.session.verdicts import Stage

MOST: Final = 100
"""Rules of a configuration: each costs some microseconds a recipient, and who has more is better served by a check."""
LONGEST_TEXT: Final = 200
"""Characters: with codes, session id and line end a reply stays far below 512 octets. RFC 5321 4.5.3.1.5"""

_CODES: Final = (550, 551, 552, 553, 554)
_ENHANCED: Final = re.compile(r"5\.[0-9]{1,3}\.[0-9]{1,3}", re.ASCII)
_TEXT: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", re.ASCII)


def _own_name(name: str, info: ValidationInfo) -> str:
    notes = survey_of(info)
    if checked_name(name) in notes.rules:
        raise ValueError(f'another rule is called "{name}" already')
    notes.rules.add(name)
    return name


def _read_code(value: object) -> int:
    if type(value) is not int or value not in _CODES:
        raise ValueError('must be 550, 551, 552, 553 or 554; for a refusal that does not last write then = "defer"')
    return value


def _read_enhanced(value: str) -> str:
    if not _ENHANCED.fullmatch(value):
        raise ValueError('must be like "5.7.1" (RFC 3463); with then = "defer" the first number becomes a 4 by itself')
    return value


def _read_text(value: str) -> str:
    if not _TEXT.fullmatch(value) or len(value) > LONGEST_TEXT or "{}" in value:
        raise ValueError(f"must be one line of 1 to {LONGEST_TEXT} printable ASCII characters, and without {{}}")
    return value


class Rule(BaseModel):
    """One rule. What follows from it is said as for a check."""

    model_config = STRICT

    name: Annotated[
        str, AfterValidator(_own_name), Field(description=f'Its name: in log lines and elsewhere it is "{PREFIX}NAME".')
    ]
    stage: Annotated[
        Literal["connect", "hello", "mail", "recipient", "message"],
        one_of([stage.value for stage in STAGES]),
        Field(
            description="When it can be judged: as early as the names in it are known. message sees the message, and "
            "not a single recipient."
        ),
    ] = "recipient"
    when: Annotated[
        str, Field(description="The expression (CEL); docs/checks.md has the names that may stand in it at each stage.")
    ]
    then: Action
    text: Annotated[
        str,
        AfterValidator(_read_text),
        Field(description="What a refused client reads: what its administrator can do. The session id follows."),
    ] = "Refused by local policy"
    code: Annotated[
        int, BeforeValidator(_read_code), Field(description="Reply code, 550 to 554; defer makes its 4xx of it.")
    ] = 550
    enhanced: Annotated[
        str, AfterValidator(_read_enhanced), Field(description="Enhanced status code (RFC 3463); defer makes it 4.y.z.")
    ] = "5.7.1"
    on_error: OnError = findings.OnError.PASS
    weight: Weight = 1.0
    early: Early = False
    soft_bounce: SoftBounce = False

    @field_validator("when", mode="after")
    @classmethod
    def _compiles(cls, when: str, info: ValidationInfo) -> str:
        stage = info.data.get("stage")
        if stage is not None:  # else it is a mistake itself, and nobody knows what may be said here
            Expression(when, Stage(stage))
        return when
