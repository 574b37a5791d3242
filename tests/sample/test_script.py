"""Rules are chosen by connection; a reply is one line."""

from smtproxy.sample.script import Point, Rule, Say, Script, reply


def test_rules_of_a_connection() -> None:
    everywhere, first, later = (
        Rule(Point.MAIL),
        Rule(Point.RCPT, connections=(1,)),
        Rule(Point.RCPT, connections=(2, 3)),
    )
    script = Script((everywhere, first, later))
    assert script.for_connection(1) == (everywhere, first)
    assert script.for_connection(3) == (everywhere, later)
    assert script.for_connection(4) == (everywhere,)


def test_reply_ends_its_line() -> None:
    assert reply("451 4.3.0 später") == Say("451 4.3.0 später\r\n".encode())
