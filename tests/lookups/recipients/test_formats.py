"""Which format a file has."""

import pytest

from smtproxy.lookups.recipients.entries import SourceError
from smtproxy.lookups.recipients.formats import read
from smtproxy.lookups.recipients.spelling import Spelling

LINES = "# ours\n\nanna@example.org # the boss\nSMTP:Bert@example.org\nX500:/o=x\nnobody\n"


@pytest.mark.parametrize("octets", [LINES.encode(), LINES.encode("utf-8-sig"), LINES.encode("utf-16")])
def test_an_address_a_line(octets: bytes) -> None:
    found = read(octets, Spelling())
    assert sorted(found.by_address) == ["anna@example.org", "bert@example.org"]
    assert found.examples == ["line 5: X500:/o=x", "line 6: nobody"]


def test_the_others_are_recognised() -> None:
    assert list(read(b"# x\ndn: cn=a\nmail: a@b.org\n", Spelling()).by_address) == ["a@b.org"]
    assert list(read(b"PrimarySmtpAddress\na@b.org\n", Spelling()).by_address) == ["a@b.org"]


@pytest.mark.parametrize(
    ("octets", "wrong"),
    [
        (b"", "there is no address"),
        (b"# nobody\n", "there is no address"),
        (b"a@b.org\nc@d.o", "half-written"),
        (b"a@b.org\n\xff\n", "line 2 is no UTF-8"),
    ],
)
def test_what_is_none(octets: bytes, wrong: str) -> None:
    with pytest.raises(SourceError, match=wrong):
        read(octets, Spelling())
