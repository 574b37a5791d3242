"""DMARC: the truth table, spoofed mail in it, and records as they are published."""

# ruff: noqa: E501 - a case a line: it is read as a table

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from publicsuffixlist import PublicSuffixList

from smtproxy.policy.dmarc import Record, candidates, evaluate, read, walk
from smtproxy.policy.facts import Dmarc, Signature, Signatures, Spf
from tests.wire.pieces import PROPERTY

ORGANISATION = PublicSuffixList().privatesuffix
REJECT = "v=DMARC1; p=reject"


@dataclass(frozen=True)
class Row:
    """One line of the truth table."""

    name: str
    author: str
    records: Mapping[str, str]
    result: str
    policy: str = ""
    by: str = ""
    spf: tuple[str, str] | None = None
    dkim: tuple[tuple[str, str], ...] = ()
    exists: bool = True
    at: str | None = None
    """Where the record stood; None: at the author."""


EXAMPLE = {"example.com": REJECT}
GITHUB = {"github.io": REJECT}
PASS = "pass"

TABLE = [
    # Nobody asks for anything.
    Row("no record", "example.com", {}, "none", dkim=((PASS, "example.com"),)),
    Row("record without p", "example.com", {"example.com": "v=DMARC1; sp=none"}, "none"),
    Row("record without p, reports wanted", "example.com", {"example.com": "v=DMARC1; rua=mailto:x@y"}, "fail", "none"),
    Row("record of another version", "example.com", {"example.com": "v=DMARC2; p=reject"}, "none"),
    # The same domain.
    Row("dkim", "example.com", EXAMPLE, PASS, "reject", "dkim", dkim=((PASS, "example.com"),)),
    Row("spf", "example.com", EXAMPLE, PASS, "reject", "spf", spf=(PASS, "example.com")),
    Row("both", "example.com", EXAMPLE, PASS, "reject", "dkim", (PASS, "example.com"), ((PASS, "example.com"),)),
    Row("dkim, spf fails", "example.com", EXAMPLE, PASS, "reject", "dkim", ("fail", "x.example"), ((PASS, "example.com"),)),
    Row("one of two signatures", "example.com", EXAMPLE, PASS, "reject", "dkim", None, (("fail", "example.com"), (PASS, "example.com"))),
    Row("nothing", "example.com", EXAMPLE, "fail", "reject"),
    Row("spf softfail", "example.com", EXAMPLE, "fail", "reject", spf=("softfail", "example.com")),
    Row("spf neutral", "example.com", EXAMPLE, "fail", "reject", spf=("neutral", "example.com")),
    Row("spf permerror", "example.com", EXAMPLE, "fail", "reject", spf=("permerror", "example.com")),
    Row("dkim fail", "example.com", EXAMPLE, "fail", "reject", dkim=(("fail", "example.com"),)),
    Row("dkim permerror", "example.com", EXAMPLE, "fail", "reject", dkim=(("permerror", "example.com"),)),
    Row("others speak", "example.com", EXAMPLE, "fail", "reject", "", (PASS, "evil.example"), ((PASS, "evil.example"),)),
    Row("quarantine", "example.com", {"example.com": "v=DMARC1; p=quarantine"}, "fail", "quarantine"),
    # Relaxed and strict.
    Row("parent", "a.example.com", EXAMPLE, PASS, "reject", "dkim", dkim=((PASS, "example.com"),), at="example.com"),
    Row("child", "example.com", EXAMPLE, PASS, "reject", "spf", spf=(PASS, "bounce.example.com")),
    Row("sibling", "a.example.com", EXAMPLE, PASS, "reject", "spf", spf=(PASS, "b.example.com"), at="example.com"),
    Row("strict dkim, child", "example.com", {"example.com": REJECT + "; adkim=s"}, "fail", "reject", dkim=((PASS, "a.example.com"),)),
    Row("strict dkim, same", "example.com", {"example.com": REJECT + "; adkim=s"}, PASS, "reject", "dkim", dkim=((PASS, "example.com"),)),
    Row("strict dkim says nothing of spf", "example.com", {"example.com": REJECT + "; adkim=s"}, PASS, "reject", "spf", (PASS, "a.example.com")),
    Row("strict spf, child", "example.com", {"example.com": REJECT + "; aspf=s"}, "fail", "reject", spf=(PASS, "a.example.com")),
    Row("strict spf says nothing of dkim", "example.com", {"example.com": REJECT + "; aspf=s"}, PASS, "reject", "dkim", None, ((PASS, "a.example.com"),)),
    # Spoofed: alignment across a public suffix. LIBRARIES 3.5
    Row("suffix signed by its customer", "github.io", GITHUB, "fail", "reject", dkim=((PASS, "evil.github.io"),)),
    Row("customer signed by the suffix", "good.github.io", GITHUB, "fail", "reject", dkim=((PASS, "github.io"),), at="github.io"),
    Row("customer signed by another one", "good.github.io", GITHUB, "fail", "reject", dkim=((PASS, "evil.github.io"),), at="github.io"),
    Row("customer, spf of another one", "good.github.io", GITHUB, "fail", "reject", spf=(PASS, "evil.github.io"), at="github.io"),
    Row("customer signed by itself", "good.github.io", GITHUB, PASS, "reject", "dkim", dkim=((PASS, "good.github.io"),), at="github.io"),
    Row("customer signed by its own child", "good.github.io", GITHUB, PASS, "reject", "dkim", dkim=((PASS, "a.good.github.io"),), at="github.io"),
    Row("signed by the top", "example.com", EXAMPLE, "fail", "reject", dkim=((PASS, "com"),)),
    Row("signed by the top, which has a record", "example.com", {**EXAMPLE, "com": REJECT}, "fail", "reject", dkim=((PASS, "com"),)),
    Row("spf of the top", "example.com", EXAMPLE, "fail", "reject", spf=(PASS, "com")),
    Row("the top signed by a domain", "com", {"com": REJECT}, "fail", "reject", dkim=((PASS, "evil.com"),)),
    Row("two domains under one top with a record", "a.example", {"example": REJECT}, "fail", "reject", dkim=((PASS, "b.example"),), at="example"),
    Row("two level suffix", "bank.co.uk", {"bank.co.uk": REJECT, "co.uk": REJECT}, "fail", "reject", dkim=((PASS, "evil.co.uk"),)),
    Row("two level suffix itself", "bank.co.uk", {"bank.co.uk": REJECT}, "fail", "reject", dkim=((PASS, "co.uk"),)),
    Row("ends alike", "example.com", EXAMPLE, "fail", "reject", dkim=((PASS, "evilexample.com"),)),
    Row("looks alike in another top", "example.com", EXAMPLE, "fail", "reject", dkim=((PASS, "example.com.evil.example"),)),
    Row("empty d", "example.com", EXAMPLE, "fail", "reject", dkim=((PASS, ""),)),
    Row("empty spf", "example.com", EXAMPLE, "fail", "reject", spf=(PASS, "")),
    Row("author without dots", "localhost", {"localhost": REJECT}, "fail", "reject", dkim=((PASS, "a.localhost"),)),
    # Policies of subdomains.
    Row("p for subdomains", "a.example.com", EXAMPLE, "fail", "reject", at="example.com"),
    Row("sp", "a.example.com", {"example.com": REJECT + "; sp=none"}, "fail", "none", at="example.com"),
    Row("sp is not for the domain", "example.com", {"example.com": REJECT + "; sp=none"}, "fail", "reject"),
    Row("own record first", "a.example.com", {"a.example.com": "v=DMARC1; p=none", "example.com": REJECT}, "fail", "none"),
    Row("np", "a.example.com", {"example.com": "v=DMARC1; p=none; sp=none; np=reject"}, "fail", "reject", exists=False, at="example.com"),
    Row("np is not for those that exist", "a.example.com", {"example.com": "v=DMARC1; p=reject; sp=none; np=reject"}, "fail", "none", at="example.com"),
    Row("without np sp", "a.example.com", {"example.com": REJECT + "; sp=quarantine"}, "fail", "quarantine", exists=False, at="example.com"),
    Row("the organisation, not what is between", "a.b.example.com", {"b.example.com": "v=DMARC1; p=none", "example.com": REJECT}, "fail", "reject", at="example.com"),
    # psd
    Row("suffix that says so", "bank.platform.example", {"platform.example": REJECT + "; psd=y"}, "fail", "reject", dkim=((PASS, "evil.platform.example"),), at="platform.example"),
    Row("below a suffix that says so", "a.bank.platform.example", {"platform.example": REJECT + "; psd=y"}, PASS, "reject", "dkim", dkim=((PASS, "bank.platform.example"),), at="platform.example"),
    Row("one label below has its own", "a.bank.platform.example", {"platform.example": REJECT + "; psd=y", "bank.platform.example": "v=DMARC1; p=quarantine"}, "fail", "quarantine", at="bank.platform.example"),
    Row("np of a suffix", "nobody.platform.example", {"platform.example": "v=DMARC1; p=none; np=reject; psd=y"}, "fail", "reject", exists=False, at="platform.example"),
    Row("suffix as author", "platform.example", {"platform.example": REJECT + "; psd=y"}, PASS, "reject", "dkim", dkim=((PASS, "platform.example"),)),
    Row("psd=n ends the walk", "a.dept.example.com", {"dept.example.com": "v=DMARC1; p=quarantine; psd=n", "example.com": REJECT}, "fail", "quarantine", at="dept.example.com"),
    Row("psd=n keeps others out", "dept.example.com", {"dept.example.com": REJECT + "; psd=n", "example.com": REJECT}, "fail", "reject", dkim=((PASS, "example.com"),)),
    Row("psd=n keeps itself out", "example.com", {"dept.example.com": REJECT + "; psd=n", "example.com": REJECT}, "fail", "reject", dkim=((PASS, "dept.example.com"),)),
    Row("psd=n, below it", "dept.example.com", {"dept.example.com": REJECT + "; psd=n"}, PASS, "reject", "dkim", dkim=((PASS, "a.dept.example.com"),)),
    Row("only a subdomain publishes (RFC 7489)", "a.example.com", {"a.example.com": REJECT}, PASS, "reject", "dkim", dkim=((PASS, "example.com"),)),
    # Watching.
    Row("t", "example.com", {"example.com": REJECT + "; t=y"}, "fail", "none"),
    Row("pct=0", "example.com", {"example.com": REJECT + "; pct=0"}, "fail", "none"),
    Row("pct=50 is ignored", "example.com", {"example.com": REJECT + "; pct=50"}, "fail", "reject"),
    # The DNS of a sender.
    Row("spf temperror", "example.com", EXAMPLE, "temperror", "reject", spf=("temperror", "example.com")),
    Row("dkim temperror", "example.com", EXAMPLE, "temperror", "reject", dkim=(("temperror", "a.example.com"),)),
    Row("spf temperror, dkim", "example.com", EXAMPLE, PASS, "reject", "dkim", ("temperror", "example.com"), ((PASS, "example.com"),)),
    Row("temperror of a stranger shields nobody", "example.com", EXAMPLE, "fail", "reject", "", ("temperror", "evil.example"), (("temperror", "evil.example"),)),
    # Long names.
    Row("nine labels", "a.b.c.d.e.f.g.example.com", EXAMPLE, "fail", "reject", at="example.com"),
    Row("forty labels", "a." * 40 + "example.com", EXAMPLE, PASS, "reject", "dkim", None, ((PASS, "example.com"),), at="example.com"),
]  # fmt: skip


def records(published: Mapping[str, str]) -> dict[str, Record | None]:
    return {domain: read([text]) for domain, text in published.items()}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_truth_table(row: Row) -> None:
    signatures = Signatures(tuple(Signature(domain, "s", result) for result, domain in row.dkim))
    spf = Spf(*row.spf) if row.spf else None
    found = evaluate(row.author, records(row.records), ORGANISATION, exists=row.exists, spf=spf, signatures=signatures)
    at = "" if row.result == "none" else row.author if row.at is None else row.at
    assert found == Dmarc(row.result, row.author, row.policy, at, row.by)


def test_the_table_has_its_spoofed_cases() -> None:
    assert len(TABLE) == len({row.name for row in TABLE}) >= 60
    spoofed = [row for row in TABLE if row.result == "fail" and any(result == PASS for result, _ in row.dkim)]
    assert len(spoofed) >= 15


@pytest.mark.parametrize(
    ("texts", "record"),
    [
        ([], None),
        (["v=spf1 -all"], None),
        ([REJECT, REJECT], None),
        (["x", REJECT], Record("reject")),
        (["v=dmarc1; p=reject"], None),
        (["p=reject; v=DMARC1"], None),
        (["v=DMARC1x; p=reject"], None),
        ([" v=DMARC1; p=reject"], None),
        (["v = DMARC1 ;p = REJECT ; "], Record("reject")),
        (["v=DMARC1"], Record()),
        (["v=DMARC1; p=x"], Record()),
        (["v=DMARC1; p=reject; sp=x"], Record()),
        (["v=DMARC1; p=reject; np=x; rua=mailto:a@b"], Record("none")),
        (["v=DMARC1; p=x; rua=nonsense"], Record()),
        (["v=DMARC1; p=none; p=reject"], Record("none")),
        (["v=DMARC1; p=none; unknown=x; nonsense; =; adkim=x; psd=x; t=x"], Record("none")),
        (["v=DMARC1; p=none; adkim=s; aspf=s; psd=y; t=y"], Record("none", "", "", True, True, True, True)),
        (["v=DMARC1; p=none; psd=n"], Record("none", suffix=False)),
    ],
)
def test_read(texts: list[str], record: Record | None) -> None:
    assert read(texts) == record


@pytest.mark.parametrize(
    ("domain", "asked"),
    [
        ("com", ["com"]),
        ("a.b.com", ["a.b.com", "b.com", "com"]),
        ("a.b.c.d.e.f.g.com", ["a.b.c.d.e.f.g.com", "b.c.d.e.f.g.com", "c.d.e.f.g.com", "d.e.f.g.com", "e.f.g.com", "f.g.com", "g.com", "com"]),
        ("a.b.c.d.e.f.g.h.i.j.mail.example.com", ["a.b.c.d.e.f.g.h.i.j.mail.example.com", "g.h.i.j.mail.example.com", "h.i.j.mail.example.com", "i.j.mail.example.com", "j.mail.example.com", "mail.example.com", "example.com", "com"]),
    ],
)  # fmt: skip
def test_walk(domain: str, asked: list[str]) -> None:
    """The last one is the example of RFC 9989 4.10."""
    assert list(walk(domain)) == asked


def test_candidates_are_of_the_same_organisation() -> None:
    signatures = Signatures(
        (
            Signature("a.example.com", "s", "pass"),
            Signature("b.example.com", "s", "fail"),
            Signature("com", "s", "pass"),
        )
    )
    assert candidates("example.com", ORGANISATION, Spf("pass", "c.example.com"), signatures) == (
        "a.example.com",
        "c.example.com",
    )
    assert candidates("example.com", ORGANISATION, Spf("fail", "c.example.com"), Signatures()) == ()


LABEL = st.sampled_from(["a", "b", "com", "co", "uk", "github", "io", "example"])
DOMAIN = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
TEXT = st.sampled_from(["", REJECT, REJECT + "; psd=y", REJECT + "; psd=n", REJECT + "; adkim=s"])


@PROPERTY
@given(DOMAIN, DOMAIN, st.dictionaries(DOMAIN, TEXT, max_size=4))
def test_nothing_is_aligned_across_a_public_suffix(author: str, signer: str, published: dict[str, str]) -> None:
    signatures = Signatures((Signature(signer, "s", "pass"),))
    found = evaluate(
        author, records(published), ORGANISATION, exists=True, spf=Spf("pass", signer), signatures=signatures
    )
    if found.result == "pass" and author != signer:
        assert ORGANISATION(author) == ORGANISATION(signer) is not None
