"""Which domains nobody checks recipients of, and what is said of their backends."""

from pathlib import Path

import pytest

from smtproxy.app.accepting import MOST_DOMAINS, Tried, said, try_backends, unguarded
from smtproxy.app.config import Config, load
from smtproxy.wire.replies import Reply

LEARNED = '[[recipients.sources]]\nkind = "learned"\n'


def config(directory: Path, more: str = "", domains: str = '"example.org"', server: str = "127.0.0.1:1") -> Config:
    """A listener before a backend that is not there."""
    file = directory / "config.toml"
    file.write_text(
        f'[server]\nhostname = "mx.example.org"\n[[listeners]]\nname = "mx"\nbind = ["127.0.0.1:0"]\nbackend = "b"\n'
        f'domains = [{domains}]\n[backends.b]\nservers = ["{server}"]\n{more}'
    )
    return load(str(file))


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("", {"b": ("example.org",)}),
        (LEARNED, {}),
        (f"{LEARNED}[checks.recipients]\nenabled = false\n", {"b": ("example.org",)}),
        ('[recipients]\ncatch_all = ["example.org"]\n', {}),
    ],
)
def test_domains_that_nobody_checks(tmp_path: Path, more: str, found: dict[str, tuple[str, ...]]) -> None:
    assert unguarded(config(tmp_path, more)) == found


def test_a_source_is_for_its_domains(tmp_path: Path) -> None:
    more = f'{LEARNED}domains = ["example.net"]\n'
    assert unguarded(config(tmp_path, more, '"example.org", "example.net"')) == {"b": ("example.org",)}


def test_not_all_domains_are_asked_about(tmp_path: Path) -> None:
    domains = [f"{number}.example" for number in range(MOST_DOMAINS + 1)]
    found = unguarded(config(tmp_path, domains=", ".join(f'"{one}"' for one in domains)))
    assert found == {"b": tuple(domains[:MOST_DOMAINS])}


@pytest.mark.parametrize(("domains", "server"), [('"*"', "127.0.0.1:1"), ('"example.org"', "embedded:exchange")])
def test_nobody_is_asked(tmp_path: Path, domains: str, server: str) -> None:
    assert try_backends(config(tmp_path, domains=domains, server=server)) == []


def test_a_backend_that_is_not_there(tmp_path: Path) -> None:
    (found,) = try_backends(config(tmp_path))
    assert found == Tried("b", "example.org", None, "127.0.0.1:1: Connection refused")
    assert not found.accepts_all
    assert said(found) == (
        "backend b",
        "could not be asked whether it takes anybody in example.org: 127.0.0.1:1: Connection refused",
    )


@pytest.mark.parametrize(
    ("reply", "accepts", "words"),
    [
        (Reply(250, (b"2.1.5 OK",)), True, "TAKES ANYBODY in example.org"),
        (Reply(550, (b"5.1.1 no",)), False, "refuses unknown recipients in example.org"),
    ],
)
def test_what_a_reply_says(reply: Reply, accepts: bool, words: str) -> None:
    tried = Tried("b", "example.org", reply)
    assert tried.accepts_all is accepts
    assert said(tried)[1].startswith(words)
