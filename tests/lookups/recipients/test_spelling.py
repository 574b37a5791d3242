"""The form in which addresses of recipients are compared."""

import pytest

from smtproxy.lookups.recipients.spelling import Address, Spelling, domain_of
from smtproxy.wire.paths import parse_path


@pytest.mark.parametrize(
    ("spelling", "said", "forms"),
    [
        (Spelling(), "<Anna@Example.ORG>", ["anna@example.org"]),
        (Spelling(), "<anna@example.org.>", ["anna@example.org"]),
        (Spelling(), '<"Anna"@example.org>', ["anna@example.org"]),
        (Spelling(), "<anna+list@example.org>", ["anna+list@example.org"]),
        (Spelling(case_sensitive=True), "<Anna@Example.ORG>", ["Anna@example.org"]),
        (Spelling(delimiter="+"), "<anna+list@example.org>", ["anna+list@example.org", "anna@example.org"]),
        (Spelling(delimiter="+-"), "<anna-a+b@example.org>", ["anna-a+b@example.org", "anna@example.org"]),
        (Spelling(delimiter="+"), "<+anna@example.org>", ["+anna@example.org"]),
        (Spelling(), "<anna@bücher.example>", ["anna@xn--bcher-kva.example"]),
    ],
)
def test_forms(spelling: Spelling, said: str, forms: list[str]) -> None:
    path, _ = parse_path(said.encode())
    assert [str(form) for form in spelling.forms(spelling.of(path))] == forms


@pytest.mark.parametrize(
    "text", ["", "anna", "anna@", "@example.org", "a b@example.org", "anna@example.org OK", "\ud800@x"]
)
def test_no_address(text: str) -> None:
    assert Spelling().read(text) is None


def test_read() -> None:
    assert Spelling().read(" Anna@Example.org ") == Address("anna", "example.org")
    assert domain_of("Anna@Example.org") == "example.org"
    assert domain_of("anna") == ""


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (Address("anna", "example.org"), "anna@example.org"),
        (Address("anna b", "example.org"), '"anna b"@example.org'),
        (Address('a"b\\c', "example.org"), '"a\\"b\\\\c"@example.org'),
        (Address("a@b", "example.org"), '"a@b"@example.org'),
        (Address("änna", "xn--bcher-kva.example"), "änna@xn--bcher-kva.example"),
        (Address("anna", "[192.0.2.1]"), "anna@[192.0.2.1]"),
    ],
)
def test_how_an_address_is_said(address: Address, said: str) -> None:
    path = address.path
    assert path is not None
    assert str(path) == said
    assert Spelling().of(path) == address


@pytest.mark.parametrize("local", ["", "a\r\nDATA", "a\0b", "a>b\x7f", "a" * 300])
def test_what_cannot_be_said(local: str) -> None:
    assert Address(local, "example.org").path is None
