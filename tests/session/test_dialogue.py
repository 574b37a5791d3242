"""The facts of a dialogue: a new session knows nothing."""

from smtproxy.session.dialogue import Dialogue, Hello


def test_a_new_session_knows_nothing_but_its_client() -> None:
    made = Dialogue("id", "192.0.2.1")
    assert (made.session, made.client) == ("id", "192.0.2.1")
    facts: list[object] = [made.hello, made.envelope, made.recipient, made.message, made.declared_size]
    assert facts == [None] * 5
    assert made.errors == made.junk == made.commands == made.transactions == made.octets_in == 0


def test_two_sessions_share_nothing() -> None:
    one, other = Dialogue("a", "192.0.2.1"), Dialogue("b", "192.0.2.1")
    one.errors += 1
    one.hello = Hello("EHLO", "client.example")
    assert other.errors == 0
    assert other.hello is None
