"""How a session begins: who is served at all, TLS where it comes first, a banner that is held back, the banner.

A handshake in the middle of the dialogue (STARTTLS) ends here, too: it is a second beginning. RFC 3207 4.2
"""

from smtproxy.session.answers import Own
from smtproxy.session.conversation import Conversation
from smtproxy.session.events import Answer, Secured, Started, TurnedAway, Wait
from smtproxy.session.rules import Phase
from smtproxy.session.settings import ClientTls, OpenMode
from smtproxy.session.verdicts import Stage


def start(c: Conversation, event: Started) -> None:
    """The client is connected."""
    now = c.dialogue.now
    c.account.started = now
    c.session_due = now + c.settings.limits.session_time
    c.dialogue.good = event.good
    if c.settings.client_tls is ClientTls.IMPLICIT:
        c.start_tls()  # what came already belongs to the handshake
    else:
        c.dialogue.talked(Stage.CONNECT, early=event.early)
        _connected(c, patience=0.0 if event.known else c.settings.banner_delay)


def turned_away(c: Conversation, event: TurnedAway) -> None:
    """Somebody who is not served: a word at most, a line in the log, and the end."""
    if c.session_due:
        return  # it has started
    c.account.started = c.dialogue.now
    c.account.note((event.note,), c.settings.limits.logged_findings)
    if event.says is not None and c.settings.client_tls is not ClientTls.IMPLICIT:
        c.settle(c.answers.open(""), c.phrases.say(event.says), event.by)
    c.finish(event.ended, event.by)
    c.lingers = False  # it came in numbers, or is no client at all: it gets no time to read


def secured(c: Conversation, event: Secured) -> None:
    """The handshake is finished; what the client said before is forgotten, its hello too."""
    if c.held_up is not Wait.TLS:
        return
    c.held_up = None
    c.dialogue.tls = event.tls
    c.wait_for_client()
    if c.phase is Phase.CONNECT:
        _connected(c, patience=c.settings.banner_delay)
    else:
        c.dialogue.hello = None
        c.phase = Phase.START


def not_secured(c: Conversation, why: str) -> None:
    """The handshake failed: nothing more can be said."""
    if c.held_up is Wait.TLS:
        c.account.tls_failed = why
        c.finish("tls_failed", "client")


def _connected(c: Conversation, patience: float) -> None:
    """The client is there, and under TLS where that comes first. Its banner may be held back for `patience` seconds."""
    c.client_due = c.dialogue.now + patience
    c.slot = c.answers.open("")
    c.phase = Phase.SILENCE
    if c.offered is None:
        c.say_goodbye(Own.NO_BACKEND_YET, "no_backend")
    elif patience and not c.dialogue.early:
        # The first line of a banner whose last one comes later: who takes it for the whole talks too early. Postfix
        # calls it a teaser (postscreen_greet_banner).
        teaser = f"220-{c.settings.hostname} ESMTP\r\n".encode()
        c.dialogue.octets_out += len(teaser)
        c.out.append(Answer(teaser))


def listen(c: Conversation) -> bool:
    """Hold the banner back. Who talks meanwhile need not be waited for any longer."""
    dialogue = c.dialogue
    if len(c.lines):
        dialogue.talked(Stage.CONNECT, early=True)
    if dialogue.now < c.client_due and Stage.CONNECT not in dialogue.early:
        return False
    c.wait_for_client()
    c.phase = Phase.CONNECT
    c.ask(Stage.CONNECT)
    return True


def greet(c: Conversation) -> bool:
    """The client may talk to us: open the backend if it is to be open already, then say our banner."""
    slot = c.slot
    if slot is None:
        c.crashed()
    elif c.backend.failure is not None:
        c.say_goodbye(Own.NO_BACKEND_YET, "no_backend")
    elif c.settings.open is OpenMode.CONNECT and not c.backend.connections:
        c.courier.open()
    else:
        c.slot = None
        c.reply(slot, Own.BANNER)
        c.phase = Phase.START
        c.wait_for_client()
    return True
