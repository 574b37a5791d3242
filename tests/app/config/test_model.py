"""The configuration as a whole: defaults, names that are a contract, and that everything is described."""

import os
import re
import socket
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from smtproxy.app.config import Config, load, model
from smtproxy.app.config.model import MOST_WORKERS, system_name
from smtproxy.app.config.units import show_octets, show_seconds
from smtproxy.session.limits import LIMITS, Limits

ROOT = Path(__file__).parents[3]
MINIMAL = """
[[listeners]]
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["example.org"]
[backends.b]
servers = ["127.0.0.1:25"]
"""

JUDGEMENT = {"action", "on_error", "weight", "early", "soft_bounce"}
# The names of issue and documentation, which tools depend on. A name may be added, none may change or go.
CONTRACT = {
    "": {
        "server",
        "bounds",
        "log",
        "quotas",
        "sample",
        "tarpit",
        "overload",
        "checks",
        "backends",
        "listeners",
        "soft_bounce",
        "score",
        "greylist",
        "default_exemptions",
        "exemptions",
        "policy",
        "governor",
        "dns",
        "store",
        "reputation",
        "recipients",
        "rules",
        "limits",
        "profile",
        "lists",
    },
    "server": {
        "hostname",
        "workers",
        "drain_timeout",
        "contact",
        "state",
    },
    "score": {"tarpit", "greylist", "defer", "reject"},
    "greylist": {"action", "wait", "retry_within", "passes_for"},
    "lists": {"name", "zone", "subjects", "weight", "answers", "test_listed", "test_unlisted"},
    "exemptions": {"clients", "senders", "recipients", "checks"},
    "policy": {"name", "clients", "senders", "recipients", "checks"},
    "governor": {"enabled", "window", "factor", "refusals", "good"},
    "listeners": {
        "name", "bind", "role", "backend", "domains", "tls", "tls_mode", "tls_oldest", "tls_ciphers", "body",
        "bare_newlines", "max_message_size", "max_recipients", "commit_by", "banner_delay", "proxy_protocol",
        "allow_routing_local_parts", "authentication_results",
    },
    "listeners.tls": {"certificate", "key"},
    "backends": {
        "servers", "weights", "max_connections", "min_connections", "reserved_share", "open", "lease", "idle", "tls",
        "tls_ca", "tls_name", "tls_oldest", "chunking", "trace_header",
    },
    "backends.idle": {"connections", "seconds"},
    "sample": {"directory"},
    "tarpit": {"delay", "max_per_client", "max_total", "stutter", "pace", "pace_for"},
    "overload": {"enabled", "kept", "lag", "memory", "command_time", "errors", "calm_after"},
    "store": {
        "kind", "path", "servers", "cluster", "user", "password_file", "database", "tls", "tls_ca", "timeout",
        "entries", "privacy", "secret_file",
    },
    "reputation": {"learn", "threshold", "penalty", "longest_penalty", "nft"},
    "dns": {
        "servers", "timeout", "attempt", "concurrent", "per_lookup", "cache_entries", "cache_memory", "longest_ttl",
        "longest_negative_ttl",
    },
    "quotas": {"connections", "connections_per_minute", "ipv4_prefix", "ipv6_prefix", "exempt"},
    "recipients": {"on_error", "accept_postmaster", "case_sensitive", "delimiter", "catch_all", "sources"},
    "checks": {
        "recipient_domain", "recipients", "size", "bare_newlines", "loops", "protocol_errors", "early_talker",
        "not_smtp", "blocked", "reputation", "hello", "reverse_name", "sender_domain", "dnsbl", "spf", "own_sender",
        "null_sender", "dkim", "dmarc", "header",
    },
    "checks.recipient_domain": {"enabled"},
    "checks.recipients": {"enabled"},
    "checks.size": {"enabled"},
    "checks.bare_newlines": {"enabled"},
    "checks.loops": {"enabled", "max_received"},
    "checks.protocol_errors": {"enabled", "soft", "hard", "delay"},
    "checks.early_talker": JUDGEMENT,
    "checks.not_smtp": JUDGEMENT,
    "checks.blocked": JUDGEMENT | {"at"},
    "checks.reputation": JUDGEMENT,
    "checks.hello": JUDGEMENT
    | {"forged", "syntax", "foreign_address", "changed", "unqualified", "unresolvable"},
    "checks.reverse_name": JUDGEMENT | {"missing", "unconfirmed", "dynamic"},
    "checks.sender_domain": JUDGEMENT | {"missing", "null_mx", "no_exchanger", "bogus_exchanger"},
    "checks.dnsbl": JUDGEMENT | {"threshold"},
    "checks.spf": JUDGEMENT | {"fail", "softfail", "permerror", "hello"},
    "checks.own_sender": JUDGEMENT | {"envelope", "author"},
    "checks.null_sender": JUDGEMENT | {"several_recipients", "never_sends"},
    "checks.dkim": JUDGEMENT | {"broken", "partial", "many"},
    "checks.dmarc": JUDGEMENT | {"reject", "quarantine", "trusted_sealers"},
    "checks.header": JUDGEMENT
    | {
        "no_from", "several_from", "unreadable_from", "several_domains", "bad_date", "date_ahead", "date_behind",
        "large", "max_size", "raw_8bit", "undeclared_8bit",
    },
    "rules": {"name", "stage", "when", "then", "text", "code", "enhanced"} | JUDGEMENT - {"action"},
    "limits": {"name", "of", "per", "rate", "burst", "action", "exempt", "ipv4_prefix", "ipv6_prefix", "longest_delay"},
    "log": {"format"},
}  # fmt: skip


def tables(model: type[BaseModel] = Config, path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel) and path != "policy":
                yield from tables(inner, f"{path}.{name}".lstrip("."))


TABLES = dict(tables())


def limits_text() -> str:
    """Write the lines of [bounds] in config.toml."""
    lines = []
    for field in fields(Limits):
        value = getattr(LIMITS, field.name)
        if field.type is float:
            shown = f'"{show_seconds(value)}"'
        else:
            shown = f'"{show_octets(value)}"' if value >= 4096 and value % 1024 == 0 else str(value)
        setting = f"#{field.name} = {shown}"
        lines.append(f"{setting:<34} # {field.metadata['origin']}\n")
    return "".join(lines)


@pytest.fixture
def minimal(tmp_path: Path) -> Config:
    file = tmp_path / "minimal.toml"
    file.write_text(MINIMAL)
    return load(file)


def test_names_are_a_contract() -> None:
    assert {path: set(model.model_fields) for path, model in TABLES.items()} == CONTRACT


@pytest.mark.parametrize("path", list(TABLES))
def test_every_setting_is_described(path: str) -> None:
    bare = [name for name, field in TABLES[path].model_fields.items() if not field.description]
    assert bare == []
    assert TABLES[path].__doc__


def test_a_listener_and_a_backend_are_enough(minimal: Config) -> None:
    assert minimal.server.workers == 1
    assert minimal.server.drain_timeout == 60
    assert minimal.bounds == LIMITS
    assert minimal.log.format == "auto"
    assert [listener.name for listener in minimal.listeners] == ["mx"]


def test_paths_are_beside_the_file(minimal: Config, tmp_path: Path) -> None:
    assert minimal.path == tmp_path / "minimal.toml"
    assert minimal.sample.directory == tmp_path / "var/mail"


def test_absolute_directory(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(MINIMAL + '[sample]\ndirectory = "/srv/mails"\n')
    assert load(file).sample.directory == Path("/srv/mails")


def test_frozen(minimal: Config) -> None:
    for part, name in ((minimal, "server"), (minimal.server, "hostname"), (minimal.checks.hello, "action")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, name, None)
    with pytest.raises(AttributeError):
        setattr(minimal.bounds, "commands", 1)  # noqa: B010 - mypy would not let it be written plainly


@pytest.mark.parametrize(
    ("host", "full", "name"),
    [
        ("mx.example.org", None, "mx.example.org"),
        ("MX", "MX.Example.org", "mx.example.org"),
        ("mx", "mx", "mx"),
        ("mx", "mx with blanks", "localhost"),
        ("10.0.0.1", None, "localhost"),
        ("", "", "localhost"),
    ],
)
def test_system_name(host: str, full: str | None, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name that is whole is not looked up: that may ask the DNS, and take its time."""
    asked: list[str] = []

    def getfqdn(name: str) -> str:
        asked.append(name)
        return str(full)

    monkeypatch.setattr(socket, "gethostname", lambda: host)
    monkeypatch.setattr(socket, "getfqdn", getfqdn)
    assert system_name() == name
    assert asked == ([] if full is None else [host])


def test_configured_name_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: pytest.fail("asked for the host name"))
    file = tmp_path / "a.toml"
    file.write_text('server.hostname = "MX.example.org"\n' + MINIMAL)
    assert load(file).server.hostname == "mx.example.org"


_EXAMPLES_ONLY = ("listeners.tls", "exemptions", "lists", "policy", "rules", "limits")
"""No certificate comes with it; blocks that concern nobody are a mistake, so it has them as examples in comments."""


@pytest.mark.parametrize(("processors", "workers"), [(3, 3), (200, MOST_WORKERS)])
def test_workers_are_as_many_as_there_are_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, processors: int, workers: int
) -> None:
    monkeypatch.setattr(model, "processors", lambda: processors)
    file = tmp_path / "config.toml"
    file.write_text(f'{MINIMAL}[server]\nworkers = "auto"\n')
    assert load(file).server.workers == workers


class TestTheFileThatComesWithIt:
    """config.toml works as it is, shows every setting, and shows it with its default."""

    TEXT = (ROOT / "config.toml").read_text(encoding="utf-8")
    UNFOLDED = re.sub(r"^#(?=[a-z0-9_]+ = )", "", TEXT, flags=re.MULTILINE)

    def test_works_as_it_is(self) -> None:
        config = load(ROOT / "config.toml")
        (listener,) = config.listeners
        assert [str(address) for address in listener.bind] == ["127.0.0.1:2525", "[::1]:2525"]
        assert listener.domains == ("example.org",)
        assert config.backends[listener.backend].is_embedded
        assert config.sample.directory == ROOT / "var/mail"

    def test_shows_every_default_as_it_is(self, tmp_path: Path) -> None:
        file = tmp_path / "config.toml"
        file.write_text(self.UNFOLDED, encoding="utf-8")
        shown, plain = load(file), load(ROOT / "config.toml")
        for name in Config.model_fields:
            if name not in ("server", "sample"):
                assert getattr(shown, name) == getattr(plain, name)
        assert shown.server.drain_timeout == plain.server.drain_timeout
        assert shown.sample.directory == tmp_path / "var/mail"

    def test_shows_every_limit_with_its_origin(self) -> None:
        """WRITE_EXPECTED=1 writes that part of the file anew, as test_load does with its own."""
        before, _, shown = self.TEXT.rpartition("\n#command_time")
        assert before.rpartition("\n[")[2].startswith("bounds]")
        if "WRITE_EXPECTED" in os.environ:
            (ROOT / "config.toml").write_text(f"{before}\n{limits_text()}", encoding="utf-8")
        assert f"#command_time{shown}" == limits_text()

    def test_its_rule_is_one(self, tmp_path: Path) -> None:
        rule = self.TEXT.partition("#   [[rules]]\n")[2].partition("\n\n")[0].replace("#   ", "")
        file = tmp_path / "config.toml"
        file.write_text(f"{MINIMAL}\n[[rules]]\n{rule}")
        (found,) = load(file).rules
        assert found.model_fields_set == CONTRACT["rules"] - JUDGEMENT

    def test_its_list_is_one(self, tmp_path: Path) -> None:
        table = self.TEXT.partition("#   [[lists]]\n")[2].partition("\n\n")[0].replace("#   ", "")
        file = tmp_path / "config.toml"
        file.write_text(f"{MINIMAL}\n[[lists]]\n{table}")
        (found,) = load(file).lists
        assert found.model_fields_set == CONTRACT["lists"]

    def test_shows_everything(self) -> None:
        document = tomllib.loads(self.UNFOLDED)
        (listener,) = document.pop("listeners")
        (backend,) = document.pop("backends").values()
        shown = {"listeners": listener, "backends": backend, **document}
        assert set(shown["bounds"]) == {field.name for field in fields(Limits)}
        for path, names in CONTRACT.items():
            if path.startswith(_EXAMPLES_ONLY):
                continue
            table = shown
            for part in path.split(".") if path else ():
                table = table[part]
            said_once = JUDGEMENT - {"action"} if path.startswith("checks.") else set()
            if not path:
                said_once = set(_EXAMPLES_ONLY)
            assert names - said_once <= set(table) <= names, path
