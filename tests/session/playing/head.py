"""The part of a dialogue file above its line `---`: settings of the proxy, of its checks, and of the backend.

Names are the product's own: fields of `RelaySettings` and `Limits`, options of the checks, fields of `Profile` and
`Texts`. A name that is none of them is an error.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from smtproxy.policy.checks import (
    bare_newlines,
    early_talker,
    hello,
    loops,
    not_smtp,
    protocol_errors,
    recipient_domain,
    size,
)
from smtproxy.policy.findings import Action
from smtproxy.policy.judge import Check, Policy
from smtproxy.sample.profile import Profile, UnknownRecipients
from smtproxy.sample.profiles import PROFILES
from smtproxy.session.settings import BodyMode, Chunking, OpenMode, RelaySettings
from smtproxy.wire.ehlo import Capabilities
from smtproxy.wire.newlines import NewlineMode

HOSTNAME = "mx.example.org"
T = TypeVar("T")
_ESCAPE = re.compile(rb"\\(?:([rnt0\\])|x([0-9a-f]{2}))")
_ESCAPED = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}
_NOTED = frozenset({"backend", "checks", "promised", "script", "servers", "refusing", "disk", "one_piece", "in_memory"})
_NEVER = "never reached"
_NAMED = hello.HelloOptions(frozenset({HOSTNAME}))
_JUDGEMENTS = {"early_talker": "observe", "not_smtp": "drop", "hello": "observe"}


class Head:
    """The TOML of a file."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def noted(self, name: str, default: T) -> T:
        """A value that is no setting of the product, of the type of its default."""
        value = self._values.get(name, default)
        if type(value) is not type(default):
            raise TypeError(f"{name}: {value!r}")
        return value

    def settings(self) -> RelaySettings:
        settings = RelaySettings(HOSTNAME)
        for name, value in self._values.items():
            match name:
                case _ if name in _NOTED or name == "careless":
                    pass
                case "limits":
                    settings = replace(settings, limits=replace(settings.limits, **value))
                case "body":
                    settings = replace(settings, body=BodyMode(value))
                case "open":
                    settings = replace(settings, open=OpenMode(value))
                case "chunking":
                    settings = replace(settings, chunking=Chunking(value))
                case "newlines":
                    settings = replace(settings, newlines=None if value == "off" else NewlineMode(value))
                case _:
                    settings = replace(settings, **{name: value})
        return settings

    def policy(self, settings: RelaySettings) -> Policy:
        """The checks as they are by default, but for options under `checks`."""
        options: dict[str, Any] = {"domains": ["example.org"], "routing": []} | _JUDGEMENTS
        options |= self._values.get("checks", {})
        domains, routing = frozenset(options.pop("domains")), frozenset(options.pop("routing"))
        mode = settings.newlines or NewlineMode.NORMALISE
        early, foreign, forged = (Action(options.pop(name)) for name in _JUDGEMENTS)
        hops = {name: options.pop(name) for name in ("max_received",) if name in options}
        return Policy(
            (
                Check(recipient_domain.CHECK, recipient_domain.RecipientDomainOptions(domains, routing)),
                Check(size.CHECK, size.SizeOptions(settings.max_message_size)),
                Check(bare_newlines.CHECK, bare_newlines.BareNewlinesOptions(mode)),
                Check(loops.CHECK, loops.LoopsOptions(**hops)),
                Check(protocol_errors.CHECK, protocol_errors.ProtocolErrorsOptions(**options)),
                Check(early_talker.CHECK, early_talker.EarlyTalkerOptions(), early, early=True),
                Check(not_smtp.CHECK, not_smtp.NotSmtpOptions(), foreign),
                Check(hello.check(_NAMED), _NAMED, forged, early=True),
            )
        )

    def profile(self) -> Profile:
        """The backend: a profile's name, or a table of its name and of what is different."""
        value = self._values.get("backend", "exchange")
        if isinstance(value, str):
            return PROFILES[value]
        changes: dict[str, Any] = dict(value)
        profile = PROFILES[changes.pop("profile", "exchange")]
        texts = replace(profile.texts, **changes.pop("texts", {}))
        return replace(profile, texts=texts, **{name: _typed(name, value) for name, value in changes.items()})

    def promised(self) -> Capabilities | None:
        """What clients are promised: what the backend offers, if nothing else is told."""
        lines = self._values.get("promised", self.profile().ehlo or ())
        if lines == _NEVER:
            return None
        split = (line.partition(" ") for line in lines)
        return Capabilities(tuple((word.upper(), value) for word, _, value in split))


def _typed(name: str, value: Any) -> Any:  # noqa: ANN401 - a value of a TOML file
    """A value of a profile as its field wants it."""
    match name:
        case "ehlo":
            return tuple(value)
        case "known_recipients":
            return frozenset(value)
        case "unknown_recipients":
            return UnknownRecipients(value)
        case "blank" | "line_end":
            return unescape(value)
        case _:
            return value


def unescape(text: str) -> bytes:
    """The octets of a text with escapes."""
    return _ESCAPE.sub(
        lambda found: _ESCAPED[found[1]] if found[1] else bytes.fromhex(found[2].decode()), text.encode()
    )
