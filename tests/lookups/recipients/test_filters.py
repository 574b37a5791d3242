"""What a client says can never be read as filter."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtproxy.lookups.recipients.filters import escaped, finding, seeing
from smtproxy.lookups.recipients.spelling import Address, Spelling


def test_a_question() -> None:
    forms = Spelling(delimiter="+").forms(Address("anna+tag", "example.org"))
    assert finding("(mail=*)", forms) == (
        "(&(mail=*)(|"
        "(proxyAddresses=smtp:anna\\2btag@example.org)(mail=anna\\2btag@example.org)"
        "(proxyAddresses=smtp:anna@example.org)(mail=anna@example.org)))"
    )
    assert seeing("(a=b)") == "(&(a=b)(|(proxyAddresses=*)(mail=*)))"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("*", "\\2a"),
        ("(", "\\28"),
        (")", "\\29"),
        ("\\", "\\5c"),
        ("\0", "\\00"),  # bonsai's own function writes one digit
        ("ä", "\\c3\\a4"),
        ("Anna.B-1_c@x:", "Anna.B-1_c@x:"),
    ],
)
def test_escaping(value: str, written: str) -> None:
    assert escaped(value) == written


@given(st.text(max_size=500))
def test_nothing_breaks_out(local: str) -> None:
    text = finding("(x=*)", [Address(local, "example.org")])
    inner = text.removeprefix("(&(x=*)(|").removesuffix("))")
    value = rb"(?:[A-Za-z0-9.@_:-]|\\[0-9a-f]{2})*"
    assert re.fullmatch(rb"(?:\((?:proxyAddresses=smtp:|mail=)" + value + rb"\))+", inner.encode())
    first = re.findall(r"mail=([^)]*)\)", inner)[0]
    octets = re.sub(rb"\\([0-9a-f]{2})", lambda one: bytes.fromhex(one[1].decode()), first.encode())
    assert octets.decode() == f"{local}@example.org"


def test_other_ways_to_write_it() -> None:
    quoted = finding("(x=*)", [Address('a "b"', "example.org")])
    assert "(mail=a\\20\\22b\\22@example.org)" in quoted
    assert "(mail=\\22a\\20\\5c\\22b\\5c\\22\\22@example.org)" in quoted
    idn = finding("(x=*)", [Address("a", "xn--bcher-kva.example")])
    assert "(mail=a@xn--bcher-kva.example)" in idn
    assert "(mail=a@b\\c3\\bccher.example)" in idn
    assert finding("(x=*)", [Address("a", "xn--\xff")]).count("mail=") == 1
