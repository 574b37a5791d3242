"""The tables [[lists]]. Mistakes are in tests/app/configurations/lists_wrong."""

from pathlib import Path

import pytest

from smtproxy.app.config.lists import SUBJECTS, DnsListTable
from smtproxy.app.config.survey import survey


def read(**table: object) -> DnsListTable:
    document: dict[str, object] = {"name": "one", "zone": "List.Example.", **table}
    return DnsListTable.model_validate(document, context=survey(Path(), {}))


def test_name_and_zone_are_enough() -> None:
    table = read()
    assert (table.zone, table.subjects, table.weight, table.answers) == ("list.example", ("client",), 1.0, ())


def test_every_subject_can_be_asked_about() -> None:
    assert read(subjects=list(SUBJECTS)).subjects == SUBJECTS


def test_answers_are_read() -> None:
    (only,) = read(answers=["127.0.0.[2..4]"]).answers
    assert only.takes("127.0.0.3")


@pytest.mark.parametrize(
    ("written", "meant"), [("auto", "auto"), ("", ""), ("127.0.0.9", "127.0.0.9"), ("Listed.Example", "listed.example")]
)
def test_test_points(written: str, meant: str) -> None:
    assert read(test_listed=written, test_unlisted=written).test_listed == meant
