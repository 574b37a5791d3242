"""The judge of the enumeration, judged by hand-made cases: what is obvious enough to be believed."""

import pytest

from smtproxy.wire.newlines import NewlineMode
from tests.smuggling.reference import expected, passed
from tests.smuggling.strings import END, LAST, MIDDLE, PLACES, SECOND, START, cut, strings

NORMALISE, REJECT, PASS = NewlineMode.NORMALISE, NewlineMode.REJECT, NewlineMode.PASS


@pytest.mark.parametrize(
    ("body", "normalised"),
    [
        (b"", b""),
        (b"a\r\nb", b"a\r\nb"),
        (b"a\nb\rc", b"a\r\nb\r\nc"),
        (b"a\r\r\nb", b"a\r\n\r\nb"),
        (b"a\n\rb", b"a\r\n\r\nb"),
        (b"a\n.\nb", b"a\r\n..\r\nb"),
        (b"a\r.\rb", b"a\r\n..\r\nb"),
        (b"a\n.\n.\n.\nb", b"a\r\n..\r\n..\r\n..\r\nb"),
        (b".\na", b"..\r\na"),
        (b"a\n.", b"a\r\n.."),
        (b"a\n..\nb", b"a\r\n..\r\nb"),
        (b"a\n.b", b"a\r\n.b"),
    ],
)
def test_normalising(body: bytes, normalised: bytes) -> None:
    assert passed(body, NORMALISE) == normalised


@pytest.mark.parametrize("body", [b"a\nb", b"a\rb", b"a\r\r\nb", b"\n", b"a\r\n\n", b"a\r"])
def test_rejecting(body: bytes) -> None:
    assert passed(body, REJECT) is None
    assert passed(b"a\r\nb\r\n..\r\n", REJECT) == b"a\r\nb\r\n..\r\n"


@pytest.mark.parametrize(
    "body",
    [b"a\n.\nb", b"a\n.\r\nb", b"a\r\n.\nb", b"a\r.\r\nb", b"a\n..\nb", b".\na", b"a\n.", b"a\r\n.\rb", b"a\n....\r\n"],
)
def test_refusing_newlines_beside_dots(body: bytes) -> None:
    assert passed(body, PASS) is None


@pytest.mark.parametrize("body", [b"a\nb", b"a\n\r\n\rb", b"a\n.b\r\n..\r\nc", b"a\r\n..\r\n\nb", b"a.\n"])
def test_passing_other_newlines(body: bytes) -> None:
    assert passed(body, PASS) == body


def test_a_body_without_a_real_end_holds_the_second_transaction() -> None:
    one = expected([MIDDLE.talk(b"a\r\n")], NORMALISE)
    assert (one.codes, one.closed) == ([250], False)
    assert one.accepted == [b"A: b\r\n\r\na\r\n" + SECOND]


def test_a_real_end_makes_two_messages() -> None:
    two = expected([MIDDLE.talk(b"a\r\n.\r\n")], NORMALISE)
    assert two.codes == [250, 250, 250, 354, 250]
    assert two.accepted == [b"A: b\r\n\r\na\r\n.\r\n", b"Subject: b\r\n\r\nb\r\n.\r\n"]


def test_the_first_line_may_be_the_dot() -> None:
    assert expected([START.talk(b".\r\n")], NORMALISE).accepted[0] == b".\r\n"
    assert expected([START.talk(b"\r\n.\r\n")], NORMALISE).accepted[0] == END


def test_a_refused_message_is_followed_by_an_honest_one() -> None:
    two = expected([LAST.talk(b"\n")], REJECT)
    assert two.codes == [554, 250, 250, 354, 250]
    assert two.refused == [b"A: b\r\n\r\nc\n"]


def test_text_behind_a_refused_data_ends_the_session_only_if_it_came_along() -> None:
    talk = MIDDLE.talk(b"\r\n.\r\na")  # AMAIL is no command
    data = talk.index(b"DATA\r\n") + 6
    whole = expected([talk], NORMALISE)
    assert (whole.codes, whole.closed) == ([250, 500, 503, 554], True)
    late = expected(cut(talk, data), NORMALISE)
    assert (late.codes, late.closed) == ([250, 500, 503, 503, 500, 500, 500, 500], False)


def test_strings_are_all_there_is() -> None:
    every = list(strings(4))
    assert len(every) == len(set(every)) == 341
    assert every[0] == b""
    assert every[-1] == b"aaaa"


def test_cuts_part_the_string_its_neighbours_and_the_honest_end() -> None:
    for place in PLACES:
        cuts = place.cuts(b"\r\n.\r\n")
        talk = place.talk(b"\r\n.\r\n")
        begin = len(place.before)
        assert set(range(max(1, begin - 3), begin + 7)) <= set(cuts)
        assert set(range(len(talk) - 5, len(talk))) <= set(cuts)
        assert list(cuts) == sorted(set(cuts))
        assert all(0 < at < len(talk) for at in cuts)
