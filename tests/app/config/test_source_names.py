"""Names and domains of sources; their mistakes are in tests/app/configurations."""

from pathlib import Path

from smtproxy.app.config import load

GOOD = Path(__file__).parents[1] / "configurations/good_recipients.toml"


def test_a_source_has_a_name_and_domains_of_ours() -> None:
    (source,) = load(GOOD).recipients.sources
    assert (source.name, source.domains) == ("people", ("example.org",))
