"""Replay: the same configuration gives the same decisions, all of them; another one a diff by check and sender."""

from pathlib import Path

from smtproxy.app.recordings import recordings
from smtproxy.app.replay import replay, report
from tests.app.logs import TEXT, config, line, log

_CASES = [
    {"hello": hello, "domain": domain, "spf": spf, "to": to, "size": size}
    for hello in ("client.example", "mx.example.org")
    for domain in ("example.net", "example.com")
    for spf in ("pass", "fail", "")
    for to in ("example.org", "elsewhere.example")
    for size in (100, 1000)
]


def test_the_same_configuration_gives_the_same_decisions(tmp_path: Path) -> None:
    made = config(tmp_path)
    past = log(*(line(made, number, **case) for number, case in enumerate(_CASES)))  # type: ignore[arg-type]
    again = replay(recordings(past), made)
    assert (again.lines, again.judged, again.differing, again.unverified) == (48, 96, 0, 0)
    assert list(report(again)) == ["96 decisions of 48 lines judged again, 0 differ"]


def test_another_configuration_gives_a_diff(tmp_path: Path) -> None:
    made = config(tmp_path)
    other = config(tmp_path, TEXT.replace('"reject"', '"observe"').replace("size > 500", "size > 50"))
    past = [line(made, 1, spf="fail"), line(made, 2, spf="fail"), line(made, 3, domain="example.com")]
    changed = replay(recordings(log(*past)), other)
    assert {key: (group.number, dict(group.senders)) for key, group in changed.groups.items()} == {
        ("newly accepted", "rule:spf"): (2, {"example.net": 2}),
        ("newly deferred", "rule:big"): (3, {"example.net": 2, "example.com": 1}),
    }
    text = "\n".join(report(changed))
    assert "newly accepted by rule:spf: 2\n  senders: example.net (2)\n  as in: s1.1, s2.1" in text
    assert "s3.1 message: accepted, now 450 by rule:big" in text
    between = replay(recordings(log(*past)), made, other)
    assert between.differing == changed.differing == 5


def test_facts_that_the_record_lacks_are_counted(tmp_path: Path) -> None:
    made = config(tmp_path)
    text = TEXT + '[[rules]]\nname = "new"\nwhen = \'reverse_name.confirmed == ""\'\nthen = "reject"\n'
    again = replay(recordings(log(line(made, 1))), config(tmp_path, text))
    assert (dict(again.lacking), again.differing) == ({"reverse_name": 1}, 0)


def test_what_cannot_be_judged_is_said(tmp_path: Path) -> None:
    made = config(tmp_path)
    good = line(made, 1)
    again = replay(
        recordings(log(good.replace(b'"listener":"mx"', b'"listener":"x"'), good.replace(b'"v":1', b'"v":99'))), made
    )
    assert (again.judged, again.unverified) == (0, 3)
    assert any('2 decisions of listener "x"' in one for one in report(again))


def test_decisions_that_were_not_recorded_are_counted(tmp_path: Path) -> None:
    made = config(tmp_path)
    again = replay(recordings(log(line(made, 1).replace(b'"v":1', b'"v":1,"decisions_cut":7'))), made)
    assert (again.differing, again.unverified) == (0, 7)
    assert "  7 decisions were not recorded: a line has the first 50" in list(report(again))
