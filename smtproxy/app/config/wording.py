"""Puts what pydantic found into the words of an administrator, with a suggestion where there is one.

Must never show a name of this program's insides: only settings, and what to write there.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Final, TypeAlias, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from smtproxy.app.config.checks import DUTIES
from smtproxy.app.config.model import Config
from smtproxy.app.config.recipients import KINDS

Location: TypeAlias = tuple[str | int, ...]

# What pydantic calls a mistake -> what we say. {...} is filled from pydantic's context.
_TEXTS: Final[Mapping[str, str]] = {
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "tuple_type": 'must be a list, as in ["..."]',
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "too_short": "must not be empty",
    "too_long": "must not have more than {max_length} elements",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "union_tag_invalid": "must be " + " or ".join(f'"{kind}"' for kind in KINDS),
    "union_tag_not_found": "is missing. What kind of source it is: " + " or ".join(KINDS),
    "model_attributes_type": "must be a table",
}

# Mistakes of form that have a place of their own.
_AT: Final[Mapping[tuple[str, Location], str]] = {
    ("tuple_type", ("listeners",)): "must be a list of tables: write [[listeners]], with two brackets",
    ("tuple_type", ("rules",)): "must be a list of tables: write [[rules]], with two brackets",
    ("tuple_type", ("limits",)): "must be a list of tables: write [[limits]], with two brackets; [bounds] has the "
    "bounds of sessions, bodies and waits",
    ("dict_type", ("backends",)): "must hold one table for each backend: write [backends.NAME]",
}


_SOURCES: Final[Location] = ("recipients", "sources")

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def location_of(error: ErrorDetails) -> Location:
    """Return where an error is, without what pydantic adds to say that a key is meant, or a table of which kind."""
    location = tuple(part for part in error["loc"] if part != "[key]")
    kind = len(_SOURCES) + 1
    if location[: len(_SOURCES)] == _SOURCES and location[kind:] and location[kind] in KINDS:
        location = (*location[:kind], *location[kind + 1 :])
    return (*location, "kind") if error["type"].startswith("union_tag") else location


def path_of(location: Location) -> str:
    """Write a location as a path: ("listeners", 0, "bind") -> "listeners[0].bind"."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += "." * bool(path) + (part if _BARE_KEY.fullmatch(part) else json.dumps(part))
    return path or "(the whole file)"


def message_of(error: ErrorDetails) -> str:
    """Say what is wrong, in one line whatever is quoted in it."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in _message(error))


def _message(error: ErrorDetails) -> str:
    kind, location, context = error["type"], location_of(error), error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden":
        return _unknown(location)
    if kind == "missing":
        return _missing(location)
    if (kind, location) in _AT:
        return _AT[kind, location]
    if kind == "model_type" and location[:1] == ("backends",) and len(location) == len(("backends", "NAME")):
        return "must be a table: the settings of a backend stand in [backends.NAME]"
    text = _TEXTS.get(kind, error["msg"][:1].lower() + error["msg"][1:])
    return text.format(**context) if kind in _TEXTS else text


def _missing(location: Location) -> str:
    field = _children(Config, location[:-1])[str(location[-1])]
    return f"is missing. {field.description}"


def _unknown(location: Location) -> str:
    """Say that a key is not known, and which one may be meant: here, or in another table."""
    key, table = str(location[-1]), location[:-1]
    if table[:1] == ("checks",) and table[1:] and table[1] in DUTIES and key in ("action", "on_error"):
        return (
            f"{table[1]} is a duty: it always refuses, and defers where it cannot tell. `enabled = false` switches it "
            "off; read first what that means"
        )
    if table[:1] == ("checks",) and table[1:] and key == "enabled":
        return f'{table[1]} is a judgement: it is switched off by action = "off"'
    known = _children(Config, table)
    elsewhere = [place for place, keys in _tables(Config) if key in keys and place]
    if len(elsewhere) == 1:
        return f"is not known here; it belongs into {elsewhere[0]}"
    if close := get_close_matches(key.lower().replace("-", "_"), known, n=1):
        return f'is not known here; did you mean "{close[0]}"?'
    return f"is not known here; known are {', '.join(sorted(known))}"


def _children(annotation: object, location: Sequence[str | int]) -> Mapping[str, Any]:
    """Return the keys of the table at a location, each with its field."""
    if not location:
        return _keys(annotation)
    first, rest = location[0], location[1:]
    keys = _keys(annotation)
    if isinstance(first, str) and first in keys:
        return _children(keys[first].annotation, rest)
    return _children(_element(annotation), rest)


def _element(annotation: object) -> object:
    """Return what a list or table of named things holds: the last type in its brackets that is not `...`."""
    if get_origin(annotation) in (tuple, dict):
        return [one for one in get_args(annotation) if one is not ...][-1]
    return annotation


def _keys(annotation: object) -> Mapping[str, Any]:
    if get_origin(annotation) is Annotated:
        return _keys(get_args(annotation)[0])
    if get_origin(annotation) is UnionType:
        return {key: field for one in get_args(annotation) for key, field in _keys(one).items()}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.model_fields
    if is_dataclass(annotation):
        return {field.name: field for field in fields(annotation)}
    return {}


def _tables(annotation: object, place: str = "") -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Yield all tables of the configuration, as one writes them, with their keys."""
    keys = _keys(annotation)
    yield place, keys
    for name, field in keys.items():
        inner = getattr(field, "annotation", None)
        many, origin = _element(inner), get_origin(inner)
        if _keys(many):
            path = f"{place[1:-1]}.{name}" if place else name
            header = f"[[{path}]]" if origin is tuple else f"[{path}.NAME]" if origin is dict else f"[{path}]"
            yield from _tables(many, header)
