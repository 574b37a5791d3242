"""Slots and the pairing of replies: strictly in order, on both sides."""

from hypothesis import given
from hypothesis import strategies as st

from smtproxy.session.slots import Answers, Pairing, Purpose, Slot
from tests.session.parts import NEVER, OK
from tests.wire.pieces import PROPERTY


def test_each_reply_takes_the_oldest_entry() -> None:
    pairing, mine = Pairing(), Slot("RCPT")
    pairing.expect(Purpose.MAIL)
    pairing.expect(Purpose.RCPT, mine)
    assert (len(pairing), pairing.next) == (2, Purpose.MAIL)
    first, second = pairing.take(), pairing.take()
    assert first is not None
    assert second is not None
    assert (first.purpose, first.slot) == (Purpose.MAIL, None)
    assert (second.purpose, second.slot) == (Purpose.RCPT, mine)


def test_a_reply_to_nothing_is_nobodys() -> None:
    pairing = Pairing()
    assert pairing.take() is None
    assert pairing.next is None
    assert len(pairing) == 0


def test_an_answer_waits_for_those_before_it() -> None:
    answers = Answers()
    nobody = answers.first
    assert nobody is None
    first, second = answers.open("MAIL"), answers.open("RCPT")
    assert answers.first is first
    second.answer = NEVER
    assert answers.ready() == []
    assert answers.answered() == [second]
    assert answers.pending() == [first]
    first.answer = OK
    assert answers.ready() == [first, second]
    assert len(answers) == 0


def test_what_is_behind_an_open_command_stays() -> None:
    answers = Answers()
    first, second, third = (answers.open(verb) for verb in ("NOOP", "RCPT", "NOOP"))
    first.answer = third.answer = OK
    assert answers.ready() == [first]
    assert len(answers) == 2
    second.answer = OK
    assert answers.ready() == [second, third]


def test_a_goodbye_is_for_the_oldest_open_command_and_the_last_thing_said() -> None:
    answers = Answers()
    first, second, third = (answers.open(verb) for verb in ("NOOP", "RCPT", "NOOP"))
    first.answer = third.answer = OK
    assert answers.last() == (second, [third])
    second.answer = NEVER
    assert answers.ready() == [first, second]
    slot, unheard = answers.last()
    assert (slot.verb, unheard) == ("", [])


@PROPERTY
@given(order=st.permutations(range(5)))
def test_answers_leave_in_the_order_of_the_commands_whatever_is_finished_first(order: list[int]) -> None:
    answers = Answers()
    slots = [answers.open(str(number)) for number in range(5)]
    left = []
    for number in order:
        slots[number].answer = OK
        left.extend(answers.ready())
    assert left == slots
