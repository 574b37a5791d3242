"""What workers tell each other of a server's pace, and who of them judges."""

import pytest

from smtproxy.network.pace import KEPT, SILENT, Pace, PacePage, complains


def pair() -> tuple[Pace, Pace]:
    """Two workers."""
    page = PacePage(2)
    return Pace(page, 0), Pace(page, 1)


def test_all_see_what_each_has_seen() -> None:
    one, other = pair()
    one.answered(0.5)
    other.answered(0.25)
    other.answered(1.0)
    assert one.news() == (3, [0.5, 0.25, 1.0], False)
    assert one.news() == (0, [], False)
    assert other.news() == (3, [0.5, 0.25, 1.0], False)


def test_of_many_the_last_ones_are_kept() -> None:
    one, _ = pair()
    for number in range(KEPT + 10):
        one.answered(float(number))
    number, paces, _ = one.news()
    assert number == KEPT + 10
    assert sorted(paces) == [float(one) for one in range(10, KEPT + 10)]


def test_a_complaint_is_everybodys() -> None:
    one, other = pair()
    other.strained()
    assert one.news() == (0, [], True)
    assert one.news() == (0, [], False)


def test_one_judges_until_it_is_silent() -> None:
    one, other = pair()
    assert one.judges(100.0)
    assert one.judges(101.0)
    assert not other.judges(101.0 + SILENT - 0.1)
    other.answered(0.5)
    assert other.judges(101.0 + SILENT)
    assert other.news() == (0, [], False)  # what was seen before is past
    assert not one.judges(101.0 + SILENT)


def test_a_clock_that_was_set_back_stops_nobody() -> None:
    one, other = pair()
    assert one.judges(100.0)
    assert other.judges(50.0)


@pytest.mark.parametrize(
    ("said", "recipients", "complaint"),
    [
        ("250 2.6.0 Queued", (), False),
        (None, (), False),
        ("452 4.3.1 Insufficient system resources", (), True),
        ("421 4.3.2 Service not active", (), True),
        ("421 4.4.1 Connection timed out", (), False),
        ("452 4.5.3 Too many recipients", (), False),
        ("550 5.7.1 no", (), False),
        (None, ({"by": "backend", "reply": "452 4.3.1 (UsedDiskSpace[c:])"},), True),
        (None, ({"by": "recipients", "reply": "452 4.3.1 no"}, {"by": "backend", "reply": None}), False),
    ],
)
def test_what_is_a_complaint(said: str | None, recipients: tuple[object, ...], complaint: bool) -> None:
    assert complains({"backend_reply": said, "recipients": recipients}) is complaint
