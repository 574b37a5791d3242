"""Exchange's attributes."""

from smtproxy.lookups.recipients.exchange import MOST_SENDERS, Item, dn_key, entries_of, smtp_address
from smtproxy.lookups.recipients.spelling import Spelling
from smtproxy.policy.facts import RecipientEntry

ANNA = Item(
    "CN=Anna,DC=test", {"proxyaddresses": ["SMTP:Anna@example.org", "smtp:a@example.org", "X500:/o=x", "sip:a@b"]}
)


def only(*items: Item, address: str) -> RecipientEntry:
    return entries_of(items, Spelling()).by_address[address]


def test_both_spellings_are_addresses_and_other_kinds_are_not() -> None:
    entries = entries_of([ANNA], Spelling())
    assert sorted(entries.by_address) == ["a@example.org", "anna@example.org"]
    assert entries.skipped == 0
    assert smtp_address("X500:/o=x") is None
    assert smtp_address("a@b") == "a@b"


def test_a_disabled_account_is_a_recipient() -> None:
    room = Item("cn=room", {"mail": ["room@example.org"], "useraccountcontrol": ["514"]})
    assert only(room, address="room@example.org").exists


def test_facts() -> None:
    attributes = {"mail": ["l@x.org"], "msexchrequireauthtosendto": ["TRUE"], "delivcontlength": ["10"]}
    entry = only(Item("cn=l", attributes), address="l@x.org")
    assert (entry.requires_authentication, entry.size_limit) == (True, 10240)
    none = only(Item("cn=l", {"mail": ["l@x.org"], "delivcontlength": ["0"]}), address="l@x.org")
    assert none.size_limit is None


def test_lists_of_senders_are_resolved_through_groups() -> None:
    group = Item("cn=group,dc=test", {"member": ["cn=anna, DC=test", "cn=group,dc=test"]})
    board = Item("cn=board", {"mail": ["board@example.org"], "dlmemsubmitperms": ["CN=Group,DC=test"]})
    assert only(ANNA, group, board, address="board@example.org").allowed_senders == (
        "a@example.org",
        "anna@example.org",
    )
    barred = Item("cn=c", {"mail": ["c@example.org"], "unauthorig": ["cn=anna,dc=test"]})
    assert only(ANNA, barred, address="c@example.org").denied_senders == ("a@example.org", "anna@example.org")


def test_a_list_that_cannot_be_resolved_wholly_restricts_nobody() -> None:
    """Refusing a sender who stands in the part that was not seen would be the greater harm."""
    gone = Item("cn=b", {"mail": ["b@x.org"], "authorig": ["cn=anna,dc=test", "cn=gone"]})
    assert only(ANNA, gone, address="b@x.org").allowed_senders == ()
    ranged = Item("cn=g", {"member": ["cn=anna,dc=test"], "member;range=0-1499": ["cn=anna,dc=test"]})
    listed = Item("cn=b", {"mail": ["b@x.org"], "dlmemsubmitperms": ["cn=g"]})
    assert only(ANNA, ranged, listed, address="b@x.org").allowed_senders == ()
    many = [Item(f"cn={n}", {"mail": [f"u{n}@x.org"]}) for n in range(MOST_SENDERS + 1)]
    board = Item("cn=b", {"mail": ["b@x.org"], "authorig": [one.dn for one in many]})
    assert only(*many, board, address="b@x.org").allowed_senders == ()


def test_names_are_compared_without_case_and_blanks() -> None:
    assert dn_key("CN=Anna , DC=Test") == dn_key("cn=anna,dc=test")
