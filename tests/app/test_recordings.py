"""Decisions out of a log, whatever else is in it."""

from pathlib import Path

from smtproxy.app.recordings import Reading, recordings
from tests.app.logs import config, line, log


def test_other_lines_are_passed_over(tmp_path: Path) -> None:
    good = line(config(tmp_path), 1)
    strange = [
        b"no JSON\n",
        b'{"event":"session"}\n',
        b'"evidence":\n',
        b'{"evidence":5}\n',
        b'["evidence":]\n',
        b"\xff\n",
    ]
    (found,) = recordings(log(*strange, good, b'{"evidence":{"cut'))
    assert (found.id, found.listener, found.unreadable) == ("s1.1", "mx", "")
    assert [one.evidence.stage.value for one in found.decisions] == ["recipient", "message"]
    assert all(found.is_called(name) for name in ("s1", "s1.1", "<m1@example.net>", "m1@example.net"))
    assert not found.is_called("s")


def test_a_record_that_cannot_be_used_is_said_to_be_so(tmp_path: Path) -> None:
    good = line(config(tmp_path), 1)
    old, cut = good.replace(b'"v":1', b'"v":99'), good.replace(b'"decisions"', b'"decisionz"')
    assert [bool(one.unreadable) for one in recordings(log(old, cut, good))] == [True, True, False]


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    good = line(config(tmp_path), 1)
    endless = b'{"evidence":{"x":"' + b"x" * 1_000_000 + b'"}}\n'
    assert [one.id for one in recordings(log(endless, good))] == ["s1.1"]


def test_a_record_that_the_log_has_cut_is_not_taken_for_whole(tmp_path: Path) -> None:
    """A list without its end would be judged as if nobody else had been on it."""
    cut = line(config(tmp_path), 1).replace(b'"domain":"example.net"', b'"domain":"exam...[cut]"')
    more = line(config(tmp_path), 2).replace(b'"v":1', b'"v":1,"decisions_cut":7')
    first, second = recordings(log(cut, more))
    assert (first.unreadable, first.decisions) == ("cut", ())
    assert (second.left_out, len(second.decisions)) == (7, 2)


def test_a_line_without_its_end_is_counted(tmp_path: Path) -> None:
    """Syslog cuts lines at 8 KiB; a replay that passed them over said that nothing differed."""
    good = line(config(tmp_path), 1)
    *cut, whole = recordings(log(good[:-20] + b"\n", good.replace(b"[", b"", 1), good[:60] + b"\n", good))
    for one in cut:
        assert (one.unreadable, one.decisions) == ("the end of the line is missing", ())
        assert (one.left_out, one.is_called("s1")) == (0, False)
    assert whole.id == "s1.1"


def test_what_a_log_turned_out_to_be(tmp_path: Path) -> None:
    reading = Reading("s2")
    found = recordings(log(b"no JSON\n", line(config(tmp_path), 1), line(config(tmp_path), 2)), reading)
    assert len(list(found)) == 2
    assert (reading.lines, reading.ours, reading.named) == (3, 2, 1)
    assert reading.first
    assert reading.last >= reading.first
