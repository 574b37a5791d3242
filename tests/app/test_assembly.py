"""A configuration becomes settings, policies and pools: nothing of it is lost or turned round on the way."""

from pathlib import Path

import pytest

from smtproxy.app.assembly import policy, pool, quotas, relay_settings, server_tls, tarpit
from smtproxy.app.config import Config, load
from smtproxy.network.sockets import Endpoint
from smtproxy.network.tls import CLEAR_TEXT
from smtproxy.policy.evidence import Evidence
from smtproxy.policy.quotas import QuotaSettings
from smtproxy.policy.replies import Phrasebook
from smtproxy.session.dialogue import Dialogue, Hello, MessageFacts
from smtproxy.session.envelope import Recipient
from smtproxy.session.networks import Grouping
from smtproxy.session.settings import BackendTls, BodyMode, Chunking, OpenMode
from smtproxy.session.verdicts import Accepted, Refused, Stage, Verdict
from smtproxy.wire.ehlo import Capabilities
from smtproxy.wire.newlines import NewlineMode
from smtproxy.wire.paths import parse_path
from tests.fakes.journal import FakeJournal

TEXT = """
[server]
hostname = "mx.example.org"
[[listeners]]
name = "edge"
bind = ["127.0.0.1:0"]
backend = "b"
domains = ["Example.org"]
body = "hold"
bare_newlines = "reject"
max_message_size = "1MiB"
max_recipients = 7
commit_by = "99s"
[backends.b]
servers = ["127.0.0.1:2600", "[::1]:2600"]
max_connections = 3
open = "mail"
chunking = "never"
lease = "4s"
trace_header = false
[bounds]
body_memory = "10KiB"
"""


def _load(tmp_path: Path, more: str = "") -> Config:
    file = tmp_path / "config.toml"
    file.write_text(TEXT + more)
    return load(str(file))


def _judge(config: Config, stage: Stage, dialogue: Dialogue) -> Verdict:
    return policy(config, config.listeners[0]).judge(Evidence(stage, dialogue), Phrasebook("mx.example.org", "id"))


def _to(address: bytes) -> Dialogue:
    dialogue = Dialogue("id", "192.0.2.1")
    dialogue.recipient = Recipient(parse_path(address)[0])
    return dialogue


def test_settings_are_those_of_the_listener_and_its_backend(tmp_path: Path) -> None:
    config = _load(tmp_path)
    settings = relay_settings(config, config.listeners[0])
    assert (settings.hostname, settings.listener, settings.backend) == ("mx.example.org", "edge", "b")
    assert (settings.body, settings.open, settings.newlines) == (BodyMode.HOLD, OpenMode.MAIL, NewlineMode.REJECT)
    assert (settings.max_message_size, settings.max_recipients) == (1 << 20, 7)
    assert (settings.commit_by, settings.lease, settings.trace_header) == (99, 4, False)
    assert settings.chunking is Chunking.NEVER
    assert settings.limits.body_memory == 10240


def test_only_the_listeners_domains_are_taken(tmp_path: Path) -> None:
    config = _load(tmp_path)
    assert isinstance(_judge(config, Stage.RECIPIENT, _to(b"<u@EXAMPLE.ORG>")), Accepted)
    refused = _judge(config, Stage.RECIPIENT, _to(b"<u@other.example>"))
    assert isinstance(refused, Refused)
    assert refused.by == "recipient_domain"


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("size", MessageFacts((1 << 20) + 1, bare_newlines=False, dot_line=False, received=0, message_id=None)),
        ("bare_newlines", MessageFacts(10, bare_newlines=True, dot_line=False, received=0, message_id=None)),
        ("loops", MessageFacts(10, bare_newlines=False, dot_line=False, received=51, message_id=None)),
    ],
)
def test_a_duty_is_there_unless_it_is_switched_off(tmp_path: Path, name: str, facts: MessageFacts) -> None:
    dialogue = Dialogue("id", "192.0.2.1")
    dialogue.message = facts
    verdict = _judge(_load(tmp_path), Stage.MESSAGE, dialogue)
    assert isinstance(verdict, Refused)
    assert verdict.by == name
    off = _load(tmp_path, f"[checks.{name}]\nenabled = false\n")
    assert isinstance(_judge(off, Stage.MESSAGE, dialogue), Accepted)


def test_a_size_that_is_not_checked_ends_at_the_ceiling(tmp_path: Path) -> None:
    config = _load(tmp_path, "[checks.size]\nenabled = false\n")
    assert relay_settings(config, config.listeners[0]).max_message_size == config.bounds.message_ceiling


def test_newlines_that_are_not_checked_pass_as_they_are(tmp_path: Path) -> None:
    config = _load(tmp_path, "[checks.bare_newlines]\nenabled = false\n")
    assert relay_settings(config, config.listeners[0]).newlines is None


@pytest.mark.parametrize("name", ["mx.example.org", "EXAMPLE.org."])
def test_our_names_are_found_in_a_hello(tmp_path: Path, name: str) -> None:
    dialogue = Dialogue("id", "192.0.2.1")
    dialogue.hello = Hello("EHLO", name)
    observed = _judge(_load(tmp_path), Stage.HELLO, dialogue)
    assert isinstance(observed, Accepted)
    assert [note["reason"] for note in observed.notes] == ["hello_forged"]
    config = _load(tmp_path, '[checks.hello]\naction = "reject"\nearly = true\n')
    assert isinstance(_judge(config, Stage.HELLO, dialogue), Refused)


def test_a_pool_has_the_backends_servers_and_its_ceiling(tmp_path: Path) -> None:
    made = pool(_load(tmp_path), "b", {}, FakeJournal())
    assert [server.name for server in made.servers] == ["127.0.0.1:2600", "[::1]:2600"]
    assert {server.ceiling for server in made.servers} == {3}


def test_servers_have_the_shares_that_are_configured(tmp_path: Path) -> None:
    assert {server.weight for server in pool(_load(tmp_path), "b", {}, FakeJournal()).servers} == {0}
    file = tmp_path / "config.toml"
    file.write_text(TEXT.replace("max_connections = 3", "max_connections = 3\nweights = [3, 1]"))
    assert [server.weight for server in pool(load(str(file)), "b", {}, FakeJournal()).servers] == [3, 1]


def test_a_backend_that_is_never_given_chunks_is_given_no_binary_body(tmp_path: Path) -> None:
    made = pool(_load(tmp_path), "b", {}, FakeJournal())
    made.reached(made.servers[0], Capabilities((("BINARYMIME", ""), ("CHUNKING", ""))), "")
    assert made.offered is not None
    assert (made.offered.has("BINARYMIME"), made.offered.has("CHUNKING")) == (False, True)


def test_an_embedded_server_is_where_it_listens(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(TEXT.replace('"127.0.0.1:2600", "[::1]:2600"', '"embedded:exchange"'))
    made = pool(load(str(file)), "b", {"b": Endpoint("127.0.0.1", 4711)}, FakeJournal())
    assert [server.name for server in made.servers] == ["127.0.0.1:4711"]


def test_quotas_are_those_of_the_table(tmp_path: Path) -> None:
    made = quotas(_load(tmp_path, "clients = 7\n[quotas]\nconnections = 1\nipv4_prefix = 24\nexempt = []\n"))
    assert made == QuotaSettings(1, 600, Grouping(24, 64), (), 7)


def test_early_talk_and_other_protocols_are_judged_as_configured(tmp_path: Path) -> None:
    early = Dialogue("id", "192.0.2.1", early=(Stage.CONNECT,))
    foreign = Dialogue("id", "192.0.2.1", foreign="HTTP")
    config = _load(tmp_path)
    assert isinstance(_judge(config, Stage.CONNECT, early), Accepted)
    dropped = _judge(config, Stage.PROTOCOL, foreign)
    assert isinstance(dropped, Refused)
    assert dropped.drop
    config = _load(
        tmp_path, '[checks]\nearly_talker = { action = "reject", early = true }\nnot_smtp.action = "observe"\n'
    )
    assert isinstance(_judge(config, Stage.CONNECT, early), Refused)
    assert isinstance(_judge(config, Stage.PROTOCOL, foreign), Accepted)


@pytest.mark.parametrize(("action", "delay"), [("observe", 6.0), ("off", 0.0)])
def test_nobody_waits_for_a_banner_where_nobody_listens(action: str, delay: float, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        TEXT.replace('body = "hold"', 'banner_delay = "6s"') + f'[checks.early_talker]\naction = "{action}"\n'
    )
    config = load(tmp_path / "config.toml")
    assert relay_settings(config, config.listeners[0]).banner_delay == delay


def test_a_backends_servers_are_spoken_to_as_configured(tmp_path: Path) -> None:
    config = _load(tmp_path)
    assert server_tls(config.backends["b"]) is CLEAR_TEXT
    for mode, checked in ((BackendTls.REQUIRE, False), (BackendTls.VERIFY, True)):
        backend = config.backends["b"].model_copy(update={"tls": mode, "tls_name": "mx.example.org"})
        made = server_tls(backend)
        assert (made.security, made.name) == (mode, "mx.example.org")
        assert made.context is not None
        assert made.context.check_hostname is checked


def test_the_tarpit_is_that_of_the_table_and_knows_clients_as_the_quotas_do(tmp_path: Path) -> None:
    config = _load(tmp_path, '[tarpit]\ndelay = "7s"\nmax_per_client = 1\nmax_total = 2\n[quotas]\nipv4_prefix = 24\n')
    made = tarpit(config)
    entered = [made.enter(one) for one in ("192.0.2.1", "192.0.2.2", "198.51.100.1", "203.0.113.1")]
    assert entered == ["", "max_per_client", "", "max_total"]
    assert not made.stutters
    assert tarpit(_load(tmp_path, "[tarpit]\nstutter = true\n")).stutters
    assert made.pace(suspect=True) == 0
    slow = _load(tmp_path, '[tarpit]\npace = 600\npace_for = "findings"\n')
    assert [tarpit(slow).pace(suspect=one) for one in (True, False)] == [600, 0]
    early = Dialogue("id", "192.0.2.1", early=(Stage.CONNECT,))
    tarpitted = _load(tmp_path, '[tarpit]\ndelay = "7s"\n[checks]\nearly_talker.action = "tarpit"\n')
    assert _judge(tarpitted, Stage.CONNECT, early).delay == 7.0


def test_rules_are_judged_as_configured_and_never_let_anything_in(tmp_path: Path) -> None:
    """A rule is a judgement among others: it can refuse what the duties take, and takes nothing that they refuse."""
    rule = '[[rules]]\nname = "bob"\nwhen = \'listener == "edge" && recipient == "bob@example.org"\'\nthen = "{}"\n'
    refused = _judge(_load(tmp_path, rule.format("reject")), Stage.RECIPIENT, _to(b"bob@example.org"))
    assert isinstance(refused, Refused)
    assert (refused.by, refused.reply.encode()) == ("rule:bob", b"550 5.7.1 Refused by local policy [id]\r\n")
    for action in ("off", "observe"):
        config = _load(tmp_path, rule.format(action))
        assert isinstance(_judge(config, Stage.RECIPIENT, _to(b"bob@example.org")), Accepted)
        foreign = _judge(config, Stage.RECIPIENT, _to(b"bob@elsewhere.example"))
        assert isinstance(foreign, Refused)
        assert foreign.by == "recipient_domain"


def test_a_rule_can_be_lifted_and_splits_no_mail(tmp_path: Path) -> None:
    """It is the same for everybody, so two recipients with other settings can still share a message."""
    rule = '[[rules]]\nname = "big"\nstage = "message"\nwhen = "size > 5"\nthen = "reject"\n'
    block = '[[policy]]\nname = "x"\nrecipients = ["bob@example.org"]\nchecks.hello.action = "reject"\n'
    config = _load(tmp_path, rule + block)
    made, second = policy(config, config.listeners[0]), _to(b"ann@example.org")
    evidence = Evidence(Stage.RECIPIENT, second, standing=parse_path(b"<bob@example.org>")[0])
    assert isinstance(made.judge(evidence, Phrasebook("mx.example.org", "id")), Accepted)
    dialogue = Dialogue("id", "192.0.2.1", message=MessageFacts(9, False, False, 0, None))
    assert isinstance(_judge(config, Stage.MESSAGE, dialogue), Refused)
    exemption = '[[exemptions]]\nclients = ["192.0.2.0/24"]\nchecks = ["rule:big"]\n'
    assert isinstance(_judge(_load(tmp_path, rule + exemption), Stage.MESSAGE, dialogue), Accepted)
