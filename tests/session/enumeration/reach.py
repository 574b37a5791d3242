"""Which steps a session without a fault reaches, and why it misses the others: known beforehand, and compared."""

from collections.abc import Callable

from smtproxy.session.settings import OpenMode
from tests.session.enumeration.configurations import Backend, Body, Configuration, Framing
from tests.session.enumeration.steps import Step


def _one_group(c: Configuration) -> bool:
    """MAIL and at least the first RCPT leave together, and are answered in one segment."""
    return c.pipelining and (c.pipelined or c.open is OpenMode.RECIPIENT)


def _looks_twice(c: Configuration) -> bool:
    """A warm connection is looked at before its first group, too."""
    return c.backend is Backend.WARM and not c.pipelined


_RULES: tuple[tuple[frozenset[Step], Callable[[Configuration], bool], str], ...] = (
    (
        frozenset({Step.BEFORE_RCPT_1, Step.BEFORE_RCPT_2, Step.BEFORE_DATA, Step.BETWEEN}),
        lambda c: c.pipelined,
        "a client that pipelines does not wait here",
    ),
    (
        frozenset({Step.WRITE_ANSWER}),
        lambda c: c.pipelined and not c.framing.chunks_in,
        "all answers to the group leave together, with the 354",
    ),
    (frozenset({Step.DATA, Step.WRITE_DATA}), lambda c: c.framing.chunks_out, "the backend gets no DATA"),
    (
        frozenset({Step.CHUNK}),
        lambda c: not c.framing.chunks_out or c.whole,
        "the backend gets no chunk that is not the last one",
    ),
    (frozenset({Step.WRITE_GO_AHEAD}), lambda c: c.framing.chunks_in, "a client that uses BDAT gets no 354"),
    (frozenset({Step.WRITE_BODY}), lambda c: c.whole, "the whole of a small letter leaves with the commit"),
    (frozenset({Step.RCPT_1}), _one_group, "the replies to a group come in one segment: no wait between them"),
    (
        frozenset({Step.RCPT_2}),
        lambda c: c.pipelining and c.pipelined and c.open is OpenMode.RECIPIENT,
        "MAIL and all RCPTs leave in one write",
    ),
    (
        frozenset({Step.LOOK_GROUP}),
        lambda c: c.backend not in (Backend.SERIAL, Backend.WARM) and c.pipelined and c.open is OpenMode.RECIPIENT,
        "MAIL and all RCPTs leave in one write, right behind the opening",
    ),
    (
        frozenset({Step.LOOK_GROUP_AGAIN}),
        lambda c: _one_group(c) and not (c.pipelined and c.open is OpenMode.CONNECT) and not _looks_twice(c),
        "there is no second group behind the opening",
    ),
    (
        frozenset({Step.BEFORE_STARTTLS, Step.WRITE_READY, Step.CLIENT_HANDSHAKE}),
        lambda c: not c.secured,
        "this client does not ask for TLS",
    ),
    (
        frozenset({Step.STARTTLS, Step.HANDSHAKE, Step.EHLO_AGAIN, Step.WRITE_STARTTLS}),
        lambda c: c.backend not in (Backend.SECURE, Backend.OPPORTUNISTIC),
        "the backend is spoken to in clear text",
    ),
    (
        frozenset({Step.GREETING, Step.EHLO, Step.WRITE_HELLO}),
        lambda c: c.backend is Backend.WARM,
        "a warm connection has its greeting and hello behind it",
    ),
    (
        frozenset({Step.LOOK_BODY}),
        lambda c: not c.body.streams,
        "what was collected leaves right behind the 354 that was just read: nothing lies between to look for",
    ),
    (frozenset({Step.WRITE_KEPT}), lambda c: c.body is not Body.HOLD_DISK, "nothing of the body lies on disk"),
)


_BEFORE_ANY_BODY = frozenset(
    {
        *(Step.BEFORE_EHLO, Step.BEFORE_MAIL, Step.JUDGING_CONNECT, Step.JUDGING_HELLO, Step.JUDGING_MAIL),
        *(Step.OPENING, Step.GREETING, Step.EHLO, Step.WRITE_BANNER, Step.WRITE_HELLO),
    }
)


_BEHIND_DATA = frozenset(
    {
        Step.CHUNK,
        *(Step.BEFORE_BODY, Step.IN_BODY, Step.BEFORE_DOT, Step.JUDGING_MESSAGE, Step.DATA, Step.DOT),
        *(Step.LOOK_DATA, Step.LOOK_BODY, Step.LOOK_COMMIT),
        *(
            Step.WRITE_DATA,
            Step.WRITE_GO_AHEAD,
            Step.WRITE_BODY,
            Step.WRITE_KEPT,
            Step.WRITE_TERMINATOR,
            Step.WRITE_FINAL,
        ),
    }
)


def same_elsewhere(step: Step, configuration: Configuration) -> str | None:
    """Return why this step is not enumerated under this configuration although it could be; None: it is."""
    if configuration.framing is not Framing.DATA and step not in _BEHIND_DATA | {Step.JUDGING_DATA}:
        return "before a body its framing makes no difference: enumerated with DATA on both sides"
    if step in _BEFORE_ANY_BODY and configuration.body is not Body.AUTO_SMALL:
        return "long before a body: enumerated with a small one that is collected"
    if step in _BEHIND_DATA and configuration.open is OpenMode.CONNECT:
        return "behind DATA a connection opened with the client's is like one opened with MAIL: enumerated with that"
    return None


def unreached(step: Step, configuration: Configuration) -> str | None:
    """Return why a session under this configuration never comes to a step; None: it does."""
    for steps, predicate, reason in _RULES:
        if step in steps and predicate(configuration):
            return reason
    return None
