"""What is due at each place: the reply that belongs there, and mail that arrives because nothing stands in its way.

The contract alone would be kept by a proxy that defers everything. These judges say where it must not.
"""

from collections.abc import Iterator

from smtproxy.session.records import Event as LogEvent
from smtproxy.session.settings import BodyMode, OpenMode
from tests.fakes.heard import read_replies
from tests.session.enumeration.configurations import Backend, Body
from tests.session.enumeration.faults import UNASKED, VANISHED, Fault
from tests.session.enumeration.schedules import Schedule
from tests.session.enumeration.steps import Kind, Step
from tests.session.enumeration.talk import Command, Letter
from tests.session.enumeration.trial import Trial

F = Fault
_HARMLESS = frozenset(
    {F.NONE, F.RECALL, F.LEASE, F.TARPIT, F.LATE_VERDICT, F.PIECES, F.LATE_REPLY, F.MEMORY_FULL, F.DRAIN}
)
_ENDS_SESSION = frozenset(
    {
        *(F.CLIENT_EOF, F.CLIENT_RESET, F.CLIENT_LOST, F.CLIENT_UNSEEN),
        *(F.TIME_OUT, F.DRAIN, F.SHUTDOWN, F.CRASH, F.DROPPED),
    }
)
_PERSISTS = frozenset({F.DEAD, F.GONE_EVERY_TIME, F.NO_SERVER, F.DISK_FULL})
_REACHING = frozenset({Step.GREETING, Step.EHLO, Step.STARTTLS, Step.HANDSHAKE, Step.EHLO_AGAIN})
_OPENING = _REACHING | {Step.OPENING, Step.WRITE_HELLO, Step.WRITE_STARTTLS}
_ECHOED = frozenset({F.SAYS_4XX, F.SAYS_5XX})
_TALKS = frozenset(UNASKED) | VANISHED | {F.RESET, F.SILENCE, F.STALLED}
_STALE = frozenset({F.GONE, F.RESET, F.SAYS_421, F.SAYS_4XX, F.SAYS_5XX, F.SAYS_503})
_SURPLUS = frozenset({F.STALE_BEFORE, F.STALE_BEHIND, F.STALE_BAD_BEHIND})
_WHERE = {Step.RCPT_1: ("RCPT", "one-1@example.org"), Step.RCPT_2: ("RCPT", "two-1@example.org")}


def lives(trial: Trial) -> Iterator[str]:
    """The session goes on to its QUIT unless its client left, or it had to end."""
    schedule = trial.played.schedule
    step, fault = schedule.step, schedule.fault
    ended = trial.played.lab.lines(LogEvent.SESSION)[0]["ended"]
    if fault in _ENDS_SESSION or (step is Step.JUDGING_CONNECT and fault in {F.REFUSED, F.DEFERRED}):
        return
    if step is not None and step.name.startswith("WRITE_") and fault is F.STALLED and ended == "timeout":
        return  # it is the client who takes no more
    if schedule.configuration.open is OpenMode.CONNECT and step in _OPENING and ended == "no_backend":
        return
    if ended != "quit":
        yield f"the session ended early: {ended}"


def the_second_letter_arrives(trial: Trial) -> Iterator[str]:
    """What struck the first letter does not strike the second."""
    schedule, letter = trial.played.schedule, trial.played.letters[1]
    if schedule.fault in _PERSISTS or trial.played.lab.lines(LogEvent.SESSION)[0]["ended"] != "quit":
        return
    if schedule.step is Step.JUDGING_HELLO and schedule.fault in {F.REFUSED, F.DEFERRED}:
        return
    heard = trial.played.reply(".", letter.number)
    if _waits_too_long(trial, letter):
        if heard is None or b"451 4.4.5 " not in heard.octets or trial.deliveries(letter):
            yield f"the second letter was there for longer than commit_by, and the client heard {heard}"
    elif heard is None or heard.code != 250 or len(trial.deliveries(letter)) != 1:
        yield f"the second letter did not arrive, the client heard {heard}"


def _waits_too_long(trial: Trial, letter: Letter) -> bool:
    """The second letter, which BDAT lets be pipelined whole, was there while the first one took its time."""
    configuration, case = trial.played.schedule.configuration, trial.case(letter)
    if case is None or not (configuration.framing.chunks_in and configuration.pipelined):
        return False
    sent = next(one.sent for one in trial.played.exchanges if one.command == Command(".", "", letter.number))
    return case.ended_at - sent > configuration.settings.commit_by


def the_first_letter_arrives(trial: Trial) -> Iterator[str]:
    """A fault that loses nothing loses nothing."""
    schedule, letter = trial.played.schedule, trial.played.letters[0]
    if not _harmless(schedule):
        return
    heard = trial.played.reply(".", letter.number)
    if heard is None or heard.code != 250 or len(trial.deliveries(letter)) != 1:
        yield f"the first letter did not arrive, the client heard {heard}"


def _harmless(schedule: Schedule) -> bool:
    step, fault = schedule.step, schedule.fault
    if step is None:
        return True
    if fault is F.DRAIN:
        return trial_begun(step)
    if fault in _HARMLESS:
        return True
    if fault in _PERSISTS or fault not in _TALKS | _SURPLUS:
        return False
    if step in _REACHING:
        return True  # there is another server
    if _stale_warm(schedule) or _asked_again(schedule):
        return True
    return step.kind in {Kind.CLIENT, Kind.VERDICT, Kind.LOOK} and not _has_body(schedule)


def _stale_warm(schedule: Schedule) -> bool:
    """A warm connection that ends, or refuses, before it took anything costs a fresh one and no mail."""
    warm = schedule.configuration.backend is Backend.WARM
    return warm and schedule.step is Step.MAIL and schedule.fault in _STALE


def _asked_again(schedule: Schedule) -> bool:
    """A reply too many comes with those to a group: its commands are asked again elsewhere, once."""
    return schedule.step in {Step.MAIL, Step.RCPT_1, Step.RCPT_2} and schedule.fault in _SURPLUS


def trial_begun(step: Step) -> bool:
    """A transaction is open at this step for certain: a drain lets it end."""
    return step.name.endswith(("RCPT_1", "RCPT_2", "DATA", "BODY", "DOT", "MESSAGE"))


def _has_body(schedule: Schedule) -> bool:
    """The backend has octets of the body, or waits for them, when the fault strikes, and not yet the dot."""
    step, body = schedule.step, schedule.configuration.body
    match step:
        case Step.LOOK_BODY | Step.LOOK_COMMIT | Step.WRITE_BODY | Step.WRITE_KEPT:
            return True
        case Step.BEFORE_BODY:
            return body is Body.STREAM
        case Step.IN_BODY | Step.BEFORE_DOT | Step.JUDGING_MESSAGE:
            return body.streams
        case _:
            return False


def the_right_reply(trial: Trial) -> Iterator[str]:
    """The backend's 4xx and 5xx reach the client unchanged at their place; what else it does there is a 451 of ours."""
    schedule = trial.played.schedule
    place = _place(schedule)
    if _stale_warm(schedule):
        heard = trial.played.reply("RCPT", 1, "one-1@example.org")
        if heard is None or heard.code != 250:
            yield f"a stale warm connection was the client's trouble: it heard {heard}"
        return
    if place is None or schedule.fault not in _TALKS or _asked_again(schedule):
        return
    verb, argument = place
    heard = trial.played.reply(verb, 1, argument)
    blamed = schedule.step is Step.DOT and schedule.fault is F.SAYS_503
    if schedule.fault in _ECHOED or (blamed and not schedule.configuration.framing.chunks_out):
        if heard is None or heard.octets != UNASKED[schedule.fault]:
            yield f"the backend said {UNASKED[schedule.fault]!r}, the client heard {heard} to {verb} {argument}"
    elif heard is None or heard.code != 451:
        yield f"451 is due to {verb} {argument}, and the client heard {heard}"


def _place(schedule: Schedule) -> tuple[str, str] | None:
    """Return where the client hears what the backend did: verb and argument; None: no claim."""
    configuration, step = schedule.configuration, schedule.step
    if _has_body(schedule) or step is Step.DOT:
        return ".", ""
    if step is Step.CHUNK:
        return ".", ""
    if step in {Step.DATA, Step.WRITE_DATA}:
        asked = configuration.body.mode is BodyMode.STREAM and not configuration.framing.chunks_in
        return ("DATA", "") if asked else (".", "")
    if step is Step.MAIL:
        if configuration.open is OpenMode.RECIPIENT:
            return "RCPT", "one-1@example.org"
        return "MAIL", ""
    return _WHERE.get(step) if step is not None else None


def policy_speaks(trial: Trial) -> Iterator[str]:
    """A refusal of the policy is heard at its place, in its words, and the log names the check."""
    schedule = trial.played.schedule
    code = {F.REFUSED: 550, F.DEFERRED: 450, F.DROPPED: 421}.get(schedule.fault)
    if code is None or schedule.step is None:
        return
    verb, argument = {
        Step.JUDGING_CONNECT: ("", ""),
        Step.JUDGING_HELLO: ("EHLO", ""),
        Step.JUDGING_MAIL: ("MAIL", ""),
        Step.JUDGING_RCPT_1: ("RCPT", "one-1@example.org"),
        Step.JUDGING_RCPT_2: ("RCPT", "two-1@example.org"),
        Step.JUDGING_DATA: (".", "") if schedule.configuration.framing.chunks_in else ("DATA", ""),
        Step.JUDGING_MESSAGE: (".", ""),
    }[schedule.step]
    heard = trial.played.reply(verb, 1, argument)
    if heard is None and schedule.fault is F.DROPPED:
        # It was said in the middle of its chunk: the client was not waiting for a reply yet.
        heard = next(iter(read_replies(trial.played.surplus)[0]), None)
    if heard is None or heard.code != code:
        yield f"the policy said {code}, and the client heard {heard} to {verb} {argument}"
    if schedule.step is Step.JUDGING_MESSAGE:
        outcome = {F.REFUSED: "rejected", F.DEFERRED: "deferred", F.DROPPED: "dropped"}[schedule.fault]
        line = trial.cases[0].line
        if (line["outcome"], line["by"]) != (outcome, "some_check"):
            yield f"the policy {schedule.fault}, and the log says {line['outcome']} by {line['by']}"


def own_words(trial: Trial) -> Iterator[str]:
    """What we say when we end a session, or have no room."""
    schedule, played = trial.played.schedule, trial.played
    if schedule.step is None:
        return
    if schedule.fault is F.DISK_FULL:
        heard = played.reply(".", 1)
        if heard is None or heard.code != 452:
            yield f"452 is due when the disk is full, and the client heard {heard}"
    committed = schedule.step is Step.DOT
    speechless = committed or schedule.step is Step.CLIENT_HANDSHAKE
    if schedule.fault in {F.SHUTDOWN, F.CRASH} and not speechless and b"\r\n421 4.3." not in b"\r\n" + played.lab.heard:
        yield f"no goodbye: the client heard {played.lab.heard[-80:]!r}"
    if committed and schedule.fault in {F.CLIENT_UNSEEN, F.CLIENT_LOST} and trial.cases[0].line["client_heard"]:
        yield "the client was gone when the backend answered, and the log says that it was told"
    if schedule.fault is F.SHUTDOWN and committed and not trial.deliveries(played.letters[0]):
        yield "a shutdown ended the wait for the backend's final reply"


EXPECTATIONS = (lives, the_second_letter_arrives, the_first_letter_arrives, the_right_reply, policy_speaks, own_words)
