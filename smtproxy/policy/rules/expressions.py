"""Expressions in CEL (https://cel.dev), on the evidence: true, false, or not to be told.

A fact that is unknown has no value. `spf.result == "fail"` then cannot be told, while `sender == "" && spf.result ==
"fail"` is false for every other sender: CEL looks at both sides of && and ||, and an unknown fact counts only where the
answer hangs on it.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from smtproxy.policy.evidence import Evidence, Known
from smtproxy.policy.facts import Key
from smtproxy.policy.findings import CannotTell
from smtproxy.policy.rules.bounds import names, patterns, too_much, without_texts
from smtproxy.policy.rules.complaints import NOT_OFFERED, ExpressionError, complaint
from smtproxy.policy.rules.variables import TABLES, VARIABLES, Variable, kinds, plain
from smtproxy.session.verdicts import Stage

_STANDARD: Final = f"""
stdlib:
  exclude_macros: [{", ".join(NOT_OFFERED)}]
  exclude_functions:
    - name: "_+_"
      overloads: [{{id: add_string}}, {{id: add_list}}, {{id: add_bytes}}]
"""
"""What of CEL is withheld: all that makes lists or longer texts, so that nothing grows in a loop; and `has`, which
would take a name with a dot for a message of protobuf and say nothing true of it."""

_NO_VALUE = re.compile(r'No value with name "([^"]+)"')
_NO_FIELD = re.compile(r'Key not found in map : "([^"]*)"')
_LONGEST_REASON = 200


@cache
def _environment(stage: Stage) -> Any:  # noqa: ANN401 - the library has no types
    """Return what an expression may use at a stage. The library starts no threads: a process may fork behind this."""
    from cel_expr_python import cel  # noqa: PLC0415 - 14 MB that only those need who have a rule

    kind = cel.Type
    types = {
        "string": kind.STRING,
        "bool": kind.BOOL,
        "int": kind.INT,
        "double": kind.DOUBLE,
        "list(string)": kind.List(kind.STRING),
        "list(list(string))": kind.List(kind.List(kind.STRING)),
        TABLES: kind.List(kind.Map(kind.STRING, kind.DYN)),
    }
    declared = {name: types[one.kind] for name, one in VARIABLES.items() if stage in one.stages}
    return cel.NewEnv(config=cel.NewEnvConfigFromYaml(_STANDARD), variables=declared)


class Expression:
    """One expression, compiled for one stage."""

    __slots__ = ("_compiled", "_used", "needs")

    def __init__(self, text: str, stage: Stage) -> None:
        """Compile and type-check `text`. Raises ExpressionError."""
        environment = _environment(stage)
        try:
            self._compiled = environment.compile(text)
        except RuntimeError as error:
            raise complaint(str(error), stage) from None
        if (kind := self._compiled.return_type().name()) != "BOOL":
            raise ExpressionError(f"must be true or false, as in `size > 1000`; this is of type {kind.lower()}")
        if much := too_much(text):
            raise ExpressionError(much)
        bare, texts = without_texts(text)
        for pattern in patterns(bare, texts)[1]:
            said = _evaluate(environment.compile(f'"".matches({pattern})'), {})
            if isinstance(said, str):
                raise ExpressionError(f"{pattern}: {said.partition(': ')[2]}")
        self._used: Mapping[str, Variable] = {
            name: one
            for name, one in VARIABLES.items()
            if stage in one.stages and any(f"{said}.".startswith(f"{name}.") for said in names(bare))
        }
        self.needs: tuple[Key[Any], ...] = tuple(
            {one.key.name: one.key for one in self._used.values() if one.key is not None}.values()
        )
        """The facts it names."""
        self._try_tables()

    def _try_tables(self) -> None:
        """Refuse fields that tables in lists do not have: CEL does not know them, and a client would find out."""
        tables = {name: one.element for name, one in self._used.items() if one.element is not None}
        if not tables:
            return
        known = "; ".join(f"{name}: {', '.join(kinds(element))}" for name, element in tables.items())
        for truth in (True, False):
            said = _evaluate(
                self._compiled, {name: _sample(one.kind, one.element, truth) for name, one in self._used.items()}
            )
            if isinstance(said, str) and (lost := _NO_FIELD.search(said)):
                raise ExpressionError(f'there is no field "{lost[1]}" in the elements of a list. They have, of {known}')

    def holds(self, evidence: Evidence, listener: str) -> bool | CannotTell:
        """Return whether it is true; or the unknown fact that the answer hangs on. Never raises."""
        values = {name: one.get(evidence, listener) for name, one in self._used.items()}
        said = _evaluate(self._compiled, {name: plain(value) for name, value in values.items() if value is not None})
        if isinstance(said, bool):
            return said
        lost = _NO_VALUE.search(said)
        if lost is None:
            return CannotTell("expression", said[:_LONGEST_REASON])
        key = VARIABLES[lost[1]].key if lost[1] in VARIABLES else None
        fact = None if key is None else evidence.get(key)
        if key is None or fact is None or isinstance(fact, Known):
            return CannotTell(lost[1], "no_value")
        return CannotTell(key.name, fact.reason)


def _evaluate(compiled: Any, data: Mapping[str, object]) -> bool | str:  # noqa: ANN401 - the library has no types
    """Return what an expression says, or the library's words of why it says nothing."""
    try:
        value = compiled.eval(data=data).value()
    except RuntimeError as error:
        return str(error)
    return value if isinstance(value, bool) else str(value)


def _sample(kind: str, element: type[Any] | None, truth: bool) -> object:  # noqa: FBT001 - the value itself
    """Return a value of a type; lists have one element."""
    if element is not None:
        return [{name: _sample(inner, None, truth) for name, (inner, _) in kinds(element).items()}]
    values: Mapping[str, object] = {
        "string": "",
        "bool": truth,
        "int": 0,
        "double": 0.0,
        "list(string)": [""],
        "list(list(string))": [["", ""]],
    }
    return values[kind]
