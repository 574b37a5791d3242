"""Changes of objects: other attributes, other names, other addresses, none at all."""

from smtproxy.lookups.recipients.exchange import MOST_LISTED, Item, entries_of
from smtproxy.lookups.recipients.objects import Objects
from smtproxy.lookups.recipients.spelling import Spelling


def person(name: str, *addresses: str, guid: str = "", **more: list[str]) -> Item:
    attributes = {"proxyaddresses": [f"smtp:{one}@example.org" for one in addresses or (name,)], **more}
    return Item(f"CN={name},DC=x", attributes | ({"objectguid": [guid]} if guid else {}))


def names(objects: Objects) -> set[str]:
    return {address.partition("@")[0] for address in entries_of(objects, Spelling()).by_address}


def test_what_comes_out_is_what_went_in() -> None:
    items = [
        person("a", "a", "b", guid="0a" * 16, msexchrequireauthtosendto=["TRUE"]),
        person("list", guid="0b" * 16, authorig=["cn=A, dc=X"]),
        Item("cn=g", {"member": ["cn=a,dc=x"], "objectguid": ["0c" * 16]}),
    ]
    assert entries_of(Objects(items), Spelling()).by_address == entries_of(items, Spelling()).by_address
    assert len(Objects(items)) == 3


def test_a_change_and_a_new_one() -> None:
    objects = Objects([person("a"), person("b")])
    assert objects.apply([person("a", "anna"), person("c")], [])
    assert names(objects) == {"anna", "b", "c"}


def test_logons_are_no_news() -> None:
    objects = Objects([person("a", "a", "b")])
    same = Item("CN=a,DC=x", {"proxyaddresses": ["smtp:b@example.org", "X400:c=de", "smtp:a@example.org"]})
    assert not objects.apply([same], [same, person("computer")])


def test_who_was_touched_and_does_not_match_any_more_is_gone() -> None:
    objects = Objects([person("a", guid="0a" * 16), person("b")])
    assert objects.apply([], [Item("CN=other,DC=x", {"objectguid": ["0a" * 16]}), Item("cn=B, dc=X", {})])
    assert len(objects) == 0


def test_a_new_name_is_the_same_object() -> None:
    objects = Objects([person("a", guid="0a" * 16), person("list", guid="0b" * 16, authorig=["cn=new,dc=x"])])
    assert objects.apply([Item("CN=new,DC=x", {"mail": ["a@example.org"], "objectguid": ["0a" * 16]})], [])
    entries = entries_of(objects, Spelling()).by_address
    assert entries["list@example.org"].allowed_senders == ("a@example.org",)
    assert len(objects) == 2


def test_a_group_that_is_too_long_for_a_list_is_not_kept() -> None:
    members = [f"cn=m{number},dc=x" for number in range(MOST_LISTED + 1)]
    items = [person("list", authorig=["cn=g"]), Item("cn=g", {"member": members})]
    objects = Objects(items)
    assert entries_of(objects, Spelling()).by_address == entries_of(items, Spelling()).by_address
    assert sum(map(len, objects._packed.values())) < 500
