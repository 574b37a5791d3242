"""Plays one schedule: a client, the relay, the policy and the backend, in memory, from the connection to its end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from smtproxy.session import events
from tests.fakes.heard import Heard, read_replies
from tests.fakes.laboratory import Laboratory
from tests.fakes.servers import Line
from tests.session.enumeration.configurations import Backend
from tests.session.enumeration.meddling import Meddler, script
from tests.session.enumeration.schedules import Schedule
from tests.session.enumeration.talk import Command, Letter, talk
from tests.session.enumeration.watch import Watch

MEMORY = 100_000
"""Octets of bodies that all sessions may keep: more than any letter here."""
SERVERS = ("first:25", "second:25")


@dataclass(slots=True)
class Exchange:
    """A command of the client and what it heard."""

    command: Command
    sent: float
    reply: Heard | None = None


class Presence(Protocol):
    """Whoever meddles with a session, as far as its client must know."""

    client_left: bool
    """The client says nothing more."""
    struck: bool
    """The fault has struck."""
    memory_taken: int
    """Octets of memory that others use up."""

    @property
    def watch(self) -> Watch:
        """Is told what the client is about to do."""


@dataclass(slots=True)
class Played:
    """A session that has ended, and all that is known of it."""

    schedule: Schedule
    lab: Laboratory
    letters: tuple[Letter, ...]
    exchanges: list[Exchange] = field(default_factory=list)
    struck: bool = False
    client_left: bool = False
    memory_taken: int = 0
    left_warm: list[Line] = field(default_factory=list)
    """Backend connections that it left for another session."""
    surplus: bytes = b""
    """What the client heard beyond one reply for each command."""
    stuck: str = ""
    """Where the session did not go on."""

    def reply(self, verb: str, letter: int = 0, argument: str = "") -> Heard | None:
        """What the client heard to a command; None: nothing, or it was not sent.

        To the end of a body: or to the chunk that was refused, as that is the end of it.
        """
        for one in self.exchanges:
            command = one.command
            if verb == "." and command.verb == "BDAT" and command.letter == letter:
                if one.reply is not None and one.reply.code >= 400:
                    return one.reply
                continue
            if command.verb == verb and command.letter in (letter, 0) and argument in ("", command.argument):
                return one.reply
        return None


def play(schedule: Schedule, witness: Callable[[Laboratory, Schedule], Presence] = Meddler) -> Played:
    """Play a schedule to its end. `witness` takes the laboratory's hooks."""
    configuration = schedule.configuration
    lab = Laboratory(
        configuration.settings,
        profile=configuration.profile,
        script=script(schedule),
        servers=SERVERS,
        offered=configuration.offered,
        memory=MEMORY,
        security=configuration.security,
    )
    lab.shakes_hands = True
    lab.servers.keeps = 1
    if configuration.backend is Backend.WARM:
        lab.servers.warm_up(lab.now)
    meddler = witness(lab, schedule)
    played = Played(schedule, lab, configuration.letters)
    played.exchanges.append(Exchange(Command(""), lab.now))
    lab.start()
    _converse(played, meddler)
    if not lab.finished and not played.stuck:
        lab.close()
    played.struck, played.client_left, played.memory_taken = meddler.struck, meddler.client_left, meddler.memory_taken
    played.left_warm = list(lab.servers.warm)
    lab.servers.close()
    if not lab.finished:
        played.stuck = played.stuck or f"the session does not end: it waits for the {lab.relay.waits_for.value}"
    return played


def _converse(played: Played, meddler: Presence) -> None:
    """Let the client talk until it is through, or until one of the two is gone."""
    lab, exchanges = played.lab, played.exchanges
    configuration = played.schedule.configuration
    talking = talk(played.letters, pipelined=configuration.pipelined, secured=configuration.secured)
    answered = 0
    unread = b""
    read = 0
    segment = next(talking)
    while True:
        meddler.watch.before = segment.step
        lab.run()
        meddler.watch.before = None
        if not lab.finished and not meddler.client_left:
            exchanges.extend(Exchange(command, lab.now) for command in segment.commands)
            lab.send(segment.octets)
        replies, unread = read_replies(unread + lab.heard[read:])
        read = len(lab.heard)
        for reply in replies:
            if answered < len(exchanges):
                exchanges[answered].reply = reply
                answered += 1
            else:
                played.surplus += reply.octets
        if lab.finished or meddler.client_left:
            break
        if answered < len(exchanges) or lab.relay.waits_for is not events.Wait.CLIENT:
            played.stuck = f"{exchanges[answered - 1].command} is not answered" if answered else "no banner"
            break
        try:
            own = exchanges[len(exchanges) - len(segment.commands) :]
            segment = talking.send([one.reply for one in own if one.reply is not None])
        except StopIteration:
            break
    played.surplus += unread
