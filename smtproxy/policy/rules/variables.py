"""The names that a rule may use: what the dialogue shows, and each field of each fact.

A fact that is unknown has no value: whoever asks for one of its fields gets none, and `known.NAME` says whether it is
there. What a peer can make long is cut.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, get_args, get_origin, get_type_hints

from smtproxy.policy.evidence import Evidence, Known
from smtproxy.policy.facts import FACTS, Key, Scope
from smtproxy.session.verdicts import Stage

LONGEST_TEXT: Final = 600
"""Characters of a text that a rule sees, the rest is cut: a path has at most 571, a name in the DNS 255."""
LONGEST_LIST: Final = 100
"""Elements of a list that a rule sees, the rest is cut; no honest list of names or signatures has as many."""

STAGES: Final = (Stage.CONNECT, Stage.HELLO, Stage.MAIL, Stage.RECIPIENT, Stage.MESSAGE)
"""Where a rule may stand, in the order of the dialogue."""
_HELLO, _MAIL, _RECIPIENT, _MESSAGE = STAGES[1:], STAGES[2:], (Stage.RECIPIENT,), (Stage.MESSAGE,)

_FROM: Mapping[Scope, tuple[Stage, ...]] = {
    Scope.SESSION: STAGES,
    Scope.HELLO: _HELLO,
    Scope.TRANSACTION: _MAIL,
    Scope.RECIPIENT: _RECIPIENT,
    Scope.MESSAGE: _MESSAGE,
}
"""At which stages there are facts of a scope."""

Get: TypeAlias = Callable[[Evidence, str], object]
"""From evidence and the name of the listener to a value; None: there is none."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A name that a rule may use."""

    kind: str
    """Its type, in CEL's spelling."""
    stages: tuple[Stage, ...]
    get: Get
    meaning: str = ""
    key: Key[Any] | None = None
    """The fact it is part of; None: the dialogue itself shows it."""
    element: type[Any] | None = None
    """What each table holds, if it is a list of tables."""


def _size(evidence: Evidence, _: str) -> object:
    message = evidence.dialogue.message
    return message.size if message is not None else evidence.dialogue.declared_size or 0


def _received(evidence: Evidence, _: str) -> object:
    message = evidence.dialogue.message
    return None if message is None else message.received


def _sender(evidence: Evidence, _: str) -> object:
    envelope = evidence.dialogue.envelope
    return None if envelope is None else str(envelope.sender)


def _sender_domain(evidence: Evidence, _: str) -> object:
    envelope = evidence.dialogue.envelope
    return None if envelope is None else envelope.sender.domain_key


def _recipient(evidence: Evidence, _: str) -> object:
    recipient = evidence.dialogue.recipient
    return None if recipient is None else str(recipient.path)


def _recipient_domain(evidence: Evidence, _: str) -> object:
    recipient = evidence.dialogue.recipient
    return None if recipient is None else recipient.path.domain_key


def _recipients(evidence: Evidence, _: str) -> object:
    envelope = evidence.dialogue.envelope
    return None if envelope is None else len(envelope.recipients)


def _tls(evidence: Evidence, _: str) -> object:
    tls = evidence.dialogue.tls
    return "" if tls is None else tls.version


def _hello(evidence: Evidence, _: str) -> object:
    hello = evidence.dialogue.hello
    return None if hello is None else hello.name


_DIALOGUE: Mapping[str, Variable] = {
    "client": Variable("string", STAGES, lambda evidence, _: evidence.dialogue.client, "address of the client"),
    "listener": Variable("string", STAGES, lambda _, listener: listener, "name of the listener"),
    "tls": Variable("string", STAGES, _tls, 'version of TLS, as "TLSv1.3"; "" in clear text'),
    "hello": Variable("string", _HELLO, _hello, "what the client calls itself, as sent"),
    "sender": Variable("string", _MAIL, _sender, 'address of MAIL FROM, as sent; "" for `<>`'),
    "sender_domain": Variable("string", _MAIL, _sender_domain, "its domain as it is compared: lower case, A-labels"),
    "recipient": Variable("string", _RECIPIENT, _recipient, "address of RCPT TO, as sent"),
    "recipient_domain": Variable("string", _RECIPIENT, _recipient_domain, "its domain as it is compared"),
    "recipients": Variable("int", _MAIL, _recipients, "recipients of this mail so far, this one included"),
    "size": Variable("int", _MAIL, _size, "octets of the message; before it is there: as MAIL declared them, or 0"),
    "received": Variable("int", _MESSAGE, _received, "Received header fields"),
}


def _known(key: Key[Any]) -> Get:
    return lambda evidence, _: isinstance(evidence.get(key), Known)


def _field(key: Key[Any], name: str) -> Get:
    def get(evidence: Evidence, _: str) -> object:
        fact = evidence.get(key)
        return getattr(fact.value, name) if isinstance(fact, Known) else None

    return get


_KINDS: Mapping[object, str] = {str: "string", bool: "bool", int: "int", float: "double"}
TABLES: Final = "list(map(string, dyn))"
"""The type of a list of tables."""


def _kind(hint: object) -> tuple[str, type[Any] | None]:
    """Return the type of a field in CEL's spelling, and what its tables hold."""
    if get_origin(hint) is UnionType:
        return _kind(next(one for one in get_args(hint) if one is not NoneType))
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        if isinstance(inner, type) and is_dataclass(inner):
            return TABLES, inner
        return f"list({_kind(inner)[0]})", None
    return _KINDS[hint], None


def kinds(shape: type[Any]) -> Mapping[str, tuple[str, type[Any] | None]]:
    """Return the fields of a fact, or of what a list in it holds, each with its type in CEL's spelling."""
    hints = get_type_hints(shape)
    return {field.name: _kind(hints[field.name]) for field in fields(shape)}


def _of_facts() -> Mapping[str, Variable]:
    found: dict[str, Variable] = {}
    for key in FACTS.values():
        stages = _FROM[key.scope]
        found[f"known.{key.name}"] = Variable("bool", stages, _known(key), f"whether there is: {key.meaning}", key)
        for name, (kind, element) in kinds(key.shape).items():
            found[f"{key.name}.{name}"] = Variable(kind, stages, _field(key, name), "", key, element)
    return found


VARIABLES: Final[Mapping[str, Variable]] = {**_DIALOGUE, **_of_facts()}
"""Every name that a rule may use at some stage."""


def plain(value: object) -> object:
    """Return a value as CEL takes it: texts, numbers, truth, lists and dicts, of a bounded size."""
    if isinstance(value, str):
        return value[:LONGEST_TEXT]
    if isinstance(value, tuple):
        return [plain(one) for one in value[:LONGEST_LIST]]
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value
