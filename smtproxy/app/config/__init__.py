"""The configuration: a TOML file, checked as a whole, with every mistake at its line. `load` is the only way to one."""

from smtproxy.app.config.errors import ConfigError, ConfigErrors
from smtproxy.app.config.load import load
from smtproxy.app.config.model import Config

__all__ = ["Config", "ConfigError", "ConfigErrors", "load"]
