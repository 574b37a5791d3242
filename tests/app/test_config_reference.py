"""docs/configuration.md is what the models say."""

import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from smtproxy.app.config import Config, load
from smtproxy.app.config.backends import Backend, Idle
from smtproxy.app.config.checks import Checks
from smtproxy.app.config.dns import Dns
from smtproxy.app.config.greylist import Greylist
from smtproxy.app.config.judging import Exemption, Governor, PolicyBlock, Score
from smtproxy.app.config.ldap import LdapRecipients
from smtproxy.app.config.listeners import Listener
from smtproxy.app.config.lists import DnsListTable
from smtproxy.app.config.model import Log, Sample, Server
from smtproxy.app.config.overload import Overload
from smtproxy.app.config.profiles import Profile
from smtproxy.app.config.quotas import Quotas
from smtproxy.app.config.rate_limits import RateLimit
from smtproxy.app.config.recipients import KINDS, CalloutRecipients, FileRecipients, LearnedRecipients, Recipients
from smtproxy.app.config.reputation import Reputation
from smtproxy.app.config.rules import Rule
from smtproxy.app.config.store import Store
from smtproxy.app.config.tarpit import Tarpit
from smtproxy.app.config_reference import document
from smtproxy.session.limits import Limits

ROOT = Path(__file__).parents[2]
TABLES = {
    "[server]": list(Server.model_fields),
    "[[listeners]]": list(Listener.model_fields),
    "[backends.NAME]": [
        one
        for name in Backend.model_fields
        for one in ([f"idle.{inner}" for inner in Idle.model_fields] if name == "idle" else [name])
    ],
    "[sample]": list(Sample.model_fields),
    "[score]": list(Score.model_fields),
    "[greylist]": list(Greylist.model_fields),
    "[[exemptions]]": list(Exemption.model_fields),
    "[[policy]]": list(PolicyBlock.model_fields),
    "[governor]": list(Governor.model_fields),
    "[quotas]": list(Quotas.model_fields),
    "[tarpit]": list(Tarpit.model_fields),
    "[overload]": list(Overload.model_fields),
    "[dns]": list(Dns.model_fields),
    "[store]": list(Store.model_fields),
    "[reputation]": list(Reputation.model_fields),
    "[[lists]]": list(DnsListTable.model_fields),
    "[recipients]": list(Recipients.model_fields),
    '[[recipients.sources]], kind = "file"': list(FileRecipients.model_fields),
    '[[recipients.sources]], kind = "ldap"': list(LdapRecipients.model_fields),
    '[[recipients.sources]], kind = "callout"': list(CalloutRecipients.model_fields),
    '[[recipients.sources]], kind = "learned"': list(LearnedRecipients.model_fields),
    **{f"[checks.{name}]": list(type(check).model_fields) for name, check in Checks()},
    "[[rules]]": list(Rule.model_fields),
    "[[limits]]": list(RateLimit.model_fields),
    "[log]": list(Log.model_fields),
    "[bounds]": [field.name for field in fields(Limits)],
}


def test_every_kind_of_source_has_its_table() -> None:
    assert [title for title in TABLES if title.startswith("[[recipients.sources]]")] == [
        f'[[recipients.sources]], kind = "{kind}"' for kind in KINDS
    ]


_AT_THE_TOP = {name for name, field in Config.model_fields.items() if field.annotation in (bool, str, Profile)}


_NOT_WITHOUT_WHOM = (
    "[[exemptions]]",
    "[[policy]]",
    '[[recipients.sources]], kind = "file"',
    '[[recipients.sources]], kind = "ldap"',
    '[[recipients.sources]], kind = "callout"',
    '[[recipients.sources]], kind = "learned"',
)


def rows(title: str) -> list[list[str]]:
    """The cells of each row in the section of a table."""
    section = document().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in section.splitlines() if line.startswith("| `")]


def test_each_table_is_there() -> None:
    titles = re.findall(r"^## (\[.*)$", document(), re.MULTILINE)
    assert titles == list(TABLES)
    assert {re.split(r"[\[\].]+", title)[1] for title in titles} == set(Config.model_fields) - _AT_THE_TOP


@pytest.mark.parametrize("title", list(TABLES))
def test_each_setting_is_there_and_described(title: str) -> None:
    found = rows(title)
    assert [cells[0].strip("`") for cells in found] == TABLES[title]
    assert all(len(cells) == 4 and all(cells) for cells in found)


def test_each_limit_has_its_origin() -> None:
    assert [cells[3] for cells in rows("[bounds]")] == [field.metadata["origin"] for field in fields(Limits)]


def test_each_default_may_be_written_as_it_is_shown(tmp_path: Path) -> None:
    """A configuration that writes out every default of the document is the one that writes none."""
    least = {"[[listeners]]": 'bind = ["127.0.0.1:0"]\nbackend = "NAME"\ndomains = ["example.org"]\n'}
    least["[backends.NAME]"] = 'servers = ["127.0.0.1:25"]\n'
    least["[[lists]]"] = 'name = "a"\nzone = "list.example"\n'
    least["[[limits]]"] = 'name = "a"\nof = "messages"\nrate = "1/1m"\n'
    least["[[rules]]"] = 'name = "a"\nwhen = "true"\nthen = "observe"\n'
    plain, full = tmp_path / "plain.toml", tmp_path / "full.toml"
    plain.write_text("".join(f"{title}\n{text}" for title, text in least.items()))
    full.write_text(
        "".join(
            f"{title}\n{least.get(title, '')}"
            + "".join(
                f"{key.strip('`')} = {shown.strip('`')}\n" for key, _, shown, _ in rows(title) if "(" not in shown
            )
            for title in TABLES
            if title not in _NOT_WITHOUT_WHOM
        )
    )
    written = tomllib.loads(full.read_text())
    assert written["bounds"]["end_of_data_time"] == "10m"
    assert dict(load(full)) == dict(load(plain))


def test_values_that_may_be_chosen_are_all_there() -> None:
    kinds = {(title, cells[0].strip("`")): cells[1] for title in TABLES for cells in rows(title)}
    assert kinds["[[listeners]]", "body"] == '`"auto"`, `"hold"`, `"stream"`'
    assert kinds["[log]", "format"] == '`"json"`, `"console"`, `"auto"`'
    assert kinds["[[listeners]]", "max_message_size"] == "size"
    assert kinds["[bounds]", "commands"] == "number"
    assert kinds["[bounds]", "command_time"] == "duration"
    assert kinds["[checks.size]", "enabled"] == "yes or no"


def test_its_example_is_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "example.toml"
    file.write_text(document().partition("```toml\n")[2].partition("```")[0])
    assert [str(one) for one in load(file).listeners[0].bind] == ["127.0.0.1:2525"]


def test_prose_is_folded() -> None:
    assert [line for line in document().splitlines() if len(line) > 120 and not line.startswith("|")] == []


def test_the_document_is_current() -> None:
    current = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert current == document(), "run: python -m smtproxy.app.config_reference > docs/configuration.md"


def test_the_command_prints_it() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "smtproxy.app.config_reference"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert printed.stdout == document()
    assert printed.stderr == ""
