"""What is wrong with a configuration: a list of errors, each with file, line and path. Never just the first of them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class ConfigError:
    """One mistake in a configuration file."""

    file: str
    """The file as it was named."""
    line: int
    """Counted from 1; 1 also where no line is to blame (something is missing altogether)."""
    path: str
    """The setting, as in `listeners[0].bind[1]`; or the stage that failed: `file`, `encoding`, `syntax`."""
    message: str
    """What is wrong, and what would be right."""

    def __str__(self) -> str:
        """Write it as compilers do, so that editors find the place."""
        return f"{self.file}:{self.line}: {self.path}: {self.message}"


class ConfigErrors(Exception):  # noqa: N818 - it is a list of errors, and says so
    """A configuration that cannot be used, with all that is wrong with it, in the order of the file."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = tuple(errors)
