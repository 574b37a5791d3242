"""`smtproxy ledger`: what became of the mails that we deferred: who came back, when, from where, and what then.

Read from the `message` lines of a log alone, in their order; a mail is known again by its sender, without what differs
from attempt to attempt (`policy/verp.py`), and its recipient. What the backend deferred is its own matter. Memory does
not grow with the log. Must never call a sender lost that may still come back.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any, Final

from smtproxy.app.config.units import show_seconds
from smtproxy.app.recordings import Recording
from smtproxy.lookups.dmarc import organisation
from smtproxy.policy.acquaintances import NETWORK
from smtproxy.policy.evidence import Known
from smtproxy.policy.facts import GREYLIST, REVERSE_NAME, SPF
from smtproxy.policy.greylist import Windows, sender_key
from smtproxy.policy.verp import reduced
from smtproxy.session.networks import address_of
from smtproxy.wire.errors import PeerError
from smtproxy.wire.paths import parse_path

RETRY_WITHIN: Final = Windows().retry_within
"""Seconds after which a sender that has not come back is called lost. Until then it is open."""
MOST: Final = 100_000
"""Mails that are waited for at once, and times that a median is taken of; some 300 octets each."""
_NAMED: Final = 5
"""Senders that are named for each check."""
_NOT_OURS: Final = frozenset({"backend", "client", ""})
ADDRESS, NETWORK_TOO, ORGANISATION, ELSEWHERE = "same address", "same network", "same organisation", "elsewhere"


@dataclass(slots=True)
class Account:
    """What one check deferred, and what came of it. Numbers are mails: pairs of sender and recipient."""

    deferred: int = 0
    back: Counter[str] = field(default_factory=Counter)
    """Those whose sender came back, by where the first such attempt came from."""
    then: Counter[str] = field(default_factory=Counter)
    """What became of them in the end: delivered | refused; who is not here is still tried."""
    waits: list[float] = field(default_factory=list)
    """Seconds until they came back."""
    delays: list[float] = field(default_factory=list)
    """Seconds from the first deferral to the delivery."""
    open: int = 0
    """Not back yet when the log ends, and not late."""
    lost: Counter[str] = field(default_factory=Counter)
    """Those who never came back in time, by who they are."""

    def plain(self) -> dict[str, object]:
        """Return it for machines; times in seconds."""
        return {
            "deferred": self.deferred,
            "back": dict(self.back),
            "then": dict(self.then),
            "median_wait": round(median(self.waits), 1) if self.waits else None,
            "median_delay": round(median(self.delays), 1) if self.delays else None,
            "open": self.open,
            "lost": self.lost.total(),
            "lost_senders": dict(self.lost.most_common(_NAMED)),
        }


@dataclass(slots=True)
class _Mail:
    """A mail that was deferred, and may come again."""

    check: str
    at: float
    session: str
    client: str
    key: str
    last: float
    """When it was last tried."""
    back: bool = False


@dataclass(slots=True)
class Ledger:
    """All of it, by the name of the check."""

    accounts: dict[str, Account] = field(default_factory=dict)
    most: int = MOST
    """Mails that are waited for at once."""
    lines: int = 0
    forgotten: int = 0
    """Mails that were not followed to their end: too many were waited for."""
    _waiting: dict[tuple[str, str], _Mail] = field(default_factory=dict)
    _now: float = 0.0

    def note(self, recording: Recording) -> None:
        """Take in one line."""
        line = recording.line
        time = _time(line.get("time"))
        if line.get("event") != "message" or time is None:
            return
        self.lines += 1
        self._now = max(self._now, time)
        session, client, key = str(line.get("session", "")), str(line.get("client", "")), _key(recording)
        sender = _sender(str(line.get("sender", "")), key)
        for one in line.get("recipients") or ():
            fate, by = _fate(one, line)
            self._attempt((sender, str(one.get("to", "")).lower()), fate, _Mail(by, time, session, client, key, time))

    def _attempt(self, name: tuple[str, str], fate: str, attempt: _Mail) -> None:
        waiting = self._waiting.get(name)
        if waiting is not None and attempt.at - waiting.last > RETRY_WITHIN:
            if not waiting.back:
                self._lose(waiting)
            del self._waiting[name]
            waiting = None
        if waiting is None:
            if fate == "deferred":
                self._account(attempt.check).deferred += 1
                self._waiting[name] = attempt
                if len(self._waiting) > self.most:
                    del self._waiting[next(iter(self._waiting))]
                    self.forgotten += 1
            return
        account = self._account(waiting.check)
        waiting.last = attempt.at
        if waiting.session == attempt.session and fate not in ("delivered", "refused"):
            return  # it has not gone away yet
        if not waiting.back:
            waiting.back = True
            account.back[_where(waiting, attempt)] += 1
            _keep(account.waits, attempt.at - waiting.at)
        if fate in ("delivered", "refused"):
            account.then[fate] += 1
            if fate == "delivered":
                _keep(account.delays, attempt.at - waiting.at)
            del self._waiting[name]

    def close(self) -> None:
        """The log is at its end: who is not back is late by now, or open."""
        for mail in self._waiting.values():
            if mail.back:
                continue
            if self._now - mail.last > RETRY_WITHIN:
                self._lose(mail)
            else:
                self._account(mail.check).open += 1
        self._waiting.clear()

    def _lose(self, mail: _Mail) -> None:
        lost = self._account(mail.check).lost
        lost[mail.key if mail.key in lost or len(lost) < MOST else "others"] += 1

    def _account(self, check: str) -> Account:
        return self.accounts.setdefault(check, Account())


def ledger(past: Iterable[Recording]) -> Ledger:
    """Read a log."""
    made = Ledger()
    for recording in past:
        made.note(recording)
    made.close()
    return made


def _keep(times: list[float], seconds: float) -> None:
    if len(times) < MOST:
        times.append(seconds)


def _time(said: object) -> float | None:
    try:
        return datetime.fromisoformat(str(said)).timestamp()
    except ValueError:
        return None


def _key(recording: Recording) -> str:
    """Return who a sender is, as greylisting sees it."""
    client = str(recording.line.get("client", ""))
    if not recording.decisions:
        return sender_key(client, None, "", organisation)
    evidence = recording.decisions[-1].evidence
    known, spf, name = evidence.get(GREYLIST), evidence.get(SPF), evidence.get(REVERSE_NAME)
    if isinstance(known, Known):
        return known.value.key
    return sender_key(
        client,
        spf.value if isinstance(spf, Known) else None,
        name.value.confirmed if isinstance(name, Known) else "",
        organisation,
    )


def _sender(text: str, key: str) -> str:
    """Return by what a sender is known again; a null path is everybody's, so by who sends it."""
    try:
        path = parse_path(f"<{text}>".encode(errors="replace"))[0]
    except PeerError:
        return text
    return f"<> of {key}" if path.is_null else reduced(path)


def _fate(recipient: Mapping[str, Any], line: Mapping[str, Any]) -> tuple[str, str]:
    """Return what became of the mail for a recipient, and by whom; "": nothing was said, or it is not our matter."""
    reply, by = str(recipient.get("reply") or ""), str(recipient.get("by") or "")
    if reply.startswith("2"):
        # Accepted, it shares the fate of the message.
        outcome, by = str(line.get("outcome", "")), str(line.get("by", ""))
        fate = {"delivered": "delivered", "rejected": "refused", "deferred": "deferred"}.get(outcome, "")
    else:
        fate = {"4": "deferred", "5": "refused"}.get(reply[:1], "")
    return ("", by) if fate == "deferred" and by in _NOT_OURS else (fate, by)


def _where(first: _Mail, again: _Mail) -> str:
    if first.client == again.client:
        return ADDRESS
    try:
        near = NETWORK.of(address_of(first.client)) == NETWORK.of(address_of(again.client))
    except ValueError:
        near = False
    if near:
        return NETWORK_TOO
    return ORGANISATION if first.key and first.key == again.key else ELSEWHERE


def report(made: Ledger) -> Iterator[str]:
    """Write it in lines, for people."""
    yield f"{made.lines} message lines; mails that smtproxy itself deferred, by who deferred them"
    for check, one in sorted(made.accounts.items(), key=lambda item: -item[1].deferred):
        back = one.back.total()
        yield f"\n{check}: {one.deferred} deferred"
        where = ", ".join(f"{number} from {word}" for word, number in one.back.most_common())
        yield _row("came back", f"{back} ({_share(back, one.deferred)})" + (f": {where}" if where else ""))
        if one.waits:
            yield _row("after", f"{show_seconds(round(median(one.waits)))} (median)")
        delay = f", after {show_seconds(round(median(one.delays)))} (median)" if one.delays else ""
        yield _row("then", f"{one.then['delivered']} delivered{delay}, {one.then['refused']} refused")
        yield _row("not back yet", f"{one.open}, within {show_seconds(RETRY_WITHIN)}")
        worst = ", ".join(f"{name or '?'} ({number})" for name, number in one.lost.most_common(_NAMED))
        yield _row("never came back", f"{one.lost.total()}" + (f": {worst}" if worst else ""))
    if not made.accounts:
        yield "  none was"
    if made.forgotten:
        yield f"\n{made.forgotten} mails were not followed: more than {made.most} were waited for at once"


def _row(name: str, said: str) -> str:
    return f"  {name:<16} {said}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"
