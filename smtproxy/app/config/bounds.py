"""The table [bounds]: every field of `smtproxy.session.limits.Limits` by its name, with its default from there.

Built from the dataclass, so that no limit can be forgotten here. Must never hold a default of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationInfo, create_model, field_validator
from pydantic_core import CoreSchema, core_schema

from smtproxy.app.config.survey import survey_of
from smtproxy.app.config.units import Duration, Size, show_seconds

MINIMA: Final[Mapping[str, float]] = {
    "end_of_data_time": 600,  # RFC 5321 4.5.3.2.6, and the contract: nothing else ends the wait for the backend
}
"""Limits that a configuration may raise but not lower below this."""

ORDER: Final = (
    ("command_line", "endless_line"),
    ("body_memory", "body_memory_total"),
    ("chunk_end", "chunk"),
)
"""Pairs of limits; the first must not be above the second."""


def bounds_table(limits: type[Any]) -> type[BaseModel]:
    """Make the model of the table for a dataclass of limits: float fields are durations, int fields counts or sizes.

    What the file says wins over the dataclass's defaults; fields are checked in their order, pairs at the later one.
    """

    def in_proportion(value: float, info: ValidationInfo) -> float:
        name = str(info.field_name)
        if value < MINIMA.get(name, value):
            raise ValueError(f"must not be below {show_seconds(MINIMA[name])}")
        for smaller, larger in ORDER:
            other = smaller if name == larger else larger
            if name not in (smaller, larger) or other not in info.data:
                continue
            low, high = (value, info.data[other]) if name == smaller else (info.data[other], value)
            if low > high:
                raise ValueError(f"{smaller} must not be above {larger}: {low} > {high}")
        return value

    validators: dict[str, Callable[..., Any]] = {"in_proportion": field_validator("*", mode="after")(in_proportion)}
    definitions: dict[str, Any] = {
        field.name: (
            Annotated[Duration if field.type is float else Size, Field(description=field.metadata.get("origin", ""))],
            field.default,
        )
        for field in fields(limits)
    }
    strict = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)
    return create_model("Limits", __config__=strict, __validators__=validators, **definitions)


class FromTable:
    """Annotation of a field that holds a dataclass of limits and is read from a table."""

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate as the table, then make the dataclass, and note it for what is validated later."""

        def build(table: BaseModel, info: ValidationInfo) -> object:
            limits = source(**dict(table))
            survey_of(info).limits = limits
            return limits

        return core_schema.with_info_after_validator_function(build, handler.generate_schema(bounds_table(source)))
