"""Reads a configuration file. Returns a `Config`, or raises every mistake at once.

Must never show a traceback for a mistake of the user's: a file that is missing, no file, no text, too large or no TOML
is a mistake like any other.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Final, NoReturn

from pydantic import ValidationError

from smtproxy.app.config.errors import ConfigError, ConfigErrors
from smtproxy.app.config.model import Config
from smtproxy.app.config.positions import Positions
from smtproxy.app.config.profiles import with_profile
from smtproxy.app.config.survey import survey
from smtproxy.app.config.units import show_octets
from smtproxy.app.config.wording import location_of, message_of, path_of

LARGEST_FILE: Final = 1024 * 1024
"""Octets. 10,000 domains need a quarter of it, and the parsers take seconds for more."""

_PLACE: Final = re.compile(r" ?\(at (?:line (\d+), column (\d+)|(end of document))\)$")


def load(path: Path | str) -> Config:
    """Load and check a configuration file. Raises ConfigErrors."""
    file = str(path)
    text = _text(file)
    document = _document(file, text)
    try:
        return Config.model_validate(with_profile(document), context=survey(Path(path), document))
    except ValidationError as failure:
        found = failure.errors(include_url=False)
    positions = Positions(text)
    located = [(location_of(error), message_of(error)) for error in found]
    raise ConfigErrors(sorted(ConfigError(file, positions.line(at), path_of(at), text) for at, text in located))


def _fail(file: str, path: str, message: str, line: int = 1) -> NoReturn:
    raise ConfigErrors([ConfigError(file, line, path, message)]) from None


def _text(file: str) -> str:
    try:
        with open(file, "rb") as source:  # noqa: PTH123 - Path.open refuses nothing that this would not
            octets = source.read(LARGEST_FILE + 1)
    except OSError as error:
        _fail(file, "file", f"cannot be read: {os.strerror(error.errno) if error.errno else error}")
    except ValueError:
        _fail(file, "file", "cannot be read: there is a NUL in its name")
    if len(octets) > LARGEST_FILE:
        _fail(file, "file", f"is larger than {show_octets(LARGEST_FILE)}: this is no configuration")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        _fail(file, "encoding", f"is not UTF-8 (octet 0x{octets[error.start]:02x})", line)


def _document(file: str, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        _fail(file, "syntax", "is nested too deeply")
    except ValueError as error:  # TOMLDecodeError, and what Python says of a number with 5,000 digits
        message = str(error)
        line = 1
        if place := _PLACE.search(message):
            line = text.count("\n") + (not text.endswith("\n")) if place[3] else int(place[1])
            at = "at the end of the file" if place[3] else f"column {place[2]}"
            message = f"{message[: place.start()]} ({at})"
        if message.startswith("Exceeds the limit"):
            message = "a number has too many digits"
        if message.startswith("Cannot overwrite a value"):
            message = message.replace("Cannot overwrite a value", "the key is there twice")
        _fail(file, "syntax", message[:1].lower() + message[1:], max(line, 1))
