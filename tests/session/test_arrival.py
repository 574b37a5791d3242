"""How a session begins: who is served, TLS where it comes first, the banner and who cannot wait for it."""

import pytest

from smtproxy.session import events
from smtproxy.session.answers import Own
from smtproxy.session.dialogue import Tls
from smtproxy.session.memory import Memory
from smtproxy.session.records import Event as LogEvent
from smtproxy.session.relay import Relay
from smtproxy.session.settings import ClientTls, RelaySettings
from tests.fakes.laboratory import Laboratory
from tests.session.parts import HOSTNAME, NOW, PHRASES, SETTINGS, dialogue
from tests.session.sample import codes, greeted


def test_a_backend_that_was_never_reached_is_told_before_the_banner() -> None:
    relay = Relay(dialogue(), SETTINGS, PHRASES, None, Memory(0))
    effects = relay.handle(events.Started(), NOW)
    (answer,) = [one for one in effects if isinstance(one, events.Answer)]
    assert answer.octets.startswith(b"421 4.3.2")
    assert effects[-1] == events.Finish()
    assert relay.over


_HELD_BACK = RelaySettings(HOSTNAME, banner_delay=6)
_TEASER = b"220-mx.example.org ESMTP\r\n"


def test_who_is_known_waits_for_no_banner() -> None:
    lab = Laboratory(_HELD_BACK)
    lab.event(events.Started(known=True))
    lab.run()
    assert lab.heard == b"220 mx.example.org ESMTP\r\n"


def test_a_banner_that_is_held_back_comes_when_its_time_is_over() -> None:
    lab = Laboratory(_HELD_BACK).start()
    assert lab.relay.waits_for is events.Wait.CLIENT
    assert lab.relay.deadline == lab.now + 6
    lab.pass_time(5.9)
    assert lab.heard == _TEASER
    lab.pass_time(0.1)
    assert lab.heard == _TEASER + b"220 mx.example.org ESMTP\r\n"
    assert lab.relay.deadline == lab.now + _HELD_BACK.limits.command_time
    lab.send(b"QUIT\r\n")
    assert lab.log[-1][1]["findings"] == []


def test_who_talks_before_the_banner_is_noticed_at_once_and_answered() -> None:
    lab = Laboratory(_HELD_BACK).start()
    lab.pass_time(2)
    lab.send(b"NO")
    assert lab.codes == [220]
    lab.send(b"OP\r\nEHLO client.example\r\n")
    lab.send(b"QUIT\r\n")
    assert lab.codes == [220, 250, 250, 221]
    note = {
        "check": "early_talker",
        "stage": "connect",
        "reason": "early_talker",
        "action": "observe",
        "before": "connect",
    }
    assert lab.log[-1][1]["findings"] == [note]


def test_who_had_talked_when_it_was_accepted_is_noticed() -> None:
    lab = Laboratory()
    lab.event(events.Started(early=True))
    lab.send(b"EHLO client.example\r\n")
    lab.close()
    findings = lab.log[-1][1]["findings"]
    assert isinstance(findings, list)
    assert [note["stage"] for note in findings] == ["connect"]


def test_a_handshake_is_no_early_talk() -> None:
    lab = Laboratory(RelaySettings(HOSTNAME, client_tls=ClientTls.IMPLICIT))
    lab.event(events.Started(early=True))
    lab.event(events.Secured(Tls("TLSv1.3", "TLS_AES_128_GCM_SHA256")))
    lab.send(b"QUIT\r\n")
    assert lab.codes == [220, 221]
    assert lab.log[-1][1]["findings"] == []


def test_who_leaves_before_the_banner() -> None:
    lab = Laboratory(_HELD_BACK).start()
    lab.close()
    assert (lab.heard, lab.log[-1][1]["ended"]) == (_TEASER, "closed")


def test_who_is_turned_away_has_a_line_in_the_log() -> None:
    lab = Laboratory()
    lab.event(events.TurnedAway("proxy_header", "proxy_protocol", {"check": "proxy_protocol"}))
    assert lab.finished
    assert lab.heard == b""
    assert not lab.relay.lingers
    ((kind, line),) = lab.log
    assert kind is LogEvent.SESSION
    assert (line["ended"], line["by"]) == ("proxy_header", "proxy_protocol")
    assert line["findings"] == [{"check": "proxy_protocol"}]


@pytest.mark.parametrize(("mode", "said"), [(ClientTls.OFF, [421]), (ClientTls.IMPLICIT, [])])
def test_who_expects_tls_is_turned_away_without_clear_text(mode: ClientTls, said: list[int]) -> None:
    lab = Laboratory(RelaySettings(HOSTNAME, client_tls=mode))
    lab.event(events.TurnedAway("refused", "quotas", {"check": "quotas"}, Own.TOO_MANY_CONNECTIONS))
    assert lab.codes == said
    assert lab.log[-1][1]["by"] == "quotas"


def test_who_is_in_is_not_turned_away() -> None:
    lab = greeted()
    lab.event(events.TurnedAway("proxy_header", "proxy_protocol", {}))
    assert not lab.finished


# TLS


IMPLICIT = RelaySettings(HOSTNAME, client_tls=ClientTls.IMPLICIT)
TLS = Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384")


def test_nothing_is_said_before_an_implicit_handshake_is_finished() -> None:
    lab = Laboratory(IMPLICIT).start()
    assert lab.effects(events.StartTls) == [events.StartTls()]
    assert lab.heard == b""
    lab.event(events.Secured(TLS))
    assert codes(lab.heard) == [220]
    assert lab.dialogue.tls == TLS


def test_a_handshake_that_fails_ends_the_session_without_a_word() -> None:
    lab = Laboratory(IMPLICIT).start()
    lab.event(events.NotSecured("no shared cipher"))
    assert lab.finished
    assert lab.heard == b""
    (line,) = lab.lines(LogEvent.SESSION)
    assert (line["ended"], line["by"], line["tls"], line["tls_failed"]) == (
        "tls_failed",
        "client",
        None,
        "no shared cipher",
    )


def test_a_handshake_has_its_time() -> None:
    lab = greeted(settings=RelaySettings(HOSTNAME, client_tls=ClientTls.STARTTLS), tls_time=60)
    lab.send(b"STARTTLS\r\n")
    assert lab.relay.deadline == lab.now + 60
    lab.pass_time(60)
    assert lab.lines(LogEvent.SESSION)[0]["tls_failed"] == "timeout"


@pytest.mark.parametrize("event", [events.Shutdown(now=True), events.Crashed()])
def test_in_a_handshake_nothing_is_said_even_at_the_end(event: events.Event) -> None:
    lab = Laboratory(IMPLICIT).start()
    lab.event(event)
    assert lab.finished


def test_a_handshake_that_nobody_waits_for_means_nothing() -> None:
    lab = greeted()
    for event in (events.Secured(TLS), events.NotSecured("late")):
        lab.event(event)
    assert lab.dialogue.tls is None
    assert codes(lab.send(b"NOOP\r\n")) == [250]


def test_a_drain_waits_for_the_handshake_and_says_goodbye_behind_it() -> None:
    lab = Laboratory(RelaySettings(HOSTNAME, client_tls=ClientTls.STARTTLS)).start()
    lab.send(b"EHLO client.example\r\nSTARTTLS\r\n")
    lab.event(events.Shutdown())
    assert not lab.finished
    lab.event(events.Secured(TLS))
    assert lab.codes[-1] == 421
    assert lab.finished
