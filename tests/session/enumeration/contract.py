"""The judges: the contract of DESIGN section 2, item by item, over one session. A judge yields what is wrong.

They read what the backend recorded, what the client heard, what the log says, and the order of events and effects.
They must never ask the relay, and must hold for every schedule: what is due where is the matter of `expectations.py`.
"""

import re
from collections.abc import Callable, Iterator

from smtproxy.session import events
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.upstream import MISCONFIGURED
from smtproxy.session.verdicts import Accepted, Refused
from tests.fakes.heard import read_replies
from tests.fakes.laboratory import SESSION
from tests.session.enumeration.faults import Fault
from tests.session.enumeration.play import MEMORY
from tests.session.enumeration.steps import Step
from tests.session.enumeration.trial import Case, Trial

_TRACE = re.compile(rb"Received: [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*")
_PATIENCE = 600.0
_CANNOT_BE_TOLD = (Step.DOT, Fault.STALE_BEFORE)
"""Item 10: a stray 2xx between our look and the backend's reply to the dot cannot be told from that reply."""
_ENDS_THE_WAIT = (events.BackendBytes, events.BackendClosed, events.Crashed)
_FATES = {2: "delivered", 4: "deferred", 5: "rejected"}


def acknowledged_by_the_backend(trial: Trial) -> Iterator[str]:
    """Items 1, 3, 5: a final 2xx comes from the backend that took the same octets, and is passed on as it is."""
    for letter in trial.played.letters:
        heard = trial.played.reply(".", letter.number)
        taken = trial.deliveries(letter)
        if len(taken) > 1:
            yield f"letter {letter.number} was taken {len(taken)} times"
        if heard is not None and heard.code // 100 == 2:
            if not taken:
                yield f"letter {letter.number} was acknowledged, and nobody took it"
            elif not taken[0].reply.startswith(heard.octets):
                yield f"letter {letter.number}: the client heard {heard.octets!r}, the backend said {taken[0].reply!r}"
        for delivery in taken:
            trace = _TRACE.match(delivery.wire)
            if trace is None or delivery.wire[trace.end() :] != letter.body:
                yield f"letter {letter.number} arrived changed: {delivery.wire!r}"
            if delivery.sender != letter.sender:
                yield f"letter {letter.number} came from {delivery.sender}"
            promised = [one for one in letter.recipients if _promised(trial, letter.number, one)]
            if list(delivery.addresses) != promised:
                yield f"letter {letter.number} went to {delivery.addresses}, the client was promised {promised}"
    strangers = [one for one in trial.played.lab.record.accepted if b"X-Letter: " not in one.wire]
    if strangers:
        yield f"the backend took what nobody sent: {strangers[0].wire!r}"


def _promised(trial: Trial, letter: int, recipient: str) -> bool:
    heard = trial.played.reply("RCPT", letter, recipient)
    return heard is not None and heard.code // 100 == 2


def refused_before_the_commit(trial: Trial) -> Iterator[str]:
    """Item 2: no terminator without an accepting verdict, nothing refused is forwarded, one function commits."""
    lab = trial.played.lab
    commits = len(lab.effects(events.Commit))
    if lab.record.terminators > commits:
        yield f"{lab.record.terminators} messages ended at the backend, {commits} commits"
    for case in trial.cases:
        if case.commits > 1:
            yield f"{case.commits} commits in one transaction"
        if case.commits and not isinstance(case.verdict, Accepted):
            yield f"committed, the verdict being {case.verdict}"
    commands = b"\n".join(lab.record.commands)
    envelope = None
    for _, what in lab.timeline:
        if isinstance(what, events.Judged) and isinstance(what.verdict, Refused):
            step = trial.played.schedule.step
            envelope = {"JUDGING_MAIL": b"sender-1@", "JUDGING_RCPT_1": b"one-1@", "JUDGING_RCPT_2": b"two-1@"}.get(
                "" if step is None else step.name
            )
    if envelope is not None and envelope in commands:
        yield f"the policy refused {envelope!r}, and it was forwarded"


def logged(trial: Trial) -> Iterator[str]:
    """Item 4: one session line, one message line for each transaction, a commit line before the terminator."""
    lab = trial.played.lab
    sessions = lab.lines(LogEvent.SESSION)
    if len(sessions) != 1 or lab.log[-1][0] is not LogEvent.SESSION:
        yield f"{len(sessions)} session lines, the last line is {lab.log[-1][0].value if lab.log else None}"
        return
    names = [case.line["transaction"] for case in trial.cases]
    if names != [f"{SESSION}.{number + 1}" for number in range(len(names))]:
        yield f"message lines for {names}"
    if sessions[0]["transactions"] != len(names):
        yield f"{sessions[0]['transactions']} transactions, {len(names)} message lines"
    timeline = lab.timeline
    for case in trial.cases:
        if not case.commits:
            continue
        before = timeline[case.commit - 1][1]
        if not (isinstance(before, events.Record) and before.event is LogEvent.COMMIT):
            yield f"the terminator left behind {before}, not behind a commit line"
        elif before.fields["transaction"] != case.line["transaction"]:
            yield f"a commit line for {before.fields['transaction']}, a message line for {case.line['transaction']}"
    if len(lab.lines(LogEvent.COMMIT)) != len(lab.effects(events.Commit)):
        yield "commit lines and commits differ in number"
    said = sum(len(read_replies(one.octets)[0]) for one in lab.effects(events.Answer) if isinstance(one, events.Answer))
    origins = sessions[0]["origins"]
    if not isinstance(origins, dict) or sum(origins.values()) != said:
        yield f"{said} replies left, with the origins {origins}"


def told_as_it_was(trial: Trial) -> Iterator[str]:
    """Items 4, 10: the message line, the client's own experience and the backend's word agree."""
    for letter in trial.played.letters:
        case = trial.case(letter)
        if case is None:
            continue
        heard = trial.played.reply(".", letter.number)
        yield from _outcome(trial, case)
        if heard is not None and case.line["recipients_accepted"]:
            logged_reply = str(case.line["reply"])
            if not case.line["client_heard"]:
                yield f"the client heard {heard.octets!r}, the line says that it was gone"
            if logged_reply[:3] != str(heard.code) or heard.text.rstrip() not in logged_reply:
                yield f"the client heard {heard.octets!r}, the line says {logged_reply!r}"
        yield from _recipients(trial, case, letter.number)


def _doubtful(answered: bytes) -> bool:
    """Whether replies to the dot that came together contradict each other: one of them is a stray."""
    codes = [int(line[:3]) for line in answered.split(b"\r\n") if line[:3].isdigit() and line[3:4] == b" "]
    return len({code // 100 for code in codes if code != 421 and code not in MISCONFIGURED}) > 1


def _outcome(trial: Trial, case: Case) -> Iterator[str]:
    """The outcome that follows from the backend's reply to the dot, or from the refusal before it."""
    outcome, reply = case.outcome, str(case.line["reply"] or "")
    if case.commits:
        final = None if _doubtful(case.answered) else case.final
        fate = "unknown" if final is None else _FATES.get(final.code // 100, "unknown")
        if final is not None and final.code in MISCONFIGURED and trial.played.schedule.configuration.framing.chunks_out:
            fate, final = "deferred", None  # it blames our BDAT, not the mail
        if outcome != fate:
            yield f"the backend said {case.answered!r} to the dot, and the outcome is {outcome}"
        if final is not None and final.code == 421:
            final = None
        due = "451" if final is None or fate == "unknown" else str(final.code)
        if not reply.startswith(due):
            yield f"the backend said {case.answered!r} to the dot, and the reply is {reply!r}"
        if fate == "unknown" and not isinstance(case.ended_by, _ENDS_THE_WAIT):
            waited = case.ended_at - (case.committed_at or 0.0)
            if not isinstance(case.ended_by, events.Timeout) or waited < _PATIENCE:
                yield f"given up {waited} s after the commit because of {case.ended_by}"
        return
    if outcome not in {"rejected", "deferred", "dropped", "aborted"}:
        yield f"outcome {outcome} without a commit"
    digit = {"rejected": "5", "deferred": "4"}.get(outcome)
    if digit is not None and not reply.startswith(digit):
        yield f"outcome {outcome} with the reply {reply!r}"
    if trial.deliveries(trial.played.letters[0]) and case is trial.case(trial.played.letters[0]):
        yield f"taken by a backend, without a commit, and the outcome is {outcome}"


def _recipients(trial: Trial, case: Case, letter: int) -> Iterator[str]:
    shown = case.line["recipients"]
    for one in shown if isinstance(shown, list) else []:
        heard = trial.played.reply("RCPT", letter, one["to"])
        if heard is not None and not str(one["reply"]).startswith(str(heard.code)):
            yield f"{one['to']}: the client heard {heard.octets!r}, the line says {one['reply']!r}"


def paired(trial: Trial) -> Iterator[str]:
    """Item 7: one reply for each command, in order; a clean look right before the commit; nothing stray."""
    played = trial.played
    lab = played.lab
    if played.stuck:
        yield played.stuck
    unanswered = [one.command for one in played.exchanges if one.reply is None]
    last = [one.reply for one in played.exchanges if one.reply is not None][-1:]
    ended = played.client_left or (last and last[0].code in {421, 521, 554}) or played.schedule.fault is Fault.CRASH
    goodbyes, _ = read_replies(played.surplus)
    if unanswered and not ended and not goodbyes:
        yield f"not answered: {unanswered}, the last reply being {last}"
    if len(goodbyes) > 1 or any(one.code != 421 for one in goodbyes):
        yield f"replies to nothing: {played.surplus!r}"
    for one in played.exchanges:
        if one.reply is None:
            continue
        stray = b"STRAY" in one.reply.octets and (one.reply.code < 400 or one.reply.code == 421)
        if stray and (played.schedule.step, played.schedule.fault) != _CANNOT_BE_TOLD:
            yield f"{one.command} was answered by {one.reply.octets!r}"
        named = re.search(rb"<([^>]*)>", one.reply.octets)
        if one.command.verb in {"MAIL", "RCPT"} and named and named[1].decode() != one.command.argument:
            yield f"{one.command} was answered by {one.reply.octets!r}"
    for case in trial.cases:
        if case.commits:
            look, seen = _look_before(lab.timeline, case.commit)
            if look != events.Look(client=True) or seen != events.Looked():
                yield f"committed behind {look} -> {seen}"


def _look_before(timeline: list[tuple[float, events.Event | events.Effect]], commit: int) -> tuple[object, object]:
    """Return the last event before a commit, and the effect that brought it about."""
    for place in range(commit - 2, 0, -1):
        what = timeline[place][1]
        if isinstance(what, events.Event):
            return timeline[place - 1][1], what
    return None, None


def committed_in_time(trial: Trial) -> Iterator[str]:
    """Item 9: no commit later than commit_by behind the final dot."""
    played = trial.played
    for letter in played.letters:
        case = trial.case(letter)
        dots = [one.sent for one in played.exchanges if (one.command.verb, one.command.letter) == (".", letter.number)]
        if case is not None and case.committed_at is not None:
            if not dots:
                yield f"letter {letter.number} was committed, and its dot was never sent"
            elif case.committed_at - dots[0] > played.lab.settings.commit_by:
                yield f"letter {letter.number} was committed {case.committed_at - dots[0]} s after its dot"


def nothing_left(trial: Trial) -> Iterator[str]:
    """Items 3, 8: no octet of a body, no memory, no file, no connection outlives the session."""
    lab, played = trial.played.lab, trial.played
    if lab.memory.left != MEMORY - played.memory_taken:
        yield f"{lab.memory.left} octets of memory are left"
    if len(lab.tarpit):
        yield f"{len(lab.tarpit)} sessions are still in the tarpit"
    if lab.kept:
        yield f"{len(lab.kept)} octets lie in the session's file"
    if lab.line is not None:
        yield "the connection to the backend is still open"
    if any(not connection.ended for connection in lab.record.connections):
        yield "a connection was forgotten"


def kept_warm(trial: Trial) -> Iterator[str]:
    """DESIGN section 4: only a connection on which all went well serves another session, with nothing left on it."""
    for line in trial.played.left_warm:
        connection = line.dialogue.connection
        # A refused EHLO is followed by HELO, a refused STARTTLS by clear text: no refusal of mail.
        hello = trial.played.schedule.step in (Step.EHLO, Step.STARTTLS, Step.EHLO_AGAIN)
        if not hello and (b"\r\n4" in connection.sent or b"\r\n5" in connection.sent):
            yield f"kept warm after a refusal: {bytes(connection.sent)!r}"
        last = connection.verbs[-2]  # before the QUIT of the end
        ends = sum(one == b"DATA" or (one[:4] == b"BDAT" and one.endswith(b"LAST")) for one in connection.commands)
        if last not in {"DATA", "BDAT", "EHLO"} or ends != connection.terminators:
            yield f"kept warm with something open: {connection.commands[-3:]}"
        if line.inbox or line.upstream.owes or line.upstream.unread:
            yield "kept warm with something unread"


def a_correct_client_of_the_backend(trial: Trial) -> Iterator[str]:
    """The backend saw nothing that no correct client does."""
    if trial.played.lab.record.violations:
        yield f"the backend complains: {trial.played.lab.record.violations}"


JUDGES: tuple[Callable[[Trial], Iterator[str]], ...] = (
    acknowledged_by_the_backend,
    refused_before_the_commit,
    logged,
    told_as_it_was,
    paired,
    committed_in_time,
    nothing_left,
    kept_warm,
    a_correct_client_of_the_backend,
)
