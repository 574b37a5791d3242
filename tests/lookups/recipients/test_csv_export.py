"""Exchange's CSV export."""

import pytest

from smtproxy.lookups.recipients.csv_export import columns, entries
from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.lookups.recipients.spelling import Spelling

HEAD = (
    '"PrimarySmtpAddress","RequireSenderAuthenticationEnabled","MaxReceiveSize","StorageLimitStatus","EmailAddresses"\n'
)


def test_an_export() -> None:
    text = (
        "#TYPE Selected.Microsoft.Exchange.Data.Directory.Management.ReducedRecipient\n"
        + HEAD
        + '"anna@example.org","False","Unlimited","","SMTP:anna@example.org;smtp:a@example.org;X400:C=US;A= ;sip:a@b"\n'
        + '"list@example.org","True","10 MB (10,485,760 bytes)","","{SMTP:list@example.org, smtp:l@example.org}"\n'
        + '"full@example.org","False","","MailboxDisabled","smtp:f@example.org\nSMTP:full@example.org"\n'
    )
    found = entries(text, Spelling())
    assert sorted(found.by_address) == [f"{one}@example.org" for one in ("a", "anna", "f", "full", "l", "list")]
    listed, full = found.by_address["l@example.org"], found.by_address["f@example.org"]
    assert (listed.requires_authentication, listed.size_limit) == (True, 10485760)
    assert (full.over_quota, full.size_limit) == (True, None)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters(delimiter: str) -> None:
    found = columns(f'"Name"{delimiter}"emailaddresses"')
    assert found == (delimiter, ["name", "emailaddresses"])
    assert columns("anna@example.org") is None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Name\nAnna\n", "no column EmailAddresses"),
        ('EmailAddresses\n"System.Collections.ArrayList"\n', "line 2: EmailAddresses holds the name of a type"),
        ("Name,EmailAddresses\nAnna\n", "line 2 has 1 columns, and the head has 2"),
    ],
)
def test_what_is_none(text: str, wrong: str) -> None:
    with pytest.raises(SourceError, match=wrong):
        entries(text, Spelling())


def test_what_is_no_address_is_counted() -> None:
    assert entries("EmailAddresses\nsmtp:nobody\nsmtp:a@b.org\n", Spelling()).examples == ["line 2: nobody"]
