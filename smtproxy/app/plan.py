"""The plan: a configuration in words, as `smtproxy check` prints it, so that a reader sees what will happen.

Must never leave out what was switched off, nor show anything the configuration does not say.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from smtproxy.app.config.backends import Backend
from smtproxy.app.config.checks import DUTIES, Judgement
from smtproxy.app.config.dns import Dns
from smtproxy.app.config.judging import Exemption, PolicyBlock
from smtproxy.app.config.listeners import Listener
from smtproxy.app.config.model import Config
from smtproxy.app.config.overload import Overload
from smtproxy.app.config.profiles import PROFILES
from smtproxy.app.config.quotas import Quotas
from smtproxy.app.config.store import Store
from smtproxy.app.config.tarpit import Tarpit
from smtproxy.app.config.units import show_octets, show_seconds
from smtproxy.policy.findings import Action, OnError
from smtproxy.policy.rate_limits import PREFIX as LIMIT
from smtproxy.policy.rate_limits import Per
from smtproxy.policy.rules.bounds import in_one_line
from smtproxy.policy.rules.check import PREFIX
from smtproxy.session.limits import LIMITS
from smtproxy.session.settings import BackendTls, BodyMode
from smtproxy.session.tarpit import PaceFor

WHOLE = ("dkim", "dmarc", "header")
"""Checks that need the whole message."""


def plan(config: Config, recipients: Sequence[tuple[str, str]] = ()) -> str:
    """Write the plan, some ten lines for each listener and backend; `recipients`: what backends said of theirs."""
    server, drain = config.server, show_seconds(config.server.drain_timeout)
    used = {listener.backend for listener in config.listeners}
    workers = f"{server.workers} worker{'s' if server.workers > 1 else ''}"
    head = [f"smtproxy {server.hostname}", workers, f"up to {drain} to drain", f"log: {config.log.format}"]
    parts = [", ".join([*head, f"profile {config.profile.value}"])]
    parts += [_block(f"listener {one.name} (role {one.role})", _listener(one)) for one in config.listeners]
    asked = {one.backend for one in config.recipients.sources if one.kind == "callout"}
    for name, backend in config.backends.items():
        no_mail = " (for call-outs alone)" if name in asked else " (no listener uses it)"
        parts.append(_block(f"backend {name}{'' if name in used else no_mail}", _backend(config, backend)))
    parts.append(_block("one client", [*_quotas(config.quotas), _tarpit(config.tarpit), _overload(config.overload)]))
    parts.append(_block("DNS", _dns(config.dns)))
    parts.append(_block("store", _store(config.store)))
    parts.append(_block("recipients", [*_recipients(config), *recipients]))
    parts.append(_block("checks", _checks(config)))
    parts.append(_block("judging", _judging(config)))
    if config.lists:
        parts.append(_block("lists", _lists(config)))
    if config.rules:
        parts.append(_block("rules", _rules(config)))
    parts.append(_block("limits", _limits(config) or [("none", "")]))
    surprises = [("!", text) for text in _surprises(config)]
    if surprises:
        parts.append(_block("what may surprise", surprises))
    parts.append(_block("bounds that differ from their defaults", _bounds(config) or [("none", "")]))
    return "\n\n".join(parts) + "\n"


def _block(title: str, rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join([title, *(f"  {name:<18} {text}".rstrip() for name, text in rows)])


def _listener(listener: Listener) -> list[tuple[str, str]]:
    rows = [
        ("listens on", ", ".join(map(str, listener.bind))),
        ("accepts", "recipients in ANY domain" if listener.domains == ("*",) else ", ".join(listener.domains)),
        ("relays to", f"backend {listener.backend}"),
        ("bodies", f"{listener.body.value}, bare newlines: {listener.bare_newlines.value}"),
        ("at most", f"{show_octets(listener.max_message_size)} a message, {listener.max_recipients} recipients"),
        ("TLS", _tls(listener)),
        ("commits within", f"{show_seconds(listener.commit_by)} of the final dot"),
    ]
    if listener.body is BodyMode.STREAM:
        rows.append(
            ("not asked", f"{', '.join(WHOLE)}, and From by own_sender: bodies are streamed, nobody sees them whole")
        )
    if listener.banner_delay:
        rows.append(("banner", f"held back for {show_seconds(listener.banner_delay)}, for the check early_talker"))
    if listener.proxy_protocol:
        rows.append(("PROXY protocol", f"demanded from {', '.join(map(str, listener.proxy_protocol))}"))
    if listener.allow_routing_local_parts:
        rows.append(("routing allowed", ", ".join(listener.allow_routing_local_parts)))
    return rows


def _tls(listener: Listener) -> str:
    if not listener.tls:
        return "none"
    how = f"{listener.tls_mode}, {listener.tls_oldest.value} and newer"
    shown = []
    for pair in listener.tls:
        ends = datetime.fromtimestamp(pair.read.not_after, UTC).date()
        shown.append(f"{', '.join(pair.read.names) or 'no name'} (until {ends})")
    return f"{how}; certificate{'s' * (len(shown) > 1)} for {'; '.join(shown)}"


def _backend(config: Config, backend: Backend) -> list[tuple[str, str]]:
    lease, idle = show_seconds(backend.lease), show_seconds(backend.idle.seconds)
    rows = [
        ("servers", _servers(backend)),
        (
            "connections",
            f"{_connections(backend)}, opened at: {backend.open.value}, lease {lease}",
        ),
        ("kept warm", f"{backend.idle.connections} for {idle}"),
        ("TLS", _server_tls(backend)),
        ("BDAT", backend.chunking.value),
        ("trace header", "yes" if backend.trace_header else "no"),
    ]
    if backend.is_embedded:
        rows.append(("SAMPLE", f"mail goes nowhere but into {config.sample.directory}"))
    return rows


def _server_tls(backend: Backend) -> str:
    if backend.tls is BackendTls.OFF:
        return "none"
    how = f"{backend.tls.value}, {backend.tls_oldest.value} and newer"
    if backend.tls is not BackendTls.VERIFY:
        return how
    trusted = "the system's authorities" if backend.tls_ca is None else backend.tls_ca
    return f"{how}; the certificate must name {backend.tls_name or 'the server'}, by {trusted}"


def _connections(backend: Backend) -> str:
    least, most = min(backend.min_connections, backend.max_connections), backend.max_connections
    fewer = "" if least == most else f" (down to {least} where more are too many)"
    kept = int(most * backend.reserved_share)
    return f"at most {most} per server{fewer}{f', {kept} of them for senders with a good record' if kept else ''}"


def _servers(backend: Backend) -> str:
    if not backend.weights:
        return ", ".join(map(str, backend.servers))
    shares = zip(backend.servers, backend.weights, strict=True)
    return ", ".join(f"{server} (share {weight} of {sum(backend.weights)})" for server, weight in shares)


def _quotas(quotas: Quotas) -> list[tuple[str, str]]:
    exempt = ", ".join(map(str, quotas.exempt)) or "nobody"
    return [
        ("is", f"a /{quotas.ipv4_prefix} of IPv4, a /{quotas.ipv6_prefix} of IPv6; not counted: {exempt}"),
        ("connections", f"at most {quotas.connections} at once, {quotas.connections_per_minute} new ones a minute"),
    ]


def _tarpit(tarpit: Tarpit) -> tuple[str, str]:
    most = f"at most {tarpit.max_per_client} sessions at once, {tarpit.max_total} of all clients"
    stutter = "; refusals an octet a second" if tarpit.stutter else ""
    whose = "all bodies" if tarpit.pace_for is PaceFor.ALL else "bodies of clients with findings"
    pace = f"; {whose} at {tarpit.pace} octets a second" if tarpit.pace else ""
    return "tarpit", f"{show_seconds(tarpit.delay)}; {most}{stutter}{pace}"


def _overload(overload: Overload) -> tuple[str, str]:
    if not overload.enabled:
        return "overload", "nobody is turned away for it"
    late, memory = show_seconds(overload.lag), f"{overload.memory:.0%} of the memory"
    return "overload", f"strangers get {1 - overload.kept:.0%} of the sessions; fewer when {late} late, or at {memory}"


def _dns(dns: Dns) -> list[tuple[str, str]]:
    longest, negative = show_seconds(dns.longest_ttl), show_seconds(dns.longest_negative_ttl)
    return [
        ("servers", ", ".join(map(str, dns.servers)) or "those of /etc/resolv.conf"),
        ("a question", f"takes at most {show_seconds(dns.timeout)}, a server {show_seconds(dns.attempt)}"),
        ("at most", f"{dns.concurrent} questions at once, {dns.per_lookup} for one fact"),
        (
            "remembers",
            f"{dns.cache_entries} answers in {show_octets(dns.cache_memory)}, for {longest}; 'no' for {negative}",
        ),
    ]


def _store(store: Store) -> list[tuple[str, str]]:
    names = "as keyed hashes, which nobody can read" if store.privacy else "as they are"
    return [("kept", store.words), ("at most", f"{store.entries} entries"), ("names", names)]


def _recipients(config: Config) -> list[tuple[str, str]]:
    recipients = config.recipients
    if not recipients.sources:
        follows = "every address in our domains is taken, and a backend that takes them all bounces what it lacks"
        return [("sources", f"NONE: {follows}, to senders that are forged as a rule")]
    rows = [(one.name, f"{one.kind}, for {_domains(one.domains)}: {one.words}") for one in recipients.sources]
    if any(one.kind == "ldap" for one in recipients.sources):
        state = config.server.state
        rows.append(("copy", f"kept in {state}" if state else "in memory only: lost with a restart, see server.state"))
    unsure = "451" if recipients.on_error is OnError.DEFER else "taken"
    case = "counts" if recipients.case_sensitive else "does not count"
    tags = f"begin with one of {recipients.delimiter}" if recipients.delimiter else "none"
    rows += [
        ("if one cannot say", unsure),
        ("postmaster", "always taken" if recipients.accept_postmaster else "like any other address"),
        ("compared", f"case of local parts {case}; tags: {tags}"),
    ]
    if recipients.catch_all:
        rows.append(("all addresses of", ", ".join(recipients.catch_all)))
    return rows


def _domains(domains: tuple[str, ...]) -> str:
    return ", ".join(domains) or "all of our domains"


def _checks(config: Config) -> list[tuple[str, str]]:
    rows = []
    for name, check in config.checks:
        settings = dict(check)
        if name in DUTIES:
            on = settings.pop("enabled")
            said = "on (duty)" if on else f"OFF (duty): {_danger(check)}"
        else:
            usual = Action(PROFILES[name].action(config.profile)) if name in PROFILES else check.action
            said = _judgement(settings)
            said += f" ({config.profile.value}: {usual.value})" * (check.action is not usual)
            kinds = [key for key, value in settings.items() if value is True]
            left = [key for key, value in settings.items() if value is False]
            settings = {key: value for key, value in settings.items() if not isinstance(value, bool)}
            if kinds or left:
                said += f"; finds {', '.join(kinds) or 'NOTHING'}" + f"; not {', '.join(left)}" * bool(left)
            if "threshold" in settings:
                lists = "" if config.lists else " (there is no list: it finds nothing)"
                said += f"; from {settings.pop('threshold'):g} on{lists}"
        own = ", ".join(
            f"{key} {show_seconds(value) if isinstance(value, float) else getattr(value, 'value', value)}"
            for key, value in settings.items()
        )
        rows.append((name, f"{said}; {own}" if own else said))
    return rows


def _surprises(config: Config) -> Iterator[str]:
    """Say what nobody would guess from the settings alone."""
    actions = {name: table.action for name, table in config.checks if isinstance(table, Judgement)}
    holding = [name for name in WHOLE if actions[name] is not Action.OFF]
    if holding and any(one.body is BodyMode.AUTO for one in config.listeners):
        yield f"{', '.join(holding)} need the whole message: with `body` auto all bodies are held"
    weak = [one.name for one in config.lists if not one.test_listed]
    if weak and actions["dnsbl"] in (Action.REJECT, Action.DROP):
        yield f"dnsbl refuses for good by {', '.join(weak)}, without test points: nobody sees it go mad"
    acting = [name for name, action in actions.items() if action not in (Action.OFF, Action.OBSERVE)]
    if {*acting} <= {"not_smtp", "blocked"} and not config.rules:
        yield "no judgement refuses any mail: all of them observe"
    scoring = [name for name, action in actions.items() if action is Action.SCORE]
    asks = config.greylist.action == "defer"
    if scoring and not any(value for name, value in config.score if name != "greylist" or asks):
        yield f"{', '.join(scoring)} add to a score, and nothing follows from it: [score] has no threshold"


def _lists(config: Config) -> list[tuple[str, str]]:
    """Say what is asked of which list. Not where: a zone may hold a secret key, and plans are shown around."""
    rows = []
    for one in config.lists:
        answers = ", ".join(map(str, one.answers)) or "any answer"
        tested = "" if one.test_listed else "; NO TEST POINT that it must have: nobody would notice its death"
        rows.append((one.name, f"{one.weight:+g} for {', '.join(one.subjects)} with {answers}{tested}"))
    return rows


def _judging(config: Config) -> list[tuple[str, str]]:
    """Say how findings become verdicts, and for whom they do not."""
    score, governor = config.score, config.governor
    given = [f"{name} from {value:g} on" for name, value in score if value]
    rows = [("score", ", ".join(given) or "never: nothing follows from a sum")]
    rows.append(("greylist", _greylist(config)))
    if config.soft_bounce:
        rows.append(("soft_bounce", "nothing is refused for good: 4xx wherever it would be 5xx"))
    watch = f"a check is not believed above {governor.factor} times its usual odds in {show_seconds(governor.window)}"
    rows.append(("governor", f"{watch}, or {governor.good} refusals of known senders" if governor.enabled else "OFF"))
    box, learned = config.reputation, "from badness {:g} on, for {}, each time twice as long, at most {}"
    lasts = learned.format(box.threshold, show_seconds(box.penalty), show_seconds(box.longest_penalty))
    rows.append(("penalty box", lasts if box.learn else "OFF: nobody is put there"))
    if box.nft:
        rows.append(("kernel", f"refuses whom the penalty box and persons block: sets of nftables, table {box.nft}"))
    if config.default_exemptions:
        rows.append(("exempt", "this machine, from all judgements"))
        rows.append(("exempt", "postmaster@*, abuse@*, from those that believe lists"))
    rows += [("exempt", f"{_whom(one)}, from {', '.join(one.checks) or 'all judgements'}") for one in config.exemptions]
    for block in config.policy:
        changes = [
            f"{name}.{key} = {getattr(value, 'value', value)}"
            for name in sorted(block.checks.model_fields_set)
            for key, value in getattr(block.checks, name)
            if key in getattr(block.checks, name).model_fields_set
        ]
        rows.append((f"policy {block.name}", f"for {_whom(block)}: {', '.join(changes) or 'nothing else'}"))
    return rows


def _greylist(config: Config) -> str:
    table, least = config.greylist, config.score.greylist
    if table.action == "off" or not least:
        return "OFF" if least else "never: [score] greylist is 0"
    wait, within = show_seconds(table.wait), show_seconds(table.retry_within)
    who = f"who is unknown, with a sum of {least:g}"
    if table.action == "observe":
        return f"observed: {who} would be asked to come again after {wait}"
    return f"{who}, is asked to come again after {wait}, within {within}; passes for {show_seconds(table.passes_for)}"


def _whom(block: Exemption | PolicyBlock) -> str:
    names = (("clients", block.clients), ("senders", block.senders), ("recipients", block.recipients))
    return " and ".join(f"{name} {', '.join(map(str, values))}" for name, values in names if values)


def _judgement(settings: dict[str, Any]) -> str:
    """Take what all judgements have in common out of a table; say what of it is not as usual."""
    action, on_error, weight = settings.pop("action"), settings.pop("on_error"), settings.pop("weight")
    early, soft = settings.pop("early"), settings.pop("soft_bounce")
    words = [action.value + f" {weight:g}" * (action is Action.SCORE), f"on_error {on_error.value}"]
    return ", ".join([*words, *["early"] * early, *["soft_bounce"] * soft])


def _rules(config: Config) -> list[tuple[str, str]]:
    rows = []
    for rule in config.rules:
        settings = {**dict(rule), "action": rule.then}
        said = f"{_judgement(settings)}, at {rule.stage}, when {in_one_line(rule.when)}"
        rows.append((PREFIX + rule.name, said))
    return rows


def _limits(config: Config) -> list[tuple[str, str]]:
    rows = []
    for one in config.limits:
        whom = f"{one.per.value.replace('_', ' ')}"
        if one.per is Per.NETWORK:
            whom += f" of /{one.ipv4_prefix} and /{one.ipv6_prefix}"
        burst = f", up to {one.burst} at once" * bool(one.burst)
        exempt = f", not for {', '.join(map(str, one.exempt))}" * bool(one.exempt)
        what = one.of.value.replace("_", " ")
        delay = f", twice as long each time up to {show_seconds(one.longest_delay)}" * one.doubles
        rows.append((LIMIT + one.name, f"{one.action.value} above {one.rate} {what} per {whom}{burst}{delay}{exempt}"))
    return rows


def _danger(check: BaseModel) -> str:
    return str(type(check).model_fields["enabled"].description).removeprefix("false ")


def _bounds(config: Config) -> list[tuple[str, str]]:
    rows = []
    for field in fields(LIMITS):
        value, default = getattr(config.bounds, field.name), getattr(LIMITS, field.name)
        if value != default:
            show = show_seconds if field.type is float else str
            rows.append((field.name, f"{show(value)} (default {show(default)})"))
    return rows
