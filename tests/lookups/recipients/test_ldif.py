"""LDIF."""

import pytest

from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.lookups.recipients.ldif import items

FILE = """\
version: 1

# a comment
 that is folded
dn: cn=anna,
 dc=test
proxyAddresses: SMTP:anna@exam
 ple.org
proxyAddresses:: c210cDphQGV4YW1wbGUub3Jn
changetype: add

dn:: Y249Yg==
mail: b@example.org
"""


@pytest.mark.parametrize("text", [FILE, FILE.replace("\n", "\r\n")])
def test_records(text: str) -> None:
    anna, b = items(text)
    assert anna.dn == "cn=anna,dc=test"
    assert anna.attributes["proxyaddresses"] == ["SMTP:anna@example.org", "smtp:a@example.org"]
    assert (b.dn, dict(b.attributes)) == ("cn=b", {"mail": ["b@example.org"]})


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("dn: a\nno colon\n", "line 2 is no LDIF"),
        ("dn: a\ndn: b\n", "line 2: a second dn"),
        ("dn: a\nchangetype: delete\n", "line 2: a record of changes"),
        ("mail: a@b\n", "line 1: an attribute without dn"),
        ("dn: a\nmail:: !!!\n", "line 2: this is no base64"),
        ("dn: a\nmail:< file:///etc/passwd\n", "line 2: the value stands in another file"),
    ],
)
def test_what_is_none(text: str, wrong: str) -> None:
    with pytest.raises(SourceError, match=wrong):
        list(items(text))
