"""What one reading of a source gave."""

from smtproxy.lookups.recipients.entries import PRESENT, Entries, find
from smtproxy.lookups.recipients.spelling import Address, Spelling
from smtproxy.policy.facts import RecipientEntry

ANNA = Address("anna", "example.org")


def test_an_address_that_is_there_twice_keeps_the_stricter_limits() -> None:
    entries = Entries()
    entries.add(ANNA, RecipientEntry(exists=True, size_limit=1000))
    entries.add(ANNA)
    assert entries.by_address["anna@example.org"].size_limit == 1000
    entries.add(ANNA, RecipientEntry(exists=True, size_limit=2000, requires_authentication=True))
    entry = entries.by_address["anna@example.org"]
    assert (entry.size_limit, entry.requires_authentication) == (1000, True)


def test_few_skipped_lines_are_named_and_all_counted() -> None:
    entries = Entries()
    for number in range(10):
        entries.skip(f"line {number}")
    assert (entries.skipped, entries.examples) == (10, ["line 0", "line 1", "line 2"])


def test_whoever_is_listed_whole_goes_first() -> None:
    tagged, spelling = RecipientEntry(exists=True, size_limit=1), Spelling(delimiter="+")
    entries = {"anna@example.org": PRESENT, "anna+b@example.org": tagged}
    assert find(entries, spelling, Address("anna+b", "example.org")) is tagged
    assert find(entries, spelling, Address("anna+c", "example.org")) is PRESENT
    assert find(entries, Spelling(), Address("anna+c", "example.org")) is None
